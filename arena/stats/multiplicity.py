"""Tests that are read together: Holm's correction, so that the chance of any false one stays below the level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from arena.stats.estimate import Estimate


def holm(estimates: Sequence[Estimate]) -> list[Estimate]:
    """The estimates with p-values that are adjusted for one another (Holm 1979) and say so in `test`.

    Estimates without a p-value stay as they are and do not count; intervals are not changed.
    """
    tested = np.array([e.p for e in estimates if e.p is not None])
    count = len(tested)
    if count < 2:
        return list(estimates)
    order = np.argsort(tested)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.maximum.accumulate(tested[order] * np.arange(count, 0, -1)), 1.0)
    each = iter(adjusted)
    said = f"; Holm over {count}"
    return [e if e.p is None else replace(e, p=float(next(each)), test=f"{e.test}{said}") for e in estimates]
