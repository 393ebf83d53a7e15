"""Differences between two conditions, paired by topic and pairing where both played the same."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from arena.stats.beliefs import Beliefs
from arena.stats.clustered import clustered_mean
from arena.stats.estimate import LEVEL, Estimate, made, outcome

FEWEST_CELLS = 5
"""Topic and pairing cells that both conditions need in common for a paired comparison."""


def difference(a: Beliefs, b: Beliefs, in_a: NDArray[np.float64], in_b: NDArray[np.float64]) -> Estimate:
    """The mean of a value in condition `a` minus that in `b`; `in_a` and `in_b` hold one a debate, NaN where missing.

    Paired: the mean over cells of topic and pairing (who sat there, sides aside) of the difference of the cell's means, t
    over cells; debates of cells that only one condition has are left out. With fewer than five cells in common: the
    difference of the means over debates, Welch's t. n counts debates of both; `test` says how many cells.
    """
    cells_a, cells_b = _cells(a, in_a), _cells(b, in_b)
    common = sorted(set(cells_a) & set(cells_b))
    if len(common) >= FEWEST_CELLS:
        differences = np.array([np.mean(cells_a[cell]) - np.mean(cells_b[cell]) for cell in common])
        used = sum(len(cells_a[cell]) + len(cells_b[cell]) for cell in common)
        test = f"paired t over {len(common)} topics and pairings, no difference"
        return replace(clustered_mean(differences, np.arange(len(common)), test=test), n=used)
    x, y = (np.round(values[np.isfinite(values)], 12) for values in (in_a, in_b))
    if min(x.size, y.size) < 2 or np.ptp(x) + np.ptp(y) == 0:
        return made(x.mean() - y.mean() if x.size and y.size else None, n=x.size + y.size)
    with warnings.catch_warnings():
        # One of the two may be without spread; the other's is then the difference's.
        warnings.simplefilter("ignore", RuntimeWarning)
        tested: Any = stats.ttest_ind(x, y, equal_var=False)
        low, high = tested.confidence_interval(LEVEL)
    t, p = outcome(tested)
    test = "Welch's t over debates, no difference"
    return made(x.mean() - y.mean(), low, high, n=x.size + y.size, test=test, statistic=t, p=p)


def _cells(held: Beliefs, values: NDArray[np.float64]) -> dict[tuple[str, ...], list[float]]:
    cells: dict[tuple[str, ...], list[float]] = {}
    names = np.array(held.names, dtype=object)
    for topic, seated, value in zip(held.topics, held.models, values, strict=True):
        if np.isfinite(value):
            cells.setdefault((str(topic), *sorted(names[seated])), []).append(float(value))
    return cells
