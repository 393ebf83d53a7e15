"""Who met whom, and what came of it: the rows that ratings are made of, as arrays, and whether they can be rated at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from arena.stats.clustered import codes

NAMED = 8
"""Agents that a message names of a group; of more it says how many there are."""


class GraphError(ValueError):
    """The comparisons have no finite ratings, whatever the method; the message names what is missing."""

    def __init__(self, said: str, groups: tuple[tuple[str, ...], ...] = ()) -> None:
        super().__init__(said)
        self.groups = groups
        """Agents that stand apart from the rest; empty where what is missing is no match between groups."""


@dataclass(frozen=True)
class Comparisons:
    """A row is a ballot, or a decision where no ballots are known. All arrays have a value a row.

    Raises `ValueError` where the arrays do not fit together, a number is out of range, or a mirrored pair is on two topics.
    """

    agents: tuple[str, ...]
    judges: tuple[str, ...]
    first: NDArray[np.intp]
    """Who sat in the first seat, as an index of `agents`."""
    second: NDArray[np.intp]
    score: NDArray[np.float64]
    """1 where the first seat won, 0 where the second did, 0.5 for a tie."""
    judge: NDArray[np.intp]
    """An index of `judges`."""
    match: NDArray[np.intp]
    """The number of the match."""
    pair: NDArray[np.intp]
    """The number of the mirrored pair; a match without a mirror is a pair of its own."""
    topic: NDArray[np.intp]
    """The number of the topic."""
    probability: NDArray[np.float64]
    """With what probability the schedule chose this pairing."""

    def __post_init__(self) -> None:
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("agents", "judges")}
        shapes = {name: array.shape for name, array in arrays.items()}
        if len(set(shapes.values())) > 1 or self.score.ndim != 1:
            raise ValueError(f"every array must be flat with one value a row, not {shapes}")
        if not self.score.size:
            raise ValueError("there are no comparisons")
        for name, known in (("first", self.agents), ("second", self.agents), ("judge", self.judges)):
            least, most = int(arrays[name].min()), int(arrays[name].max())
            if least < 0 or most >= len(known):
                raise ValueError(f"`{name}` must number {len(known)} names from 0, not {least} to {most}")
        if not np.isin(self.score, (0.0, 0.5, 1.0)).all():
            raise ValueError("a score must be 1, 0.5 or 0: won, tied or lost by the first seat")
        if not (self.probability.min() > 0 and self.probability.max() <= 1):
            raise ValueError("the probability of a pairing must be above 0 and at most 1")
        pair, count = codes(self.pair)
        topic = np.empty(count, dtype=self.topic.dtype)
        topic[pair] = self.topic
        if (topic[pair] != self.topic).any():
            raise ValueError("the two matches of a mirrored pair must be on one topic")

    def only(self, rows: NDArray[np.bool_]) -> Comparisons:
        """These rows alone."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("agents", "judges")}
        return replace(self, **{name: array[rows] for name, array in arrays.items()})


def require_one_order(comparisons: Comparisons) -> None:
    """Raise `GraphError` unless everybody has beaten everybody else through some chain of wins and ties (Ford 1957).

    Without that some rating is infinite, whatever the rest of the data: the message names who stands apart from whom.
    """
    c = comparisons
    count = len(c.agents)
    beats = np.concatenate(
        [
            c.first[c.score > 0] * count + c.second[c.score > 0],
            c.second[c.score < 1] * count + c.first[c.score < 1],
        ]
    )
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(
        zip(*(side.tolist() for side in np.divmod(np.flatnonzero(np.bincount(beats)), count)), strict=True)
    )
    apart = [sorted(group) for group in nx.weakly_connected_components(graph)]
    if len(apart) > 1:
        groups = _named(c.agents, apart)
        missing = "; ".join(f"{groups[0][0]} against {group[0]}" for group in groups[1 : 1 + NAMED])
        raise GraphError(
            f"the agents fall apart into {len(groups)} groups that never met, so that no rating of one says anything about "
            f"another: {' | '.join(map(listed, groups))}; matches between them are needed, for instance {missing}",
            groups,
        )
    order = nx.condensation(graph)
    if len(order) > 1:
        ends = [(True, node) for node, into in order.in_degree() if not into]
        ends += [(False, node) for node, out in order.out_degree() if not out]
        # Of two groups, what the one never did says what the other never did.
        if len(order) == 2:
            ends = [min(ends, key=lambda end: len(order.nodes[end[1]]["members"]))]
        groups = _named(c.agents, [sorted(order.nodes[node]["members"]) for _, node in ends])
        raise GraphError(
            "no finite ratings exist: "
            + "; ".join(_one_way(c.agents, group, top) for group, (top, _) in zip(groups, ends, strict=True)),
            groups,
        )


def _one_way(agents: tuple[str, ...], group: tuple[str, ...], top: bool) -> str:
    named, rest = listed(group), listed(tuple(agent for agent in agents if agent not in set(group)))
    who, them = (named if len(group) == 1 else f"one of {named}"), f"one of {rest}"
    nobody = f"{named} never" if len(group) == 1 else f"nobody of {named} ever"
    if top:
        return f"{nobody} lost to or tied with {them}: a win or tie of {them} over {who} is needed"
    return f"{nobody} beat or tied with {them}: a win or tie of {who} over {them} is needed"


def _named(agents: tuple[str, ...], groups: Sequence[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(agents[one] for one in group) for group in groups)


def listed(names: Sequence[str]) -> str:
    """Names for a sentence, the first of them where there are many."""
    more = len(names) - NAMED
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:NAMED])} and {more} more"
