"""Drawing debates anew from those there are: how intervals are made where no formula gives them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from arena.stats.estimate import LEVEL

ROW_DRAWS = 35_000_000
"""Rows times draws at most: of many rows there are fewer draws, at least `FEWEST_DRAWS`."""

FEWEST_DRAWS = 100


def draws_of(rows: int, wanted: int) -> int:
    """How many draws so many rows get."""
    return max(FEWEST_DRAWS, min(wanted, ROW_DRAWS // rows))


def chunks(draws: int, rows: int) -> Iterator[int]:
    """Draws at once, so that no array gets past some megabytes."""
    at_once = max(1, 1_000_000 // rows)
    for done in range(0, draws, at_once):
        yield min(at_once, draws - done)


def resamples(group: NDArray[np.intp], draws: int, random: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """How often each row occurs where whole groups are drawn with replacement: arrays (some draws, rows).

    `group` numbers the groups from 0.
    """
    count = int(group.max()) + 1
    for size in chunks(draws, group.size):
        chosen = random.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(chosen.ravel(), minlength=size * count).reshape(size, count)
        yield times.take(group, axis=1).astype(float)


def basic_interval(shown: float, drawn: NDArray[np.float64]) -> tuple[float, float]:
    """The basic (reversed percentile) interval of what lies in [0, 1] (Davison and Hinkley 1997, section 5.2).

    By how much the draws exceed what is shown says by how much that exceeds the truth: bias is taken out, and where there
    is much of it the interval may lie on one side of the estimate.
    """
    below, above = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(np.clip(2 * shown - above, 0, 1)), float(np.clip(2 * shown - below, 0, 1))
