"""Comparisons for tests: from matches that are written down, and from agents of known strength."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arena.stats.comparisons import Comparisons

Match = tuple[str, str, float]
"""Who sat first, who second, and what the first got."""


def compared(
    matches: Sequence[Match],
    *,
    judge: ArrayLike | None = None,
    pair: ArrayLike | None = None,
    topic: ArrayLike | None = None,
    probability: ArrayLike | None = None,
) -> Comparisons:
    """A row a match; without more, one judge, and every match a pair of its own on a topic of its own."""
    each = np.arange(len(matches))
    agents = tuple(sorted({name for match in matches for name in match[:2]}))
    judges = np.zeros_like(each) if judge is None else np.asarray(judge)
    return Comparisons(
        agents,
        tuple(f"judge {n}" for n in range(int(judges.max(initial=0)) + 1)),
        np.array([agents.index(first) for first, _, _ in matches]),
        np.array([agents.index(second) for _, second, _ in matches]),
        np.array([score for _, _, score in matches], dtype=float),
        judges,
        each,
        each if pair is None else np.asarray(pair),
        each if topic is None else np.asarray(topic),
        np.ones(len(matches)) if probability is None else np.asarray(probability, dtype=float),
    )


def played(
    random: np.random.Generator,
    strength: NDArray[np.float64],
    matches: int,
    *,
    side: float = 0.0,
    ties: float = 0.0,
    every_pair: bool = False,
) -> list[Match]:
    """Matches between agents of these log-odds, drawn by Davidson's model; who meets whom is drawn or goes round."""
    seats = np.argwhere(~np.eye(len(strength), dtype=bool))
    first, second = seats[np.arange(matches) % len(seats) if every_pair else random.integers(0, len(seats), matches)].T
    half = (strength[first] - strength[second] + side) / 2
    parts = np.cumsum([np.exp(-half), np.full(matches, ties), np.exp(half)], axis=0)
    score = (random.random(matches) * parts[2] > parts[:2]).sum(axis=0) / 2
    return [(f"agent {i}", f"agent {j}", float(s)) for i, j, s in zip(first, second, score, strict=True)]
