"""What schedules are made of: the field of who may sit where, and the meetings drawn from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from arena.types import Question


class ScheduleError(ValueError):
    """A schedule that cannot be made. The message says what is missing and where."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A match before it has settings and a seed: seat name to agent name, on a question."""

    players: Mapping[str, str]
    question: Question
    repeat: int = 0
    name: str | None = None
    mirror: bool = False
    """Whether it is the swapped one of its pair; its counterpart stands right before it."""


@dataclass(frozen=True, slots=True)
class Field:
    """What a schedule has to choose from."""

    candidates: Mapping[str, Sequence[str]]
    """Seat name to the agents who may sit there; a seat that the user filled has one."""
    questions: Sequence[Question]
    filled: Collection[str] = ()
    """The seats that the user filled."""
    repeats: int = 1
    mirrored: bool = True
    rows: Sequence[Mapping[str, Any]] = ()
    """The matches of a list, where the user gave one."""


def on_every_question(field: Field, pairings: Iterable[Mapping[str, str]]) -> list[Meeting]:
    """Each pairing on each question, `repeats` times, with its mirror after it where the field asks for that."""
    plan = [
        Meeting(pairing, question, repeat)
        for question in field.questions
        for repeat in range(field.repeats)
        for pairing in pairings
    ]
    return [side for meeting in plan for side in _sides(meeting, field.mirrored)]


def _sides(meeting: Meeting, mirrored: bool) -> list[Meeting]:
    agents = list(meeting.players.values())
    if not mirrored or len(set(agents)) == 1:
        return [meeting]
    swapped = dict(zip(meeting.players, agents[1:] + agents[:1], strict=True))
    return [meeting, replace(meeting, players=swapped, mirror=True)]
