"""Error rates and power of the arena's tests, on simulated debaters: one command, one seed, one result."""

from __future__ import annotations

import os

# Each process gets one core; set before numpy counts them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from agents.models.simulated import Preset
from arena import config
from arena.stats import calibration, disclosure, judges, updating
from arena.stats.beliefs import Beliefs
from arena.stats.clustered import clustered_mean
from arena.stats.differences import difference
from arena.stats.estimate import Estimate, made
from arena.stats.mixed import escalation_per_round
from arena.stats.pairs import pair_sum, share
from arena.stats.power import needed, power
from arena.stats.simulate import beliefs, draw, stated

LEVEL = 0.05
BAND = (0.035, 0.065)
"""Where a rejection rate may lie."""
NOISES = {
    "as believed": {"sd_report": 0.0, "rounding": 0},
    "rounded to fives": {"sd_report": 0.0, "rounding": 5},
    "report noise 0.15, rounded to fives": {"sd_report": 0.15, "rounding": 5},
    "report noise 0.3, rounded to fives": {"sd_report": 0.3, "rounding": 5},
}
CORRELATIONS = (-0.3, 0.0, 0.3, 0.6)
LEANINGS = (0.0, 1.0, 2.0)
"""Standard deviation between debates of the log-odds that a ballot names the first side."""
WANTED = 0.05
"""The difference, in probability, whose detection is compared with what `arena plan --power` says."""
SIZES = (6, 10, 15, 20, 30, 45, 60, 90, 150)
"""Numbers of debates for which it is."""
AGAIN = 4
"""How many times as many fresh replications are made where a rate is outside the band."""
CHUNK = 50
"""Replications a task; each task has its own seed, so that results do not depend on the number of processes."""

Floats = NDArray[np.float64]
Found = dict[str, Estimate]
"""Test to what it gave in one replication."""
Cell = tuple[str, str]
"""Table and column."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a test rejected."""

    table: str
    column: str
    test: str
    label: str
    """`ours`, `upper bound` where the test calls itself that, or `not ours` where it is there to be warned of."""
    replications: int
    untested: int
    """Replications in which it gave no p-value; they count as no rejection."""
    rate: float
    low: float
    high: float
    """95 % Monte Carlo interval (Wilson)."""
    again: float | None = None
    """The rate in `AGAIN` times as many fresh replications, where the first were outside the band."""
    said: float | None = None
    """What `arena plan --power` says that it is, where it does."""

    @property
    def judged(self) -> bool:
        """Whether the rate should be five percent."""
        return self.label == "ours" and self.said is None

    @property
    def outside(self) -> bool:
        return self.judged and not BAND[0] <= self.rate <= BAND[1]

    @property
    def still_outside(self) -> bool:
        return self.again is not None and not BAND[0] <= self.again <= BAND[1]


# ------------------------------------------------------------------ rational debaters: rates should be five percent


def rational(noise: str, correlation: float, debates: int, rng: np.random.Generator) -> Found:
    """Every test once, on rational debaters of whom each null hypothesis is true."""
    process = replace(presets()["rational"], **NOISES[noise])
    held = beliefs(process, debates, 4, rng, correlation=correlation)
    private, public = stated(process, held, rng), stated(process, held, rng)
    other = draw(process, debates, 3, rng, correlation=correlation)
    c = private[:, :, :3]
    known = updating.Noise(process.sd_report, process.rounding / 100)
    debate = np.repeat(np.arange(debates), 2)
    seated = _round_robin(debates)
    one = seated == 0
    rise = c[:, :, 2] - c[:, :, 0]
    won = _outcomes(c[:, :, 2], rng)
    coin = rng.integers(0, 2, debates).astype(float)
    coins = np.stack([coin, 1 - coin], axis=1)
    shaded = public[:, :, 2] - private[:, :, 2]
    moved = updating.movement(c)
    a, b, apart = (_condition(values, seated, topics) for values, topics in ((c, "t"), (other, "t"), (other, "u")))
    by_debate = c.mean(axis=1), other.mean(axis=1)
    naive: Any = stats.ttest_1samp(c[:, :, 2].ravel(), 0.5)
    errors = calibration.calibration_errors(c[:, :, 2].ravel(), won.ravel(), debate, rng)
    found: Found = {
        "opening overconfidence": clustered_mean(c[:, :, 0].ravel() - 0.5, debate),
        "opening overconfidence of one model": clustered_mean(c[:, :, 0][one] - 0.5, debate[one.ravel()]),
        "escalation": clustered_mean(rise.ravel(), debate),
        "escalation of one model": clustered_mean(rise[one], debate[one.ravel()]),
        "escalation in log-odds": clustered_mean(_logit_rise(c).ravel(), debate),
        "escalation per round, mixed model": escalation_per_round(c, seated),
        "pair sum, opening": pair_sum(*c[:, :, 0].T),
        "pair sum, closing": pair_sum(*c[:, :, 2].T),
        "pair sum, sides as if independent": made(0.0, n=2 * debates, test="not ours", statistic=0.0, p=float(naive.pvalue)),
        "drift, mean": updating.drift(c),
        "drift, slope": updating.drift_slope(c),
        "drift, slope, of one model": updating.drift_slope(c, one),
        "drift, slope, two rounds": updating.drift_slope(c[:, :, :2]),
        "excess movement": moved.excess,
        "excess movement, noise given": updating.movement(c, noise=known).excess,
        "excess movement, as stated": moved.stated,
        "autocorrelation, noise given": updating.autocorrelation(c, noise=known),
        "autocorrelation, four rounds": updating.autocorrelation(private),
        "autocorrelation, three rounds": updating.autocorrelation(c),
        "reaction to the opponent": updating.reaction(c),
        "difference of conditions, paired": difference(a, b, by_debate[0][:, 0], by_debate[1][:, 0]),
        "difference of conditions, unpaired": difference(a, apart, by_debate[0][:, 2], by_debate[1][:, 2]),
        "shading": disclosure.shading(private[:, :, 2].ravel(), public[:, :, 2].ravel(), debate),
        "shading and winning": disclosure.predicts_winning(shaded, coin).slope,
        "overconfidence against outcomes": calibration.overconfidence(c[:, :, 2].ravel(), won.ravel(), debate),
        "AUROC": calibration.auroc(c[:, :, 2].ravel(), coins.ravel(), debate),
        "ECE, equal width": errors["equal_width"].error,
        "ECE, equal mass": errors["equal_mass"].error,
        "ECE, maximum": errors["maximum"].error,
    }  # fmt: skip
    if np.array_equal(private, public):
        # Without noise nothing is shaded, and there is nothing to test.
        del found["shading"], found["shading and winning"]
    return found


def _round_robin(debates: int) -> NDArray[np.intp]:
    """Who sits where, (debates, 2): five models, each pairing in turn, sides swapped every other time."""
    pairings = np.array(list(combinations(range(5), 2)))
    held = pairings[np.arange(debates) % len(pairings)]
    swapped = np.arange(debates) // len(pairings) % 2 == 1
    return np.where(swapped[:, None], held[:, ::-1], held)


def _outcomes(p: Floats, rng: np.random.Generator) -> Floats:
    """Who won, where what is stated is true and sides that add up to one have one winner."""
    u = rng.random(len(p))
    return (np.stack([u, 1 - u], axis=1) < p).astype(float)


def _logit_rise(c: Floats) -> Floats:
    from arena.stats.ours import PULLED

    kept = np.clip(c, PULLED, 1 - PULLED)
    return np.diff(np.log(kept / (1 - kept))[:, :, [0, 2]], axis=2)[:, :, 0]


def _condition(c: Floats, seated: NDArray[np.intp], topics: str) -> Beliefs:
    """Debates as a condition, each on a topic of its own; the same `topics` make two conditions comparable."""
    n = len(c)
    ids = np.array([f"{topics}{k}" for k in range(n)], dtype=object)
    names = tuple(map(str, range(5)))
    sides, phases = ("proposition", "opposition"), ("opening", "rebuttal", "closing")
    return Beliefs(
        topics, "private", ids, ids, sides, phases, c, seated, names, np.full((n, 2), np.nan), np.ones(2, bool)
    )


# ------------------------------------------------------------------ judges: rates should be five percent


def fair_judges(leaning: float, debates: int, rng: np.random.Generator) -> Found:
    """Three judges of two ballots each, who favour neither side but go together on a debate."""
    debate = np.repeat(np.arange(debates), 6)
    odds = leaning * rng.standard_normal(debates)
    choice = (rng.random(debate.size) < expit(odds[debate])).astype(int)
    by_debate, by_ballot = np.repeat(rng.permutation(debates) % 2, 6), np.tile([0, 1], 3 * debates)
    lengths = np.exp(rng.normal(8.6, 0.35, (2, debates)))[:, debate]
    return {
        "side share": judges.side_share(choice, debate),
        "order effect, each debate in one order": judges.order_effect(choice, debate, by_debate).difference,
        "order effect, each debate in both": judges.order_effect(choice, debate, by_ballot).difference,
        "length effect": judges.length_effect(choice, debate, lengths[0], lengths[1]).slope,
    }


# ------------------------------------------------------------------ escalating debaters: power should be what is said


@dataclass(frozen=True, slots=True)
class Shown:
    """Mean and standard deviation of a statistic's values per debate."""

    mean: float
    sd: float


STATISTICS: dict[str, Callable[[Floats], Floats]] = {
    "opening overconfidence": lambda c: c[:, :, 0].mean(axis=1) - 0.5,
    "escalation": lambda c: (c[:, :, 2] - c[:, :, 0]).mean(axis=1),
    "pair sum": lambda c: c[:, :, 2].sum(axis=1) - 1,
}


@cache
def shown() -> dict[str, Shown]:
    """What `escalating` debaters show, from very many."""
    c = draw(presets()["escalating"], 400_000, 3, np.random.default_rng(0))
    return {name: Shown(float(of(c).mean()), float(of(c).std())) for name, of in STATISTICS.items()}


def escalating(debates: int, rng: np.random.Generator) -> Found:
    """The tests of so many debates against a value that is off by the wanted difference."""
    c = draw(presets()["escalating"], debates, 3, rng)
    each = np.arange(debates)
    return {
        f"{name}, {100 * WANTED:g} points off": clustered_mean(of(c), each, null=shown()[name].mean - WANTED)
        for name, of in STATISTICS.items()
    } | {"escalation, against none": clustered_mean(STATISTICS["escalation"](c), each)}


def said(test: str, debates: int) -> float:
    """The power that is said of a test of `escalating`."""
    name, _, against = test.partition(", ")
    of = shown()[name]
    return power(of.mean if against == "against none" else WANTED, of.sd, debates)


# ------------------------------------------------------------------ replications


@cache
def presets() -> dict[str, Preset]:
    shipped = config.compose()["provider"]["simulated"]["presets"]
    return {name: Preset(**values) for name, values in shipped.items()}


Replication = Callable[[np.random.Generator], Found]


def cells(debates: int) -> dict[Cell, Replication]:
    """Everything that is simulated."""
    believing: dict[Cell, Replication] = {
        (noise, f"{correlation:g}"): partial(rational, noise, correlation, debates)
        for noise in NOISES
        for correlation in CORRELATIONS
    }
    judging: dict[Cell, Replication] = {("judges", f"{sd:g}"): partial(fair_judges, sd, debates) for sd in LEANINGS}
    named = {needed(WANTED, of.sd) for of in shown().values()}
    detecting: dict[Cell, Replication] = {("power", f"{n}"): partial(escalating, n) for n in sorted({*SIZES, *named})}
    return believing | judging | detecting


@dataclass(slots=True)
class Count:
    """What a test did over replications."""

    label: str = "ours"
    done: int = 0
    rejected: int = 0
    untested: int = 0


def chunk(replicate: Replication, count: int, seed: np.random.SeedSequence) -> dict[str, Count]:
    """What the tests did in so many replications."""
    rng = np.random.default_rng(seed)
    counts: dict[str, Count] = {}
    for _ in range(count):
        for name, estimate in replicate(rng).items():
            kept = counts.setdefault(name, Count())
            kept.done += 1
            if estimate.p is None:
                kept.untested += 1
                continue
            kept.rejected += estimate.p < LEVEL
            assert estimate.test is not None
            if "upper bound" in estimate.test:
                kept.label = "upper bound"
            elif estimate.test == "not ours":
                kept.label = "not ours"
    return counts


def simulate(replications: int, debates: int, seed: int, processes: int) -> list[Rate]:
    """All rates. What comes out outside the band is looked at again: of hundreds, some are there by chance."""
    with ProcessPoolExecutor(processes) as pool:
        rates = _rates(pool, cells(debates), replications, seed)
        doubtful = {(rate.table, rate.column) for rate in rates if rate.outside}
        named = {cell: replicate for cell, replicate in cells(debates).items() if cell in doubtful}
        fresh = _rates(pool, named, AGAIN * replications, seed + 1)
    again = {(rate.table, rate.column, rate.test): rate.rate for rate in fresh}
    return [replace(rate, again=again[rate.table, rate.column, rate.test]) if rate.outside else rate for rate in rates]


def _rates(pool: ProcessPoolExecutor, wanted: Mapping[Cell, Replication], replications: int, seed: int) -> list[Rate]:
    roots = np.random.SeedSequence(seed).spawn(len(wanted))
    counts: dict[Cell, dict[str, Count]] = {cell: {} for cell in wanted}
    tasks = {
        pool.submit(chunk, replicate, min(CHUNK, replications - first), root.spawn(1)[0]): cell
        for (cell, replicate), root in zip(wanted.items(), roots, strict=True)
        for first in range(0, replications, CHUNK)
    }
    for done, task in enumerate(as_completed(tasks), start=1):
        for name, count in task.result().items():
            kept = counts[tasks[task]].setdefault(name, Count())
            kept.label = count.label if kept.label == "ours" else kept.label
            kept.done += count.done
            kept.rejected += count.rejected
            kept.untested += count.untested
        if done * 20 // len(tasks) > (done - 1) * 20 // len(tasks):
            said_ = (
                f"{done * 100 // len(tasks)} % of {len(wanted)} settings simulated, {replications:,} replications each"
            )
            print(said_, file=sys.stderr, flush=True)
    return [_rate(cell, name, count) for cell, by in counts.items() for name, count in by.items()]


def _rate(cell: Cell, name: str, count: Count) -> Rate:
    table, column = cell
    seen = share(count.rejected, count.done)
    assert seen.estimate is not None
    assert seen.low is not None
    assert seen.high is not None
    foreseen = said(name, int(column)) if table == "power" else None
    return Rate(
        table, column, name, count.label, count.done, count.untested, seen.estimate, seen.low, seen.high, said=foreseen
    )


# ------------------------------------------------------------------ what it says


def report(rates: list[Rate], replications: int, debates: int) -> None:
    """Print the tables, and in a sentence what is outside the band."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    half = 1.96 * np.sqrt(LEVEL * (1 - LEVEL) / replications)
    console.print(
        f"Rejections in percent at the 5 % level, {replications:,} replications of {debates} debates each (95 % Monte Carlo "
        f"interval about ± {100 * half:.1f}).\n[bold]![/bold] outside {100 * BAND[0]:g} to {100 * BAND[1]:g}, "
        "( ) labelled an upper bound by the test itself, [dim]dim[/dim] not ours: shown as a warning.\n"
    )
    for noise in NOISES:
        title = f"Rational debaters, stated {noise}; correlation of the two sides' evidence"
        _table(console, title, [rate for rate in rates if rate.table == noise])
    _table(
        console, "Judges who favour no side; SD between debates in log-odds", [r for r in rates if r.table == "judges"]
    )
    _power_table(console, [rate for rate in rates if rate.table == "power"])
    untested = Counter({f"{rate.test}, {rate.table}, {rate.column}": rate.untested for rate in rates if rate.untested})
    for where, count in untested.most_common(10):
        console.print(f"No p-value in {count:,} replications of {where}; counted as no rejection.")
    outside = [rate for rate in rates if rate.outside]
    judged = [rate for rate in rates if rate.judged]
    console.print(
        f"\n{len(judged) - len(outside):,} of {len(judged):,} rates of tests without a label lie within the band."
    )
    for rate in outside:
        verdict = "still outside" if rate.still_outside else "within: the first was chance"
        console.print(
            f"Outside: {rate.test} ({rate.table}; {rate.column}): {100 * rate.rate:.2f} %; "
            f"in {AGAIN * rate.replications:,} fresh replications {100 * (rate.again or 0):.2f} %, {verdict}.",
            markup=False,
        )


def _table(console: Any, title: str, rates: list[Rate]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    columns = list(dict.fromkeys(rate.column for rate in rates))
    by: Mapping[tuple[str, str], Rate] = {(rate.test, rate.column): rate for rate in rates}
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("test", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for test in dict.fromkeys(rate.test for rate in rates):
        row = [by[test, column] for column in columns]
        table.add_row(test, *map(_cell, row), style="dim" if row[0].label == "not ours" else None)
    console.print(table)


def _cell(rate: Rate) -> str:
    figure = f"{100 * rate.rate:.1f}"
    if rate.label == "upper bound":
        return f"({figure})"
    return f"[bold]! {figure}[/bold]" if rate.outside else figure


def _power_table(console: Any, rates: list[Rate]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title="Power with `escalating` debaters, in percent: seen (said by `arena plan --power`)", title_justify="left",
        box=SIMPLE_HEAD,
    )  # fmt: skip
    tests = list(dict.fromkeys(rate.test for rate in rates))
    by = {(rate.test, rate.column): rate for rate in rates}
    table.add_column("debates", justify="right")
    for test in tests:
        table.add_column(test.replace(", ", ",\n"), justify="right")
    for column in dict.fromkeys(rate.column for rate in rates):
        row = [by[test, column] for test in tests]
        table.add_row(column, *(f"{100 * rate.rate:.1f} ({100 * (rate.said or 0):.1f})" for rate in row))
    console.print(table)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--replications", type=int, default=2000, metavar="N")
    arguments.add_argument("--debates", type=int, default=60, metavar="N", help="debates a replication (default: 60)")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--processes", type=int, default=os.cpu_count(), metavar="N")
    arguments.add_argument("--json", action="store_true", help="the rates as a list of records")
    chosen = arguments.parse_args()
    rates = simulate(chosen.replications, chosen.debates, chosen.seed, chosen.processes)
    if chosen.json:
        print(
            json.dumps(
                [asdict(rate) | {"outside": rate.outside, "still_outside": rate.still_outside} for rate in rates]
            )
        )
    else:
        report(rates, chosen.replications, chosen.debates)
    return int(any(rate.still_outside for rate in rates))


if __name__ == "__main__":
    sys.exit(main())
