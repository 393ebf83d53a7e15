"""Do the intervals of ratings cover? Simulated tournaments with topics as clusters: one command, one seed, one result."""

from __future__ import annotations

import os

# Each process gets one core; set before numpy counts them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from arena.stats.comparisons import Comparisons, GraphError
from arena.stats.davidson import Parameters, cells, fit
from arena.stats.estimate import Estimate
from arena.stats.ratings import CENTRE, POINTS, Ratings, rate

BAND = (0.93, 0.97)
"""Where the coverage of 95 % intervals may lie."""
CHUNK = 25
"""Tournaments a task; each task has its own seed, so that results do not depend on the number of processes."""

AGENTS = 8
LEANS = logit(np.array([0.45, 0.58, 0.75]))
"""Log-odds of the first seat between equals, a judge."""
SHARPNESS = np.array([1.0, 1.3, 0.7])
TIES = np.log(0.3)
"""Log of Davidson's tie parameter: 13 % of verdicts between equals are ties."""
SD_AGENT = 0.5
"""Standard deviation between topics of an agent's strength, in log-odds: 87 rating points."""
SD_SIDE = 0.5
"""Standard deviation between topics of what the first seat is worth."""
SD_DEBATE = 0.6
"""Standard deviation of what one debate's judges share."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Setting:
    """A kind of tournament."""

    topics: int
    pairs: int
    """Mirrored pairs of agents that are drawn for each topic; 28 are all."""
    gap: float
    """Rating points between neighbours."""

    def __str__(self) -> str:
        met = "every pair" if self.pairs == AGENTS * (AGENTS - 1) // 2 else f"{self.pairs} drawn pairs"
        return f"{self.topics} topics, {met} on each, {self.gap:g} points apart"


SETTINGS = (
    Setting(20, 10, 75), Setting(8, 10, 75), Setting(50, 10, 75), Setting(20, 28, 75), Setting(20, 10, 0),
)  # fmt: skip


def tournament(setting: Setting, rng: np.random.Generator) -> Comparisons:
    """A mirrored tournament before three judges of different lean and sharpness."""
    strength = (np.arange(AGENTS) - (AGENTS - 1) / 2) * setting.gap / POINTS
    met = np.array(list(combinations(range(AGENTS), 2)))
    chosen = np.stack([rng.choice(len(met), setting.pairs, replace=False) for _ in range(setting.topics)])
    pairs = met[chosen.ravel()]
    topic = np.tile(np.repeat(np.arange(setting.topics), setting.pairs), 2)
    first, second = np.concatenate([pairs, pairs[:, ::-1]]).T
    on_topic = strength + SD_AGENT * rng.standard_normal((setting.topics, AGENTS))
    apart = on_topic[topic, first] - on_topic[topic, second] + SD_DEBATE * rng.standard_normal(topic.size)
    seats = SD_SIDE * rng.standard_normal(setting.topics)[topic]
    p = chances(SHARPNESS * apart[:, None] + seats[:, None] + LEANS)
    score = np.where(rng.random(p.shape[:2])[..., None] < np.cumsum(p, axis=-1), 1, 0).argmax(axis=-1) / 2
    judges = LEANS.size
    match, pair = np.arange(topic.size), np.tile(np.arange(len(pairs)), 2)
    return Comparisons(
        tuple(f"agent {n}" for n in range(AGENTS)), tuple(f"judge {n}" for n in range(judges)), np.repeat(first, judges),
        np.repeat(second, judges), score.ravel(), np.tile(np.arange(judges), topic.size), np.repeat(match, judges),
        np.repeat(pair, judges), np.repeat(topic, judges), np.ones(topic.size * judges),
    )  # fmt: skip


def chances(odds: Floats) -> Floats:
    """Chances of loss, tie and win of the first seat, on a last axis."""
    parts = np.exp(np.stack([-odds / 2, np.full_like(odds, TIES), odds / 2], axis=-1))
    return parts / parts.sum(axis=-1, keepdims=True)


@cache
def truth(gap: float) -> Parameters:
    """What the ratings of infinitely many topics are: the fit of the mean over topics, which draws strengths together."""
    strength = (np.arange(AGENTS) - (AGENTS - 1) / 2) * gap / POINTS
    first, second, judge = (axis.ravel() for axis in np.indices((AGENTS, AGENTS, LEANS.size)))
    first, second, judge = (axis[first != second] for axis in (first, second, judge))
    at, weight = np.polynomial.hermite_e.hermegauss(60)
    spread = np.sqrt(SHARPNESS[judge] ** 2 * (2 * SD_AGENT**2 + SD_DEBATE**2) + SD_SIDE**2)
    odds = SHARPNESS[judge] * (strength[first] - strength[second]) + LEANS[judge]
    p = np.einsum("nqo,q->no", chances(odds[:, None] + spread[:, None] * at), weight / weight.sum())
    met = cells(first, second, judge, np.ones(first.size), AGENTS, LEANS.size)
    counts = np.empty_like(p)
    counts[met.of // 3] = p
    return fit(met, counts, sharp=gap > 0).at


def found(setting: Setting, draws: int, rng: np.random.Generator) -> dict[str, float]:
    """What to which share was right in one tournament, by method and quantity."""
    comparisons, right = tournament(setting, rng), truth(setting.gap)
    try:
        by = {
            "bootstrap": rate(comparisons, rng, method="bootstrap", draws=draws),
            "sandwich": rate(comparisons, rng, method="sandwich", draws=draws),
            "unclustered": rate(unclustered(comparisons), rng, method="sandwich", draws=draws),
        }
    except GraphError:
        return {"no finite ratings": 1.0}
    shown = {
        f"{method}: {what}": value for method, r in by.items() for what, value in covered(r, right, setting).items()
    }
    cycles = by["bootstrap"].cycles
    return shown | {
        "no finite ratings": 0.0,
        "bootstrap: sharpness fitted": float(by["bootstrap"].judges[0].sharpness.estimate is not None),
        "bootstrap: draws left out": by["bootstrap"].dropped / draws,
        "cyclic share": cycles.cyclic.estimate or 0.0,
        "cyclic share above 0 at 95 %": float((cycles.cyclic.low or 0.0) > 0),
        "cycles dominate": float(cycles.dominate),
    }


def unclustered(comparisons: Comparisons) -> Comparisons:
    """The same, every verdict a cluster of its own."""
    each = np.arange(comparisons.score.size)
    return replace(comparisons, pair=each, topic=each)


def covered(ratings: Ratings, right: Parameters, setting: Setting) -> dict[str, float]:
    agents = sorted(ratings.agents, key=lambda rated: rated.agent)
    low, high = (np.array([getattr(rated, end) for rated in agents]) for end in ("low", "high"))
    rating = CENTRE + POINTS * right.strength
    best, worst = (AGENTS - np.arange(AGENTS),) * 2 if setting.gap else (np.ones(AGENTS), np.full(AGENTS, AGENTS))
    ranked = [one.rank_low <= a and b <= one.rank_high for one, a, b in zip(agents, best, worst, strict=True)]
    leans = POINTS * (right.lean - right.lean.mean())
    shown = {
        "ratings": float(np.mean((low <= rating) & (rating <= high))),
        "side": float(holds(ratings.side, POINTS * right.lean.mean())),
        "leans": float(np.mean([holds(judge.lean, lean) for judge, lean in zip(ratings.judges, leans, strict=True)])),
        "ranks": float(np.mean(ranked)),
    }
    if setting.gap and ratings.judges[0].sharpness.estimate is not None:
        sharp = zip(ratings.judges, right.sharpness, strict=True)
        shown["sharpness"] = float(np.mean([holds(judge.sharpness, value) for judge, value in sharp]))
    return shown


def holds(estimate: Estimate, value: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= value <= estimate.high


def chunk(task: tuple[Setting, int, int, list[int]]) -> list[dict[str, float]]:
    setting, tournaments, draws, seed = task
    rng = np.random.default_rng(seed)
    return [found(setting, draws, rng) for _ in range(tournaments)]


def simulated(
    tournaments: int, draws: int, seed: int, processes: int
) -> Iterator[tuple[Setting, dict[str, float], float]]:
    """Setting by setting: the means, and the standard error of the bootstrap's coverage of ratings."""
    sizes = [min(CHUNK, tournaments - done) for done in range(0, tournaments, CHUNK)]
    with ProcessPoolExecutor(processes) as pool:
        for number, setting in enumerate(SETTINGS):
            tasks = [(setting, size, draws, [seed, number, part]) for part, size in enumerate(sizes)]
            each = [one for part in pool.map(chunk, tasks) for one in part]
            names = {name: None for one in each for name in one}
            means = {name: float(np.mean([one[name] for one in each if name in one])) for name in names}
            ratings = [one["bootstrap: ratings"] for one in each if "bootstrap: ratings" in one]
            yield setting, means, float(np.std(ratings) / np.sqrt(len(ratings)))
            print(f"{setting}: done", file=sys.stderr)


def main() -> None:
    grammar = argparse.ArgumentParser(description=__doc__)
    grammar.add_argument("--tournaments", type=int, default=500)
    grammar.add_argument("--draws", type=int, default=60, help="bootstrap draws a tournament")
    grammar.add_argument("--seed", type=int, default=0)
    grammar.add_argument("--processes", type=int, default=2)
    grammar.add_argument("--json", action="store_true")
    chosen = grammar.parse_args()
    outside: list[str] = []
    results: list[dict[str, object]] = []
    for setting, means, error in simulated(chosen.tournaments, chosen.draws, chosen.seed, chosen.processes):
        results.append({"setting": asdict(setting), "standard_error": error, "shares": means})
        if not BAND[0] <= means["bootstrap: ratings"] <= BAND[1]:
            outside.append(f"{setting}: {means['bootstrap: ratings']:.3f}")
        if not chosen.json:
            print(f"\n{setting} (standard error of the coverage of ratings {error:.3f})")
            for name, value in means.items():
                print(f"  {name:32s} {value:6.3f}", flush=True)
    if chosen.json:
        print(json.dumps(results, indent=1))
    for one in outside:
        print(f"coverage of ratings outside {BAND[0]:.2f} to {BAND[1]:.2f}: {one}", file=sys.stderr)
    raise SystemExit(1 if outside else 0)


if __name__ == "__main__":
    main()
