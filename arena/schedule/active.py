"""Active: who meets next is decided by what it is expected to tell, mixed with rounds that are drawn uniformly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import ClassVar

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from arena.meetings import Encounter, Field, Goal, Pairing, scored
from arena.stats.sequential import Evidence, Known, Outlook, evidence, known, outlook

LEAST_MET = 2
"""Everybody plays so many pairs before the goal decides alone."""
WORTH = 0.5
"""Pairings that bring less than this share of the best one wait, so that no pair is played only because there is a seat."""
SMALLEST_GAP = 0.3
"""In log-odds: two whose difference seems smaller, or is reversed, are thought to be so far apart, so that they are played on."""

Floats = NDArray[np.float64]
Pair = tuple[int, int]
"""Two agents by their place, the smaller first."""


@dataclass(frozen=True, slots=True)
class Params:
    """How the next round is chosen."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    uniform: float = 0.05
    """The share of rounds that are drawn uniformly."""
    pairs: int | None = None
    """Pairings a round at most; None for as many as can sit at once."""

    def __post_init__(self) -> None:
        if not 0 <= self.uniform <= 1:
            raise ValueError(f"uniform is {self.uniform}; it is a share in [0, 1]")
        if self.pairs is not None and self.pairs < 1:
            raise ValueError(f"pairs is {self.pairs}; a round has one at least")


def pairings(
    field: Field, past: Sequence[Encounter], params: Params, goal: Goal | None, random: Random
) -> list[Pairing]:
    """The next round, in which nobody sits twice; none when every pairing was played on every question and repeat.

    Who meets is `next_round`'s. Two meet on the question on which they met least, equal ones in random order.
    """
    agents = sorted(field.agents)
    met = Counter(
        (_pair(agents.index(one.first), agents.index(one.second)), one.question)
        for one in past
        if one.first in agents and one.second in agents
    )
    everybody = combinations(range(len(agents)), 2)
    open_ = [pair for pair in everybody if any(met[pair, one.id] < field.repeats for one in field.questions)]
    seen = evidence(*scored(past, agents), len(agents))
    return [
        _pairing(field, agents, pair, met, probability, random)
        for pair, probability in next_round(seen, open_, params, goal, random).items()
    ]


def next_round(
    seen: Evidence, open_: Sequence[Pair], params: Params, goal: Goal | None, random: Random
) -> dict[Pair, float]:
    """Which of the open pairings make the next round, each with the probability, given the evidence, that it was to be in it.

    The chosen round is a function of the evidence. With probability `uniform`, and always before the first result, one is
    drawn instead, from a fixed division of all open pairings into C rounds that are no larger than the chosen one. A pairing
    is therefore in this round with probability (1 - uniform) [it is in the chosen round] + uniform / C.
    """
    if not open_:
        return {}
    agents = len(seen.met)
    chosen = matched(weights(seen, goal), open_, params.pairs) if seen.met.any() else []
    division = divided(open_, agents, len(chosen) or params.pairs or agents // 2)
    uniform = params.uniform if chosen else 1.0
    drawn = random.choice(division) if random.random() < uniform else chosen
    return {pair: (1 - uniform) * (pair in chosen) + uniform / len(division) for pair in sorted(drawn)}


# ------------------------------------------------------------------ what a pairing is worth


def weights(seen: Evidence, goal: Goal | None) -> Floats:
    """(K, K), symmetric: what a mirrored pair of each two is worth.

    Without a goal it is the information that it is expected to give on all strengths. With one it is how much of what is
    missing it is expected to bring: 0 for what bears on nothing that is undecided.
    """
    expects = outlook(seen)
    if goal is None or seen.met.sum(axis=0).min() < LEAST_MET:
        return _information(expects)
    found = known(seen, goal.top, goal.level, expects=expects)
    return _information(expects) if found.state == "cycles" else _brought(expects, found)


def _information(expects: Outlook) -> Floats:
    """In nats: of a normal observation of the difference, against what is not known of it."""
    return 0.5 * np.log1p(expects.information * expects.unsure)


def _brought(expects: Outlook, found: Known) -> Floats:
    """In nats: the sum, over the differences that are not yet known, of what a mirrored pair brings of what is missing.

    A pair of a and b makes the variance v of the difference of i and j smaller, by cov(a - b, i - j)^2 over the variance of the
    observed difference of a and b; the log likelihood ratio grows as d^2 / 2v.
    """
    i, j = np.nonzero(found.missing)
    gap, unsure = np.maximum(expects.apart[i, j], SMALLEST_GAP), expects.unsure[i, j]
    with_each = expects.covariance[:, i] - expects.covariance[:, j]
    shared = with_each[:, None, :] - with_each[None, :, :]
    observed = expects.unsure + 1 / expects.information
    smaller = unsure - shared**2 / observed[:, :, None]
    return np.minimum(gap**2 / 2 * (1 / smaller - 1 / unsure), found.missing[i, j]).sum(axis=-1)


# ------------------------------------------------------------------ rounds


def matched(worth: Floats, open_: Sequence[Pair], most: int | None) -> list[Pair]:
    """The open pairings that are worth most together with nobody sitting twice (networkx), without those that are worth little."""
    best = max(float(worth[pair]) for pair in open_)
    graph: nx.Graph[int] = nx.Graph()
    # Nothing that is undecided may be left to play; then every open pairing is as good as another.
    graph.add_weighted_edges_from(
        (*pair, float(worth[pair]) if best > 0 else 1.0) for pair in open_ if worth[pair] >= WORTH * best
    )
    pairs = [_pair(*edge) for edge in nx.max_weight_matching(graph)]
    return sorted(pairs, key=lambda pair: (-worth[pair], pair))[:most]


def divided(open_: Sequence[Pair], agents: int, most: int) -> list[list[Pair]]:
    """The open pairings as rounds of `most` at most in which nobody sits twice; each pairing is in one of them.

    Each goes into the first round that has room, in the order of the circle method, which fills all rounds when all are open.
    """
    rounds: list[list[Pair]] = []
    seated: list[set[int]] = []
    for pair in sorted(open_, key=lambda pair: _circle(pair, agents)):
        place = next((n for n, who in enumerate(seated) if len(rounds[n]) < most and who.isdisjoint(pair)), None)
        if place is None:
            place = len(rounds)
            rounds.append([])
            seated.append(set())
        rounds[place].append(pair)
        seated[place] |= set(pair)
    return rounds


def _circle(pair: Pair, agents: int) -> tuple[int, Pair]:
    """In which round of a circle tournament the two meet: the last one of an even number stays where it is."""
    turning = agents - 1 + agents % 2
    one, two = pair
    return ((2 * one if two == turning else one + two) % turning, pair)


def _pair(one: int, two: int) -> Pair:
    return (one, two) if one < two else (two, one)


def _pairing(
    field: Field, agents: Sequence[str], pair: Pair, met: Counter[tuple[Pair, str]], probability: float, random: Random
) -> Pairing:
    least = min(met[pair, question.id] for question in field.questions)
    question = random.choice([question for question in field.questions if met[pair, question.id] == least])
    one, two = random.sample(pair, 2)
    return Pairing(agents[one], agents[two], question, least, probability)
