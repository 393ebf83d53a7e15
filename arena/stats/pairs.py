"""What both sides of a debate believe at once: exactly one can win, so their chances should add up to one."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from arena.stats.clustered import clustered_mean
from arena.stats.estimate import LEVEL, Estimate, made


def pair_sum(a: ArrayLike, b: ArrayLike) -> Estimate:
    """The mean of a + b - 1 over debates: by how much the two sides' chances add up to more than one.

    `a` and `b` hold one confidence in [0, 1] a debate. One-sample t-test against 0 with the debate as unit, two-sided:
    it keeps its size whatever the correlation within a debate, which treating the sides as independent does not.
    """
    excess = _excess(a, b)
    return clustered_mean(excess, np.arange(excess.size), test="one-sample t over debates, a + b = 1")


def dutch_book_loss(a: ArrayLike, b: ArrayLike) -> Estimate:
    """The mean sure loss of the pair to a bookmaker, in stakes: |a + b - 1| (de Finetti 1937).

    Each side holds a bet that pays one stake if it wins to be worth its confidence. Where the two add up to more than
    one, a bookmaker sells both a bet and pays out one; where less, it buys both. Interval by t over debates.
    """
    loss = np.abs(_excess(a, b))
    made_ = clustered_mean(loss, np.arange(loss.size))
    low = None if made_.low is None else max(made_.low, 0.0)
    return made(made_.estimate, low, made_.high, n=made_.n)


def both_above(a: ArrayLike, b: ArrayLike, threshold: float, *, inclusive: bool = False) -> Estimate:
    """The share of debates in which both sides are above the threshold, with the Wilson (1927) interval."""
    above: Callable[..., np.ndarray] = operator.ge if inclusive else operator.gt
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    # Confidences are decimal fractions: 0.75 stated as 75 % must meet 0.75.
    both = above(np.round(x, 9), threshold) & above(np.round(y, 9), threshold)
    return share(int(both.sum()), both.size)


def share(count: int, n: int) -> Estimate:
    """A share of n with the Wilson interval."""
    if n == 0:
        return made(None, n=0)
    interval = stats.binomtest(count, n).proportion_ci(LEVEL, method="wilson")
    return made(count / n, max(interval.low, 0.0), min(interval.high, 1.0), n=n)


def _excess(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    excess = np.asarray(a, dtype=float) + np.asarray(b, dtype=float) - 1
    # 0.55 + 0.45 is 1 in hundredths, whatever binary fractions make of it.
    return np.round(excess, 12)
