"""What every statistic returns: an estimate with its interval, how many units it rests on, and its test."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

LEVEL = 0.95
"""Confidence level of every interval, two-sided."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate, its interval and its test. What does not exist is None, never NaN: `finite` sees to it."""

    estimate: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """Units that the estimate rests on; the function that makes it says which."""
    test: str | None = None
    """The test in words, its null hypothesis and unit included."""
    statistic: float | None = None
    p: float | None = None


def finite(value: float | None) -> float | None:
    """The value as a plain float of twelve digits; None where it is none, not a number or infinite.

    What sums of decimal fractions leave behind in the last bits is no result.
    """
    return None if value is None or not math.isfinite(value) else float(f"{value:.12g}") + 0.0


def bounded(estimate: Estimate, least: float = 0.0, most: float = 1.0) -> Estimate:
    """The estimate with its interval cut to what is possible, without a test."""
    low, high = estimate.low, estimate.high
    kept = replace(
        estimate, low=None if low is None else max(low, least), high=None if high is None else min(high, most)
    )
    return without_test(kept)


def made(
    estimate: float | None,
    low: float | None = None,
    high: float | None = None,
    *,
    n: int,
    test: str | None = None,
    statistic: float | None = None,
    p: float | None = None,
) -> Estimate:
    """An `Estimate` of plain finite floats. A test that gives no p-value is left out whole."""
    p = finite(p)
    return Estimate(
        finite(estimate), finite(low), finite(high), int(n), test if p is not None else None,
        finite(statistic) if p is not None else None, p,
    )  # fmt: skip


def outcome(tested: Any) -> tuple[float, float]:
    """Statistic and p-value of one of scipy's test results."""
    return float(tested.statistic), float(tested.pvalue)


def without_test(estimate: Estimate) -> Estimate:
    """The estimate and its interval alone."""
    return replace(estimate, test=None, statistic=None, p=None)
