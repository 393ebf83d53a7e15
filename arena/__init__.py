"""Debates and speaker-listener games between language models, with private and public confidence every round.

import arena

tables = arena.load("runs/mine")                  # a table an attribute: tables.confidences ...
numbers = arena.statistics("runs/mine")           # what `arena stats` gives, a row a number
standings = arena.ratings("runs/mine")            # what `arena rate` gives
experiment = arena.compose(["seed=1"])            # what `arena run seed=1` would play
folder = await arena.play(experiment)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arena.api import Tables, compose, load, play, ratings, statistics

__all__ = ["Tables", "compose", "load", "play", "ratings", "statistics"]


def __getattr__(name: str) -> Any:
    # Lazy, so that `import arena` and `arena --help` stay light.
    if name in __all__:
        from arena import api

        return getattr(api, name)
    raise AttributeError(f"module 'arena' has no attribute {name!r}")
