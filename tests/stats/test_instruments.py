"""Judges as instruments: a brute-force posterior, what must hold, and the three-level scale that hides the order."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from arena.stats import instruments
from arena.stats.comparisons import Comparisons
from arena.stats.instruments import (
    CELLS,
    LIMIT,
    Posterior,
    Prior,
    Verdicts,
    _table,
    from_comparisons,
    posterior,
    sensitivity,
    unidentified,
)

Floats = NDArray[np.float64]
PRIOR = Prior()


def counts(yes: list[list[float]], n: float | list[list[float]]) -> Verdicts:
    table = np.array(yes, dtype=float)
    judges, candidates = (
        tuple(f"{kind}{i}" for i in range(many)) for kind, many in zip("jk", table.shape, strict=True)
    )
    return Verdicts(judges, candidates, table, np.broadcast_to(np.array(n, dtype=float), table.shape))


def drawn(random: np.random.Generator, judges: int, candidates: int, n: int) -> tuple[Floats, Verdicts]:
    """True shares, and verdicts on them by judges as the prior at concentration 1 holds them to be."""
    false = random.beta(2, 4, judges)[:, None]
    true = false + (1 - false) * random.beta(4, 2, (judges, 1))
    truth = random.random(candidates)
    return truth, counts(random.binomial(n, false + (true - false) * truth).tolist(), n)


def found(verdicts: Verdicts, prior: Prior = PRIOR, seed: int = 0) -> Posterior:
    return posterior(verdicts, np.random.default_rng(seed), prior)


# ------------------------------------------------------------------ by brute force


def brute_force(verdicts: Verdicts, prior: Prior, points: int = 40, nodes: int = 15) -> tuple[Floats, Floats, float]:
    """Mean shares, mean FPR and TPR, and P(the first is best) of one judge and two candidates, on a grid of everything."""
    grid = (np.arange(points) + 0.5) / points
    c = prior.concentration
    false, gain = grid[:, None, None], grid[None, :, None]
    true = false + (1 - false) * gain
    p = false + (true - false) * grid
    effect, weight = np.polynomial.hermite_e.hermegauss(nodes)
    moved = expit(logit(p)[..., None] + prior.effect * effect)
    cells = [
        stats.binom.pmf(y, n, moved) @ (weight / weight.sum())
        for y, n in zip(verdicts.yes[0], verdicts.n[0], strict=True)
    ]
    held = (stats.beta.pdf(grid, 2 * c, 4 * c)[:, None] * stats.beta.pdf(grid, 4 * c, 2 * c))[..., None, None]
    joint = held * cells[0][..., :, None] * cells[1][..., None, :]
    joint /= joint.sum()
    shares = np.array([joint.sum(axis=(0, 1, 3)) @ grid, joint.sum(axis=(0, 1, 2)) @ grid])
    rates = np.array([(joint.sum(axis=(2, 3)) * of[..., 0]).sum() for of in (false, true)])
    places = joint.sum(axis=(0, 1))
    return shares, rates, float(np.tril(places, -1).sum() + np.trace(places) / 2)


@pytest.mark.parametrize(
    ("yes", "prior"),
    [([[18, 9]], Prior(1.0, 0.0)), ([[3, 2]], Prior(0.5, 0.6)), ([[12, 21]], Prior(3.0, 0.3))],
    ids=["constant", "weak prior", "strong prior"],
)
def test_the_posterior_is_the_one_that_a_grid_of_everything_gives(yes: list[list[float]], prior: Prior) -> None:
    verdicts = counts(yes, 24)
    fit = found(verdicts, prior)
    shares, (false, true), best = brute_force(verdicts, prior)
    assert fit.sampling.warning is None
    assert [k.true_share.estimate for k in fit.candidates] == pytest.approx(shares, abs=0.015)
    (judge,) = fit.judges
    assert (judge.false_positive.estimate, judge.true_positive.estimate) == pytest.approx((false, true), abs=0.015)
    assert fit.candidates[0].p_best == pytest.approx(best, abs=0.03)


@pytest.mark.parametrize("n", [5, 200, 3000])
@pytest.mark.parametrize("effect", [0.1, 0.6])
def test_effects_are_integrated_out_however_many_verdicts_there_are(n: int, effect: float) -> None:
    log_odds = np.linspace(-LIMIT, LIMIT, CELLS)
    there = np.abs(log_odds - logit(0.3)) < 4 * effect + 6 / np.sqrt(n)
    table = _table(counts([[round(0.3 * n)]], n), effect)[0, :, 0]
    steps = np.linspace(-7, 7, 20_001)

    def mean(at: float) -> float:
        p = expit(at + effect * steps)
        return float(np.trapezoid(stats.binom.pmf(round(0.3 * n), n, p) * stats.norm.pdf(steps), steps))

    exact = np.log([mean(at) for at in log_odds[there][::40]])
    assert table[there][::40] - table[there][0] == pytest.approx(exact - exact[0], abs=0.02)


# ------------------------------------------------------------------ what must hold


@pytest.fixture(scope="module")
def fit() -> tuple[Floats, Verdicts, Posterior]:
    truth, verdicts = drawn(np.random.default_rng(2), judges=2, candidates=6, n=150)
    return truth, verdicts, found(verdicts)


def test_a_posterior_is_about_what_is_possible(fit: tuple[Floats, Verdicts, Posterior]) -> None:
    _, verdicts, of = fit
    assert of.sampling.warning is None
    assert sum(k.p_best for k in of.candidates) == pytest.approx(1)
    for k in of.candidates:
        assert 0 <= k.true_share.low < k.true_share.estimate < k.true_share.high <= 1
        assert 1 <= k.rank_low <= k.rank_high <= 6
        assert k.true_share.n == k.observed.n == 300
    for j in of.judges:
        assert 0 < j.false_positive.low < j.true_positive.high < 1
        assert j.informedness.low > 0
        assert j.true_positive.estimate - j.false_positive.estimate == pytest.approx(j.informedness.estimate)
        assert j.informedness.n == 900
    assert tuple(k.name for k in of.candidates) == verdicts.candidates


def test_most_of_the_truth_is_inside_and_naive_intervals_miss_it(fit: tuple[Floats, Verdicts, Posterior]) -> None:
    truth, _, of = fit
    inside = [k.true_share.low <= t <= k.true_share.high for k, t in zip(of.candidates, truth, strict=True)]
    naive = [k.observed.low <= t <= k.observed.high for k, t in zip(of.candidates, truth, strict=True)]
    ranks = stats.rankdata(-truth)
    assert sum(inside) >= 5
    assert sum(naive) <= 3
    assert sum(k.rank_low <= r <= k.rank_high for k, r in zip(of.candidates, ranks, strict=True)) >= 5


def test_one_seed_gives_one_result_and_another_nearly_the_same() -> None:
    verdicts = counts([[18, 9]], 24)
    once, again, other = found(verdicts), found(verdicts), found(verdicts, seed=1)
    assert once == again
    assert once != other
    assert once.judges[0].true_positive.estimate == pytest.approx(other.judges[0].true_positive.estimate, abs=0.03)


def test_the_order_in_which_candidates_and_judges_stand_does_not_matter(
    fit: tuple[Floats, Verdicts, Posterior],
) -> None:
    _, verdicts, of = fit
    turned = found(Verdicts(verdicts.judges[::-1], verdicts.candidates[::-1], verdicts.yes[::-1, ::-1], verdicts.n))
    means = [k.true_share.estimate for k in turned.candidates[::-1]]
    assert means == pytest.approx([k.true_share.estimate for k in of.candidates], abs=0.03)
    rates = [j.true_positive.estimate for j in turned.judges[::-1]]
    assert rates == pytest.approx([j.true_positive.estimate for j in of.judges], abs=0.03)


def test_judges_who_may_have_favourites_leave_more_open() -> None:
    verdicts = counts([[50, 40, 10]], 60)
    for tied, loose in zip(found(verdicts, Prior(effect=0)).candidates, found(verdicts).candidates, strict=True):
        assert loose.true_share.high - loose.true_share.low > tied.true_share.high - tied.true_share.low
        assert loose.rank_high - loose.rank_low >= tied.rank_high - tied.rank_low


def test_a_candidate_whom_one_judge_never_saw_is_ranked_by_the_other() -> None:
    verdicts = counts([[90, 40, 0], [80, 30, 95]], [[100, 100, 0], [100, 100, 100]])
    assert [k.true_share.n for k in found(verdicts).candidates] == [200, 200, 100]


def test_a_sampler_that_stopped_too_early_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "BLOCK", 40)
    monkeypatch.setattr(instruments, "MOST_STEPS", 80)
    sampling = found(counts([[18, 9]], 24)).sampling
    assert sampling.steps == 80
    assert sampling.warning is not None
    assert "has not converged: 60 steps kept" in sampling.warning


def test_what_priors_decide_is_shown_together() -> None:
    verdicts = counts([[20, 9]], 24)
    grid = sensitivity(verdicts, np.random.default_rng(0), concentrations=(1.0,), effects=(0.0, 1.0))
    assert [one.prior for one in grid.posteriors] == [Prior(1.0, 0.0), Prior(1.0, 1.0)]
    for span, *places in zip(grid.spans, *(one.candidates for one in grid.posteriors), strict=True):
        assert {place.name for place in places} == {span.name}
        assert span.rank_low == min(place.rank_low for place in places)
        assert span.rank_high == max(place.rank_high for place in places)
        assert (span.p_best_low, span.p_best_high) == (
            min(place.p_best for place in places),
            max(place.p_best for place in places),
        )
    assert grid.leaders == ("k0",)
    assert grid.spans[1].p_best_high < grid.spans[0].p_best_low


@pytest.mark.slow
def test_intervals_hold_the_truth_in_simulation() -> None:
    inside, naive, ranked = [], [], []
    for seed in range(40):
        truth, verdicts = drawn(np.random.default_rng(seed), judges=2, candidates=5, n=80)
        of = found(verdicts, Prior(effect=0.0), seed)
        for k, t, rank in zip(of.candidates, truth, stats.rankdata(-truth), strict=True):
            inside.append(k.true_share.low <= t <= k.true_share.high)
            naive.append(k.observed.low <= t <= k.observed.high)
            ranked.append(k.rank_low <= rank <= k.rank_high)
    # The truth is drawn from the prior, so that 95 % are inside but for chance: candidates of one world go together.
    assert 0.90 <= np.mean(inside) <= 0.99
    assert np.mean(ranked) >= 0.92
    assert np.mean(naive) < 0.6


# ------------------------------------------------------------------ counts


def test_a_tournament_becomes_counts() -> None:
    rows = [(0, 1, 1.0, 0), (0, 1, 0.5, 1), (2, 0, 0.0, 0), (1, 2, 1.0, 1)]
    first, second, score, judge = (np.array(column) for column in zip(*rows, strict=True))
    matches = np.arange(4)
    tournament = Comparisons(
        ("a", "b", "c"), ("x", "y"), first, second, score, judge, matches, matches, matches, np.ones(4)
    )
    found_ = from_comparisons(tournament)
    assert found_.candidates == ("a", "b", "c")
    assert found_.yes * 3 / 2 == pytest.approx(np.array([[2, 0, 0], [0.5, 1.5, 0]]))
    assert found_.n * 3 / 2 == pytest.approx(np.array([[2, 1, 1], [1, 2, 1]]))


def test_differences_of_agents_who_all_met_spread_as_their_counts_say() -> None:
    agents, matches, worlds = 4, 120, 2000
    random = np.random.default_rng(0)
    pairings = np.array([(a, b) for a in range(agents) for b in range(a)])
    shares = np.zeros((worlds, agents))
    for seat, score in enumerate((wins := random.binomial(matches, 0.5, (worlds, len(pairings))), matches - wins)):
        for pairing, agent in enumerate(pairings[:, seat]):
            shares[:, agent] += score[:, pairing] / (matches * (agents - 1))
    many = np.repeat(np.arange(len(pairings)), matches)
    tournament = Comparisons(
        tuple("abcd"), ("x",), pairings[many, 0], pairings[many, 1], np.ones(many.size), np.zeros_like(many),
        *3 * [np.arange(many.size)], np.ones(many.size),
    )  # fmt: skip
    n = from_comparisons(tournament).n[0, 0]
    assert (shares[:, 0] - shares[:, 1]).var() == pytest.approx(2 * 0.25 / n, rel=0.1)


@pytest.mark.parametrize(
    ("yes", "n", "said"),
    [
        ([[5, 7]], 6, "between 0 and `n`"),
        ([[-1, 2]], 6, "between 0 and `n`"),
        ([[np.nan, 2]], 6, "between 0 and `n`"),
        ([[0, 0]], [[3, 0]], "no verdicts of the candidate k1"),
        ([[1, 1], [0, 0]], [[3, 3], [0, 0]], "no verdicts of the judge j1"),
    ],
)
def test_counts_that_cannot_be_are_refused(yes: list[list[float]], n: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        counts(yes, n)


def test_counts_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="must be of shape"):
        Verdicts(("j",), ("k", "l"), np.ones((1, 3)), np.ones((1, 3)))


@pytest.mark.parametrize(("concentration", "effect"), [(0, 0.3), (-1, 0.3), (1, -0.1), (float("nan"), 0.3)])
def test_priors_that_cannot_be_are_refused(concentration: float, effect: float) -> None:
    with pytest.raises(ValueError, match="a prior needs"):
        Prior(concentration, effect)


# ------------------------------------------------------------------ scales of two levels, and of more

Row = tuple[Fraction, ...]


def tenths(*rows: tuple[int, ...]) -> list[Row]:
    return [tuple(Fraction(value, 10) for value in row) for row in rows]


def seen(candidate: Row, judge: list[Row]) -> Row:
    """How often the judge gives each verdict to a candidate whose answers deserve each so often."""
    return tuple(
        sum((c * row[v] for c, row in zip(candidate, judge, strict=True)), Fraction()) for v in range(len(judge))
    )


def deserved(candidate: Row) -> Fraction:
    """The mean of the verdicts that the candidate deserves, from 1 up."""
    return sum((level * c for level, c in enumerate(candidate, start=1)), Fraction())


def trustworthy(judge: list[Row]) -> bool:
    """Whether a better answer always makes higher verdicts likelier, and the right verdict is always the likeliest."""
    tails = [[sum(row[v:]) for v in range(1, len(row))] for row in judge]
    monotone = all(
        low <= high for worse, better in itertools.pairwise(tails) for low, high in zip(worse, better, strict=True)
    )
    return monotone and all(row[m] > max(row[:m] + row[m + 1 :]) for m, row in enumerate(judge))


def test_on_three_levels_two_trustworthy_judges_explain_the_same_verdicts_by_opposite_orders() -> None:
    one, other = tenths((6, 3, 1), (2, 5, 3), (2, 3, 5)), tenths((4, 3, 3), (3, 4, 3), (1, 4, 5))
    first, second = tenths((2, 2, 6), (2, 5, 3))
    first_to_other, second_to_other = tenths((6, 0, 4), (0, 9, 1))
    assert trustworthy(one)
    assert trustworthy(other)
    assert seen(first, one) == seen(first_to_other, other)
    assert seen(second, one) == seen(second_to_other, other)
    assert deserved(first) - deserved(second) == Fraction(3, 10)
    assert deserved(first_to_other) - deserved(second_to_other) == Fraction(-3, 10)


shares = st.fractions(0, 1, max_denominator=50)


@given(shares, shares, shares, shares)
def test_on_two_levels_every_monotone_judge_keeps_the_order(
    false: Fraction, true: Fraction, a: Fraction, b: Fraction
) -> None:
    judge = [(1 - false, false), (1 - true, true)]
    apart = seen((1 - a, a), judge)[1] - seen((1 - b, b), judge)[1]
    assert apart == (true - false) * (a - b)
    assert (true <= false) or (apart > 0) == (a > b)


def test_scales_of_three_levels_want_a_gold_set() -> None:
    assert unidentified(2, gold=False) is None
    assert unidentified(5, gold=True) is None
    assert "not identified: on a scale of 3 levels" in (unidentified(3, gold=False) or "")
    with pytest.raises(ValueError, match="at least two levels"):
        unidentified(1, gold=False)
