"""Ladder: a new agent against those of a finished tournament, the opponents first who say the most about its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

import numpy as np

from arena.meetings import Encounter, Field, Goal, Pairing, ScheduleError, scored
from arena.stats.sequential import evidence, outlook


@dataclass(frozen=True, slots=True)
class Params:
    """What can differ between ladders."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    pairs: int = 3
    """Opponents that each new agent meets in a round."""

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError(f"pairs is {self.pairs}; a round has one pairing at least")


def pairings(
    field: Field, past: Sequence[Encounter], params: Params, goal: Goal | None, random: Random
) -> list[Pairing]:
    """The next round: every new agent, one that the joined tournament does not know, meets the opponents whose expected score
    against it is nearest to even where least is known, each on the questions in order of how seldom the two met on them.

    The pairing follows from the results, so that its probability is 1. Raises `ScheduleError` where no tournament was
    joined, nobody is new, or seats are filled.
    """
    agents = sorted(field.agents)
    known, entrants = _known(field)
    if not known:
        raise ScheduleError("schedule=ladder joins a finished tournament: arena run --join RUN schedule=ladder")
    if not entrants:
        raise ScheduleError(
            f"schedule=ladder needs a new agent, and all of {', '.join(agents)} played in the tournament that is joined: "
            "agents.NAME.model=provider/model"
        )
    seen = outlook(evidence(*scored(past, agents), len(agents)))
    # What a pair tells of the difference of two strengths: Fisher information times what is not known of it.
    spread = np.diag(seen.covariance)
    unknown = spread[:, None] + spread[None, :] - 2 * seen.covariance
    told = seen.mean * (1 - seen.mean) * unknown
    met = Counter((frozenset((one.first, one.second)), one.question) for one in past)
    chosen: list[Pairing] = []
    for entrant in entrants:
        lots = random.sample(known, len(known))
        place = agents.index(entrant)
        best = sorted(lots, key=lambda name: -float(told[place, agents.index(name)]))
        chosen += [pairing for name in best if (pairing := _next(field, entrant, name, met, random))][: params.pairs]
    return chosen


def most(field: Field) -> int:
    """Pairings in which each new agent meets each of the others on every question as often as the field allows."""
    known, entrants = _known(field)
    return len(known) * len(entrants) * len(field.questions) * field.repeats


def _known(field: Field) -> tuple[list[str], list[str]]:
    """The agents that played in the tournament that is joined, and the others."""
    there = {name for met in field.past for name in (met.first, met.second)}
    agents = sorted(field.agents)
    return [name for name in agents if name in there], [name for name in agents if name not in there]


def _next(
    field: Field, entrant: str, opponent: str, met: Counter[tuple[frozenset[str], str]], random: Random
) -> Pairing | None:
    """The two on the question that they met on the least; None when they have met on all as often as the field allows."""
    pair = frozenset((entrant, opponent))
    question = min(field.questions, key=lambda question: met[pair, question.id])
    times = met[pair, question.id]
    first, second = random.sample((entrant, opponent), 2)
    return Pairing(first, second, question, times) if times < field.repeats else None
