"""Join a finished tournament: a new run in which new agents meet those who played in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arena.run import Run, RunError
from arena.tournament import encounters, share

KEPT = ("game", "judge", "families", "topics")
"""What the new run has to share with the one that it joins, for results to be one tournament's."""


def configuration(joined: Run, resolved: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The configuration of the new run: what was played in the joined one, and in those that it joined, is written to `path`.

    `resolved` is what the user's overrides make of the joined run's configuration. Raises `RunError` where nothing was
    played out there, or what it makes is another tournament.
    """
    before = joined.experiment.resolved
    changed = [key for key in KEPT if resolved.get(key) != before.get(key)]
    changed += [f"agents.{name}" for name, agent in before["agents"].items() if resolved["agents"].get(name) != agent]
    if changed:
        raise RunError(
            f"who joins {joined.folder} plays by its rules: {', '.join(changed)} cannot be changed; "
            f"arena run --from {joined.folder} plays another tournament"
        )
    if resolved["schedule"]["name"] != "ladder":
        raise RunError(
            f"--join plays new agents against those of {joined.folder}: schedule=ladder, not {resolved['schedule']['name']}"
        )
    reading = joined.read()
    course = joined.course(reading)
    specs = joined.matches(reading)
    results = {
        spec.id: share(ended, tuple(spec.players))
        for spec in specs
        if (ended := reading.history(spec.id).ended) is not None
    }
    new = encounters(specs, results) if course is None else course.encounters(results)
    earlier = () if course is None else course.tournament.field.past
    if not new:
        raise RunError(
            f"{joined.folder} has no finished pairing to join; `arena resume {joined.folder}` goes on with it"
        )
    path.write_text("".join(json.dumps(asdict(met)) + "\n" for met in (*earlier, *new)), encoding="utf-8")
    return {**resolved, "joined": str(path)}
