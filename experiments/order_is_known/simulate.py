"""How often the rule "the order is known" is wrong, and what it saves: one command, one seed, one result."""

from __future__ import annotations

import os

# Each process gets one core; set before numpy counts them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import combinations
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from arena.meetings import Goal
from arena.schedule import active
from arena.stats import sequential
from arena.stats.pairs import share

AGENTS, TOPICS = 10, 8
LEVEL = 0.05
HUNDRED_POINTS = np.log(10) / 4
"""In log-odds."""
SHARES = (0.45, 0.58, 0.75)
"""What each of the three judges gives the proposition between equals."""
CAP = 300
"""Mirrored pairs after which a tournament is ended undecided."""
MOST_FIXED = 12
"""Mirrored pairs per pairing that the fixed design is tried with."""
FEWER = 4
"""A process without a right answer gets so many times fewer tournaments, since each runs to the cap."""
CHUNK = 20
"""Tournaments a task; each task has its own seed, so that results do not depend on the number of processes."""

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


# ------------------------------------------------------------------ the process


@dataclass(frozen=True, slots=True)
class Process:
    """Where ballots come from. A ballot names the proposition with log-odds: edge of its agent over the other, topic's lean,
    judge's lean, noise of the debate (shared by its ballots) and noise of the ballot. All standard deviations are in log-odds."""

    edges: Floats
    """(K, K): by how much the row is better than the column, in log-odds of a ballot without lean and noise."""
    best: frozenset[int]
    """The one right answer; empty where there is none."""
    by_topic: float = 0.4
    by_agent_and_topic: float = 0.0
    by_debate: float = 1.0
    by_ballot: float = 0.5


@dataclass(frozen=True, slots=True)
class World:
    """A process with the leans that one tournament has."""

    process: Process
    topic: Floats
    agent_and_topic: Floats
    judge: Floats
    rng: np.random.Generator

    def score(self, first: Indices, second: Indices, topic: Indices) -> Floats:
        """What the first agents got of mirrored pairs: the share of the six ballots."""
        return (self._ballots(first, second, topic) + 1 - self._ballots(second, first, topic)) / 2

    def _ballots(self, proposition: Indices, opposition: Indices, topic: Indices) -> Floats:
        """The share of the three ballots that the proposition got, in each debate."""
        of_agents = self.agent_and_topic[proposition, topic] - self.agent_and_topic[opposition, topic]
        odds = self.process.edges[proposition, opposition] + of_agents + self.topic[topic]
        odds = odds + self.process.by_debate * self.rng.standard_normal(odds.shape)
        each = odds[..., None] + self.judge + self.process.by_ballot * self.rng.standard_normal((*odds.shape, 3))
        return (self.rng.random(each.shape) < expit(each)).mean(axis=-1)


def world(process: Process, rng: np.random.Generator) -> World:
    """Topics and what agents make of them, drawn; the latter add up to zero over an agent's topics, so that edges are averages."""
    of_agents = process.by_agent_and_topic * rng.standard_normal((AGENTS, TOPICS))
    noise = float(np.sqrt(process.by_topic**2 + process.by_debate**2 + process.by_ballot**2))
    return World(
        process, process.by_topic * rng.standard_normal(TOPICS), of_agents - of_agents.mean(axis=1, keepdims=True),
        np.array([lean(of, noise) for of in SHARES]), rng,
    )  # fmt: skip


@cache
def lean(given: float, noise: float) -> float:
    """The lean in log-odds of a judge who gives the proposition this share between equals, noise included."""
    at, weight = np.polynomial.hermite_e.hermegauss(40)
    weight = weight / weight.sum()
    return float(brentq(lambda odds: float(weight @ expit(odds + noise * at)) - given, -10, 10))


def ordered() -> Floats:
    """Edges of agents who are 100 points apart, the best first."""
    strength = -HUNDRED_POINTS * np.arange(AGENTS)
    return strength[:, None] - strength


def circle(most: float) -> Floats:
    """Everybody beats the four who follow and loses to the four before, equally often all in all."""
    after = np.arange(AGENTS) - np.arange(AGENTS)[:, None]
    return most * np.sin(2 * np.pi * after / AGENTS)


def circle_at_the_border() -> Floats:
    """100 points apart, but the third, fourth and fifth are equally strong and each beats the next by 100 points, in a circle."""
    strength = -HUNDRED_POINTS * np.array([0, 1, 3, 3, 3, 5, 6, 7, 8, 9])
    edges = strength[:, None] - strength
    for one, other in ((2, 3), (3, 4), (4, 2)):
        edges[one, other], edges[other, one] = HUNDRED_POINTS, -HUNDRED_POINTS
    return edges


def tied_at_the_border() -> Floats:
    """100 points apart, but the fourth is as good as the third."""
    strength = -HUNDRED_POINTS * np.array([0, 1, 2, 2, 4, 5, 6, 7, 8, 9])
    return strength[:, None] - strength


BEST = frozenset({0, 1, 2})
PROCESSES = {
    "100 points apart": Process(ordered(), BEST),
    "100 points apart, agents by topics 0.5": Process(ordered(), BEST, by_agent_and_topic=0.5),
    "100 points apart, debates noisier (2)": Process(ordered(), BEST, by_debate=2.0),
    "third and fourth tied, one of them called wrong": Process(tied_at_the_border(), BEST),
    "equal agents": Process(np.zeros((AGENTS, AGENTS)), frozenset()),
    "circle of ten": Process(circle(1.0), frozenset()),
    "circle of ten, strong": Process(circle(3.0), frozenset()),
    "order, with a circle of three at the border": Process(circle_at_the_border(), frozenset()),
}
"""What is simulated. Where there is no right answer every answer counts as wrong."""
COMPARED = ("100 points apart", "100 points apart, agents by topics 0.5", "100 points apart, debates noisier (2)")
"""For which the smallest fixed design is looked for."""


# ------------------------------------------------------------------ one tournament


@dataclass(frozen=True, slots=True)
class End:
    """How a tournament ended."""

    state: str
    wrong: bool
    pairs: int
    rounds: int


def adaptive(process: Process, rng: np.random.Generator) -> End:
    """A tournament with the schedule `active` and the stopping rule, top 3."""
    played = world(process, rng)
    random, goal, params = Random(int(rng.integers(2**32))), Goal(3, LEVEL), active.Params()
    everybody = list(combinations(range(AGENTS), 2))
    topics: dict[tuple[int, int], list[int]] = defaultdict(list)
    seen, pairs, rounds = sequential.nothing(AGENTS), 0, 0
    while True:
        found = sequential.known(seen, goal.top, goal.level)
        if found.state == "known" or pairs >= CAP:
            return End(found.state, found.state == "known" and frozenset(found.answer) != process.best, pairs, rounds)
        meeting = list(active.next_round(seen, everybody, params, goal, random))
        for pair in meeting:
            # Each topic once a block, in random order.
            topics[pair] = topics[pair] or random.sample(range(TOPICS), TOPICS)
        on = np.array([topics[pair].pop() for pair in meeting])
        first, second = np.array(meeting).T
        seen = sequential.more(seen, first, second, played.score(first, second, on))
        pairs, rounds = pairs + len(meeting), rounds + 1


def fixed(process: Process, rng: np.random.Generator) -> list[tuple[bool, bool]]:
    """Whether the top 3 is wrong after 1, 2 ... mirrored pairs of every pairing: by Bradley-Terry, and by what each scored.

    Sides are balanced, so that a side effect in the Bradley-Terry fit would change nothing.
    """
    played = world(process, rng)
    first, second = np.triu_indices(AGENTS, 1)
    seen = sequential.nothing(AGENTS)
    wrong: list[tuple[bool, bool]] = []
    for number in range(MOST_FIXED):
        if number % TOPICS == 0:
            on = np.array([rng.permutation(TOPICS) for _ in first])
        seen = sequential.more(seen, first, second, played.score(first, second, on[:, number % TOPICS]))
        by_strength, by_score = sequential.outlook(seen).strength, seen.scored.sum(axis=1)
        wrong.append((_top(by_strength) != process.best, _top(by_score) != process.best))
    return wrong


def _top(values: Floats) -> frozenset[int]:
    return frozenset(np.argsort(-values)[:3].tolist())


# ------------------------------------------------------------------ many


@dataclass(frozen=True, slots=True)
class Rates:
    """What the rule did on a process."""

    process: str
    tournaments: int
    known: float
    cycles: float
    """The share that ended with every answer contradicted."""
    wrong: float
    low: float
    high: float
    """95 % Monte Carlo interval (Wilson)."""
    pairs: float
    """Mirrored pairs played: the mean, and quantiles; a tournament that was ended at its cap counts with that."""
    tenth: float
    median: float
    ninetieth: float
    rounds: float
    fixed: int | None = None
    """Mirrored pairs that the smallest fixed design takes which errs in 5 % at most."""
    fixed_wrong: tuple[float, ...] = ()
    """How often a fixed design of 1, 2 ... mirrored pairs per pairing errs: by Bradley-Terry or by score, whichever errs less."""

    @property
    def ratio(self) -> float | None:
        return None if self.fixed is None else self.pairs / self.fixed

    @property
    def broken(self) -> bool:
        """Whether it errs more often than is claimed."""
        return self.wrong > LEVEL


def many(
    run: Callable[[Process, np.random.Generator], Any], name: str, count: int, seed: np.random.SeedSequence
) -> list[Any]:
    """So many tournaments of a process."""
    rng = np.random.default_rng(seed)
    return [run(PROCESSES[name], rng) for _ in range(count)]


def simulate(names: Sequence[str], tournaments: int, seed: int, processes: int) -> list[Rates]:
    """All rates."""
    wanted = [(name, adaptive) for name in names] + [(name, fixed) for name in names if name in COMPARED]
    counts = {name: tournaments if PROCESSES[name].best else -(-tournaments // FEWER) for name in names}
    ends: dict[tuple[str, Any], list[Any]] = defaultdict(list)
    with ProcessPoolExecutor(processes) as pool:
        tasks = {
            pool.submit(many, run, name, min(CHUNK, counts[name] - first), _seed(seed, name, run, first)): (name, run)
            for name, run in wanted
            for first in range(0, counts[name], CHUNK)
        }
        for done, task in enumerate(as_completed(tasks), start=1):
            ends[tasks[task]] += task.result()
            if done * 20 // len(tasks) > (done - 1) * 20 // len(tasks):
                print(f"{done * 100 // len(tasks)} % of {len(wanted)} settings simulated", file=sys.stderr, flush=True)
    return [_rates(name, ends[name, adaptive], ends[name, fixed]) for name in names]


def _seed(seed: int, name: str, run: Any, first: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, list(PROCESSES).index(name), int(run is fixed), first])


def _rates(name: str, ends: list[End], fixed_ends: list[list[tuple[bool, bool]]]) -> Rates:
    wrong = share(sum(end.wrong for end in ends), len(ends))
    assert wrong.estimate is not None
    assert wrong.low is not None
    assert wrong.high is not None
    pairs = np.array([end.pairs for end in ends])
    tenth, median, ninetieth = np.quantile(pairs, [0.1, 0.5, 0.9]).tolist()
    rates = Rates(
        name, len(ends), float(np.mean([end.state == "known" for end in ends])),
        float(np.mean([end.state == "cycles" for end in ends])), wrong.estimate, wrong.low, wrong.high,
        float(pairs.mean()), tenth, median, ninetieth, float(np.mean([end.rounds for end in ends])),
    )  # fmt: skip
    if not fixed_ends:
        return rates
    errs = np.array(fixed_ends).mean(axis=0).min(axis=1)
    enough = np.flatnonzero(errs <= LEVEL)
    smallest = int(enough[0] + 1) * AGENTS * (AGENTS - 1) // 2 if enough.size else None
    return replace(rates, fixed=smallest, fixed_wrong=tuple(errs.tolist()))


# ------------------------------------------------------------------ what it says


def report(all_rates: Sequence[Rates], tournaments: int) -> None:
    """Print a line a process, and the fixed designs."""
    print(
        f"{tournaments:,} tournaments each; {AGENTS} agents, top 3, level {LEVEL:g}, ended at {CAP} mirrored pairs.\n"
    )
    for rates in all_rates:
        print(
            f"{rates.process}: wrong {100 * rates.wrong:.1f} % ({100 * rates.low:.1f} to {100 * rates.high:.1f}), known "
            f"{100 * rates.known:.1f} %, cycles {100 * rates.cycles:.1f} %; mirrored pairs {rates.pairs:.1f} on average, "
            f"{rates.tenth:.0f} / {rates.median:.0f} / {rates.ninetieth:.0f} at 10 / 50 / 90 %, in {rates.rounds:.0f} rounds"
        )
        if rates.fixed_wrong:
            errs = ", ".join(f"{100 * err:.1f}" for err in rates.fixed_wrong)
            against = (
                f"{rates.fixed} pairs, ratio {rates.ratio:.2f}" if rates.fixed and rates.ratio else "none was enough"
            )
            print(
                f"  fixed designs of 1, 2 ... pairs per pairing err in {errs} %; the smallest that does in 5 %: {against}"
            )
    for rates in all_rates:
        if rates.broken:
            print(f"\nAbove what is claimed: {rates.process}, wrong in {100 * rates.wrong:.1f} %.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tournaments", type=int, default=1000)
    parser.add_argument("--only", action="append", choices=list(PROCESSES), help="a process; can be given again")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="machine-readable, on standard output")
    options = parser.parse_args()
    all_rates = simulate(options.only or list(PROCESSES), options.tournaments, options.seed, options.processes)
    if options.json:
        print(json.dumps([asdict(rates) | {"ratio": rates.ratio} for rates in all_rates], indent=2))
    else:
        report(all_rates, options.tournaments)
    return int(any(rates.broken for rates in all_rates))


if __name__ == "__main__":
    sys.exit(main())
