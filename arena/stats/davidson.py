"""The model of the ratings: Bradley-Terry with ties (Davidson 1970), seats and judges, fitted by maximum likelihood.

A judge's log-odds that the first seat beats the second are sharpness (strength of first - strength of second) + lean, and

    P(first) : P(tie) : P(second) = exp(odds / 2) : exp(ties) : exp(-odds / 2).

Strengths have mean 0 and the judges' sharpness mean 1, so that the odds before the average judge, the mean over judges, are
the difference of strengths plus the mean lean: what the first seat is worth. A judge of sharpness 0 tells no agents apart,
one below 0 prefers the weaker; with the mean held, not the product, neither drives the fit to infinity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from arena.stats.clustered import codes

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]

OUTCOMES = np.array([0.0, 0.5, 1.0])
"""What the first seat gets where it lost, tied and won: the order of outcomes everywhere here."""

STEPS = 100
"""Steps at most; a maximum is reached in fewer than ten."""

CLOSE = 1e-9
"""A step that moves no parameter by more is the last."""

BEYOND = 30.0
"""Log-odds, and a sharpness, that no maximum has: a fit that gets there is on its way to infinity."""

SINGULAR = 1e-9
"""Share of the largest eigenvalue below which a direction counts as one that the data say nothing about."""


class NoMaximum(ArithmeticError):
    """The likelihood has no maximum: some parameters run to infinity, or the data say nothing about them."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Verdicts of one judge on one agent in the first seat against another in the second, counted by outcome."""

    first: Numbers
    second: Numbers
    judge: Numbers
    agents: int
    judges: int
    of: Numbers
    """For each row 3 times its cell plus its outcome."""

    def counts(self, weights: Floats | None = None) -> Floats:
        """(cells, 3): rows by outcome, or their weights' sums."""
        return np.bincount(self.of, weights, 3 * self.first.size).reshape(-1, 3).astype(float)


def cells(first: Numbers, second: Numbers, judge: Numbers, score: Floats, agents: int, judges: int) -> Cells:
    """The cells that occur among these rows."""
    code = (first * agents + second) * judges + judge
    which, count = codes(code)
    kinds = np.empty(count, dtype=np.intp)
    kinds[which] = code
    pairing, by = np.divmod(kinds, judges)
    seats = np.divmod(pairing, agents)
    return Cells(*seats, by, agents, judges, 3 * which + (2 * score).astype(np.intp))


@dataclass(frozen=True, slots=True)
class Parameters:
    """A point of the model. As one vector: strengths, leans, sharpness where it is fitted, ties where there are some."""

    strength: Floats
    """(agents,), in log-odds, mean 0."""
    lean: Floats
    """(judges,): log-odds of the first seat between equals."""
    sharpness: Floats
    """(judges,), mean 1."""
    ties: float
    """Log of Davidson's tie parameter; minus infinity without ties."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The maximum, and what is needed to say how sure it is."""

    at: Parameters
    vector: Floats
    sharp: bool
    """Whether sharpness was fitted."""
    cells: Cells
    counts: Floats
    information: Floats
    """Observed information (parameters, parameters), made regular along the constraints, which no score has a part in."""
    slopes: Floats
    """(cells, 3): what a row of the cell adds to the derivative in its log-odds, by outcome."""
    tie_slopes: Floats
    """(cells, 3): the same for the tie parameter."""
    curvature: Floats
    """(cells,): information on the cell's log-odds."""

    @property
    def difference(self) -> Floats:
        """(cells,): strength of the first seat minus that of the second."""
        return self.at.strength[self.cells.first] - self.at.strength[self.cells.second]


def fit(cells: Cells, counts: Floats, *, sharp: bool, start: Floats | None = None, close: float = CLOSE) -> Fit:
    """The maximum of the likelihood by Newton's steps, until no parameter moves by more than `close`. Raises `NoMaximum`.

    `counts` may be any weights that are not negative. Without ties among them the tie parameter is left out.
    """
    tied = bool(counts[:, 1].any())
    if start is not None:
        x = start
    elif sharp:
        # Between equals sharpness shows in nothing, so that the fit must begin where agents differ.
        x = sharpened(fit(cells, counts, sharp=False))
    else:
        x = _start(cells, counts, tied)
    point = _evaluate(cells, counts, x, sharp, tied)
    for _ in range(STEPS):
        step = _step(point)
        length = 1.0
        while True:
            tried = _evaluate(cells, counts, x + length * step, sharp, tied)
            if tried.value >= point.value - 1e-12 * abs(point.value) or length < 1e-6:
                break
            length /= 2
        x, point = x + length * step, tried
        if point.beyond > BEYOND or np.abs(parameters(x, cells, sharp).sharpness).max() > BEYOND:
            raise NoMaximum("log-odds run to infinity")
        if np.abs(length * step).max(initial=0.0) < close:
            break
    else:
        raise NoMaximum(f"no maximum in {STEPS} steps")
    return Fit(
        parameters(x, cells, sharp), x, sharp, cells, counts, point.information, point.slopes, point.tie_slopes,
        point.curvature,
    )  # fmt: skip


def sharpened(fitted: Fit) -> Floats:
    """The vector of a fit without sharpness, as one with judges who are all as sharp."""
    to = fitted.cells.agents + fitted.cells.judges
    return np.concatenate([fitted.vector[:to], np.ones(fitted.cells.judges), fitted.vector[to:]])


def summed(index: Numbers, values: Floats, count: int) -> Floats:
    """Sums of the values by index, from 0 to count."""
    return np.bincount(index, values, count).astype(float, copy=False)


def share(odds: Floats, ties: float) -> Floats:
    """The share of wins, ties half, at these log-odds before ties."""
    half = np.abs(odds) / 2
    won, lost, tie = np.exp(np.array([half, -half, np.full_like(half, ties)]) - np.maximum(half, ties))
    return 0.5 + np.sign(odds) * (won - lost) / (2 * (won + lost + tie))


def parameters(x: Floats, cells: Cells, sharp: bool) -> Parameters:
    """The point that a vector holds."""
    k, j = cells.agents, cells.judges
    sharpness = x[k + j : k + 2 * j] if sharp else np.ones(j)
    rest = x[k + j * (1 + sharp) :]
    return Parameters(x[:k], x[k : k + j], sharpness, float(rest[0]) if rest.size else -np.inf)


def untold(cells: Cells, counts: Floats) -> Floats | None:
    """A direction in strengths and leans that changes no odds in the data, as one vector; None where there is none.

    The common shift of all strengths is none of these: it changes no odds anywhere.
    """
    nothing = np.zeros(cells.agents + cells.judges)
    return silent(_evaluate(cells, counts, nothing, False, False).information)


def silent(information: Floats) -> Floats | None:
    """The direction that least is known about, where that is nothing; None otherwise."""
    scale = np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
    values, vectors = linalg.eigh(information / np.outer(scale, scale), subset_by_index=[0, 0])
    return vectors[:, 0] / scale if values[0] < SINGULAR else None


def scores(fitted: Fit, weights: Floats, cluster: Numbers, count: int) -> sparse.csr_array:
    """(clusters, parameters): by how much each cluster's rows pull at the estimate. They add up to zero.

    `weights` and `cluster` have a value a row.
    """
    c, k, j = fitted.cells, fitted.cells.agents, fitted.cells.judges
    cell, rows = c.of // 3, c.of.size
    pull = fitted.slopes.ravel()[c.of] * weights
    judge = c.judge[cell]
    own = pull * fitted.at.sharpness[judge]
    columns, values = [c.first[cell], c.second[cell], k + judge], [own, -own, pull]
    if fitted.sharp:
        columns.append(k + j + judge)
        values.append(pull * fitted.difference[cell])
    if np.isfinite(fitted.at.ties):
        columns.append(np.full(rows, fitted.vector.size - 1))
        values.append(fitted.tie_slopes.ravel()[c.of] * weights)
    # Every row has as many entries, so that its place in a sparse matrix is known without sorting.
    starts = np.arange(0, rows * len(columns) + 1, len(columns))
    by_row = sparse.csr_array(
        (np.stack(values, axis=1).ravel(), np.stack(columns, axis=1).ravel(), starts), shape=(rows, fitted.vector.size)
    )
    pulls = sparse.csr_array((np.ones(rows), (cluster, np.arange(rows))), shape=(count, rows)) @ by_row
    if not fitted.sharp:
        return pulls
    # With the mean of sharpness held, what pulls at one judge pushes at all.
    centring = np.eye(fitted.vector.size)
    centring[k + j : k + 2 * j, k + j : k + 2 * j] -= 1 / j
    return sparse.csr_array(pulls @ sparse.csr_array(centring))


# ------------------------------------------------------------------ the likelihood


@dataclass(frozen=True, slots=True)
class _Point:
    value: float
    gradient: Floats
    information: Floats
    """Observed; positive definite near the maximum alone, and everywhere without sharpness."""
    expected: Floats
    slopes: Floats
    tie_slopes: Floats
    curvature: Floats
    beyond: float
    """The largest log-odds of a cell."""


def _start(cells: Cells, counts: Floats, tied: bool) -> Floats:
    """Equal agents before fair judges, with as many ties as there are."""
    even = np.zeros(cells.agents + cells.judges)
    if not tied:
        return even
    lost, ties, won = counts.sum(axis=0)
    if lost + won <= 0:
        raise NoMaximum("every verdict is a tie")
    return np.append(even, np.log(2 * ties / (lost + won)))


def _evaluate(cells: Cells, counts: Floats, x: Floats, sharp: bool, tied: bool) -> _Point:
    """Log-likelihood, its gradient, and the information, observed and expected."""
    at = parameters(x, cells, sharp)
    first, second, judge, k, j = cells.first, cells.second, cells.judge, cells.agents, cells.judges
    difference = at.strength[first] - at.strength[second]
    sharpness = at.sharpness[judge]
    half = (sharpness * difference + at.lean[judge]) / 2
    # The largest of the three exponents is taken out, so that none overflows.
    most = np.maximum(np.abs(half), at.ties)
    won, lost, tie = np.exp(half - most), np.exp(-half - most), np.exp(at.ties - most)
    norm = won + lost + tie
    p_tie, mean = tie / norm, (won - lost) / (2 * norm)
    spread = (won + lost) / (4 * norm) - mean**2
    rows = counts.sum(axis=1)
    value = float(((counts[:, 2] - counts[:, 0]) * half - rows * (most + np.log(norm))).sum())
    slopes = (OUTCOMES - 0.5) - mean[:, None]
    tie_slopes = np.array([0.0, 1.0, 0.0]) - p_tie[:, None]
    pull, curve = (counts * slopes).sum(axis=1), rows * spread

    gradient = [_strengths(cells, sharpness * pull), summed(judge, pull, j)]
    a, b = slice(0, k), slice(k, k + j)
    information = np.zeros((x.size, x.size))
    pairs = summed(first * k + second, sharpness**2 * curve, k * k).reshape(k, k)
    pairs = pairs + pairs.T
    information[a, a] = np.diag(pairs.sum(axis=1)) - pairs
    information[a, b] = _by_judge(cells, sharpness * curve)
    information[b, b] = np.diag(summed(judge, curve, j))
    if sharp:
        c = slice(k + j, k + 2 * j)
        gradient.append(_centred(summed(judge, pull * difference, j)))
        information[a, c] = _centred(_by_judge(cells, sharpness * curve * difference))
        information[b, c] = _centred(np.diag(summed(judge, curve * difference, j)))
        inner = np.diag(summed(judge, curve * difference**2, j))
        information[c, c] = _centred(_centred(inner).T)
        information[c, c] += np.trace(inner) / j**2
    if tied:
        value += at.ties * float(counts[:, 1].sum())
        gradient.append(np.array([(counts * tie_slopes).sum()]))
        joint = -rows * mean * p_tie
        information[a, -1] = _strengths(cells, sharpness * joint)
        information[b, -1] = summed(judge, joint, j)
        if sharp:
            information[k + j : k + 2 * j, -1] = _centred(summed(judge, joint * difference, j))
        information[-1, -1] = (rows * p_tie * (1 - p_tie)).sum()
    information[a, a] += pairs.sum() / k**2
    below = np.tril_indices(x.size, -1)
    information[below] = information.T[below]
    observed = information
    if sharp:
        observed = information.copy()
        twisted = _centred(_by_judge(cells, pull))
        observed[a, k + j : k + 2 * j] -= twisted
        observed[k + j : k + 2 * j, a] -= twisted.T
    return _Point(
        value,
        np.concatenate(gradient),
        observed,
        information,
        slopes,
        tie_slopes,
        curve,
        2 * float(np.abs(half).max(initial=0.0)),
    )


def _step(point: _Point) -> Floats:
    """Newton's step, or where the likelihood is not concave that of Fisher scoring."""
    for information in (point.information, point.expected):
        try:
            return linalg.cho_solve(
                linalg.cho_factor(information, check_finite=False), point.gradient, check_finite=False
            )
        except linalg.LinAlgError:
            continue
    raise NoMaximum("the information is singular")


def _strengths(cells: Cells, pull: Floats) -> Floats:
    """What pulls at the odds of cells pulls at the first seat's strength and pushes at the second's."""
    return summed(cells.first, pull, cells.agents) - summed(cells.second, pull, cells.agents)


def _by_judge(cells: Cells, pull: Floats) -> Floats:
    """(agents, judges): the same by judge."""
    size, j = cells.agents * cells.judges, cells.judges
    up = summed(cells.first * j + cells.judge, pull, size)
    return (up - summed(cells.second * j + cells.judge, pull, size)).reshape(cells.agents, j)


def _centred(values: Floats) -> Floats:
    """Without the mean along the last axis, which the constraint on sharpness forbids."""
    return values - values.mean(axis=-1, keepdims=True)
