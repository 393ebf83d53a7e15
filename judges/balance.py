"""Which of the judges who may sit in a match do: all equally often, and equally often with each agent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Bench:
    """What is judged by one panel: the match, or the two of a mirrored pair."""

    agents: Collection[str]
    """Who speaks."""
    eligible: Sequence[str]
    """The judges who may sit, in the order of the whole panel."""


def panels(benches: Sequence[Bench], size: int, seed: int) -> Iterator[tuple[str, ...]]:
    """The judges of each bench, `size` of those who may sit there.

    Whoever is furthest behind sits: behind its share of all benches so far, then of those with the same agents, then by lot
    from the seed. A share counts `size / eligible` for each bench where a judge might have sat, so that nobody makes
    up for benches that it was barred from. A panel depends on the benches before it and on nothing after. Raises
    `ValueError` where fewer than `size` may sit.
    """
    lots = Random(f"panels:{seed}")
    behind: defaultdict[str, float] = defaultdict(float)
    behind_with: defaultdict[tuple[str, str], float] = defaultdict(float)
    for bench in benches:
        eligible = bench.eligible
        if len(eligible) < size:
            raise ValueError(f"{len(eligible)} judges may sit on a bench that wants {size}")
        agents = sorted(set(bench.agents))
        lot = {judge: lots.random() for judge in eligible}
        owed = {
            # Nine digits, so that equal shares are equal in whatever order they came together.
            judge: (-round(behind[judge], 9), -round(sum(behind_with[judge, agent] for agent in agents), 9), lot[judge])
            for judge in eligible
        }
        sitting = set(sorted(eligible, key=owed.__getitem__)[:size])
        for judge in eligible:
            share = size / len(eligible) - (judge in sitting)
            behind[judge] += share
            for agent in agents:
                behind_with[judge, agent] += share
        yield tuple(judge for judge in eligible if judge in sitting)
