"""Power of the t-tests over debates: what a number of debates can detect, and how many a difference needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize, stats

LEVEL = 0.05
"""Of the two-sided test."""
POWER = 0.8
"""The chance of detection that a plan is made for."""


def power(difference: float, sd: float, debates: int, *, conditions: int = 1, level: float = LEVEL) -> float:
    """The chance that a two-sided t-test over debates rejects when the mean is off by `difference`.

    `sd` is the standard deviation of the per-debate values, in the unit of the difference. With one condition it is the
    one-sample test of `debates` debates; with two, the two-sample test of `debates` each, of equal variance. It is the
    noncentral t distribution's (Cohen 1988, section 2). Raises `ValueError` for fewer than two debates.
    """
    if debates < 2:
        raise ValueError(f"a test over debates needs two of them at least, not {debates}")
    if sd == 0:
        return 1.0 if difference else level
    freedom = conditions * (debates - 1)
    shift = abs(difference) / sd * np.sqrt(debates / conditions)
    critical = stats.t.isf(level / 2, freedom)
    near: Any = stats.nct.sf(critical, freedom, shift)
    # Where the far tail is below the smallest digit, scipy has no number for it.
    far: Any = np.nan_to_num(stats.nct.cdf(-critical, freedom, shift))
    return float(min(near + far, 1.0))


def detectable(sd: float, debates: int, *, conditions: int = 1, target: float = POWER, level: float = LEVEL) -> float:
    """The smallest difference that is detected with the target's power, in the unit of `sd`.

    Raises `ValueError` for fewer than two debates.
    """

    def short(effect: float) -> float:
        return power(effect, 1.0, debates, conditions=conditions, level=level) - target

    high = 1.0
    while short(high) < 0:
        high *= 2
    found: Any = optimize.brentq(short, 0.0, high)
    return float(found) * sd


def needed(difference: float, sd: float, *, conditions: int = 1, target: float = POWER, level: float = LEVEL) -> int:
    """The smallest number of debates (in each condition) that detects the difference with the target's power.

    Raises `ValueError` for a difference of zero, which no number detects.
    """
    if difference == 0:
        raise ValueError("no number of debates detects a difference of zero")

    def enough(debates: int) -> bool:
        return power(difference, sd, debates, conditions=conditions, level=level) >= target

    high = 2
    while not enough(high):
        high *= 2
    low = max(high // 2, 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
