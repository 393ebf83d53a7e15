"""What judges do besides judging: lean to a side, disagree with themselves and each other, follow order and length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from arena.stats.clustered import clustered_mean, clustered_slope, codes
from arena.stats.estimate import LEVEL, Estimate, made
from arena.stats.logistic import Logistic, logistic

DRAWS = 1000
"""Bootstrap draws behind the interval of Krippendorff's alpha."""

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two ballots on one debate choose the same, and the counts behind it."""

    share: Estimate
    """The mean over debates of each debate's share of agreeing pairs; n counts debates that have a pair."""
    agreements: int
    pairs: int


@dataclass(frozen=True, slots=True)
class OrderEffect:
    """What presenting the sides the other way round does to the share of one side."""

    difference: Estimate
    """Side share in order 1 minus that in order 0, in probability; n counts debates."""
    paired: bool
    """Whether debates that were judged in both orders are compared with themselves."""
    left_out: int
    """Debates that a paired comparison cannot use, having been judged in one order alone."""


@dataclass(frozen=True, slots=True)
class Flips:
    """How often a ballot names another side when the speeches are read in the other order."""

    rate: Estimate
    """The share of ballots; n counts debates."""
    flips: int
    pairs: int
    """Ballots that were read in both orders."""
    left_out: int
    """Ballots that were read in one order alone."""


def side_share(choice: ArrayLike, debates: ArrayLike) -> Estimate:
    """The share of ballots for the second-named side (the opposition), tested against one half.

    Here and below a row is a ballot that was read: `choice` is the index of the side that it names, 0 or 1, `debates` says
    which debate it is on, `judges` by whom. Pass one judge's ballots for that judge. n counts debates. All raise
    `ValueError` on NaN. The interval is Wilson's at the effective number of ballots, which allows for the ballots of one
    debate going together (Korn and Graubard 1998); the test is the cluster-robust score test.
    """
    chosen = _checked(choice, ("debates", debates), sides=True)
    group, count = codes(debates)
    if not chosen.size:
        return made(None, n=0)
    leaning = np.bincount(group, chosen.astype(float) - 0.5, count)
    z = float(leaning.sum()) / np.sqrt(float(leaning @ leaning) or 1.0)
    return _share(chosen.astype(float), group, count, z, "cluster-robust score test by debate, share = 0.5")


def self_agreement(choice: ArrayLike, debates: ArrayLike, judges: ArrayLike) -> Agreement:
    """Agreement between ballots that the same judge cast on the same debate. Choices may be of any number of kinds."""
    return _agreement(*_within(choice, debates, judges))


def judge_agreement(choice: ArrayLike, debates: ArrayLike, judges: ArrayLike) -> Agreement:
    """Agreement between ballots that different judges cast on the same debate; of two judges, pass their ballots."""
    agree, pairs = _within(choice, debates, np.zeros(np.shape(choice), dtype=int))
    own_agree, own_pairs = _within(choice, debates, judges)
    return _agreement(agree - own_agree, pairs - own_pairs)


def krippendorff_alpha(choice: ArrayLike, debates: ArrayLike, random: np.random.Generator) -> Estimate:
    """Krippendorff's alpha for nominal choices (Krippendorff 2019, chapter 12): 1 is agreement, 0 what chance gives.

    Debates are the units and every ballot a value; debates may have different numbers of ballots, those with fewer than two
    are left out of n. Pass one ballot a judge where judges, not ballots, are to be compared. The interval is the
    bias-corrected and accelerated bootstrap's by debate (Efron 1987); with nearly all ballots for one choice it is somewhat
    short. None where all ballots choose the same; draws in which they do are not counted.
    """
    chosen = _checked(choice, ("debates", debates))
    counts = _counts(chosen, codes(debates)[0])
    counts = counts[counts.sum(axis=1) >= 2]
    n = len(counts)
    if n == 0:
        return made(None, n=0)
    # Debates with the same counts are interchangeable, so that a draw says how many of each kind there are.
    kinds, times = np.unique(counts, axis=0, return_counts=True)
    alpha = float(_alpha(times[None], kinds)[0])
    if np.isnan(alpha):
        return made(None, n=n)
    drawn = _alpha(random.multinomial(n, times / n, size=DRAWS), kinds)
    without = _alpha(times - np.eye(len(times), dtype=np.intp), kinds)
    return made(
        alpha, *_interval(alpha, drawn[np.isfinite(drawn)], np.where(np.isnan(without), alpha, without), times), n=n
    )


def order_effect(choice: ArrayLike, debates: ArrayLike, order: ArrayLike) -> OrderEffect:
    """How the share of ballots for the second-named side differs between two orders of presentation, 0 and 1 a ballot.

    Where at least half of the debates were judged in both orders, each of these is compared with itself (t over
    debates); otherwise all ballots are compared, clustered by debate. None where only one order occurs.
    """
    chosen = _checked(choice, ("debates", debates), ("order", order), sides=True).astype(float)
    way = _orders(order)
    group, count = codes(debates)
    if np.unique(way).size < 2:
        return OrderEffect(made(None, n=count), False, 0)
    rows = np.stack([np.bincount(group, way == k, count) for k in (0, 1)])
    wins = np.stack([np.bincount(group, chosen * (way == k), count) for k in (0, 1)])
    both = (rows > 0).all(axis=0)
    if both.sum() * 2 < count:
        test = "jackknife t by debate, same share in both orders"
        return OrderEffect(clustered_slope(chosen, way, group, test=test), False, 0)
    shares = wins[:, both] / rows[:, both]
    difference = clustered_mean(shares[1] - shares[0], np.arange(both.sum()), test="paired t over debates, same share")
    return OrderEffect(difference, True, int((~both).sum()))


def flip_rate(choice: ArrayLike, debates: ArrayLike, ballots: ArrayLike, order: ArrayLike) -> Flips:
    """The share of ballots whose two readings, one in each order of the speeches (0 and 1), choose differently.

    `ballots` says which ballot of which judge a row is: rows that share it and the debate are one ballot, read twice. A judge
    that goes by order alone flips always, one without any doubt never; one that wavers flips too, as often as it disagrees
    with itself within an order (`self_agreement`). The interval is Wilson's, as in `side_share`. Raises `ValueError`
    where a ballot was read twice in one order.
    """
    chosen = _checked(choice, ("debates", debates), ("ballots", ballots), ("order", order))
    way = _orders(order)
    (group, _), (ballot, kinds) = codes(debates), codes(ballots)
    cells, cell = np.unique(group * max(kinds, 1) + ballot, return_inverse=True)
    readings = np.stack([np.bincount(cell, way == k, len(cells)) for k in (0, 1)])
    if (twice := int((readings > 1).any(axis=0).sum())) > 0:
        raise ValueError(f"{twice} ballots were read more than once in one order; number ballots apart")
    both = (readings == 1).all(axis=0)
    read = [np.zeros(len(cells), dtype=chosen.dtype) for _ in (0, 1)]
    for k in (0, 1):
        read[k][cell[way == k]] = chosen[way == k]
    flipped = (read[0] != read[1])[both].astype(float)
    debate, count = codes((cells // max(kinds, 1))[both])
    rate = _share(flipped, debate, count) if flipped.size else made(None, n=0)
    return Flips(rate, int(flipped.sum()), int(both.sum()), int((~both).sum()))


def panel_agreement(choice: ArrayLike, debates: ArrayLike, own: ArrayLike) -> Estimate:
    """The share of a judge's ballots that choose what most ballots of the other judges on the debate do.

    `own` says which ballots are the judge's. Debates in which the others are evenly divided, or silent, are left out; n counts
    the others. The interval is Wilson's, as in `side_share`.
    """
    chosen = _checked(choice, ("debates", debates), ("own", own))
    mine = np.asarray(own, dtype=bool)
    if not mine.any() or mine.all():
        return made(None, n=0)
    group, count = codes(debates)
    kind, kinds = codes(chosen)
    votes = np.bincount((group * kinds + kind)[~mine], minlength=count * kinds).reshape(count, kinds)
    most = votes.max(axis=1)
    divided = (votes == most[:, None]).sum(axis=1) > 1
    rows = mine & ~divided[group]
    if not rows.any():
        return made(None, n=0)
    debate, there = codes(group[rows])
    return _share((kind == votes.argmax(axis=1)[group])[rows].astype(float), debate, there)


def family_effect(named: ArrayLike, debates: ArrayLike, kin: ArrayLike) -> Estimate:
    """By how much a judge prefers sides of its own family: the share of its ballots that name such a side, minus the share
    of other judges' ballots on the same debates that do.

    A row is a ballot on a debate in which one side is of the judge's family: `named` says whether it names that side, `kin`
    whether it is the judge's own or one of judges that are of neither side's family, who say what the side is worth. Each
    debate that has both is one difference (t over debates); n counts these.
    """
    chosen = _checked(named, ("debates", debates), ("kin", kin), sides=True).astype(float)
    group, count = codes(debates)
    related = np.asarray(kin, dtype=bool)
    ballots = np.stack([np.bincount(group, related == k, count) for k in (False, True)])
    both = (ballots > 0).all(axis=0)
    if not both.any():
        return made(None, n=0)
    wins = np.stack([np.bincount(group, chosen * (related == k), count) for k in (False, True)])
    shares = wins[:, both] / ballots[:, both]
    return clustered_mean(
        shares[1] - shares[0], np.arange(both.sum()), test="paired t over debates, same share as other judges"
    )


def length_effect(choice: ArrayLike, debates: ArrayLike, first: ArrayLike, second: ArrayLike) -> Logistic:
    """How ballots go with the length of the speeches: log-odds for the second-named side per unit of log(second / first).

    `first` and `second` hold the characters that each side spoke, a ballot a row. A slope of 1 says that twice the text has
    twice the odds. The intercept is the log-odds at equal lengths. See `arena.stats.logistic`. Raises `ValueError`
    where a length is not above 0.
    """
    chosen = _checked(choice, ("debates", debates), ("first", first), ("second", second), sides=True)
    lengths = np.stack([np.asarray(first, dtype=float), np.asarray(second, dtype=float)])
    if without := int((~(lengths > 0)).any(axis=0).sum()):
        raise ValueError(f"{without} of {chosen.size} ballots have a side without text; drop and count them first")
    return logistic(
        chosen, np.log(lengths[1] / lengths[0]), debates, "score test by debate, choice unrelated to length"
    )


# ------------------------------------------------------------------ shared


def _orders(order: ArrayLike) -> NDArray[np.generic]:
    way = np.asarray(order)
    if not np.isin(way, (0, 1)).all():
        raise ValueError("order must hold 0 or 1 for each ballot")
    return way


def _share(values: Floats, group: Numbers, count: int, z: float | None = None, test: str | None = None) -> Estimate:
    """A mean of values in [0, 1] with an interval that stays there."""
    mean = float(values.mean())
    p = None if z is None else 2 * float(stats.norm.sf(abs(z)))
    if count < 2:
        return made(mean, n=count, test=test, statistic=z, p=p)
    sums = np.bincount(group, values - mean, count)
    variance = count / (count - 1) * float(sums @ sums) / values.size**2
    # Without spread between debates, each counts as one ballot: that all agree is no proof that all others would.
    effective = mean * (1 - mean) / variance if variance > 1e-12 else count
    t = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1))
    middle = (mean + t**2 / (2 * effective)) / (1 + t**2 / effective)
    half = t / (1 + t**2 / effective) * np.sqrt(mean * (1 - mean) / effective + (t / (2 * effective)) ** 2)
    return made(mean, max(middle - half, 0.0), min(middle + half, 1.0), n=count, test=test, statistic=z, p=p)


def _within(choice: ArrayLike, debates: ArrayLike, judges: ArrayLike) -> tuple[Numbers, Numbers]:
    """Agreeing pairs and pairs of ballots by the same judge, per debate."""
    chosen = _checked(choice, ("debates", debates), ("judges", judges))
    (group, count), (judge, panel) = codes(debates), codes(judges)
    cells, cell = np.unique(group * max(panel, 1) + judge, return_inverse=True)
    counts = _counts(chosen, cell)
    debate, ballots = cells // max(panel, 1), counts.sum(axis=1)
    pairs_of = (ballots * (ballots - 1) // 2, (counts * (counts - 1) // 2).sum(axis=1))
    pairs, agree = (np.bincount(debate, of, count).astype(np.intp) for of in pairs_of)
    return agree, pairs


def _agreement(agree: Numbers, pairs: Numbers) -> Agreement:
    shares = agree[pairs > 0] / pairs[pairs > 0]
    share = _share(shares, np.arange(shares.size), shares.size) if shares.size else made(None, n=0)
    return Agreement(share, int(agree.sum()), int(pairs.sum()))


def _counts(chosen: NDArray[np.generic], group: Numbers) -> Numbers:
    """How many ballots of each group name each choice: an array (groups, choices)."""
    if not chosen.size:
        return np.zeros((0, 1), dtype=np.intp)
    kind, kinds = codes(chosen)
    groups = int(group.max()) + 1
    return np.bincount(group * kinds + kind, minlength=groups * kinds).reshape(groups, kinds)


def _alpha(times: Numbers, kinds: Numbers) -> Floats:
    """Alpha of each row of `times`, which says how many debates of each kind there are; NaN where nothing varies."""
    ballots = kinds.sum(axis=1)
    observed = times @ ((ballots**2 - (kinds**2).sum(axis=1)) / (ballots - 1))
    named = (times @ kinds).astype(float)
    total = named.sum(axis=1)
    expected = (total**2 - (named**2).sum(axis=1)) / (total - 1)
    return 1 - np.divide(observed, expected, out=np.full(len(times), np.nan), where=expected > 0)


def _interval(alpha: float, drawn: Floats, without: Floats, times: Numbers) -> tuple[float, float] | tuple[None, None]:
    """Between quantiles of the draws, moved for bias and skewness; `without` is alpha with one debate of a kind left out."""
    if times.sum() < 2 or not drawn.size:
        return None, None
    off = (times @ without) / times.sum() - without
    skewness = float(times @ off**3) / (6 * float(times @ off**2) ** 1.5 or 1.0)
    below = (np.sum(drawn < alpha) + np.sum(drawn == alpha) / 2) / drawn.size
    bias = stats.norm.ppf(np.clip(below, 1 / drawn.size, 1 - 1 / drawn.size))
    moved = bias + stats.norm.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.quantile(drawn, stats.norm.cdf(bias + moved / (1 - skewness * moved)))
    return float(low), float(high)


def _checked(choice: ArrayLike, *others: tuple[str, ArrayLike], sides: bool = False) -> NDArray[np.generic]:
    """The choices, if everything else has one value a ballot."""
    chosen = np.asarray(choice)
    for name, values in (("choice", choice), *others):
        column = np.asarray(values)
        if column.shape != (chosen.size,):
            raise ValueError(
                f"{name} has shape {column.shape} for {chosen.size} ballots; one value each is needed, flat"
            )
        if column.dtype.kind == "f" and (missing := int(np.isnan(column).sum())):
            raise ValueError(
                f"{missing} of {column.size} values of {name} are NaN; drop and count what is missing first"
            )
    if sides and (other := int((~np.isin(chosen, (0, 1))).sum())):
        raise ValueError(f"{other} of {chosen.size} choices are neither 0 nor 1")
    return chosen
