"""Ratings: against evalica, choix and statsmodels, by their invariances, and by simulation that recovers the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import choix
import evalica
import numpy as np
import pytest
import statsmodels.api as sm
from comparing import Match, compared, played
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from arena.stats import davidson
from arena.stats.comparisons import Comparisons, GraphError
from arena.stats.ratings import POINTS, Ratings, rate


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def quick(comparisons: Comparisons, **chosen: bool) -> Ratings:
    return rate(comparisons, random(), method="sandwich", draws=50, **chosen)


def strengths(ratings: Ratings) -> np.ndarray:
    """Log-odds by name, mean 0."""
    by_name = {one.agent: one.rating for one in ratings.agents}
    return (np.array([by_name[name] for name in sorted(by_name)]) - 1000) / POINTS


def mirrored(matches: Sequence[Match]) -> list[Match]:
    """The matches and the same with seats swapped: then the first seat is worth nothing."""
    return [*matches, *((second, first, 1 - score) for first, second, score in matches)]


FIVE = played(np.random.default_rng(1), np.array([-1.0, -0.4, 0.1, 0.3, 1.0]), matches=300)


# ------------------------------------------------------------------ known answers


def test_without_ties_and_sides_it_is_the_bradley_terry_fit_of_choix() -> None:
    rows = compared(mirrored(FIVE))
    won = [
        (int(i), int(j)) if score else (int(j), int(i))
        for i, j, score in zip(rows.first, rows.second, rows.score, strict=True)
    ]
    known = choix.opt_pairwise(5, won, tol=1e-12)
    assert strengths(quick(rows)) == pytest.approx(known - known.mean(), abs=1e-6)
    assert quick(rows).side.estimate == pytest.approx(0, abs=1e-6)


def test_without_ties_and_sides_it_is_the_bradley_terry_fit_of_evalica() -> None:
    rows = mirrored(FIVE)
    winners = [evalica.Winner.X if score else evalica.Winner.Y for _, _, score in rows]
    firsts, seconds = [first for first, _, _ in rows], [second for _, second, _ in rows]
    known = np.log(evalica.bradley_terry(firsts, seconds, winners, tolerance=1e-14, limit=10_000).scores.sort_index())
    assert strengths(quick(compared(rows))) == pytest.approx(known - known.mean(), abs=1e-6)


def test_ties_are_those_of_davidson() -> None:
    """The likelihood as written in the paper, maximised by scipy."""
    matches = played(random(), np.array([-0.5, 0.0, 0.7]), matches=200, side=0.4, ties=0.8)
    rows = compared(matches)

    def lack(x: np.ndarray) -> float:
        strength, side, nu = np.array([*x[:2], -x[0] - x[1]]), x[2], np.exp(x[3])
        first, second = np.exp(strength[rows.first] + side), np.exp(strength[rows.second])
        tie = nu * np.sqrt(first * second)
        p = np.where(rows.score == 1, first, np.where(rows.score == 0, second, tie)) / (first + second + tie)
        return -float(np.log(p).sum())

    known = optimize.minimize(lack, np.zeros(4), method="BFGS", options={"gtol": 1e-7}).x
    found = quick(rows)
    assert strengths(found)[:2] == pytest.approx(known[:2], abs=1e-5)
    assert found.side.estimate == pytest.approx(POINTS * known[2], abs=1e-3)
    assert found.tie_share is not None
    assert found.tie_share.estimate == pytest.approx(np.exp(known[3]) / (2 + np.exp(known[3])), abs=1e-6)


def test_side_and_clustered_errors_are_those_of_statsmodels() -> None:
    rows = compared(played(random(), np.array([-0.5, 0.0, 0.7]), matches=240, side=0.4), topic=np.arange(240) % 12)
    seats = np.zeros((240, 3))
    seats[np.arange(240), rows.first] += 1
    seats[np.arange(240), rows.second] -= 1
    # Strengths that add up to zero: the third is minus the other two.
    design = np.column_stack([seats[:, 0] - seats[:, 2], seats[:, 1] - seats[:, 2], np.ones(240)])
    known = sm.GLM(rows.score, design, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": rows.topic, "use_correction": False}, tol=1e-12
    )
    error = known.bse * np.sqrt(12 / 11)
    found = quick(rows)
    assert strengths(found)[:2] == pytest.approx(known.params[:2], abs=1e-7)
    assert found.side.estimate == pytest.approx(POINTS * known.params[2], abs=1e-4)
    assert found.side.statistic == pytest.approx(known.params[2] / error[2], rel=1e-5)
    rated = next(one for one in found.agents if one.agent == "agent 0")
    assert rated.high is not None
    assert rated.high - rated.rating == pytest.approx(POINTS * 2.200985 * error[0], rel=1e-5)


def test_the_scale_is_four_hundred_points_a_decade() -> None:
    found = quick(compared(mirrored([("a", "b", 1.0)] * 10 + [("a", "b", 0.0)])))
    first, second = found.agents
    assert first.rating - second.rating == pytest.approx(400)
    assert first.rating + second.rating == pytest.approx(2000)
    assert found.win == pytest.approx(np.array([[0.5, 10 / 11], [1 / 11, 0.5]]))
    assert (first.n, second.n) == (22, 22)


def test_gradient_and_information_are_those_of_the_likelihood() -> None:
    """Judges, ties and sharpness, at a point that is no maximum; sharpness moves along its constraint."""
    rows = compared(played(random(), np.array([-0.5, 0.0, 0.7]), matches=120, ties=0.8), judge=np.arange(120) % 3)
    met = davidson.cells(rows.first, rows.second, rows.judge, rows.score, 3, 3)
    x = np.array([-0.3, 0.1, 0.2, 0.3, -0.2, 0.5, 1.2, 0.5, 1.3, -0.7])
    allowed = np.eye(10)
    allowed[6:9, 6:9] -= 1 / 3

    def at(point: np.ndarray) -> davidson._Point:
        return davidson._evaluate(met, met.counts(), point, True, True)

    steps = 1e-5 * allowed
    gradient = [(at(x + step).value - at(x - step).value) / 2e-5 for step in steps]
    curvature = [(at(x + step).gradient - at(x - step).gradient) / -2e-5 for step in steps]
    assert at(x).gradient == pytest.approx(np.array(gradient), abs=1e-5)
    # Along the constraints the information is made regular, which moves nothing.
    shifts = np.eye(10)
    shifts[:3, :3] -= 1 / 3
    assert allowed @ shifts @ at(x).information @ shifts @ allowed == pytest.approx(
        shifts @ np.array(curvature) @ shifts, abs=1e-5
    )


# ------------------------------------------------------------------ invariances

plays = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])).filter(lambda m: m[0] != m[1]),
    min_size=1, max_size=20,
)  # fmt: skip


def ratable(rows: Sequence[tuple[int, int, float]]) -> list[Match]:
    """The matches, among others that tie everybody to everybody in both seats."""
    ring = [(i, j, score) for i in range(4) for j in range(4) if i != j for score in (0.0, 1.0)]
    return [(f"agent {i}", f"agent {j}", score) for i, j, score in [*rows, *ring]]


@given(plays)
@settings(max_examples=25)
def test_swapping_all_seats_turns_the_side_and_nothing_else(rows: list[tuple[int, int, float]]) -> None:
    matches = ratable(rows)
    found = quick(compared(matches))
    other = quick(compared([(second, first, 1 - score) for first, second, score in matches]))
    assert strengths(other) == pytest.approx(strengths(found), abs=1e-7)
    assert other.side.estimate == pytest.approx(-(found.side.estimate or 0), abs=1e-6)


@given(plays, st.permutations(range(4)))
@settings(max_examples=25)
def test_names_do_not_matter(rows: list[tuple[int, int, float]], order: list[int]) -> None:
    found = strengths(quick(compared(ratable(rows))))
    matches = [(f"agent {order[int(i[-1])]}", f"agent {order[int(j[-1])]}", score) for i, j, score in ratable(rows)]
    assert strengths(quick(compared(matches)))[order] == pytest.approx(found, abs=1e-7)


@given(plays)
@settings(max_examples=25)
def test_the_same_results_twice_are_the_same_ratings_and_the_same_intervals_of_topics(
    rows: list[tuple[int, int, float]],
) -> None:
    matches = ratable(rows)
    topic = np.arange(len(matches)) % 8
    once, twice = quick(compared(matches, topic=topic)), quick(compared(matches * 2, topic=np.tile(topic, 2)))
    named = {one.agent: one for one in twice.agents}
    for one in once.agents:
        assert named[one.agent].rating == pytest.approx(one.rating, abs=1e-6)
        assert named[one.agent].low == pytest.approx(one.low, abs=1e-6)


@given(plays)
@settings(max_examples=25)
def test_chances_of_a_pair_add_up_to_one_and_ranks_hold_the_place(rows: list[tuple[int, int, float]]) -> None:
    found = quick(compared(ratable(rows)))
    assert found.win + found.win.T == pytest.approx(np.ones((4, 4)))
    assert sum(one.p_best or 0 for one in found.agents) == pytest.approx(1)
    for place, one in enumerate(found.agents, start=1):
        assert 1 <= one.rank_low <= place <= one.rank_high <= 4


def test_a_match_against_oneself_tells_of_the_side_alone() -> None:
    plain = quick(compared(mirrored(FIVE)))
    selves = quick(compared([*mirrored(FIVE), *[("agent 0", "agent 0", 1.0)] * 100]))
    assert (selves.side.estimate or 0) > 10
    assert [one.n for one in selves.agents] == [one.n for one in plain.agents]


# ------------------------------------------------------------------ weights


def test_equal_probabilities_weigh_nothing() -> None:
    rows = compared(FIVE, probability=np.full(len(FIVE), 0.2))
    assert quick(rows, weighted=True).agents == quick(rows).agents
    assert quick(rows, weighted=True).effective_n == pytest.approx(len(FIVE))


def test_a_row_half_as_likely_counts_twice() -> None:
    rows = compared([*FIVE, *FIVE[:50]], topic=[*range(300), *range(50)])
    halved = compared(FIVE, probability=np.r_[np.full(50, 0.5), np.ones(250)])
    assert strengths(quick(halved, weighted=True)) == pytest.approx(strengths(quick(rows)), abs=1e-7)
    assert quick(halved, weighted=True).effective_n == pytest.approx(350**2 / (50 * 4 + 250))
    assert quick(halved).effective_n == 300


# ------------------------------------------------------------------ judges


def judged(
    random: np.random.Generator, matches: int, leans: Sequence[float], sharpness: Sequence[float], gap: float = 0.5
) -> Comparisons:
    """Five agents before judges of these leans and this sharpness."""
    found: list[Match] = []
    for lean, sharp in zip(leans, sharpness, strict=True):
        found += played(random, sharp * gap * np.arange(5.0), matches, side=lean, every_pair=True)
    topic = np.tile(np.arange(matches) // 20, len(leans))
    return compared(found, judge=np.repeat(np.arange(len(leans)), matches), topic=topic)


def test_leans_and_sharpness_of_judges_are_recovered() -> None:
    found = rate(judged(random(), 4000, [-0.2, 0.3, 1.1], [1.0, 1.4, 0.6]), random(), method="sandwich")
    assert strengths(found) == pytest.approx(0.5 * np.arange(-2, 3), abs=0.12)
    assert found.side.estimate == pytest.approx(POINTS * 0.4, abs=10)
    for judge, lean, sharpness in zip(found.judges, (-0.2, 0.3, 1.1), (1.0, 1.4, 0.6), strict=True):
        assert judge.share.estimate == pytest.approx(1 / (1 + np.exp(-lean)), abs=0.03)
        assert judge.lean.estimate == pytest.approx(POINTS * (lean - 0.4), abs=20)
        assert judge.sharpness.estimate == pytest.approx(sharpness, abs=0.12)
        assert (judge.sharpness.low or 9) <= sharpness <= (judge.sharpness.high or 0)


def test_a_judge_who_leans_to_one_seat_does_not_move_ratings_of_mirrored_matches() -> None:
    """Without its lean in the model, a strong one would draw all strengths together."""
    fair = quick(judged(random(), 2000, [0.0, 0.0], [1, 1]))
    leaning = quick(judged(random(), 2000, [0.0, 2.5], [1, 1]))
    blind = quick(judged(random(), 2000, [0.0, 2.5], [1, 1]), judge_effects=False)
    assert np.ptp(strengths(leaning)) == pytest.approx(np.ptp(strengths(fair)), rel=0.12)
    assert np.ptp(strengths(blind)) < 0.85 * np.ptp(strengths(fair))


def test_a_judge_who_always_names_the_first_seat_says_nothing_of_agents() -> None:
    rows = judged(random(), 400, [0.0, 0.0, 0.0], [1, 1, 1])
    stubborn = replace(rows, score=np.where(rows.judge == 2, 1.0, rows.score))
    found = quick(stubborn)
    assert strengths(found) == pytest.approx(strengths(quick(rows.only(rows.judge != 2))), abs=1e-9)
    assert found.judges[2].share.estimate == 1
    assert found.judges[2].share.low is None
    assert any("judge 2 always decided for the same seat" in note for note in found.notes)


def test_a_judge_who_only_ties_is_of_no_sharpness() -> None:
    rows = judged(random(), 2000, [0.0, 0.0, 0.0], [1, 1, 1])
    found = quick(replace(rows, score=np.where(rows.judge == 2, 0.5, rows.score)))
    assert found.judges[2].sharpness.estimate == pytest.approx(0, abs=1e-6)
    assert found.judges[2].share.estimate == pytest.approx(0.5, abs=1e-6)


def test_between_equals_sharpness_is_left_out_and_it_is_said() -> None:
    found = quick(compared(mirrored([("a", "b", 1.0), ("a", "b", 0.0)] * 4), judge=np.arange(16) % 4 // 2))
    assert [judge.sharpness.estimate for judge in found.judges] == [None, None]
    assert any("how sharply" in note for note in found.notes)


def test_one_judge_has_no_effect_apart_from_the_side() -> None:
    assert quick(compared(FIVE)).judges == ()


# ------------------------------------------------------------------ what is refused


def test_seats_that_cannot_be_told_from_strengths_are_refused_by_name() -> None:
    with pytest.raises(
        GraphError, match=r"what the first seat is worth cannot be told from what a and b differ in.*seats swapped"
    ):
        quick(compared([("a", "b", 1), ("a", "b", 0), ("a", "b", 1)]))


def test_a_judge_who_saw_one_seating_alone_is_named() -> None:
    rows = [*mirrored([("a", "b", 1.0), ("a", "b", 0.0)]), ("c", "a", 1.0), ("c", "a", 0.0)]
    with pytest.raises(GraphError, match=r"the leans of judge 1.*a fit without judge effects"):
        quick(compared(rows, judge=[0, 0, 0, 0, 1, 1]))


def test_an_agent_who_never_lost_is_refused_before_anything_is_fitted() -> None:
    with pytest.raises(GraphError, match="c never lost to or tied with one of a, b") as raised:
        quick(compared(mirrored([("a", "b", 1.0), ("a", "b", 0.0), ("c", "a", 1.0)])))
    assert raised.value.groups == (("c",),)


def test_verdicts_for_one_seat_alone_are_refused() -> None:
    with pytest.raises(GraphError, match="every verdict is for the first seat"):
        quick(compared([("a", "b", 1), ("b", "a", 1)]))
    with pytest.raises(GraphError, match="every verdict is a tie"):
        quick(compared([("a", "b", 0.5), ("b", "a", 0.5)]))
    with pytest.raises(GraphError, match="every judge always decided for the same seat"):
        quick(compared([("a", "b", 1), ("b", "a", 1), ("a", "b", 0)], judge=[0, 0, 1]))


def test_seats_that_foretell_all_but_who_is_strong_are_refused() -> None:
    """Everybody beat everybody through some chain, and yet a side of any size with steps as large explains all verdicts."""
    rows = [("a", "b", 1), ("b", "a", 1), ("b", "c", 1), ("c", "b", 1), ("c", "a", 1), ("a", "c", 0)]
    with pytest.raises(GraphError, match="who won is foretold without error"):
        quick(compared(rows))


# ------------------------------------------------------------------ intervals


def tournament(random: np.random.Generator, topics: int, spread: float) -> Comparisons:
    """Four agents, every pair mirrored on every topic; an agent's strength on a topic spreads by so many log-odds."""
    matches: list[Match] = []
    for _ in range(topics):
        matches += played(random, np.linspace(-0.6, 0.6, 4) + spread * random.standard_normal(4), 24, every_pair=True)
    seats = np.array([(i, j) for i in range(4) for j in range(4) if i != j] * 2)
    pair = np.unique(np.sort(seats, axis=1) @ [4, 1] + 16 * (np.arange(24) >= 12), return_inverse=True)[1]
    topic = np.repeat(np.arange(topics), 24)
    return compared(matches, topic=topic, pair=topic * 12 + np.tile(pair, topics))


def test_bootstrap_and_sandwich_agree() -> None:
    rows = tournament(random(), 40, 0.4)
    boot, sandwich = rate(rows, random(), method="bootstrap"), rate(rows, random(), method="sandwich")
    assert (boot.method, boot.draws, boot.dropped, boot.clusters) == ("bootstrap", 500, 0, "topics")
    for one, other in zip(boot.agents, sandwich.agents, strict=True):
        assert one.rating == other.rating
        assert one.high is not None
        assert other.high is not None
        assert one.high - one.rating == pytest.approx(other.high - other.rating, rel=0.1)


def test_the_bootstrap_is_the_default_for_the_small_and_the_sandwich_for_the_large() -> None:
    assert rate(compared(FIVE), random(), draws=20).method == "bootstrap"
    assert rate(compared(FIVE * 70), random(), draws=20).method == "sandwich"


def test_with_few_topics_pairs_are_the_clusters_and_it_is_said() -> None:
    found = quick(tournament(random(), 3, 0.0))
    assert (found.clusters, found.topics, found.pairs) == ("pairs", 3, 36)
    assert "these 3 topics" in found.notes[0]


def test_a_single_cluster_has_no_interval() -> None:
    found = quick(compared(mirrored(FIVE), topic=np.zeros(600, dtype=int), pair=np.zeros(600, dtype=int)))
    assert {(one.low, one.high, one.p_best, one.rank_low, one.rank_high) for one in found.agents} == {
        (None, None, None, 1, 5)
    }
    assert found.side.low is None


def test_intervals_cover_where_topics_are_clusters() -> None:
    """Truth is what infinitely many topics would give, by a large one; unclustered intervals are too short for it."""
    rng = np.random.default_rng(5)
    right = strengths(quick(tournament(rng, 1500, 0.8)))
    held: list[float] = []
    alone: list[float] = []
    for _ in range(40):
        rows = tournament(rng, 12, 0.8)
        each = np.arange(rows.score.size)
        for found, shares in ((quick(rows), held), (quick(replace(rows, topic=each, pair=each)), alone)):
            truth = {f"agent {n}": 1000 + POINTS * value for n, value in enumerate(right)}
            shares.append(np.mean([(a.low or 9e9) <= truth[a.agent] <= (a.high or -9e9) for a in found.agents]))
    assert 0.9 <= np.mean(held) <= 0.99
    assert np.mean(alone) < 0.85


def test_equal_agents_are_of_every_rank() -> None:
    rng = np.random.default_rng(6)
    sure = 0
    for _ in range(40):
        found = quick(compared(played(rng, np.zeros(6), 240, every_pair=True), topic=np.arange(240) % 16))
        sure += sum((one.rank_low, one.rank_high) != (1, 6) for one in found.agents)
    assert sure / 240 < 0.08


def test_where_nothing_varies_nobody_is_said_to_be_best() -> None:
    """A judge who goes by order alone gives each side of every match a ballot: no spread, and so no interval and no chance."""
    met = [(topic, i, j) for topic in range(6) for i in range(3) for j in range(3) if i != j]
    topic, first, second = np.repeat(np.array(met), 2, axis=0).T
    match = np.repeat(np.arange(len(met)), 2)
    score, ones = np.tile([1.0, 0.0], len(met)), np.ones(2 * len(met))
    held = Comparisons(("a", "b", "c"), ("order",), first, second, score, 0 * match, match, match, topic, ones)
    found = rate(held, np.random.default_rng(0))
    assert {(rated.rating, rated.low, rated.p_best) for rated in found.agents} == {(1000.0, None, None)}
