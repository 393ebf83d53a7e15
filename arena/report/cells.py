"""Tables of the page: cells as they are shown, with what a number rests on in small letters beneath it."""

from __future__ import annotations

from typing import NamedTuple

from arena.report.words import Unit, interval, value
from arena.stats.estimate import Estimate
from arena.stats.record import Record


class Cell(NamedTuple):
    text: str
    under: str = ""
    """In small letters."""


class Table(NamedTuple):
    """The first column is set left, all others right."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    """What should be known of it, a sentence each."""


def cell(found: Record | Estimate | None, unit: Unit, *, n: bool = False) -> Cell:
    """A number above its interval, and n where that is asked for; a dash where there is none."""
    if found is None or found.estimate is None:
        return Cell("–")
    rests = [interval(found, unit)] if found.low is not None and found.high is not None else []
    rests += [f"n {found.n or 0:,}"] if n else []
    return Cell(value(found.estimate, unit), "; ".join(rests))
