"""How a yes or no goes with a number: logistic regression on one covariate, clustered by debate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from arena.stats.clustered import codes
from arena.stats.estimate import LEVEL, Estimate, made


@dataclass(frozen=True, slots=True)
class Logistic:
    """logit P(yes) = intercept + slope x."""

    slope: Estimate
    """Log-odds per unit of x, tested against 0."""
    intercept: Estimate
    """Log-odds at x = 0, tested against 0."""


def logistic(yes: ArrayLike, x: ArrayLike, clusters: ArrayLike, test: str) -> Logistic:
    """Maximum likelihood (statsmodels) with cluster-robust intervals, t with clusters - 1 degrees of freedom.

    `yes` holds 0 and 1, `x` numbers, `clusters` the debate of each row; n counts clusters. The slope's test is the score
    test, which needs no fit and keeps its size at 60 debates: Rao's where every debate has one row, the cluster-robust one
    (Boos 1992) where some have more; `test` names its null hypothesis. Where x separates the outcomes there is no finite
    estimate: it is None, the test stands and says so. Both are None where the outcome or x does not vary. Raises
    `ValueError` on NaN.
    """
    outcome, on, group, count = _checked(yes, x, clusters)
    if count < 3 or np.ptp(outcome) == 0 or np.ptp(on) == 0:
        return Logistic(made(None, n=count), made(None, n=count))
    statistic, p = _score(outcome, on, group, count)
    if _separated(outcome, on):
        said = f"{test}; no estimate, the outcomes are separated"
        return Logistic(made(None, n=count, test=said, statistic=statistic, p=p), made(None, n=count))
    (intercept, slope), (error_of_intercept, error_of_slope) = _fit(outcome, on, group)
    if min(error_of_intercept, error_of_slope) <= 1e-9:
        # Where the rows of every cluster cancel out, nothing says how far off the estimates may be.
        return Logistic(made(slope, n=count, test=test, statistic=statistic, p=p), made(intercept, n=count))
    wide = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1))
    t = intercept / error_of_intercept
    return Logistic(
        made(slope, slope - wide * error_of_slope, slope + wide * error_of_slope, n=count, test=test, statistic=statistic, p=p),
        made(
            intercept, intercept - wide * error_of_intercept, intercept + wide * error_of_intercept, n=count,
            test="cluster-robust Wald t by debate, intercept = 0", statistic=t, p=2 * float(stats.t.sf(abs(t), count - 1)),
        ),
    )  # fmt: skip


def _score(
    yes: NDArray[np.float64], x: NDArray[np.float64], group: NDArray[np.intp], count: int
) -> tuple[float, float]:
    share, off = yes.mean(), x - x.mean()
    scores = np.bincount(group, (yes - share) * off, count)
    # Scores of single rows have a known variance; estimating it would cost power where one outcome is rare.
    variance = float(share * (1 - share) * (off @ off)) if count == yes.size else float(scores @ scores)
    if variance <= 0:
        return 0.0, 1.0
    z = float(scores.sum()) / np.sqrt(variance)
    return z, 2 * float(stats.norm.sf(abs(z)))


def _separated(yes: NDArray[np.float64], x: NDArray[np.float64]) -> bool:
    """No maximum exists unless each outcome's values of x reach past the other's (Albert and Anderson 1984)."""
    with_yes, with_no = x[yes == 1], x[yes == 0]
    return not (with_yes.max() > with_no.min() and with_no.max() > with_yes.min())


def _fit(
    yes: NDArray[np.float64], x: NDArray[np.float64], group: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients and their standard errors, intercept first."""
    from statsmodels.discrete.discrete_model import Logit

    fitted = Logit(yes, np.column_stack([np.ones_like(x), x])).fit(
        disp=0, maxiter=100, cov_type="cluster", cov_kwds={"groups": group}
    )
    return np.asarray(fitted.params), np.asarray(fitted.bse)


def _checked(
    yes: ArrayLike, x: ArrayLike, clusters: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp], int]:
    outcome, on = np.asarray(yes, dtype=float), np.asarray(x, dtype=float)
    group, count = codes(clusters)
    if not outcome.shape == on.shape == group.shape:
        raise ValueError(
            f"{outcome.shape} outcomes, {on.shape} covariates, {group.shape} clusters; one each is needed, flat"
        )
    if missing := int((~np.isfinite(on)).sum()):
        raise ValueError(f"{missing} of {on.size} covariates are not finite; drop and count what is missing first")
    if other := int(((outcome != 0) & (outcome != 1)).sum()):
        raise ValueError(f"{other} of {outcome.size} outcomes are neither 0 nor 1")
    return outcome, on, group, count
