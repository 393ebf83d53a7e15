"""Self: everybody meets a copy of itself."""

from __future__ import annotations

from arena.meetings import Field, Meeting, ScheduleError, on_every_question


def meetings(field: Field) -> list[Meeting]:
    """Every agent that may sit in all seats, in all of them. Raises `ScheduleError` if no agent may."""
    first, *others = field.candidates.values()
    agents = [agent for agent in first if all(agent in seat for seat in others)]
    if not agents:
        filled = ", ".join(f"{seat}: {' or '.join(agents)}" for seat, agents in field.candidates.items())
        raise ScheduleError(f"schedule=self needs the same agent in every seat, but they are filled with {filled}")
    return on_every_question(field, [dict.fromkeys(field.candidates, agent) for agent in agents])
