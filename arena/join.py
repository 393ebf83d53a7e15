"""Join a finished tournament: a new run in which new agents meet those who played in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from arena.run import Run, RunError
from arena.tournament import encounters, share


def configuration(joined: Run, resolved: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The configuration of the new run: what was played in the joined one is written to `path`.

    `resolved` is what the user's overrides make of the joined run's configuration. Raises `RunError` where nothing was
    played out there.
    """
    reading = joined.read()
    course = joined.course(reading)
    specs = joined.matches(reading)
    results = {
        spec.id: share(ended, tuple(spec.players))
        for spec in specs
        if (ended := reading.history(spec.id).ended) is not None
    }
    played = encounters(specs, results) if course is None else course.encounters(results)
    if not played:
        raise RunError(
            f"{joined.folder} has no finished pairing to join; `arena resume {joined.folder}` goes on with it"
        )
    path.write_text("".join(json.dumps(asdict(met)) + "\n" for met in played), encoding="utf-8")
    return {**resolved, "joined": str(path)}
