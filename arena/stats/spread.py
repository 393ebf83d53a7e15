"""How far the fit of the ratings may be from the truth: its distribution over clusters, bootstrapped or by the sandwich."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, stats

from arena.stats.davidson import Fit, NoMaximum, fit, scores, sharpened
from arena.stats.estimate import LEVEL

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]

SHARPNESS_WITHIN = 1.0
"""Half the width at most of the interval of every judge's sharpness, whose mean is 1, for it to be fitted."""

CLOSE_IN_DRAWS = 1e-2
"""Log-odds by which a bootstrap draw's last step may still move it: Newton's steps square what is left."""

NO_SPREAD = 1e-9
"""Log-odds below which a standard error says that nothing varies: then nothing says how far off an estimate may be."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which rows of a fit's cells go together, how much each weighs, and how many clusters there are."""

    of: Numbers
    """For each row the number of its cluster, from 0."""
    count: int
    weights: Floats


@dataclass(frozen=True, slots=True)
class Spread:
    """The distribution of the fit's vector around the truth."""

    covariance: Floats
    clusters: int
    deviations: Floats
    """(draws, parameters), normal or bootstrapped, mean 0 and of this covariance."""
    studentised: Floats
    """(draws,): times this, a draw is one of t."""
    dropped: int
    """Bootstrap draws whose fit found no end."""

    def reach(self, contrast: Floats) -> Floats:
        """Half the width of the 95 % interval of linear contrasts of the vector (..., parameters): t standard errors.

        NaN with fewer than two clusters, or where the contrast does not vary between them.
        """
        variance = np.sum(contrast @ self.covariance * contrast, axis=-1)
        error = np.sqrt(np.maximum(variance, 0.0))
        return t(self.clusters) * np.where(error > NO_SPREAD, error, np.nan)


def bootstrapped(fitted: Fit, clusters: Clusters, draws: int, random: np.random.Generator) -> Spread:
    """The spread of fits in which each cluster has a random weight: exponential of mean 1 (Rubin 1981, Xu et al. 2020)."""
    count = clusters.count
    found: list[Floats] = []
    for _ in range(draws):
        drawn = random.exponential(size=count)
        counts = fitted.cells.counts(clusters.weights * (drawn / drawn.mean())[clusters.of])
        try:
            found.append(
                fit(fitted.cells, counts, sharp=fitted.sharp, start=fitted.vector, close=CLOSE_IN_DRAWS).vector
            )
        except NoMaximum:
            continue
    vectors = np.array(found).reshape(len(found), fitted.vector.size)
    # The weights' variance is (G - 1) / (G + 1), and the mean of G clusters takes another of G / (G - 1) of theirs.
    deviations = (vectors - vectors.mean(axis=0)) * np.sqrt((count + 1) / max(count - 1, 1))
    covariance = deviations.T @ deviations / max(len(found) - 1, 1)
    return Spread(covariance, count, deviations, _studentised(count, len(found), random), draws - len(found))


def sandwich(fitted: Fit, clusters: Clusters, draws: int, random: np.random.Generator) -> Spread:
    """The cluster-robust normal distribution."""
    covariance = robust(fitted, clusters)
    values, vectors = linalg.eigh(covariance)
    deviations = random.standard_normal((draws, values.size)) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    return Spread(covariance, clusters.count, deviations, _studentised(clusters.count, draws, random), 0)


def robust(fitted: Fit, clusters: Clusters) -> Floats:
    """The cluster-robust covariance of the fit's vector (Liang and Zeger 1986), times G / (G - 1)."""
    pulls = scores(fitted, clusters.weights, clusters.of, clusters.count)
    bread = linalg.inv(fitted.information)
    covariance = bread @ (pulls.T @ pulls).toarray() @ bread * clusters.count / max(clusters.count - 1, 1)
    return (covariance + covariance.T) / 2


def with_sharpness(fitted: Fit, clusters: Clusters) -> Fit | None:
    """The fit with sharpness; None where that is known too badly, as between near equals, whose ratings it would blow up."""
    try:
        sharp = fit(fitted.cells, fitted.counts, sharp=True, start=sharpened(fitted))
    except NoMaximum:
        return None
    from_, judges = fitted.cells.agents + fitted.cells.judges, fitted.cells.judges
    variance = np.diag(robust(sharp, clusters))[from_ : from_ + judges]
    widest = t(clusters.count) * np.sqrt(np.maximum(variance, 0.0)).max()
    return sharp if widest < SHARPNESS_WITHIN else None


def t(clusters: int) -> float:
    """How many standard errors an interval reaches; NaN with fewer than two clusters."""
    return float(stats.t.ppf(0.5 + LEVEL / 2, clusters - 1)) if clusters > 1 else np.nan


def _studentised(clusters: int, draws: int, random: np.random.Generator) -> Floats:
    freedom = max(clusters - 1, 1)
    return np.sqrt(freedom / random.chisquare(freedom, draws))
