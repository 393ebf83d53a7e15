"""Random: pairings drawn by lot, so that every pairing has the same chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import ClassVar

from arena.meetings import Encounter, Field, Goal, Pairing


@dataclass(frozen=True, slots=True)
class Params:
    """What can differ between draws."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    pairs: int | None = None
    """Pairings a round; None draws as many as there would be with nobody sitting twice."""

    def __post_init__(self) -> None:
        if self.pairs is not None and self.pairs < 1:
            raise ValueError(f"pairs is {self.pairs}; a round has one pairing at least")


def pairings(
    field: Field, past: Sequence[Encounter], params: Params, goal: Goal | None, random: Random
) -> list[Pairing]:
    """The next round, drawn without replacement from all that was not played: two agents, a question, a repeat.

    A pairing's probability is the share of what is left that is drawn. Raises `ScheduleError` where seats are filled.
    """
    played = {(frozenset((met.first, met.second)), met.question, met.repeat) for met in past}
    left = [
        (pair, question, repeat)
        for repeat in range(field.repeats)
        for question in field.questions
        for pair in combinations(sorted(field.agents), 2)
        if (frozenset(pair), question.id, repeat) not in played
    ]
    wanted = min(params.pairs or len(field.agents) // 2, len(left))
    drawn = random.sample(left, wanted)
    return [
        Pairing(first, second, question, repeat, wanted / len(left))
        for pair, question, repeat in drawn
        for first, second in [random.sample(pair, 2)]
    ]
