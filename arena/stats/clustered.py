"""Means of values that come in clusters: the two seats of a debate are not independent, and a model recurs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from arena.stats.estimate import LEVEL, Estimate, made

Floats = NDArray[np.float64]


def clustered_mean(values: ArrayLike, clusters: ArrayLike, null: float = 0.0, *, test: str | None = None) -> Estimate:
    """The mean of the values, with a cluster-robust interval and a two-sided test against `null`.

    `values` is a flat array, `clusters` says which cluster (the debate) each belongs to; n counts clusters. Variance is
    CR1 (Liang and Zeger 1986, times G / (G - 1)) and the reference distribution t with G - 1 degrees of freedom; where
    clusters are of one size that is the one-sample t-test on cluster means. Raises `ValueError` on NaN.
    """
    x, group, count = _checked(values, clusters)
    said = test or f"cluster-robust t by debate, mean = {null:g}"
    return _tested(x, _variance(x, group, count), null, count, count, said)


def two_way_mean(values: ArrayLike, debates: ArrayLike, models: ArrayLike) -> Estimate:
    """The mean with an interval that is robust to clusters by debate and by model (Cameron, Gelbach and Miller 2011).

    It speaks about other debates of other models too. The variance is that by debate plus that by model minus that by
    both, but at least the larger of the two; degrees of freedom are those of the fewer clusters. n counts debates. With
    few models such intervals are known to be somewhat short, so no test is attached.
    """
    x, by_debate, n_debates = _checked(values, debates)
    _, by_model, n_models = _checked(values, models)
    _, by_both, n_both = _checked(values, by_debate * max(n_models, 1) + by_model)
    debate, model = _variance(x, by_debate, n_debates), _variance(x, by_model, n_models)
    variance = max(debate + model - _variance(x, by_both, n_both), debate, model) if n_models > 1 else np.nan
    made_ = _tested(x, variance, 0.0, min(n_debates, n_models), n_debates, "")
    return made(made_.estimate, made_.low, made_.high, n=n_debates)


def clustered_slope(y: ArrayLike, x: ArrayLike, clusters: ArrayLike, *, test: str | None = None) -> Estimate:
    """The least-squares slope of y on x with an intercept, tested against zero.

    The variance is the jackknife over clusters (CR3, Bell and McCaffrey 2002), which holds its size with unequal
    leverage where CR1 rejects too often; t with G - 1 degrees of freedom. n counts clusters.
    """
    yy, group, count = _checked(y, clusters)
    xx = np.asarray(x, dtype=float)
    said = test or "jackknife t by debate, slope = 0"
    if count < 3 or np.ptp(xx) == 0:
        return made(None, n=count)
    sums = np.stack([np.bincount(group, w, count) for w in (np.ones_like(xx), xx, yy, xx * xx, xx * yy)])
    total = sums.sum(axis=1)
    slope = _slope(total)
    without = _slope(total[:, None] - sums)
    without = without[np.isfinite(without)]
    if len(without) < count:
        return made(float(slope), n=count)
    variance = (count - 1) / count * float(np.sum((without - slope) ** 2))
    return _interval(float(slope), variance, 0.0, count, count, said)


def _slope(sums: Floats) -> Any:
    n, x, y, xx, xy = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        return (xy - x * y / n) / (xx - x * x / n)


# ------------------------------------------------------------------ shared


def codes(clusters: ArrayLike) -> tuple[NDArray[np.intp], int]:
    """Clusters as numbers from 0, and how many there are."""
    given = np.asarray(clusters)
    if given.dtype.kind == "i" and given.size and given.min() >= 0 and given.max() <= 4 * given.size:
        # Numbers already: which of them occur is counted faster than sorted.
        occurs = np.bincount(given.ravel()) > 0
        return (np.cumsum(occurs) - 1)[given.ravel()], int(occurs.sum())
    kinds, group = np.unique(given, return_inverse=True)
    return group.reshape(-1), len(kinds)


def _checked(values: ArrayLike, clusters: ArrayLike) -> tuple[Floats, NDArray[np.intp], int]:
    x = np.asarray(values, dtype=float)
    if np.isnan(x).any():
        raise ValueError(f"{int(np.isnan(x).sum())} of {x.size} values are NaN; drop and count what is missing first")
    group, count = codes(clusters)
    if x.shape != group.shape:
        raise ValueError(f"{x.shape} values have {group.shape} clusters; one each is needed, both flat")
    return x, group, count


def _variance(x: Floats, group: NDArray[np.intp], count: int) -> float:
    """The CR1 variance of the mean."""
    if count < 2:
        return np.nan
    sums = np.bincount(group, x - x.mean(), count)
    return count / (count - 1) * float(sums @ sums) / x.size**2


def _tested(x: Floats, variance: float, null: float, clusters: int, n: int, test: str) -> Estimate:
    return _interval(float(x.mean()) if x.size else np.nan, variance, null, clusters, n, test)


def _interval(estimate: float, variance: float, null: float, clusters: int, n: int, test: str) -> Estimate:
    if not np.isfinite(variance):
        return made(estimate, n=n)
    error = float(np.sqrt(variance))
    if error <= 1e-12 * max(1.0, abs(estimate)):
        # Without any spread nothing says how far off the estimate may be.
        return made(estimate, n=n)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, clusters - 1)) * error
    t = (estimate - null) / error
    p = 2 * float(stats.t.sf(abs(t), clusters - 1))
    return made(estimate, estimate - half, estimate + half, n=n, test=test, statistic=t, p=p)
