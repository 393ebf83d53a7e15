"""How beliefs move: a rational belief is a martingale, so its revisions cannot be foreseen and its movement is paid for.

Every function takes confidences in [0, 1] as an array (debates, sides, rounds), NaN where one is missing, and `seats`, a
boolean array (debates, sides) of the seats it is about (default: all). The debate is the unit throughout; n counts debates.

What is stated is belief plus noise: it is rounded, and reported with error. Noise that is independent between rounds
looks like movement that is taken back, so the naive tests reject for perfectly rational debaters. The tests here relate
a revision to what was stated *before* the round it starts from, which that noise cannot touch, or take the noise out.
Where neither is possible the result is an upper bound, and its `test` says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.stats.clustered import clustered_mean, clustered_slope
from arena.stats.estimate import Estimate, made, without_test

Confidences = NDArray[np.float64]
Seats = NDArray[np.bool_]

UPPER_BOUND = "upper bound: rounding and report noise count as movement"


@dataclass(frozen=True, slots=True)
class Noise:
    """How what is stated differs from what is believed, independently each round."""

    report: float = 0.0
    """Standard deviation in log-odds."""
    rounding: float = 0.0
    """The unit that statements are rounded to, stochastically; 0.05 for multiples of five percent."""

    def variance(self, stated: Confidences) -> Confidences:
        """Variance of a stated confidence around the belief, in squared probability."""
        return (self.report * stated * (1 - stated)) ** 2 + self.rounding**2 / 6


@dataclass(frozen=True, slots=True)
class Rounding:
    """The grid that stated confidences lie on."""

    unit: float | None
    """0.1, 0.05 or 0.01; None where fewer than `SHARE` of the values are on any of these."""
    share: float
    """Of the values that are multiples of the unit."""
    n: int


ROUNDED = 0.9
"""Share of values on a grid from which on it counts as the grid that they are stated on."""


def rounding(c: Confidences, seats: Seats | None = None) -> Rounding:
    """The coarsest grid that at least 90 % of the stated confidences lie on."""
    stated = _of(c, seats)
    stated = stated[np.isfinite(stated)]
    if not stated.size:
        return Rounding(None, 0.0, 0)
    for unit in (0.1, 0.05, 0.01):
        on_grid = float(np.mean(np.abs(stated / unit - np.round(stated / unit)) < 1e-6))
        if on_grid >= ROUNDED:
            return Rounding(unit, on_grid, stated.size)
    return Rounding(None, 0.0, stated.size)


def report_noise(c: Confidences, seats: Seats | None = None) -> Estimate:
    """The variance of statements around beliefs, in squared probability, if beliefs are martingales.

    The covariance of neighbouring revisions is then minus the variance of the noise in the round between them, rounding
    included; each round's mean revision is taken out first, so that a common drift is not in it. Needs three rounds. A
    negative estimate means that revisions go on in the same direction: momentum, not noise.
    """
    move = _centred(np.diff(_of(c, seats), axis=2))
    return without_test(_mean_by_debate(-move[:, :, :-1] * move[:, :, 1:]))


def drift(c: Confidences, seats: Seats | None = None) -> Estimate:
    """Mean revision a round, E[next - now]: rational beliefs have none, noisy reports or not."""
    return _mean_by_debate(np.diff(_of(c, seats), axis=2), "cluster-robust t by debate, E[next - now] = 0")


def drift_slope(c: Confidences, seats: Seats | None = None) -> Estimate:
    """How the revision depends on the belief, E[next - now | now], as the slope of the next revision on what was stated.

    From three rounds on, the slope on the statement one round *earlier* than the revision starts from, within rounds: the
    noise of the statement in between cannot enter it. With two rounds only the slope on the statement itself is left,
    which noise makes negative: an upper bound.
    """
    x = _of(c, seats)
    move = np.diff(x, axis=2)
    if x.shape[2] >= 3:
        return _slope(move[:, :, 1:], x[:, :, :-2], "jackknife t by debate, E[next - now | before] flat")
    return _slope(move, x[:, :, :-1], f"jackknife t by debate, E[next - now | now] flat; {UPPER_BOUND}")


@dataclass(frozen=True, slots=True)
class Movement:
    """Movement of beliefs against the uncertainty that they lose (Augenblick and Rabin 2021), per seat and debate."""

    movement: Estimate
    """Sum of squared revisions."""
    reduction: Estimate
    """c (1 - c) at the first round minus at the last."""
    stated: Estimate
    """Movement minus reduction of what was stated: an upper bound of the excess."""
    excess: Estimate
    """The same with rounding and report noise taken out; 0 for rational beliefs."""


def movement(c: Confidences, seats: Seats | None = None, noise: Noise | None = None) -> Movement:
    """Excess movement (Augenblick and Rabin 2021, section II): E[sum of squared revisions] = E[uncertainty reduction]
    for a Bayesian.

    Independent noise of variance v_t in round t adds twice the sum of all v_t but the last. With `noise` that is taken
    from the parameters. Without, it is estimated from the covariance of neighbouring revisions, with the first round's
    carried over at the same size in log-odds; that needs three rounds, and with two the excess is the upper bound.
    """
    x = _of(c, seats)
    move = np.diff(x, axis=2)
    squared = (move**2).sum(axis=2)
    lost = x[:, :, 0] * (1 - x[:, :, 0]) - x[:, :, -1] * (1 - x[:, :, -1])
    bound = f"cluster-robust t by debate, movement = reduction; {UPPER_BOUND}"
    stated = _mean_by_debate(squared - lost, bound)
    if noise is not None:
        taken = 2 * noise.variance(x[:, :, :-1]).sum(axis=2)
        said = f"report noise {noise.report:g} in log-odds and rounding to {noise.rounding:g} taken out"
        excess = _mean_by_debate(squared - lost - taken, f"cluster-robust t by debate, movement = reduction; {said}")
    elif x.shape[2] >= 3:
        estimated = _noise_by_seat(x, move)
        said = "noise estimated from neighbouring revisions taken out"
        excess = _mean_by_debate(
            squared - lost - 2 * estimated, f"cluster-robust t by debate, movement = reduction; {said}"
        )
    else:
        excess = stated
    return Movement(without_test(_mean_by_debate(squared)), without_test(_mean_by_debate(lost)), stated, excess)


def _noise_by_seat(x: Confidences, move: Confidences) -> Confidences:
    """Per seat, an unbiased guess at the sum of noise variances over all rounds but the last."""
    move = _centred(move)
    between = -move[:, :, :-1] * move[:, :, 1:]
    spread = (x * (1 - x)) ** 2
    whole = np.isfinite(between).all(axis=2) & np.isfinite(spread).all(axis=2)
    first, later = spread[:, :, 0][whole].sum(), spread[:, :, 1:-1].sum(axis=2)[whole].sum()
    carried = first / later if later > 0 else 0.0
    return between.sum(axis=2) * (1 + carried)


def autocorrelation(c: Confidences, seats: Seats | None = None, noise: Noise | None = None) -> Estimate:
    """Whether a revision foretells a later one, as the slope of the later on the earlier within rounds.

    From four rounds on, the slope on the revision before the last, which shares no statement with it. With three rounds
    neighbouring revisions share the one in between, whose noise makes the slope negative: an upper bound of reversal, unless
    `noise` gives its variance, which is then taken out of both moments.
    """
    move = np.diff(_of(c, seats), axis=2)
    if move.shape[2] >= 3:
        return _slope(move[:, :, 2:], move[:, :, :-2], "jackknife t by debate, revisions two rounds apart unrelated")
    if move.shape[2] < 2:
        return made(None, n=0)
    if noise is None:
        return _slope(
            move[:, :, 1:], move[:, :, :-1], f"jackknife t by debate, neighbouring revisions unrelated; {UPPER_BOUND}"
        )
    x = _of(c, seats)
    later, earlier = _centred(move[:, :, 1:]), _centred(move[:, :, :-1])
    variance = noise.variance(x)
    product = later * earlier + variance[:, :, 1:-1]
    scale = float(np.nanmean(earlier**2 - variance[:, :, 1:-1] - variance[:, :, :-2]))
    said = f"report noise {noise.report:g} in log-odds and rounding to {noise.rounding:g} taken out"
    found = _mean_by_debate(product, f"cluster-robust t by debate, neighbouring revisions unrelated; {said}")
    if not scale > 0 or found.estimate is None:
        return made(None, n=found.n)
    ends = (None if end is None else end / scale for end in (found.low, found.high))
    return made(found.estimate / scale, *ends, n=found.n, test=found.test, statistic=found.statistic, p=found.p)


def reaction(c: Confidences, seats: Seats | None = None) -> Estimate:
    """How a seat's revision goes with the opponent's revision of the round before, as a slope within rounds.

    Zero if each side's belief is a martingale given what both know. Where both sides hold private evidence about one
    truth, the opponent's unseen move does foretell one's own, and a slope below zero is no mistake. Needs two sides
    and three rounds.
    """
    if c.shape[1] != 2 or c.shape[2] < 3:
        return made(None, n=0)
    own = np.diff(_of(c, seats), axis=2)[:, :, 1:]
    other = np.diff(c, axis=2)[:, ::-1, :-1]
    return _slope(own, other, "jackknife t by debate, own revision unrelated to the opponent's before")


# ------------------------------------------------------------------ shared


def _of(c: Confidences, seats: Seats | None) -> Confidences:
    return c if seats is None else np.where(seats[:, :, None], c, np.nan)


def _rows(values: Confidences) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The values that are there, and the debate of each."""
    # Said in full, since -1 cannot be worked out where there is no debate.
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    there = np.isfinite(flat)
    return flat[there], np.nonzero(there)[0]


def _mean_by_debate(values: Confidences, test: str | None = None) -> Estimate:
    rows, debates = _rows(values)
    if not rows.size:
        return made(None, n=0)
    return clustered_mean(rows, debates, test=test)


def _centred(values: Confidences) -> Confidences:
    """Each round's values around their mean, so that a slope is not one between rounds."""
    flat = values.reshape(-1, values.shape[2])
    count = np.isfinite(flat).sum(axis=0)
    return values - np.divide(np.nansum(flat, axis=0), count, out=np.zeros(flat.shape[1]), where=count > 0)


def _slope(y: Confidences, x: Confidences, test: str) -> Estimate:
    there = np.isfinite(y) & np.isfinite(x)
    y, x = np.where(there, y, np.nan), np.where(there, x, np.nan)
    rows, debates = _rows(_centred(y))
    on, _ = _rows(_centred(x))
    return clustered_slope(rows, on, debates, test=test)
