"""Judge a recorded run again: a new run over what was said aloud, that pays for ballots alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arena.history import Played
from arena.run import Run, RunError
from arena.tournament import plain
from arena.types import Utterance

JUDGING = ("judge", "families", "limits", "provider", "prices", "budget", "runner", "chaos", "name", "runs", "attempts")
"""The keys that a judgement may change; all about the matches is the recorded run's."""


def material(run: Run) -> Iterator[dict[str, Any]]:
    """A row a finished match: its number in the plan, and what was said aloud.

    Where a schedule waited for results, the plan is what it decided: every match has its row then, with the meeting that it
    was, and one that is not finished has nothing on the table.
    """
    reading = run.read()
    course = run.course(reading)
    decided = [] if course is None else [plain(meeting) for round_ in course.rounds for meeting in round_.meetings]
    for number, played in enumerate(run.played(reading)):
        finished = played.walk.outcome is not None
        row: dict[str, Any] = {"number": number, "match": played.spec.name}
        row["given"] = [asdict(said) for said in _aloud(played)] if finished else None
        if decided:
            yield row | {"meeting": decided[number]}
        elif finished:
            yield row


def _aloud(played: Played) -> Iterator[Utterance]:
    """What everybody at the table heard of the players; the panel's ballots are not among it."""
    everybody = set(played.walk.table.seats)
    for said in played.walk.table.transcript:
        if said.seat in played.spec.players and set(said.audience) >= everybody:
            yield said


def configuration(run: Run, composed: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The configuration of the new run; what was said is written to `path`.

    `composed` is what the user's overrides make of the default configuration. Raises `RunError` when there is nothing
    to judge.
    """
    count = 0
    with path.open("w", encoding="utf-8") as lines:
        for row in material(run):
            count += row["given"] is not None
            lines.write(json.dumps(row) + "\n")
    if not count:
        raise RunError(
            f"{run.folder} has no finished match to judge again; `arena resume {run.folder}` goes on with it"
        )
    recorded = run.experiment.resolved
    game = {"name": "rejudge", "params": {}, "prompts": recorded["game"]["prompts"]}
    judging = {key: composed[key] for key in JUDGING}
    # The recorded players are not called, but their providers have to know them.
    judging["provider"] = _merged(recorded["provider"], composed["provider"])
    return {**recorded, **judging, "game": game, "given": str(path)}


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables as one; where both have a value the second's holds."""
    both = {**under, **over}
    tables = (key for key in over if isinstance(under.get(key), Mapping) and isinstance(over[key], Mapping))
    return both | {key: _merged(under[key], over[key]) for key in tables}
