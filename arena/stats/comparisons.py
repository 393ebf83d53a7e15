"""Who met whom, and what came of it: the rows that ratings are made of, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Comparisons:
    """A row is what one judge made of one match, or the panel where no ballots are known. All arrays have a value a row."""

    agents: tuple[str, ...]
    judges: tuple[str, ...]
    first: NDArray[np.intp]
    """Who sat in the first seat, as an index of `agents`."""
    second: NDArray[np.intp]
    score: NDArray[np.float64]
    """1 where the first seat won, 0 where the second did, 0.5 for a tie."""
    judge: NDArray[np.intp]
    """An index of `judges`."""
    match: NDArray[np.intp]
    """The number of the match."""
    pair: NDArray[np.intp]
    """The number of the mirrored pair; a match without a mirror is a pair of its own."""
    topic: NDArray[np.intp]
    """The number of the topic."""
    probability: NDArray[np.float64]
    """With what probability the schedule chose this pairing."""
