"""Does an order say it all? The Hodge decomposition of who beats whom: what is transitive and what runs in circles.

By how much one agent's odds against another exceed even ones is a flow along the edges of the comparison graph. The flow
that is nearest to it in least squares, weighted by how much each edge tells, and runs downhill from a potential is its
gradient; what remains has no divergence and runs in circles (Jiang, Lim, Yao and Ye 2011). Log-odds are taken linearised at
the fit of the ratings (the working response of iteratively weighted least squares): they exist where somebody won every
match, and the potential then is the ratings themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from arena.stats.clustered import codes
from arena.stats.davidson import Fit, summed
from arena.stats.estimate import LEVEL, Estimate, made

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]

GROUPS = 25
"""More clusters than that are joined to so many, which are independent as well."""

TRACE = 1e-9
"""Of the mean weight of an agent's edges: what makes a Laplacian regular and changes nothing that is shown."""


@dataclass(frozen=True, slots=True)
class Cycles:
    """How much of the differences between agents no rating can express, noise taken out."""

    transitive: Estimate
    """Share of the variation of the log-odds that differences of ratings explain; n counts pairs of agents.

    None where agents do not differ by more than noise, or where no pair met on two topics, so that noise cannot be told
    from cycles.
    """
    cyclic: Estimate
    """The rest: 1 - transitive."""
    left_out: int
    """Pairs of agents that met on a single topic, where noise cannot be told from cycles."""

    @property
    def dominate(self) -> bool:
        """Whether more than half is cyclic at 95 %: then a ranking means little."""
        return self.cyclic.low is not None and self.cyclic.low > 0.5


@dataclass(frozen=True, slots=True)
class Edges:
    """The comparison graph at a fit: an edge a pair of agents that met."""

    low: Numbers
    """The agent of the smaller number; the flow counts from here to `high`."""
    high: Numbers
    flow: Floats
    """Log-odds of `low` against `high` before the average judge in neutral seats, linearised at the fit."""
    weight: Floats
    """Information on it."""


def edges(fitted: Fit) -> Edges:
    """The graph of all pairs that met."""
    met = _met(fitted, None, np.zeros(fitted.cells.of.size, dtype=np.intp))
    strength = fitted.at.strength
    pull, weight = met.total(met.pull), met.total(met.weight)
    return Edges(met.low, met.high, strength[met.low] - strength[met.high] + pull / weight, weight)


def cycles(fitted: Fit, weights: Floats | None, cluster: Numbers) -> Cycles:
    """Which share of the variation is transitive, and which cyclic, with jackknife intervals over clusters.

    `weights` and `cluster` have a value a row of the fit's cells; clusters are numbered from 0 and independent. What a
    pair's deviation in one cluster says about that in another is free of noise, whatever goes together within a cluster;
    so squares are replaced by products between clusters, and what the fit of the ratings takes from noise is given back.
    """
    met = _met(fitted, weights, cluster % GROUPS)
    strength = fitted.at.strength
    n, left_out = met.low.size, int((~met.told).sum())
    share = _share(_energy(met, strength)) if n > left_out else np.nan
    if np.isnan(share):
        return Cycles(made(None, n=n - left_out), made(None, n=n - left_out), left_out)
    count = int(met.cluster.max()) + 1
    without = np.array([_share(_energy(met.kept(met.cluster != out), strength)) for out in range(count)])
    error = float(np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2)))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1)) * error
    low, mid, high = np.clip([share - half, share, share + half], 0.0, 1.0)
    if not np.isfinite(error):
        low = high = np.nan
    return Cycles(
        made(1 - mid, 1 - high, 1 - low, n=n - left_out), made(mid, low, high, n=n - left_out), left_out
    )  # fmt: skip


# ------------------------------------------------------------------ pairs of agents by cluster


@dataclass(frozen=True, slots=True)
class _Met:
    """What each pair of agents showed in each cluster: `pair`, `cluster`, `pull` and `weight` have a value for each."""

    agents: int
    low: Numbers
    high: Numbers
    pair: Numbers
    """An index of `low` and `high`."""
    cluster: Numbers
    pull: Floats
    """By how much `low` did better than its rating says."""
    weight: Floats

    def total(self, values: Floats) -> Floats:
        """Sums by pair."""
        return summed(self.pair, values, self.low.size)

    @property
    def told(self) -> NDArray[np.bool_]:
        """Whether a pair met in two clusters at least."""
        return np.bincount(self.pair, minlength=self.low.size) > 1

    def kept(self, which: NDArray[np.bool_]) -> _Met:
        return _Met(
            self.agents,
            self.low,
            self.high,
            self.pair[which],
            self.cluster[which],
            self.pull[which],
            self.weight[which],
        )


def _met(fitted: Fit, weights: Floats | None, cluster: Numbers) -> _Met:
    c, count = fitted.cells, int(cluster.max(initial=0)) + 1
    sharpness, rows = fitted.at.sharpness[c.judge], fitted.counts.sum(axis=1)
    low, high = np.minimum(c.first, c.second), np.maximum(c.first, c.second)
    pair, pairs = codes(low * c.agents + high)
    ends = np.empty((2, pairs), dtype=np.intp)
    ends[:, pair] = low, high
    cell = c.of // 3
    which, met = codes(pair[cell] * count + cluster)
    weight = 1.0 if weights is None else weights
    pull = (np.where(c.first < c.second, 1.0, -1.0) * sharpness)[:, None] * fitted.slopes
    told = np.divide(sharpness**2 * fitted.curvature, rows, where=rows > 0, out=np.zeros_like(rows))
    by = np.empty((2, met), dtype=np.intp)
    by[:, which] = pair[cell], cluster
    sums = [summed(which, pull.ravel()[c.of] * weight, met), summed(which, told[cell] * weight, met)]
    others = ends[0] != ends[1]
    here = others[by[0]]
    return _Met(
        c.agents, ends[0, others], ends[1, others], (np.cumsum(others) - 1)[by[0, here]], by[1, here], sums[0][here],
        sums[1][here],
    )  # fmt: skip


def _energy(met: _Met, strength: Floats) -> tuple[float, float]:
    """The squared length of the transitive and of the cyclic flow, both free of noise, so that either may be below 0."""
    low, high = met.low, met.high
    weight = met.total(met.weight)
    laplacian = _laplacian(met, weight)
    moved = np.linalg.solve(laplacian, _at_ends(met, met.pull).sum(axis=0))
    at, fall = strength + moved, (moved[low] - moved[high])[met.pair]
    rest = met.pull - met.weight * fall
    told = met.told
    # What each cluster's noise moves the potential by, and so takes from the rest.
    potentials = np.linalg.solve(laplacian, _at_ends(met, rest).T)
    clusters = potentials.shape[1]
    spread = np.sum((potentials[low[told]] - potentials[high[told]]) ** 2, axis=1) * clusters / (clusters - 1)
    noise = float(weight[told] @ spread)
    across = (met.total(rest) ** 2 - met.total(rest**2))[told]
    apart = (weight**2 - met.total(met.weight**2))[told]
    cyclic = float(np.sum(across * weight[told] / apart)) + noise
    transitive = float(np.sum((weight * (at[low] - at[high]) ** 2)[told])) - noise
    return transitive, cyclic


def _at_ends(met: _Met, pull: Floats) -> Floats:
    """(clusters, agents): what pulls at a pair pulls at the one and pushes at the other."""
    groups = codes(met.cluster)
    size = groups[1] * met.agents
    up = summed(groups[0] * met.agents + met.low[met.pair], pull, size)
    return (up - summed(groups[0] * met.agents + met.high[met.pair], pull, size)).reshape(groups[1], met.agents)


def _laplacian(met: _Met, weight: Floats) -> Floats:
    """The Laplacian of the graph with these weights of its pairs."""
    k = met.agents
    links = summed(met.low * k + met.high, weight, k * k).reshape(k, k)
    links = links + links.T
    laplacian = np.diag(links.sum(axis=1)) - links
    # Shifts of all agents, or of a part that is tied to no other, change no flow: a trace on the diagonal forbids them.
    laplacian[np.diag_indices(k)] += TRACE * links.sum() / k
    return laplacian


def _share(energy: tuple[float, float]) -> float:
    return energy[1] / sum(energy) if sum(energy) > 0 else np.nan
