"""Swiss: a round a topic, in which agents of like rating meet and nobody meets the same agent twice while that can be helped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Any, ClassVar

import networkx as nx

from arena.meetings import Encounter, Field, Goal, Pairing, scored
from arena.stats.sequential import evidence, outlook


@dataclass(frozen=True, slots=True)
class Params:
    """Nothing can differ but the field: a round a topic, and that `repeats` times."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


def pairings(
    field: Field, past: Sequence[Encounter], params: Params, goal: Goal | None, random: Random
) -> list[Pairing]:
    """The next round (Monrad): neighbours by what they have scored meet, as far as no pair has met before.

    Of all perfect pairings the one is taken that repeats the fewest meetings, then gives the bye, where agents are odd in
    number, to whoever had the fewest, and lowest in the order first, then pairs the closest. Those with the same score are
    ordered by lot. The pairing follows from the results, so that its probability is 1.
    Raises `ScheduleError` where seats are filled.
    """
    number = max((met.round for met in past), default=-1) + 1
    rounds = [(question, repeat) for repeat in range(field.repeats) for question in field.questions]
    if number >= len(rounds):
        return []
    question, repeat = rounds[number]
    order = _order(sorted(field.agents), past, random)
    places = range(len(order) + len(order) % 2)  # where agents are odd in number, the last place is the bye
    met = Counter(frozenset((one.first, one.second)) for one in past)
    played = Counter(name for one in past for name in (one.first, one.second))
    # Each step outweighs all that may come below it: closeness, then byes, then meetings again.
    bye = len(places) ** 3
    again = bye * (number + 2)
    graph: Any = nx.Graph()
    for i, j in combinations(places, 2):
        if j == len(order):
            graph.add_edge(i, j, weight=bye * (number - played[order[i]]) + (len(order) - 1 - i))
        else:
            graph.add_edge(i, j, weight=again * met[frozenset((order[i], order[j]))] + (i - j) ** 2)
    matched = sorted(tuple(sorted(edge)) for edge in nx.min_weight_matching(graph))
    pairs = [random.sample((order[i], order[j]), 2) for i, j in matched if j < len(order)]
    return [Pairing(first, second, question, repeat) for first, second in pairs]


def most(field: Field) -> int:
    """Pairings that all rounds come to."""
    return len(field.agents) // 2 * len(field.questions) * field.repeats


def _order(agents: Sequence[str], past: Sequence[Encounter], random: Random) -> list[str]:
    """The agents by their rating so far, the best first; by lot where that is the same."""
    strength = dict(zip(agents, outlook(evidence(*scored(past, agents), len(agents))).strength, strict=True))
    lots = random.sample(agents, len(agents))
    return sorted(lots, key=lambda name: -strength[name])
