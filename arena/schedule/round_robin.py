"""Round robin: everybody meets everybody else; seats that the user filled keep who sits there."""

from __future__ import annotations

from itertools import product

from arena.meetings import Field, Meeting, ScheduleError, on_every_question


def meetings(field: Field) -> list[Meeting]:
    """Every unordered pairing of different agents, each on every question. Raises `ScheduleError` if there is none."""
    seated: dict[frozenset[str], dict[str, str]] = {}
    fixed = set(field.filled) == set(field.candidates)
    for agents in product(*field.candidates.values()):
        if fixed or len(set(agents)) == len(agents):
            seated.setdefault(frozenset(agents), dict(zip(field.candidates, agents, strict=True)))
    if not seated:
        raise ScheduleError("a round robin needs two agents at least; for an agent against its copy use schedule=self")
    return on_every_question(field, seated.values())
