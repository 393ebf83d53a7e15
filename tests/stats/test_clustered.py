"""Means and slopes of clustered values: against scipy and statsmodels, by their invariances, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from arena.stats.clustered import clustered_mean, clustered_slope, two_way_mean
from arena.stats.estimate import Estimate

values = st.lists(st.floats(0, 1), min_size=4, max_size=40)


def covers(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


def test_with_clusters_of_one_it_is_the_one_sample_t_test() -> None:
    x = np.random.default_rng(0).normal(0.6, 0.1, 50)
    found = clustered_mean(x, np.arange(50), null=0.5)
    known = stats.ttest_1samp(x, 0.5)
    interval = known.confidence_interval(0.95)
    assert (found.statistic, found.p) == pytest.approx((known.statistic, known.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.n == 50


def test_with_equal_clusters_it_is_the_t_test_on_their_means() -> None:
    x = np.random.default_rng(1).normal(0.6, 0.1, (30, 2))
    found = clustered_mean(x.ravel(), np.repeat(np.arange(30), 2), null=0.5)
    assert found.p == pytest.approx(stats.ttest_1samp(x.mean(axis=1), 0.5).pvalue)


def test_with_unequal_clusters_it_is_the_cluster_robust_variance_of_statsmodels() -> None:
    rng = np.random.default_rng(2)
    group = rng.integers(0, 12, 80)
    x = rng.normal(0, 1, 80) + rng.normal(0, 1, 12)[group]
    found = clustered_mean(x, group)
    fit = sm.OLS(x, np.ones(80)).fit(cov_type="cluster", cov_kwds={"groups": group, "use_correction": False})
    scale = np.sqrt(12 / 11)  # statsmodels' own correction counts parameters too
    assert found.statistic == pytest.approx(fit.tvalues[0] / scale)


def test_two_ways_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(3)
    debates, models = np.repeat(np.arange(40), 2), rng.integers(0, 8, 80)
    x = rng.normal(0, 1, 80) + rng.normal(0, 1, 8)[models] + rng.normal(0, 0.5, 40)[debates]
    found = two_way_mean(x, debates, models)

    def variance(*groups: np.ndarray) -> float:
        _, group = np.unique(np.column_stack(groups), axis=0, return_inverse=True)
        count = group.max() + 1
        fit = sm.OLS(x, np.ones(80)).fit(
            cov_type="cluster", cov_kwds={"groups": group.ravel(), "use_correction": False}
        )
        return count / (count - 1) * float(fit.cov_params()[0, 0])

    error = np.sqrt(variance(debates) + variance(models) - variance(debates, models))
    assert found.high is not None
    assert found.estimate is not None
    assert found.high - found.estimate == pytest.approx(stats.t.ppf(0.975, 7) * error)


@given(values, st.floats(-1, 1), st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_shifting_all_values_shifts_the_mean_and_nothing_else(x: list[float], shift: float, seed: int) -> None:
    group = np.random.default_rng(seed).integers(0, 3, len(x))
    one, other = clustered_mean(x, group), clustered_mean(np.array(x) + shift, group, null=shift)
    assert other.estimate == pytest.approx((one.estimate or 0) + shift, abs=1e-9)
    if one.p is not None and other.p is not None:
        assert other.p == pytest.approx(one.p, abs=1e-6)


@given(values, st.permutations(range(4)))
@settings(max_examples=30, deadline=None)
def test_what_clusters_are_called_does_not_matter(x: list[float], names: list[int]) -> None:
    group = np.arange(len(x)) % 4
    one, other = clustered_mean(x, group), clustered_mean(x, np.array(names)[group])
    assert one.estimate == other.estimate
    assert (one.low is None) == (other.low is None)
    assert one.low is None or one.low == pytest.approx(other.low)


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(600):
        debate = rng.normal(0, 0.1, 60)
        x = 0.7 + debate[:, None] + rng.normal(0, 0.1, (60, 2))
        hits += covers(clustered_mean(x.ravel(), np.repeat(np.arange(60), 2)), 0.7)
    assert 0.925 < hits / 600 < 0.975


def test_intervals_by_debate_and_model_hold_it_when_models_differ_too() -> None:
    """By debate alone they would hold it in half of all cases."""
    rng = np.random.default_rng(5)
    hits = naive = 0
    for _ in range(300):
        of_model = rng.normal(0, 0.08, 20)
        models = np.stack([rng.permutation(20)[:2] for _ in range(100)])
        x = (0.6 + of_model[models] + rng.normal(0, 0.05, (100, 2))).ravel()
        debates = np.repeat(np.arange(100), 2)
        hits += covers(two_way_mean(x, debates, models.ravel()), 0.6)
        naive += covers(clustered_mean(x, debates), 0.6)
    assert hits / 300 > 0.9
    assert naive / 300 < 0.7


def test_a_slope_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(0, 1, (2, 60))
    found = clustered_slope(y, x, np.arange(60))
    assert found.estimate == pytest.approx(stats.linregress(x, y).slope)


def test_the_slope_s_variance_is_the_jackknife_of_statsmodels() -> None:
    """With clusters of one, CR3 is HC3 but for the factor (n - 1) / n."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(0, 1, (2, 40))
    found = clustered_slope(y, x, np.arange(40))
    fit = sm.OLS(y, sm.add_constant(x)).fit(cov_type="HC3")
    assert found.statistic == pytest.approx(fit.tvalues[1] / np.sqrt(39 / 40), rel=0.01)


def test_a_slope_of_nothing_is_rejected_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(8)
    rejected = 0
    for _ in range(1000):
        debate = np.repeat(np.arange(40), 2)
        x, y = (rng.normal(0, 1, 80) + rng.normal(0, 1, 40)[debate] for _ in range(2))
        p = clustered_slope(y, x, debate).p
        rejected += p is not None and p < 0.05
    assert 0.03 < rejected / 1000 < 0.07


@pytest.mark.parametrize("x", [[], [0.5], [0.5, 0.5, 0.5]])
def test_without_spread_there_is_no_test_and_no_nan(x: list[float]) -> None:
    found = clustered_mean(x, np.arange(len(x)))
    assert (found.low, found.high, found.p, found.statistic, found.test) == (None, None, None, None, None)
    assert found.n == len(x)


def test_nan_is_refused_and_counted() -> None:
    with pytest.raises(ValueError, match="1 of 2 values are NaN"):
        clustered_mean([0.5, np.nan], [0, 1])


def test_clusters_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one each is needed"):
        clustered_mean([0.5, 0.6], [0, 1, 2])
