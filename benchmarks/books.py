"""What a run's ledger says of any moment of it: which calls were in flight, and what all calls had come to by then."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arena import ledger
from arena.history import NOTHING, Spent
from arena.types import MAY_HAVE_COST, CallKey

Moment = Mapping[str, int]
"""How long each segment was then: a ledger only grows, so what it said at any time can be read later."""

Sent = tuple[str, CallKey, float]
"""A call as it left: its match, its key, and when."""


def moment(folder: Path) -> Moment:
    """The present one of a ledger."""
    return {path.name: path.stat().st_size for path in sorted(folder.glob("*.jsonl"))}


def in_flight(folder: Path, then: Moment) -> set[Sent]:
    """The calls that stood without an answer then. They are open at the endpoint, on their way there or back, or wait for
    their next try."""
    with tempfile.TemporaryDirectory() as copied:
        for name, size in then.items():
            shutil.copyfile(folder / name, Path(copied, name))
            with Path(copied, name).open("rb+") as file:
                file.truncate(size)
        return {
            (history.match, entry.key, entry.at)
            for history in ledger.read(Path(copied)).histories()
            for entry in history.entries.values()
            if entry.answer is None
        }


def spent(folder: Path) -> Iterator[tuple[str, Spent]]:
    """After each record its segment, and what all calls had come to: the most that it can for one without an answer.

    It adds up the lines by itself, so that it can contradict whoever kept the budget.
    """
    total, open_ = NOTHING, dict[tuple[Any, ...], Spent]()
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # torn by a kill
            place = record.get("match"), *record.get("key", ())
            match record["kind"]:
                case "intent":
                    # One before it, of the same place, stays at its most.
                    open_[place] = Spent(record["most_usd"] or 0.0, record["most_tokens"] or 0, 1)
                    total += open_[place]
                case "reply" | "failure":
                    most = open_.pop(place)
                    total += _came_to(record["answer"], most) - most
                case _:
                    pass
            yield path.name, total


def _came_to(answer: Mapping[str, Any], most: Spent) -> Spent:
    usage = answer.get("usage")
    if usage is None:
        return most if answer["kind"] in MAY_HAVE_COST else Spent(calls=1)
    tokens = usage["input"] + usage["output"]
    return Spent(answer["cost_usd"] or 0.0, tokens, 1) if tokens else most
