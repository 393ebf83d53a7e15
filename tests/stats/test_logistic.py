"""Logistic regression on one covariate: another library's fit, invariances, and size and coverage where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from arena.stats.estimate import Estimate
from arena.stats.logistic import Logistic, logistic

Floats = NDArray[np.float64]


def drawn(
    random: np.random.Generator, debates: int, slope: float, intercept: float = 0.0, rows: int = 1, spread: float = 0.0
) -> Logistic:
    """Fit to simulated debates whose rows share x and, with a spread, something unseen."""
    x = random.normal(size=debates)
    unseen = random.normal(0, spread, debates) if spread else np.zeros(debates)
    chance = np.repeat(expit(intercept + slope * x + unseen), rows)
    yes = (random.random(debates * rows) < chance).astype(float)
    return logistic(yes, np.repeat(x, rows), np.repeat(np.arange(debates), rows), "unrelated")


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_is_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=200)
    yes = (random.random(200) < expit(0.5 + x)).astype(float)
    found = logistic(yes, x, np.arange(200), "unrelated")
    fitted = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(x[:, None], yes)
    assert found.slope.estimate == pytest.approx(fitted.coef_[0, 0], rel=1e-4)
    assert found.intercept.estimate == pytest.approx(fitted.intercept_[0], rel=1e-4)


def test_the_score_test_of_single_rows_is_the_correlation() -> None:
    random = np.random.default_rng(0)
    x, yes = random.normal(size=60), random.integers(0, 2, 60).astype(float)
    found = logistic(yes, x, np.arange(60), "unrelated").slope
    assert found.statistic == pytest.approx(np.sqrt(60) * np.corrcoef(x, yes)[0, 1])


def test_a_row_twice_is_no_more_evidence() -> None:
    random = np.random.default_rng(0)
    x, yes = random.normal(size=80), random.integers(0, 2, 80).astype(float)
    each = np.arange(80)
    once, twice = logistic(yes, x, each, "t"), logistic(np.tile(yes, 2), np.tile(x, 2), np.tile(each, 2), "t")
    assert twice.slope.n == once.slope.n == 80
    assert twice.slope.estimate == pytest.approx(once.slope.estimate, abs=1e-9)
    assert twice.slope.high == pytest.approx(once.slope.high, rel=0.02)
    assert twice.slope.statistic == pytest.approx(once.slope.statistic, rel=0.1)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(-4, 4), st.integers(0, 6)), max_size=25))
def test_there_is_an_estimate_where_outcomes_overlap_and_never_a_bad_number(rows: list[tuple[bool, int, int]]) -> None:
    yes, x, debates = (np.array(column, dtype=float) for column in (zip(*rows, strict=True) if rows else ([], [], [])))
    found = logistic(yes, x, debates, "unrelated").slope
    with_yes, with_no = x[yes == 1], x[yes == 0]
    there = with_yes.size and with_no.size and np.unique(debates).size >= 3
    if there and with_yes.max() > with_no.min() and with_no.max() > with_yes.min():
        assert found.estimate is not None
        assert abs(found.estimate) < 50
        turned = logistic(1 - yes, x, debates, "unrelated").slope
        assert turned.estimate == pytest.approx(-found.estimate, abs=1e-5)
        assert turned.p == pytest.approx(found.p, abs=1e-9)
    else:
        assert found.estimate is None


def test_separated_outcomes_have_a_test_and_no_estimate() -> None:
    found = logistic([0, 0, 0, 0, 1, 1, 1, 1], range(8), range(8), "unrelated").slope
    assert found.estimate is None
    assert found.test == "unrelated; no estimate, the outcomes are separated"
    assert found.p == pytest.approx(2 * norm.sf(np.sqrt(8) * np.corrcoef(range(8), np.arange(8) > 3)[0, 1]))


@pytest.mark.parametrize("yes", [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
def test_outcomes_that_meet_in_one_value_are_separated_too(yes: list[int]) -> None:
    assert logistic(yes, [0, 1, 2, 2, 3, 4], range(6), "unrelated").slope.estimate is None
    assert logistic(yes, [0, 1, 3, 2, 3, 4], range(6), "unrelated").slope.estimate is not None


def test_what_does_not_vary_has_neither() -> None:
    assert logistic([1, 1, 1], [0.1, 0.2, 0.3], [0, 1, 2], "t").slope == Estimate(None, n=3)
    assert logistic([1, 0, 1], [0.1, 0.1, 0.1], [0, 1, 2], "t").slope == Estimate(None, n=3)
    assert logistic([], [], [], "t").slope == Estimate(None)


def test_what_cannot_be_used_is_named() -> None:
    with pytest.raises(ValueError, match="1 of 2 covariates are not finite"):
        logistic([0, 1], [np.nan, 0], [0, 1], "t")
    with pytest.raises(ValueError, match="2 of 2 outcomes are neither"):
        logistic([0.5, np.nan], [0, 1], [0, 1], "t")
    with pytest.raises(ValueError, match="one each"):
        logistic([0], [0, 1], [0, 1], "t")


@pytest.mark.parametrize(("slope", "rows", "spread"), [(0.8, 1, 0.0), (0.5, 6, 0.0)])
def test_intervals_cover_the_truth(slope: float, rows: int, spread: float) -> None:
    random = np.random.default_rng(0)
    found = [drawn(random, 60, slope, 0.5, rows, spread) for _ in range(300)]
    for estimates, truth in (([f.slope for f in found], slope), ([f.intercept for f in found], 0.5)):
        covered = np.mean([e.low is not None and e.high is not None and e.low <= truth <= e.high for e in estimates])
        assert 0.915 <= covered <= 0.985


SETTINGS = [(0.0, 1, 0.0), (1.0, 1, 0.0), (0.0, 6, 0.0), (0.5, 6, 2.0)]


def size(replications: int, intercept: float, rows: int, spread: float) -> float:
    random = np.random.default_rng(0)
    found = (drawn(random, 60, 0.0, intercept, rows, spread).slope.p for _ in range(replications))
    return float(np.mean([p is not None and p < 0.05 for p in found]))


@pytest.mark.parametrize(("intercept", "rows", "spread"), SETTINGS)
def test_the_test_keeps_its_size(intercept: float, rows: int, spread: float) -> None:
    assert size(250, intercept, rows, spread) <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("intercept", "rows", "spread"), SETTINGS)
def test_the_test_keeps_its_size_over_many_replications(intercept: float, rows: int, spread: float) -> None:
    assert 0.035 <= size(2000, intercept, rows, spread) <= 0.065
