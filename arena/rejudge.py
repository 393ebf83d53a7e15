"""Judge a recorded run again: a new run over what was said aloud, that pays for ballots alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arena import frames
from arena.run import Run, RunError
from arena.types import Utterance


def material(run: Run) -> Iterator[dict[str, Any]]:
    """A row a finished match, as a list of matches takes it: who sat where, and what was said aloud."""
    for played in run.played(run.read()):
        if played.walk.outcome is None:
            continue
        spec = played.spec
        yield {
            "match": spec.name,
            "topic": spec.question.text,
            "topic_id": spec.question.id,
            **{seat: agent.name for seat, agent in spec.players.items()},
            "given": [asdict(said) for said in _aloud(played)],
        }


def _aloud(played: frames.Played) -> Iterator[Utterance]:
    """What everybody at the table heard; the panel's ballots are not among it."""
    players, everybody = set(played.spec.players), set(played.walk.table.seats)
    for said in played.walk.table.transcript:
        if said.seat in players and set(said.audience) >= everybody:
            yield said


def configuration(run: Run, composed: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Path]:
    """The configuration of the new run, and the file (written into `folder`) that its matches stand in.

    `composed` is what the user's overrides make of the default configuration; the judges are taken from it, everything
    about the matches from the recorded run. Raises `RunError` when there is nothing to judge.
    """
    path = folder / "matches.jsonl"
    count = 0
    with path.open("w", encoding="utf-8") as lines:
        for row in material(run):
            count += 1
            lines.write(json.dumps(row) + "\n")
    if not count:
        raise RunError(
            f"{run.folder} has no finished match to judge again; `arena resume {run.folder}` goes on with it"
        )
    recorded = run.experiment.resolved
    agents = dict(recorded["agents"])
    for spec in run.experiment.matches:
        for agent in spec.players.values():
            agents.setdefault(agent.name, {"model": agent.model})
    resolved = dict(composed) | {
        "condition": recorded["condition"],
        "seed": recorded["seed"] if composed["seed"] == 0 else composed["seed"],
        "game": {"name": "rejudge", "params": {}, "prompts": recorded["game"]["prompts"]},
        "agents": agents,
        "seats": {},
        "topics": {"name": "recorded", "limit": None, "questions": []},
        "schedule": {"name": "explicit", "mirrored": False, "repeats": 1},
        "matches": str(path),
    }
    return resolved, path
