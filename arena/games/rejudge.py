"""Rejudge: a panel decides a match that was played before, from what was said aloud in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from arena.games.debate import SEATS
from arena.table import Table
from arena.types import Outcome, Play

__all__ = ["SEATS", "Params", "play"]


@dataclass(frozen=True, slots=True)
class Params:
    """Nothing can differ but the panel."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


def play(table: Table, params: Params) -> Play:
    """Lay the record on the table and have the panel decide."""
    table.lay(table.given)
    rounds = max((utterance.round for utterance in table.given), default=1)
    decision = yield from table.verdict(table.players, round=rounds)
    return Outcome(decision)
