"""Do the intervals for candidates behind noisy judges hold the truth? Simulated judges; one command, one seed, one result."""

from __future__ import annotations

import os

# Each process gets one core; set before numpy counts them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from arena.stats.comparisons import Comparisons
from arena.stats.instruments import Prior, Verdicts, from_comparisons, posterior
from arena.stats.pairs import share

CANDIDATES, JUDGES, ITEMS = 6, 3, 150
EFFECTS = (0.0, 0.3)
"""Scales of the effect of judge and candidate that are supposed in the fits."""
OWN_ERROR = 0.5
"""Standard deviation of a judge's own error about a candidate, on the logits of TPR and FPR, in the setting that has it."""
REPETITIONS = 5
"""Debates between each two agents on each side, in the round-robin."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Setting:
    """A simulated world: what is true of the candidates, and the verdicts."""

    truth: Floats
    verdicts: Verdicts


@dataclass(frozen=True, slots=True)
class Found:
    """How one method did in one replication."""

    setting: str
    method: str
    covered: float
    """Share of candidates whose true share is inside its interval."""
    ranks_covered: float
    width: float
    """Mean width of the interval of the true share."""
    rank_width: float
    """Mean number of ranks in the rank interval."""
    spearman: float
    converged: bool


# ------------------------------------------------------------------ worlds


def own_items(rng: np.random.Generator) -> Setting:
    """Everything as the model supposes, the judges drawn from its prior, each with items of its own."""
    truth, (false, true) = rng.random(CANDIDATES), _judges(rng)
    p = false[:, None] + (true - false)[:, None] * truth
    return _counted(truth, rng.binomial(ITEMS, p))


def constant(rng: np.random.Generator) -> Setting:
    """The same, but all judges read the same items."""
    return _shared(rng, *_judges(rng), own_error=0.0)


def own_error(rng: np.random.Generator) -> Setting:
    """The same items, and judges who like some candidates better than they deserve."""
    return _shared(rng, *_judges(rng), own_error=OWN_ERROR)


def lenient(rng: np.random.Generator) -> Setting:
    """The same items, and judges for whom the prior is wrong: they say yes too often, and know little."""
    false = rng.uniform(0.4, 0.7, JUDGES)
    return _shared(rng, false, false + rng.uniform(0.1, 0.3, JUDGES), own_error=0.0)


def round_robin(rng: np.random.Generator) -> Setting:
    """A tournament: every two agents debate on both sides, all judges read every debate, one of the sides deserves to win."""
    false, true = _judges(rng)
    # A judge of debates has no side that is the positive one: it finds the deserving side as often, whichever that is.
    right = (true + 1 - false) / 2
    strength = rng.normal(0, 1, CANDIDATES)
    first, second = np.nonzero(~np.eye(CANDIDATES, dtype=bool))
    first, second = np.repeat(first, REPETITIONS), np.repeat(second, REPETITIONS)
    deserving = rng.random(first.size) < expit(strength[first] - strength[second])
    score = np.where(rng.random((JUDGES, first.size)) < right[:, None], deserving, ~deserving).astype(float)
    matches = np.arange(first.size)
    of_judge = {"first": first, "second": second, "match": matches, "pair": matches, "topic": matches}
    rows = {name: np.tile(values, JUDGES) for name, values in of_judge.items()}
    comparisons = Comparisons(
        agents=_names("agent", CANDIDATES), judges=_names("judge", JUDGES), score=score.ravel(),
        judge=np.repeat(np.arange(JUDGES), first.size), probability=np.ones(score.size), **rows,
    )  # fmt: skip
    wins = expit(strength[:, None] - strength)
    return Setting((wins.sum(axis=1) - 0.5) / (CANDIDATES - 1), from_comparisons(comparisons))


WORLDS: dict[str, Callable[[np.random.Generator], Setting]] = {
    "items of their own": own_items,
    "the same items": constant,
    "own errors": own_error,
    "lenient judges": lenient,
    "round-robin": round_robin,
}


def _judges(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """False and true positive rates from the prior at concentration 1."""
    false = rng.beta(2, 4, JUDGES)
    return false, false + (1 - false) * rng.beta(4, 2, JUDGES)


def _shared(rng: np.random.Generator, false: Floats, true: Floats, own_error: float) -> Setting:
    """Judges who read the same items of each candidate, and are independent given what is true of an item."""
    truth = rng.random(CANDIDATES)
    right = rng.random((CANDIDATES, ITEMS)) < truth[:, None]
    rates = [expit(logit(r)[:, None] + own_error * rng.normal(size=(JUDGES, CANDIDATES))) for r in (false, true)]
    chance = np.where(right, rates[1][..., None], rates[0][..., None])
    return _counted(truth, (rng.random(chance.shape) < chance).sum(axis=2))


def _counted(truth: Floats, yes: NDArray[np.int_]) -> Setting:
    n = np.full(yes.shape, float(ITEMS))
    return Setting(truth, Verdicts(_names("judge", JUDGES), _names("candidate", CANDIDATES), yes.astype(float), n))


def _names(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind} {number}" for number in range(1, count + 1))


# ------------------------------------------------------------------ methods


def replicate(world: str, seed: np.random.SeedSequence) -> list[Found]:
    """One simulated world, and what every method makes of it."""
    rng = np.random.default_rng(seed)
    setting = WORLDS[world](rng)
    found = [_naive(world, setting, rng)]
    for effect in EFFECTS:
        fit = posterior(setting.verdicts, rng, Prior(effect=effect))
        bounds = np.array([(c.true_share.low, c.true_share.high) for c in fit.candidates])
        ranks = np.array([(c.rank_low, c.rank_high) for c in fit.candidates])
        means = np.array([c.true_share.estimate for c in fit.candidates])
        method = f"instruments, effect {effect:g}"
        found.append(_scored(world, method, setting.truth, means, bounds, ranks, fit.sampling.warning is None))
    return found


def _naive(world: str, setting: Setting, rng: np.random.Generator) -> Found:
    """The common practice: the share of all verdicts, as if judges never erred and every verdict were a new item."""
    yes, n = setting.verdicts.yes.sum(axis=0), setting.verdicts.n.sum(axis=0)
    intervals = [share(round(y), round(m)) for y, m in zip(yes, n, strict=True)]
    drawn = stats.rankdata(-rng.beta(yes + 0.5, n - yes + 0.5, (4000, yes.size)), axis=1)
    ranks = np.quantile(drawn, [0.025, 0.975], axis=0, method="inverted_cdf").T
    return _scored(
        world, "share of verdicts", setting.truth, yes / n, np.array([(i.low, i.high) for i in intervals]), ranks
    )


def _scored(
    world: str, method: str, truth: Floats, means: Floats, bounds: Floats, ranks: Floats, converged: bool = True
) -> Found:
    rank = stats.rankdata(-truth)
    inside = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
    rank_inside = (ranks[:, 0] <= rank) & (rank <= ranks[:, 1])
    return Found(
        world, method, float(inside.mean()), float(rank_inside.mean()), float(np.diff(bounds).mean()),
        float(np.diff(ranks).mean() + 1), float(np.corrcoef(rank, stats.rankdata(-means))[0, 1]), converged,
    )  # fmt: skip


# ------------------------------------------------------------------ what it says


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over replications, with Monte Carlo standard errors of the coverages."""

    setting: str
    method: str
    replications: int
    covered: float
    covered_error: float
    ranks_covered: float
    ranks_covered_error: float
    width: float
    rank_width: float
    spearman: float
    unconverged: int
    """Replications in which the sampler had not converged when it stopped; they count."""


def simulate(replications: int, seed: int, processes: int) -> list[Summary]:
    """Every setting and method."""
    roots = dict(zip(WORLDS, np.random.SeedSequence(seed).spawn(len(WORLDS)), strict=True))
    with ProcessPoolExecutor(processes) as pool:
        tasks = [
            pool.submit(replicate, world, own) for world, root in roots.items() for own in root.spawn(replications)
        ]
        for done, _ in enumerate(as_completed(tasks), start=1):
            if done % max(1, len(tasks) // 20) == 0:
                print(f"{100 * done // len(tasks)} %", file=sys.stderr, flush=True)
    found = [one for task in tasks for one in task.result()]
    cells = dict.fromkeys((one.setting, one.method) for one in found)
    return [_summary([one for one in found if (one.setting, one.method) == cell]) for cell in cells]


def _summary(found: list[Found]) -> Summary:
    covered, ranks = ([getattr(one, name) for one in found] for name in ("covered", "ranks_covered"))
    means = {
        name: float(np.mean([getattr(one, name) for one in found])) for name in ("width", "rank_width", "spearman")
    }
    return Summary(
        found[0].setting, found[0].method, len(found), float(np.mean(covered)), float(stats.sem(covered)),
        float(np.mean(ranks)), float(stats.sem(ranks)), unconverged=sum(not one.converged for one in found), **means,
    )  # fmt: skip


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--replications", type=int, default=60, metavar="N")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--processes", type=int, default=os.cpu_count(), metavar="N")
    arguments.add_argument("--json", action="store_true", help="the results as a list of records")
    chosen = arguments.parse_args()
    rows = simulate(chosen.replications, chosen.seed, chosen.processes)
    if chosen.json:
        print(json.dumps([asdict(row) for row in rows]))
        return 0
    print(f"{chosen.replications} replications, seed {chosen.seed}; standard errors of coverage in brackets\n")
    print(
        f"{'setting':20} {'method':24} {'covered':>16} {'width':>6} {'ranks covered':>16} {'ranks':>6} {'Spearman':>9}"
    )
    for row in rows:
        print(
            f"{row.setting:20} {row.method:24} {row.covered:8.3f} ({row.covered_error:.3f}) {row.width:6.2f} "
            f"{row.ranks_covered:8.3f} ({row.ranks_covered_error:.3f}) {row.rank_width:6.2f} {row.spearman:9.3f}"
        )
    print(f"\nNot converged: {sum(row.unconverged for row in rows)} fits.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
