"""Mutual overconfidence: known values, bounds, and the error rate that treating sides as independent would have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from arena.stats.pairs import both_above, dutch_book_loss, pair_sum, share

percent = st.integers(0, 100).map(lambda n: n / 100)
sides = st.lists(st.tuples(percent, percent), min_size=2, max_size=30).map(lambda rows: np.array(rows).T)


def test_the_pair_sum_is_a_t_test_over_debates() -> None:
    a, b = np.random.default_rng(0).uniform(0.4, 0.9, (2, 60))
    assert pair_sum(a, b).p == pytest.approx(stats.ttest_1samp(a + b, 1).pvalue)


def test_thresholds_in_decimal_fractions_mean_what_they_say() -> None:
    """0.55 + 0.2 is 0.75, whatever binary fractions make of it."""
    a = np.array([0.55 + 0.2, 0.8])
    assert both_above(a, a, 0.75).estimate == 0.5
    assert both_above(a, a, 0.75, inclusive=True).estimate == 1.0


def test_the_interval_of_a_share_is_wilson_s() -> None:
    found = share(37, 60)
    assert (found.low, found.high) == pytest.approx(proportion_confint(37, 60, method="wilson"))


@given(sides)
@settings(max_examples=80, deadline=None)
def test_sides_can_be_swapped(pair: np.ndarray) -> None:
    a, b = pair
    assert pair_sum(a, b) == pair_sum(b, a)
    assert dutch_book_loss(a, b) == dutch_book_loss(b, a)


@given(sides)
@settings(max_examples=80, deadline=None)
def test_a_bookmaker_takes_at_least_what_the_pair_believes_too_much(pair: np.ndarray) -> None:
    loss, excess = dutch_book_loss(*pair).estimate, pair_sum(*pair).estimate
    assert loss is not None
    assert excess is not None
    assert loss >= abs(excess) - 1e-9
    assert 0 <= loss <= 1


@given(st.lists(percent, min_size=2, max_size=30))
def test_coherent_pairs_lose_nothing(a: list[float]) -> None:
    assert dutch_book_loss(a, 1 - np.array(a)).estimate == 0


def rejections(correlation: float, replications: int) -> tuple[float, float]:
    """How often the pair sum, and 120 confidences taken for independent, reject what is true."""
    rng = np.random.default_rng(1)
    ours = naive = 0
    for _ in range(replications):
        c = 0.5 + 0.1 * rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 60)
        p = pair_sum(*c.T).p
        ours += p is not None and p < 0.05
        naive += bool(stats.ttest_1samp(c.ravel(), 0.5).pvalue < 0.05)
    return ours / replications, naive / replications


@pytest.mark.parametrize("correlation", [-0.3, 0.0, 0.3, 0.6])
def test_the_pair_sum_keeps_its_level_whatever_the_correlation(correlation: float) -> None:
    assert 0.035 < rejections(correlation, 2000)[0] < 0.065


def test_taking_the_sides_for_independent_does_not() -> None:
    assert rejections(0.6, 2000)[1] > 0.1


def test_no_debate_has_no_share() -> None:
    assert both_above([], [], 0.75).estimate is None
