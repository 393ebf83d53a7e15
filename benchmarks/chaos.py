"""A run among faults, killed again and again, ends as a calm one: python benchmarks/chaos.py [--runner ray] [--tools DIR]

Seeded speakers and judges debate twice: calmly, and with faults of all kinds, SIGKILLs at seeded counts of answered calls
and budgets of calls, USD and tokens, each raised when it is spent. Then the tables are compared row by row, what was paid for
twice is counted, and the ledger is asked whether a bound was passed at any moment.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import books
import pandas as pd
import yaml
from nodes import Nodes, nodes

from arena import frames
from arena.commands import BUDGET
from arena.history import Spent

ARENA = str(Path(sys.executable).with_name("arena"))
SIDES = ("proposition", "opposition")
CALLS = 6 + 3
"""Of a debate: three speeches a side, three judges."""

COMMON = "500=0.01,503=0.01,529=0.01,stall=0.01,garbage=0.02,empty=0.01,truncate=0.02"
OURS = f"{COMMON},429=0.02,drop=0.02,invalid_json=0.005,wrong_types=0.005,unknown_finish=0.005,slow=0.005"
THEIRS = f"{COMMON},429=0.03,drop=0.03"
"""15 % of all requests; of the kinds that only our own endpoint deals, `huge` is left to tests."""

COMPARED = {
    "matches": frames.COLUMNS["matches"].keys() - {"started_at", "ended_at"},
    "seats": frames.COLUMNS["seats"].keys(),
    "utterances": frames.COLUMNS["utterances"].keys(),
    "confidences": frames.COLUMNS["confidences"].keys(),
    "verdicts": frames.COLUMNS["verdicts"].keys(),
    # What was asked again was asked with a reason, so the rest depends on how often that was.
    "calls": ("match_id", "step", "slot", "call", "seat", "model", "provider_model", "output_tokens"),
}
"""What must be the same, a value read at the second attempt counting as read."""


PRICE = {"input": 2.0, "cached": 1.0, "output": 8.0}
"""Of every model, in USD a million tokens."""

UNBOUNDED = Spent(1e6, 10**12, 10**9)
STAGES = ("calls", "usd", "tokens")
"""What is bounded, one after the other: calls to half of what a calm run needs, then `MORE` times what was spent before."""
MORE = 1.25
SHOWN = 1000
"""Characters of a difference that are told."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A budget that was spent: the bound, and what the table of calls and the endpoint said then."""

    unit: str
    bound: float
    table: float
    """Its sum: what calls cost, their most where nobody knows; of tokens, what was answered alone."""
    ledger: float
    answered: int
    """By the endpoint, all calls so far."""


@dataclass(slots=True)
class Shaken:
    """What was seen of a run that was killed."""

    kills: dict[str, int] = field(default_factory=dict[str, int])
    in_flight: int = 0
    """Calls in flight at the kills by the ledger: each intent that then stood without an answer, once."""
    at_the_endpoint: int = 0
    """Those of them that the endpoint was at work on; others were on their way or waited for their next try."""
    duplicates: int = 0
    """Calls that the endpoint answered more than once."""
    without_reply: int = 0
    """Intents to which no reply was recorded, listed in the table of calls; those of tries that timed out are among them."""
    stages: list[Stage] = field(default_factory=list[Stage])
    answered: int = 0
    faults: dict[str, int] = field(default_factory=dict[str, int])
    wrong: list[str] = field(default_factory=list[str])


def main() -> None:
    grammar = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = grammar.add_argument
    add("--debates", type=int, default=1000)
    add("--kills", type=int, default=20)
    add("--runner", choices=["local", "ray"], default="local", help="ray: workers and a node too are killed")
    add("--tools", type=Path, metavar="DIR", help="holds llm_endpoint.py and replay_matches.py to use instead of ours")
    add("--at-once", type=int, default=64)
    add("--latency", type=float, default=0.05)
    add("--timeout", type=float, default=2.0, help="seconds after which a call that is stalled is tried again")
    add("--seed", type=int, default=0)
    add("--nodes", type=int, default=2, help="of the cluster, with a worker each")
    add("--override", action="append", default=[])
    chosen = grammar.parse_args()
    cluster = nodes(chosen.nodes) if chosen.runner == "ray" else nullcontext()
    with tempfile.TemporaryDirectory() as folder, cluster as there:
        runs = Path(folder)
        matches = listed(chosen, runs)
        started = time.monotonic()
        with endpoint(chosen, "--latency", "0") as url:
            calm(chosen, runs, matches, url)
        calm_s = time.monotonic() - started
        faults = ["--fault", THEIRS if chosen.tools else OURS, "--retry-after", "0.2"]
        with endpoint(chosen, "--latency", str(chosen.latency), *faults) as url:
            seen = shaken(chosen, runs, matches, url, there)
        seen.wrong += [*differences(runs / "calm", runs / "shaken"), *unsound(runs / "shaken", seen)]
    print(json.dumps({**asdict(seen), "calm_s": calm_s, "shaken_s": time.monotonic() - started - calm_s}, indent=2))
    raise SystemExit(bool(seen.wrong))


# ------------------------------------------------------------------ playing


def listed(chosen: argparse.Namespace, folder: Path) -> Path:
    """The list of matches, as many debates of speakers who are nobody else's, and beside it what everybody's tokens cost."""
    path, judges = folder / "matches.csv", {f"openai/seeded-judge/{n}" for n in range(3)}
    if chosen.tools:
        command = [sys.executable, str(chosen.tools / "replay_matches.py"), "--seeded", str(chosen.debates)]
        path.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    else:
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["match", "topic", *SIDES])
            for n in range(chosen.debates):
                sides = (f"openai/seeded/{n}/{side}" for side in SIDES)
                rows.writerow([f"debate-{n}", f"This house supports proposal {n % 50}.", *sides])
    with path.open(newline="") as file:
        seated = judges.union(*([row[side] for side in SIDES] for row in csv.DictReader(file)))
    (folder / "conf").mkdir()
    (folder / "conf" / "prices.yaml").write_text(yaml.safe_dump(dict.fromkeys(sorted(seated), PRICE)))
    return path


def new(chosen: argparse.Namespace, runs: Path, matches: Path, name: str) -> list[str]:
    """The command that begins a run."""
    judges = ", ".join(f"judge_{n}: {{model: openai/seeded-judge/{n}}}" for n in range(3))
    return [
        *(ARENA, "run", "--quiet", "--config-dir", str(runs / "conf"), f"runs={runs}", f"name={name}"),
        *("schedule=explicit", f"matches={matches}"),
        *("agents=none", "judge=panel", f"+judge.judges={{{judges}}}", "judge.orders=as_spoken"),
        "game.params.tags={private_confidence: bet_amount, reasoning: bet_logic_private}",
        "judge.tags={choice: winnerName, probability: confidence}",
        *(
            "attempts=8",
            f"limits.concurrency={chosen.at_once}",
            "limits.tries=12",
            f"limits.timeout_s={chosen.timeout}",
        ),
        "budget.output_tokens=1000",
        *bounded(UNBOUNDED),
        *chosen.override,
    ]


def bounded(by: Spent) -> list[str]:
    """The overrides for a bound of each unit."""
    return [f"budget.{unit}={getattr(by, unit)}" for unit in STAGES]


def cluster(chosen: argparse.Namespace, nodes: Nodes | None) -> list[str]:
    """The overrides for who plays the matches."""
    return [] if nodes is None else ["runner=ray", f"runner.address={nodes.address}"]


def surroundings(url: str) -> dict[str, str]:
    return {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}


def calm(chosen: argparse.Namespace, runs: Path, matches: Path, url: str) -> None:
    """Play without disturbance, in this machine's one process."""
    command = new(chosen, runs, matches, "calm")
    done = subprocess.run(command, env=surroundings(url), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the calm run ended with {done.returncode}:\n{done.stderr[-2000:]}")


def shaken(chosen: argparse.Namespace, runs: Path, matches: Path, url: str, nodes: Nodes | None) -> Shaken:
    """Play among faults, kill at each count, go on until the run says that it is finished."""
    run, seen, drawn = runs / "shaken", Shaken(), random.Random(chosen.seed)
    expected = chosen.debates * CALLS
    owed = plan(chosen, drawn, expected)
    units = [*STAGES]
    bound = replace(UNBOUNDED, calls=expected // 2)
    bounds: dict[str, Spent] = {}
    moments: list[books.Moment] = []
    command, said = [*new(chosen, runs, matches, "shaken"), *bounded(bound), *cluster(chosen, nodes)], runs / "said.txt"
    while True:
        before, killed = stats(url)["answered"], False
        with said.open("w") as out:
            process = subprocess.Popen(command, env=surroundings(url), stdout=out, stderr=out)
        while process.poll() is None:
            known = stats(url)
            # Killed before it has done anything, a process proves nothing.
            if owed and known["answered"] >= owed[0][0] and known["answered"] > before:
                victim, then = owed[0][1], kill(owed[0][1], process, nodes, run / "ledger", drawn)
                if then:
                    owed.pop(0)
                    before, killed = known["answered"], True
                    seen.kills[victim] = seen.kills.get(victim, 0) + 1
                    seen.at_the_endpoint += known["in_flight"]
                    moments += then
            time.sleep(0.02)
        bounds |= {name: bound for name in books.moment(run / "ledger") if name not in bounds}
        match process.returncode:
            case 0:
                break
            case code if code == BUDGET and units:
                seen.stages.append(stage(run, units.pop(0), bound, stats(url)["answered"]))
                bound = raised(run, units)
            case code if not killed:
                raise SystemExit(f"the run ended with {code}:\n{said.read_text()[-3000:]}")
            case _:
                pass
        command = [ARENA, "resume", "--quiet", str(run), *bounded(bound)]
    known = stats(url)
    seen.answered, seen.faults = known["answered"], known["faults"]
    seen.in_flight = len(set().union(*(books.in_flight(run / "ledger", moment) for moment in moments)))
    seen.duplicates = known.get("duplicate_calls", known["duplicate_bodies"])
    seen.wrong += passed(run, bounds)
    if owed:
        seen.wrong.append(f"the run ended before {len(owed)} of the kills")
    return seen


def raised(run: Path, units: Sequence[str]) -> Spent:
    """The bound of the next stage."""
    if not units:
        return UNBOUNDED
    *_, (_, now) = books.spent(run / "ledger")
    return replace(UNBOUNDED, **{units[0]: type(getattr(now, units[0]))(MORE * getattr(now, units[0]))})


def stage(run: Path, unit: str, bound: Spent, answered: int) -> Stage:
    """What was spent when a bound was reached."""
    calls = frames.read_table(run / "tables", "calls")
    nobody_knows = calls["status"].isin(["in_flight", "lost"])
    sums = {
        "calls": calls["calls"].sum(),
        "usd": calls["cost_usd"].sum() + calls.loc[nobody_knows, "most_usd"].sum(),
        "tokens": calls["input_tokens"].sum() + calls["output_tokens"].sum(),
    }
    *_, (_, now) = books.spent(run / "ledger")
    return Stage(unit, getattr(bound, unit), float(sums[unit]), getattr(now, unit), answered)


def plan(chosen: argparse.Namespace, drawn: random.Random, expected: int) -> list[tuple[int, str]]:
    """When to kill, in calls answered, and whom: of a cluster drivers and workers, and once the raylet of a node."""
    counts = sorted(drawn.sample(range(2, expected - CALLS), chosen.kills))
    if chosen.runner == "local":
        return [(count, "driver") for count in counts]
    victims = [drawn.choice(["driver", "worker"]) for _ in counts]
    victims[len(victims) // 2] = "raylet"
    return list(zip(counts, victims, strict=True))


def kill(
    victim: str, process: subprocess.Popen[bytes], nodes: Nodes | None, ledger: Path, drawn: random.Random
) -> list[books.Moment]:
    """SIGKILL the driver, a worker, or a node's raylet. Returns the moments at which calls were lost by it; none where there was
    nobody to kill."""
    if victim == "driver":
        process.kill()
        process.wait()
        return [books.moment(ledger)]
    assert nodes is not None
    if victim == "worker":
        if not (found := nodes.workers()):
            return []
        with suppress(ProcessLookupError):
            os.kill(drawn.choice(found), signal.SIGKILL)
        return [books.moment(ledger)]
    nodes.lose_one()
    # Its worker notices a little later, and has sent more by then.
    moments = [books.moment(ledger)]
    while nodes.leaving():
        moments.append(books.moment(ledger))
        time.sleep(0.02)
    nodes.replace_it()
    return [moments[0], books.moment(ledger)]


# ------------------------------------------------------------------ what must hold


def differences(calm: Path, shaken: Path) -> list[str]:
    """Where the tables of the two runs are not the same, row by row."""
    found: list[str] = []
    for name in COMPARED:
        try:
            pd.testing.assert_frame_equal(comparable(calm, name), comparable(shaken, name))
        except AssertionError as problem:
            found.append(f"{name}: {str(problem)[:SHOWN]}")
    return found


def comparable(run: Path, name: str) -> pd.DataFrame:
    table = frames.read_table(run / "tables", name)
    if name == "calls":
        last = ["match_id", "step", "slot", "call"]
        table = table[table["status"] == "ok"].sort_values([*last, "attempt"]).drop_duplicates(last, keep="last")
    kept = table[[column for column in frames.COLUMNS[name] if column in COMPARED[name]]]
    if "status" in kept:
        kept = kept.assign(status=kept["status"].replace({"repaired": "ok"}))
    return kept.reset_index(drop=True)


def passed(run: Path, bounds: Mapping[str, Spent]) -> list[str]:
    """Where more was spent than the bound that held when a segment of the ledger was written, at any moment of it."""
    most: dict[str, Spent] = {}
    for segment, now in books.spent(run / "ledger"):
        before = most.get(segment, now)
        most[segment] = Spent(*(max(getattr(before, unit), getattr(now, unit)) for unit in ("usd", "tokens", "calls")))
    return [
        f"{segment}: {getattr(reached, unit)} {unit} spent, of at most {getattr(bounds[segment], unit)}"
        for segment, reached in most.items()
        for unit in STAGES
        if getattr(reached, unit) > getattr(bounds[segment], unit) * (1 + 1e-9)
    ]


def unsound(run: Path, seen: Shaken) -> list[str]:
    """What else does not hold of a run that was killed; notes the intents without a reply."""
    calls = frames.read_table(run / "tables", "calls")
    seen.without_reply = int(calls["status"].isin(["in_flight", "lost"]).sum())
    found = [
        f"the bound of {stage.bound} {stage.unit} was passed: {amount}"
        for stage in seen.stages
        for amount in (stage.table, stage.ledger, stage.answered if stage.unit == "calls" else 0)
        if amount > stage.bound * (1 + 1e-9)
    ]
    if not seen.stages:
        found.append("no budget was reached")
    if seen.duplicates > seen.in_flight:
        found.append(f"{seen.duplicates} calls were answered twice, of {seen.in_flight} in flight at the kills")
    if seen.without_reply < seen.duplicates:
        found.append(
            f"{seen.duplicates} calls were answered twice, but {seen.without_reply} are listed without a reply"
        )
    checked = subprocess.run([ARENA, "log", "verify", str(run), "--json"], capture_output=True, text=True, check=False)
    if checked.returncode:
        found.append(f"arena log verify: {checked.stdout[-2000:]}{checked.stderr[-2000:]}")
    return found


# ------------------------------------------------------------------ the endpoint


@contextmanager
def endpoint(chosen: argparse.Namespace, *options: str) -> Generator[str]:
    """An endpoint in a process of its own while the context lasts."""
    ours = [sys.executable, "-m", "arena.testing", "--seeded"]
    script: Sequence[str] = [sys.executable, str(chosen.tools / "llm_endpoint.py")] if chosen.tools else ours
    # Of the seed both the faults and what is said depend.
    command = [*script, "--port", "0", "--life", "7200", "--seed", str(chosen.seed), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def stats(url: str) -> Any:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=60) as reply:
        return json.load(reply)


if __name__ == "__main__":
    main()
