"""Whether stated probabilities come true: scores, their decomposition, discrimination and calibration errors with null bands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from arena.stats.bootstrap import basic_interval, chunks, draws_of, resamples
from arena.stats.clustered import clustered_mean, codes
from arena.stats.estimate import LEVEL, Estimate, made, without_test
from arena.stats.pairs import share

BINS = 10
"""Bins of every binned measure. Those of equal width hold their left end; the last one holds 1 too."""

DRAWS = 1000
"""Simulated draws behind a null band and the interval beside it."""

DECOMPOSITION_DRAWS = 300
"""Bootstrap draws behind an interval of the decomposition: each is an isotonic regression."""

MOST_STATEMENTS = 5000
"""Distinct statements that those draws tell apart; beyond, neighbours are taken together."""

Floats = NDArray[np.float64]
Variant = Literal["equal_width", "equal_mass", "maximum"]


@dataclass(frozen=True, slots=True)
class Decomposition:
    """brier = miscalibration - discrimination + uncertainty, exactly."""

    brier: Estimate
    miscalibration: Estimate
    """What recalibration would save; 0 is calibrated."""
    discrimination: Estimate
    """What the recalibrated statements save against always stating the base rate; more is better."""
    uncertainty: Estimate
    """The score of always stating the base rate."""


@dataclass(frozen=True, slots=True)
class LogScore:
    """The logarithmic score, and how often it had to be floored to stay finite."""

    score: Estimate
    floor: float
    floored: int
    """Statements nearer to 0 or 1 than the floor."""


@dataclass(frozen=True, slots=True)
class NullBand:
    """What a calibrated agent shows at these stated values: the mean and the central 95 % of simulated draws."""

    mean: float
    low: float
    high: float
    draws: int


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """A binned calibration error in [0, 1], beside what calibrated statements would show by chance."""

    error: Estimate
    null: NullBand | None
    """None where there is no row."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """A point of the reliability curve."""

    left: float
    right: float
    stated: float
    """Mean stated probability in the bin."""
    observed: Estimate
    """Share of the bin's rows that came true; n counts rows."""


def overconfidence(p: ArrayLike, y: ArrayLike, debates: ArrayLike) -> Estimate:
    """Mean stated probability minus the share that came true, in probability; tested against 0.

    Here and below `p` are stated probabilities in [0, 1], `y` outcomes, 0 or 1, and `debates` says which debate a row is
    of; all flat and of one length. n counts debates. All raise `ValueError` on NaN and on values out of range.
    """
    stated, came, group = _checked(p, y, debates)
    return clustered_mean(stated - came, group, test="cluster-robust t by debate, mean stated = share that came true")


def brier(p: ArrayLike, y: ArrayLike, debates: ArrayLike) -> Estimate:
    """The mean squared error of the stated probabilities (Brier 1950), cluster-robust by debate; lower is better."""
    stated, came, group = _checked(p, y, debates)
    return _bounded(clustered_mean((stated - came) ** 2, group))


def decomposition(
    p: ArrayLike, y: ArrayLike, debates: ArrayLike, random: np.random.Generator | None = None
) -> Decomposition:
    """The Brier score taken apart by isotonic recalibration (CORP; Dimitriadis, Gneiting and Jordan 2021, PNAS 118).

    Recalibration follows noise too, so that miscalibration and discrimination both come out too large in small samples, by
    about as much as each other (0.01 at 60 debates). Their intervals are basic (reversed percentile) bootstrap ones by
    debate, which allow for it, and may for that lie below the estimate; without `random` they have none. The uncertainty is a
    function of the base rate and has none either.
    """
    stated, came, group = _checked(p, y, debates)
    whole = brier(stated, came, group)
    if not stated.size:
        return Decomposition(whole, whole, whole, whole)
    order = np.argsort(stated, kind="stable")
    stated, came, group = stated[order], came[order], group[order]
    lost = (stated - came) ** 2
    starts = np.flatnonzero(np.r_[True, np.diff(stated) != 0])
    shown = _parts(np.ones((1, stated.size)), came, lost, starts)[0]
    uncertainty = made(float(came.mean() * (1 - came.mean())), n=whole.n)
    if random is None or whole.n < 2:
        return Decomposition(whole, made(shown[0], n=whole.n), made(shown[1], n=whole.n), uncertainty)
    told_apart = starts[:: -(-starts.size // MOST_STATEMENTS)]
    draws = draws_of(stated.size, DECOMPOSITION_DRAWS)
    drawn = np.concatenate([_parts(times, came, lost, told_apart) for times in resamples(group, draws, random)])
    miscalibration, discrimination = (
        made(shown[k], *basic_interval(shown[k], drawn[:, k]), n=whole.n) for k in range(2)
    )
    return Decomposition(whole, miscalibration, discrimination, uncertainty)


def log_score(p: ArrayLike, y: ArrayLike, debates: ArrayLike, floor: float = 0.005) -> LogScore:
    """Minus the mean logarithm of the probability given to what happened, in nats (Good 1952); lower is better.

    A statement of 0 or 1 that fails would cost infinitely much. It stands for what rounds to it, so all are kept `floor`
    away from 0 and 1: half a unit of rounding; the default is that of whole percents.
    """
    if not 0 < floor < 0.5:
        raise ValueError(f"floor is {floor:g}; it must lie between 0 and 0.5")
    stated, came, group = _checked(p, y, debates)
    kept = np.clip(stated, floor, 1 - floor)
    score = clustered_mean(-np.log(np.where(came == 1, kept, 1 - kept)), group)
    low = None if score.low is None else max(score.low, 0.0)
    return LogScore(made(score.estimate, low, score.high, n=score.n), floor, int((kept != stated).sum()))


def auroc(p: ArrayLike, y: ArrayLike, debates: ArrayLike) -> Estimate:
    """The probability that what came true was given more than what did not, ties counted half; tested against 0.5.

    Variance from structural components (DeLong, DeLong and Clarke-Pearson 1988) summed by debate (Obuchowski 1997); the
    interval is that of the log-odds, t with debates - 1 degrees of freedom. None where only one outcome occurs; no interval
    where separation is perfect. O(n log n).
    """
    stated, came, group = _checked(p, y, debates)
    count = int(group.max()) + 1 if group.size else 0
    won, lost = stated[came == 1], stated[came == 0]
    if not won.size or not lost.size:
        return made(None, n=count)
    above = (stats.rankdata(stated)[came == 1] - stats.rankdata(won)) / lost.size
    below = 1 - (stats.rankdata(stated)[came == 0] - stats.rankdata(lost)) / won.size
    area = float(above.mean())
    influence = np.empty_like(stated)
    influence[came == 1] = (above - area) / won.size
    influence[came == 0] = (below - area) / lost.size
    by_debate = np.bincount(group, influence, count)
    variance = count / max(count - 1, 1) * float(by_debate @ by_debate)
    if count < 2 or not 0 < area < 1 or variance < 1e-24:
        return made(area, n=count)
    error = np.sqrt(variance)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1)) * error / (area * (1 - area))
    odds = np.log(area / (1 - area))
    t = (area - 0.5) / error
    low, high = special.expit(odds - half), special.expit(odds + half)
    p_value = 2 * float(stats.t.sf(abs(t), count - 1))
    return made(area, low, high, n=count, test="DeLong clustered by debate, area = 0.5", statistic=t, p=p_value)


def calibration_errors(
    p: ArrayLike, y: ArrayLike, debates: ArrayLike, random: np.random.Generator, *, sides: ArrayLike | None = None
) -> dict[Variant, CalibrationError]:
    """Binned calibration errors, each with the band that calibrated statements show at this n and these values.

    A bin's gap is its mean stated minus its observed share. `equal_width` is the mean of the absolute gaps of ten bins, a row
    counting once (ECE; Guo et al. 2017). `equal_mass` is the same over bins of equally many rows; equal statements stay
    together, so there may be fewer than ten. `maximum` is the largest absolute gap of the bins of equal width (MCE).
    All are biased upwards: a calibrated agent does not show 0. Read each against its band.

    The band draws outcomes from the stated probabilities. The two sides of a debate depend on each other: what one wins the
    other loses. So a debate has one uniform draw u, against which one side is held and the other against 1 - u: each wins
    with its stated probability, and one of two wins where the two add up to one. `sides` holds 0 or 1 a row; without it,
    the rows of a debate take turns. The p-value is the share of draws at least as large as the error. Intervals are basic
    (reversed percentile) bootstrap ones by debate, which allow for the bias and may for that lie below the estimate; close
    to 0 they are somewhat short. There are 1,000 draws each, fewer above 35,000 rows; the band says how many.
    """
    stated, came, group = _checked(p, y, debates)
    if not stated.size:
        return {name: CalibrationError(made(None, n=0), None) for name in _VARIANTS}
    side = _turns(group) if sides is None else _checked_sides(sides, stated)
    order = np.argsort(stated, kind="stable")
    stated, came, group, side = stated[order], came[order], group[order], side[order]
    cells = _Cells.of(stated)
    draws = draws_of(stated.size, DRAWS)
    gaps = came - stated
    shown = cells.errors(cells.sums(gaps)[None], cells.rows[None])[0]
    calibrated = np.concatenate(list(_calibrated(stated, group, side, cells, draws, random)))
    resampled = np.concatenate(
        [cells.errors(cells.sums(times * gaps), cells.sums(times)) for times in resamples(group, draws, random)]
    )
    count = int(group.max()) + 1
    return {
        name: _against(float(shown[k]), calibrated[:, k], resampled[:, k], count) for k, name in enumerate(_VARIANTS)
    }


def reliability(p: ArrayLike, y: ArrayLike, debates: ArrayLike) -> tuple[ReliabilityBin, ...]:
    """The reliability curve over ten bins of equal width; a bin that holds nothing is not there.

    Intervals are Wilson's (1927) and take the rows of a bin for independent. The two sides of a debate are so at worst
    negatively, which makes them too wide.
    """
    stated, came, _ = _checked(p, y, debates)
    held = _bin(stated)
    return tuple(
        ReliabilityBin(
            int(k) / BINS, (int(k) + 1) / BINS, float(stated[held == k].mean()),
            share(int(came[held == k].sum()), int((held == k).sum())),
        )
        for k in np.unique(held)
    )  # fmt: skip


# ------------------------------------------------------------------ bins


_VARIANTS: tuple[Variant, ...] = ("equal_width", "equal_mass", "maximum")


@dataclass(frozen=True, slots=True)
class _Cells:
    """The finest parts that all bins are made of. Rows are sorted by statement, so that a cell is a run of them."""

    starts: NDArray[np.intp]
    rows: Floats
    """Rows a cell."""
    width: Floats
    mass: Floats
    """(cells, bins): 1 where the cell is of the bin."""

    @classmethod
    def of(cls, stated: Floats) -> _Cells:
        edges = np.unique(np.quantile(stated, np.arange(1, BINS) / BINS, method="inverted_cdf"))
        width, mass = _bin(stated), np.searchsorted(edges, stated, side="left")
        starts = np.flatnonzero(np.r_[True, (np.diff(width) != 0) | (np.diff(mass) != 0)])
        rows = np.diff(np.r_[starts, stated.size]).astype(float)
        return cls(starts, rows, np.eye(BINS)[width[starts]], np.eye(BINS)[mass[starts]])

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sums over each cell's rows, which are the last axis. What is counted is counted in integers."""
        return np.add.reduceat(values, self.starts, axis=-1, dtype=np.int64 if values.dtype == bool else values.dtype)

    def errors(self, gaps: Floats, rows: Floats) -> Floats:
        """(draws, variants) from summed gaps and numbers of rows, both (draws, cells)."""
        n = rows.sum(axis=1)
        width, mass = np.abs(gaps @ self.width), np.abs(gaps @ self.mass)
        # A bin without rows has no gap either.
        largest = (width / np.maximum(rows @ self.width, 1)).max(axis=1)
        return np.stack([width.sum(axis=1) / n, mass.sum(axis=1) / n, largest], axis=1)


def _bin(stated: Floats) -> NDArray[np.intp]:
    # 0.7 belongs to the bin from 0.7 on, whatever binary fractions make of it.
    return np.minimum(np.floor(stated * BINS + 1e-9), BINS - 1).astype(np.intp)


# ------------------------------------------------------------------ draws


def _calibrated(
    stated: Floats,
    group: NDArray[np.intp],
    side: NDArray[np.bool_],
    cells: _Cells,
    draws: int,
    random: np.random.Generator,
) -> Iterator[Floats]:
    """The errors of agents whose statements are true probabilities."""
    count = int(group.max()) + 1
    threshold = np.where(side, 1 - stated, stated).astype(np.float32)
    expected = cells.sums(stated)
    for size in chunks(draws, stated.size):
        u = random.random((size, count), dtype=np.float32)
        came = (u.take(group, axis=1) < threshold) ^ side
        yield cells.errors(cells.sums(came) - expected, np.broadcast_to(cells.rows, (size, cells.rows.size)))


def _against(shown: float, calibrated: Floats, resampled: Floats, count: int) -> CalibrationError:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(calibrated, [tail, 1 - tail])
    band = NullBand(float(calibrated.mean()), float(low), float(high), calibrated.size)
    above = int((calibrated > shown + 1e-12).sum())
    # Stated values are few, so draws are often as large as the error: counted half, as rounding to them goes both ways.
    p = (0.5 + above + 0.5 * (int((calibrated >= shown - 1e-12).sum()) - above)) / (1 + calibrated.size)
    test = f"{calibrated.size} simulated draws of calibrated statements, sides of a debate antithetic"
    ends = basic_interval(shown, resampled) if count > 1 else (None, None)
    return CalibrationError(made(shown, *ends, n=count, test=test, statistic=shown, p=p if count > 1 else None), band)


def _turns(group: NDArray[np.intp]) -> NDArray[np.bool_]:
    order = np.argsort(group, kind="stable")
    place = np.empty(group.size, dtype=np.intp)
    ordered = group[order]
    place[order] = np.arange(group.size) - np.searchsorted(ordered, ordered)
    return place % 2 == 1


# ------------------------------------------------------------------ shared


def _parts(times: Floats, came: Floats, lost: Floats, starts: NDArray[np.intp]) -> Floats:
    """Miscalibration and discrimination (draws, 2) of rows that each draw takes so many `times`.

    Rows are in ascending order of what they state; those from one start to the next are recalibrated together.
    """
    rows, wins, losses = (np.add.reduceat(times * each, starts, axis=1) for each in (np.ones_like(came), came, lost))
    return np.array([_decomposed(*of) for of in zip(rows, wins, losses, strict=True)])


def _decomposed(rows: Floats, wins: Floats, losses: Floats) -> tuple[float, float]:
    there = rows > 0
    n, base, own = rows.sum(), wins.sum() / rows.sum(), losses.sum() / rows.sum()
    rows, wins = rows[there], wins[there]
    recalibrated = np.asarray(optimize.isotonic_regression(wins / rows, weights=rows).x)
    least = (wins * (1 - 2 * recalibrated) + rows * recalibrated**2).sum() / n
    return max(float(own - least), 0.0), max(float(base * (1 - base) - least), 0.0)


def _bounded(estimate: Estimate) -> Estimate:
    """A mean that lies in [0, 1], without a test: nobody claims that it is 0."""
    low, high = estimate.low, estimate.high
    kept = made(
        estimate.estimate,
        None if low is None else max(low, 0.0),
        None if high is None else min(high, 1.0),
        n=estimate.n,
    )
    return without_test(kept)


def _checked(p: ArrayLike, y: ArrayLike, debates: ArrayLike) -> tuple[Floats, Floats, NDArray[np.intp]]:
    stated, came = np.asarray(p, dtype=float), np.asarray(y, dtype=float)
    group, _ = codes(debates)
    if not stated.shape == came.shape == group.shape:
        raise ValueError(
            f"{stated.shape} probabilities, {came.shape} outcomes, {group.shape} debates; one each is needed, flat"
        )
    for name, values in (("probabilities", stated), ("outcomes", came)):
        if missing := int(np.isnan(values).sum()):
            raise ValueError(f"{missing} of {values.size} {name} are NaN; drop and count what is missing first")
    if outside := int(((stated < 0) | (stated > 1)).sum()):
        raise ValueError(
            f"{outside} of {stated.size} probabilities are outside [0, 1]; percent must be divided by 100 first"
        )
    if other := int(((came != 0) & (came != 1)).sum()):
        raise ValueError(f"{other} of {came.size} outcomes are neither 0 nor 1")
    return stated, came, group


def _checked_sides(sides: ArrayLike, stated: Floats) -> NDArray[np.bool_]:
    side = np.asarray(sides)
    if side.shape != stated.shape or not np.isin(side, (0, 1)).all():
        raise ValueError("sides must hold 0 or 1 for each probability")
    return side.astype(bool)
