"""Elo, for a live display alone: it hangs on the order of the matches, so that standings are `arena.stats.ratings`'."""

from __future__ import annotations

from collections.abc import Mapping

START = 1000.0
PER_DECADE = 400.0


def updated(ratings: Mapping[str, float], first: str, second: str, score: float, k: float = 24.0) -> dict[str, float]:
    """The ratings after a match of which `first` got `score`, in [0, 1] (Elo 1978). Who is not there starts at 1000."""
    one, other = ratings.get(first, START), ratings.get(second, START)
    gained = k * (score - 1 / (1 + 10 ** ((other - one) / PER_DECADE)))
    return {**ratings, first: one + gained, second: other - gained}
