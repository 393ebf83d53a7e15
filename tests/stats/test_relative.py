"""Relative confidence: scores against other libraries, areas against brute force, intervals and anchors against simulation."""

from __future__ import annotations

from itertools import pairwise, permutations
from random import Random

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from arena.games.matchup import matchups
from arena.stats.calibration import auroc as debate_auroc
from arena.stats.relative import (
    Answered,
    Preferences,
    anchored,
    auroc,
    bradley_terry,
    discrimination,
    elo,
    selective_auc,
    trueskill,
)

GAMES = [(0, 1), (2, 3), (0, 2), (1, 3), (3, 0), (2, 1), (0, 1), (0, 1), (3, 2), (1, 0)]
"""Who was preferred to whom."""


def won(games: list[tuple[int, int]], answers: int) -> Preferences:
    winner, loser = np.array(games).T
    return Preferences(winner, loser, np.ones(len(games), dtype=bool), answers)


def drawn(
    seed: int, answers: int = 40, comparisons: int = 600, lean: float = 0.0
) -> tuple[Preferences, NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    latent = random.normal(0, 1.5, answers)
    first = random.integers(0, answers, comparisons)
    second = (first + random.integers(1, answers, comparisons)) % answers
    preferred = random.random(comparisons) < expit(latent[first] - latent[second] + lean)
    return Preferences(first, second, preferred, answers), latent - latent.mean()


def swapped(of: Preferences) -> Preferences:
    return Preferences(of.second, of.first, ~of.first_preferred, of.answers)


def joined(one: Preferences, other: Preferences) -> Preferences:
    pairs = zip(
        (one.first, one.second, one.first_preferred), (other.first, other.second, other.first_preferred), strict=True
    )
    return Preferences(*map(np.concatenate, pairs), one.answers)


# ------------------------------------------------------------------ Bradley-Terry


@pytest.mark.parametrize("ridge", [0.01, 0.3])
def test_bradley_terry_is_the_ridge_regression_that_it_says(ridge: float) -> None:
    given_, _ = drawn(0, lean=0.7)
    design = np.zeros((given_.first.size, given_.answers + 1))
    rows = np.arange(given_.first.size)
    design[rows, given_.first], design[rows, given_.second], design[:, -1] = 1, -1, 1
    fit = LogisticRegression(C=1 / (2 * ridge), fit_intercept=False, tol=1e-10, max_iter=5000)
    wanted = fit.fit(design, given_.first_preferred).coef_[0]
    found = bradley_terry(given_, ridge)
    assert found.score == pytest.approx(wanted[:-1], abs=1e-5)
    assert found.lean == pytest.approx(wanted[-1], abs=1e-5)


def test_without_a_lean_it_is_choix() -> None:
    """Every comparison counted once in each order cannot lean."""
    given_, _ = drawn(1)
    both = joined(given_, swapped(given_))
    winner = np.where(both.first_preferred, both.first, both.second)
    pairs = list(zip(winner.tolist(), (both.first + both.second - winner).tolist(), strict=True))
    found = bradley_terry(both, 0.02)
    assert found.lean == pytest.approx(0, abs=1e-9)
    assert found.score == pytest.approx(choix.opt_pairwise(both.answers, pairs, alpha=0.02, tol=1e-10), abs=1e-4)


def test_a_lean_toward_what_is_shown_first_is_told_from_strength() -> None:
    given_, latent = drawn(2, answers=12, comparisons=30_000, lean=1.0)
    found = bradley_terry(given_)
    assert found.lean == pytest.approx(1.0, abs=0.06)
    assert found.score == pytest.approx(latent, abs=0.25)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_names_and_orders_mean_nothing_to_it(seed: int) -> None:
    given_, _ = drawn(seed, answers=9, comparisons=40)
    names = np.random.default_rng(seed).permutation(9)
    found, again = (
        bradley_terry(given_),
        bradley_terry(Preferences(names[given_.first], names[given_.second], given_.first_preferred, 9)),
    )
    assert again.score[names] == pytest.approx(found.score, abs=1e-6)
    other = bradley_terry(swapped(given_))
    assert other.score == pytest.approx(found.score, abs=1e-6)
    assert other.lean == pytest.approx(-found.lean, abs=1e-6)
    assert found.score.sum() == pytest.approx(0, abs=1e-6)


def test_what_is_always_preferred_stays_finite_and_first() -> None:
    found = bradley_terry(won([(0, 1), (0, 2), (1, 2), (0, 1)], 3)).score
    assert np.isfinite(found).all()
    assert found[0] > found[1] > found[2]


def test_it_wants_a_penalty() -> None:
    with pytest.raises(ValueError, match="ridge is 0"):
        bradley_terry(won(GAMES, 4), 0)


def test_groups_that_no_comparison_links_are_counted() -> None:
    assert won([(0, 1), (2, 3)], 5).groups == 3
    assert won(GAMES, 4).groups == 1


# ------------------------------------------------------------------ TrueSkill, Elo


def test_trueskill_is_the_packages() -> None:
    """The means that the package trueskill 0.4.5 gives with draw_probability=0 and the paper's parameters."""
    wanted = [24.53401931661568, 22.845712465353017, 24.865951593373005, 27.407324199804933]
    assert trueskill(won(GAMES, 4)) == pytest.approx(wanted, abs=1e-6)


def test_trueskill_of_one_comparison_is_the_published_example() -> None:
    """Herbrich and others' defaults without draws: 29.2055 against 20.7945."""
    assert trueskill(won([(0, 1)], 2)) == pytest.approx([29.2055, 20.7945], abs=1e-4)


def test_elo_moves_by_half_of_k_between_equals() -> None:
    assert elo(won([(0, 1)], 2)) == pytest.approx([1200, 800])
    assert elo(won(GAMES, 4)).sum() == pytest.approx(4000)


def test_elo_hangs_on_the_order_where_bradley_terry_does_not() -> None:
    """Its docstring's warning: hundreds of points over reorderings of the same comparisons."""
    given_, _ = drawn(3, answers=8, comparisons=300)
    ratings, scores = [], []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(300)
        again = Preferences(given_.first[order], given_.second[order], given_.first_preferred[order], 8)
        ratings.append(elo(again))
        scores.append(bradley_terry(again).score)
    assert np.std(ratings, axis=0).mean() > 100
    assert np.std(scores, axis=0).max() < 1e-6


@pytest.mark.parametrize("aggregate", [lambda p: bradley_terry(p).score, trueskill, elo])
def test_every_aggregate_ranks_what_is_plain(aggregate: object) -> None:
    """The one that is preferred to all stands first, the one that is preferred to none last."""
    games = [(a, b) for a in range(5) for b in range(a + 1, 5)] * 6
    assert np.argsort(-aggregate(won(games, 5))).tolist() == [0, 1, 2, 3, 4]  # type: ignore[operator]


# ------------------------------------------------------------------ areas

SCORED = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6)


@given(scored=SCORED)
def test_selective_auc_is_the_mean_over_all_orders_of_ties(scored: list[tuple[int, bool]]) -> None:
    score, correct = map(list, zip(*scored, strict=True))
    areas = [
        np.mean([np.mean([correct[i] for i in order[:k]]) for k in range(1, len(order) + 1)])
        for order in permutations(range(len(score)))
        if all(score[a] >= score[b] for a, b in pairwise(order))
    ]
    assert selective_auc(score, correct) == pytest.approx(np.mean(areas))


@given(scored=SCORED)
def test_a_score_that_says_nothing_gives_the_accuracy(scored: list[tuple[int, bool]]) -> None:
    correct = [right for _, right in scored]
    assert selective_auc([7] * len(correct), correct) == pytest.approx(np.mean(correct))


@given(scored=st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=4, max_size=40))
def test_auroc_is_that_of_others(scored: list[tuple[int, bool]]) -> None:
    score, correct = map(np.array, zip(*scored, strict=True))
    if correct.all() or not correct.any():
        assert np.isnan(auroc(score, correct))
        return
    assert auroc(score, correct) == pytest.approx(roc_auc_score(correct, score))
    chance = score / 5
    assert auroc(score, correct) == pytest.approx(debate_auroc(chance, correct, np.arange(score.size)).estimate)
    assert selective_auc(score, correct) == pytest.approx(selective_auc(np.exp(score), correct))


@pytest.mark.parametrize("score", [[0.1, np.nan], [0.1], [[0.1, 0.2]]])
def test_what_cannot_be_ranked_is_refused(score: list[float]) -> None:
    with pytest.raises(ValueError, match="without NaN"):
        auroc(score, [True, False])


# ------------------------------------------------------------------ intervals


def answered(random: np.random.Generator, n: int = 80, noise: float = 2.0) -> Answered:
    latent = random.normal(0.5, 1.5, n)
    measures = {"good": latent, "poor": latent + random.normal(0, noise, n)}
    return Answered(np.arange(n), random.random(n) < expit(latent), measures)


def test_estimates_are_means_over_agents_of_the_same_answers() -> None:
    random = np.random.default_rng(0)
    of = [answered(random), answered(random)]
    found = discrimination(of, [("good", "poor")], random)
    wanted = {name: np.mean([auroc(a.confidence[name], a.correct) for a in of]) for name in ("good", "poor")}
    assert {name: found.auroc[name].estimate for name in wanted} == pytest.approx(wanted)
    assert found.auroc["good-poor"].estimate == pytest.approx(wanted["good"] - wanted["poor"])
    assert found.selective_auc["good"].estimate == pytest.approx(
        np.mean([selective_auc(a.confidence["good"], a.correct) for a in of])
    )
    assert found.auroc["good"].n == 80


def test_a_measure_does_not_differ_from_itself() -> None:
    random = np.random.default_rng(1)
    of = answered(random)
    twice = Answered(of.question, of.correct, {"a": of.confidence["poor"], "b": of.confidence["poor"]})
    for estimate in (discrimination([twice], [("a", "b")], random).auroc["a-b"],):
        assert (estimate.estimate, estimate.low, estimate.high) == (0, 0, 0)


def test_where_all_answers_are_right_nothing_can_be_told() -> None:
    of = Answered(np.arange(3), np.ones(3, dtype=bool), {"a": np.array([0.1, 0.5, 0.9])})
    found = discrimination([of], [], np.random.default_rng(0))
    assert found.auroc["a"].estimate is None
    assert found.selective_auc["a"].estimate == 1


def test_intervals_hold_what_they_should_about_as_often_as_they_say() -> None:
    held = {"good": 0, "good-poor": 0}
    estimates, intervals = [], []
    for seed in range(300):
        random = np.random.default_rng(seed)
        found = discrimination([answered(random)], [("good", "poor")], random, draws=200).auroc
        estimates.append([found[name].estimate for name in held])
        intervals.append([(found[name].low, found[name].high) for name in held])
    truth = np.mean(estimates, axis=0)
    low, high = np.moveaxis(np.array(intervals), 2, 0)
    share = ((low <= truth) & (truth <= high)).mean(axis=0)
    assert ((share > 0.91) & (share < 0.98)).all()


# ------------------------------------------------------------------ anchors


@pytest.mark.parametrize("how", ["platt", "isotonic"])
def test_no_answers_own_outcome_is_in_its_probability(how: str) -> None:
    of = answered(np.random.default_rng(2), n=40)
    before = anchored(of.confidence["poor"], of.correct, np.random.default_rng(0), how=how)  # type: ignore[arg-type]
    for number in range(0, 40, 8):
        other = of.correct.copy()
        other[number] = ~other[number]
        after = anchored(of.confidence["poor"], other, np.random.default_rng(0), how=how)  # type: ignore[arg-type]
        assert after[number] == before[number]
        assert not np.array_equal(after, before)


@pytest.mark.parametrize("how", ["platt", "isotonic"])
def test_anchored_scores_are_the_chances(how: str) -> None:
    """Of scores on an odd scale; a shift that no ranking can see is found from outcomes."""
    random = np.random.default_rng(3)
    latent = random.normal(0.5, 1.5, 4000)
    correct = random.random(4000) < expit(latent)
    found = anchored(3 * latent + 100, correct, random, how=how)  # type: ignore[arg-type]
    assert np.abs(found - expit(latent)).mean() < 0.03
    assert found.mean() == pytest.approx(correct.mean(), abs=0.01)


def test_a_score_that_ranks_the_wrong_way_is_anchored_at_the_accuracy() -> None:
    random = np.random.default_rng(4)
    latent = random.normal(0, 1.5, 500)
    correct = random.random(500) < expit(latent)
    assert anchored(-latent, correct, random) == pytest.approx(correct.mean(), abs=0.03)


def test_one_answer_teaches_nothing() -> None:
    with pytest.raises(ValueError, match="two are needed"):
        anchored([1.0], [True], np.random.default_rng(0))


def test_where_all_answers_are_right_a_probability_stays_below_one() -> None:
    found = anchored(np.arange(10.0), np.ones(10), np.random.default_rng(0))
    assert ((found > 0.8) & (found < 1)).all()


# ------------------------------------------------------------------ what it is for


def test_fifteen_matchups_come_near_the_ceiling_and_pass_a_coarse_scale() -> None:
    """A small draw of what `experiments/relative_confidence` shows: latent ability, noisy comparisons, tens for numbers."""
    areas: list[tuple[float, float, float]] = []
    for seed in range(12):
        random = np.random.default_rng(seed)
        latent = random.normal(0.8, 1.6, 120)
        correct = random.random(120) < expit(latent)
        stated = np.round(10 * expit(latent + 2 + random.standard_normal(120)))
        first, second = np.array(matchups(range(120), 15, Random(seed))).T
        preferred = latent[first] - latent[second] + 1.8 * random.standard_normal(first.size) > 0
        score = bradley_terry(Preferences(first, second, preferred, 120)).score
        areas.append((auroc(latent, correct), auroc(score, correct), auroc(stated, correct)))
    ceiling, paired, direct = np.mean(areas, axis=0)
    assert ceiling - paired < 0.03
    assert paired - direct > 0.04
