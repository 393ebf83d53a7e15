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
    probability: float = 1.0
    """With what probability the schedule chose it."""


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
    past: Sequence[Encounter] = ()
    """What was played in an earlier tournament that this one joins."""

    @property
    def agents(self) -> Sequence[str]:
        """Who may sit anywhere. Raises `ScheduleError` where seats are not all open to the same, or fewer than two."""
        first, *others = self.candidates.values()
        if len(others) != 1:
            raise ScheduleError(f"a tournament pairs agents for two seats; this game has {', '.join(self.candidates)}")
        if self.filled or any(set(seat) != set(first) for seat in others):
            filled = f" ({', '.join(sorted(self.filled))} is filled)" if self.filled else ""
            raise ScheduleError(
                f"this schedule pairs agents for two seats that are open to all of them{filled}; name agents instead"
            )
        if len(first) < 2:
            raise ScheduleError(f"a tournament needs two agents at least, and has {', '.join(first) or 'none'}")
        return first


# ------------------------------------------------------------------ schedules that wait for results


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two agents who are to meet on a question: once, or twice with sides swapped where the field is mirrored."""

    first: str
    second: str
    question: Question
    repeat: int = 0
    """How often the two have met on this question before."""
    probability: float = 1.0
    """With what probability, given all before, the schedule chose these two for this round."""


@dataclass(frozen=True, slots=True)
class Encounter:
    """A pairing that was played, as schedules and stopping rules see it."""

    first: str
    second: str
    question: str
    """The question's id."""
    repeat: int
    score: float | None
    """What `first` got of it, in [0, 1]: the mean over its matches, 0.5 for a draw, between for a divided panel. None where
    nobody decided one of them."""
    round: int
    """The number of the round that it was played in, from 0."""


def scored(past: Iterable[Encounter], agents: Sequence[str]) -> tuple[list[int], list[int], list[float], list[int]]:
    """The decided encounters between the agents as columns: first and second as indices of `agents`, score, round."""
    place = {name: index for index, name in enumerate(agents)}
    rows = [
        (place[met.first], place[met.second], met.score, met.round)
        for met in past
        if met.score is not None and met.first in place and met.second in place
    ]
    first, second, score, round_ = zip(*rows, strict=True) if rows else ((), (), (), ())
    return list(first), list(second), list(score), list(round_)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a tournament wants to know."""

    top: int | None
    """Who the best so many are; None for the whole order."""
    level: float = 0.05
    """How often a wrong answer is given, at most."""


def on_every_question(field: Field, pairings: Iterable[Mapping[str, str]]) -> list[Meeting]:
    """Each pairing on each question, `repeats` times, with its mirror after it where the field asks for that."""
    plan = [
        Meeting(pairing, question, repeat)
        for question in field.questions
        for repeat in range(field.repeats)
        for pairing in pairings
    ]
    return [side for meeting in plan for side in _sides(meeting, field.mirrored)]


def meetings_of(pairings: Iterable[Pairing], field: Field) -> list[Meeting]:
    """Pairings as meetings, each with its mirror after it where the field asks for that."""
    plan = [
        Meeting(
            dict(zip(field.candidates, (pairing.first, pairing.second), strict=True)),
            pairing.question,
            pairing.repeat,
            probability=pairing.probability,
        )
        for pairing in pairings
    ]
    return [side for meeting in plan for side in _sides(meeting, field.mirrored)]


def _sides(meeting: Meeting, mirrored: bool) -> list[Meeting]:
    agents = list(meeting.players.values())
    if not mirrored or len(set(agents)) == 1:
        return [meeting]
    swapped = dict(zip(meeting.players, agents[1:] + agents[:1], strict=True))
    return [meeting, replace(meeting, players=swapped, mirror=True)]
