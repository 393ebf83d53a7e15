"""What a call costs, side by side with others in one go: python benchmarks/calling.py [--part calling|big|simulated]"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TURNS = 6

CONTENDERS = {
    "sdk": "bare loop, openai SDK",
    "post": "bare loop, its raw `post`",
    "inspect": "inspect_ai, debates as a solver",
    "arena": "this project, everything on",
    "ray": "this project, `runner=ray`",
}


def main() -> None:
    grammar = argparse.ArgumentParser(description=__doc__)
    add = grammar.add_argument
    add("--part", action="append", choices=["calling", "simulated", "big"], help="what to measure (default: all)")
    add("--runs", type=int, default=5, help="interleaved runs, of which medians are taken (default: %(default)s)")
    add("--debates", type=int, default=150, help="for the calls a second (default: %(default)s)")
    add("--slope", type=int, nargs=2, default=(168, 1000), help="debates between which CPU a call is the slope")
    add("--at-once", type=int, default=64)
    add("--latency", type=float, default=0.2)
    add("--chars", type=int, default=6000, help="of a speech (default: %(default)s)")
    add("--big", type=int, default=10_064, help="debates of the big run, killed shortly before its end")
    add("--inspect", metavar="PYTHON", help="a Python that has inspect_ai, in an environment of its own")
    add("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    add("--keep", action="store_true", help="leave README.md as it is")
    chosen = grammar.parse_args()
    parts = {"calling": calling, "simulated": simulated, "big": big}
    for name in chosen.part or parts:
        lines = parts[name](chosen)
        print("\n".join(lines))
        if not chosen.keep:
            write(name, [*lines, "", f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {date.today()}."])


# ------------------------------------------------------------------ the parts


def calling(chosen: argparse.Namespace) -> list[str]:
    """Every contender against the same endpoint."""
    playing = [name for name in chosen.only if there(name, chosen)]
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(chosen.runs):
        for debates in (chosen.debates, *chosen.slope):
            for name in playing:
                known = found.setdefault((name, debates), [])
                known.append(measured(name, debates, chosen))
                told = ", ".join(f"{what} {number:.4g}" for what, number in known[-1].items())
                print(f"{name} {debates}: {told}", file=sys.stderr)

    def median(name: str, debates: int, what: str) -> float:
        return statistics.median(run.get(what, 0.0) for run in found[name, debates])

    def slope(name: str, what: str) -> float:
        few, many = chosen.slope
        return (median(name, many, what) - median(name, few, what)) / (many - few) / TURNS * 1e3

    rate = {name: median(name, chosen.debates, "calls_per_s") for name in playing}
    few, many = chosen.slope
    waited = {name: median(name, many, "wall_s") - median(name, few, "wall_s") for name in playing}
    once_started = {name: (many - few) * TURNS / waited[name] for name in playing}
    tables = {name: slope(name, "tables_cpu_s") for name in playing}
    cost = {name: slope(name, "cpu_s") - tables[name] for name in playing}
    lines = [
        f"{chosen.debates} debates of {TURNS} sequential calls, {chosen.at_once} at once, {chosen.latency:g} s latency, "
        f"speeches of {chosen.chars:,} characters, medians of {chosen.runs} interleaved runs. "
        f"CPU a call is the slope between {few * TURNS:,} and {many * TURNS:,} calls; "
        "start-up is the process's CPU before its first call.",
        "",
        "| | calls/s | CPU a call, ms | and tables, ms | start-up, s | peak memory, MB | endpoint, ms a call |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {CONTENDERS[name]} | {rate[name]:.0f} | {cost[name]:.2f} | {cost[name] + tables[name]:.2f} "
        f"| {median(name, many, 'start_cpu_s'):.2f} | {median(name, many, 'peak_mb'):.0f} "
        f"| {median(name, many, 'endpoint_cpu_s') / many / TURNS * 1e3:.2f} |"
        for name in playing
    ]
    asked = [
        ("CPU a call, beside the raw post", cost, "arena", "post", "at most 1.3"),
        ("calls/s, beside the raw post", rate, "arena", "post", "at least 0.95"),
        ("CPU a call, inspect_ai beside this project", cost, "inspect", "arena", "at least 8"),
        ("calls/s once started, as the slope, Ray beside this process", once_started, "ray", "arena", "at least 0.8"),
    ]
    ratios = [
        f"| {what} | {of[one] / of[other]:.2f} | {bound} |"
        for what, of, one, other, bound in asked
        if one in playing and other in playing
    ]
    return [*lines, "", "| ratio | seen | bound |", "|---|---|---|", *ratios] if ratios else lines


def simulated(chosen: argparse.Namespace) -> list[str]:
    """Debaters who are computed here, without latency."""
    _, many = chosen.slope
    with tempfile.TemporaryDirectory() as folder:
        runs = [told(played("simulated", chosen, many, folder, f"run-{n}")) for n in range(chosen.runs)]
    rates = [many * TURNS / run["wall_s"] for run in runs]
    return [
        f"Simulated debaters, no latency, one process: {statistics.median(rates):,.0f} calls/s over {many * TURNS:,} calls "
        f"(median of {chosen.runs}, {min(rates):,.0f} to {max(rates):,.0f}; bound 1,500)."
    ]


def big(chosen: argparse.Namespace) -> list[str]:
    """A run of many debates with short latency, killed shortly before its end and resumed."""
    whole = chosen.big * TURNS
    kill_at = whole - TURNS * chosen.at_once
    short = argparse.Namespace(**{**vars(chosen), "latency": 0.02})
    with tempfile.TemporaryDirectory() as folder, endpoint(short) as url:
        seen: list[tuple[int, float]] = []
        playing = played("arena", short, chosen.big, folder, "big", url)
        while playing.poll() is None and (answered := stats(url)["answered"]) < kill_at:
            seen.append((answered, resident_mb(playing.pid)))
            time.sleep(0.05)
        if playing.poll() is not None:
            raise SystemExit("the big run ended before it could be killed")
        playing.kill()
        playing.communicate()
        urllib.request.urlopen(url.removesuffix("/v1") + "/reset", b"").close()
        began = time.perf_counter()
        resuming = played("arena", short, chosen.big, folder, "big", url)
        while stats(url)["calls"] == 0 and resuming.poll() is None:
            time.sleep(0.005)
        first_s = time.perf_counter() - began
        resumed = told(resuming)
    quarter, half, end = (next(mb for at, mb in seen if at >= share * kill_at) for share in (0.25, 0.5, 0.99))
    playing_mb, whole_mb = resumed["play_peak_mb"], resumed["peak_mb"]
    return [
        f"{chosen.big:,} debates, {whole:,} calls, latency {short.latency:g} s, speeches of {chosen.chars:,} characters; "
        f"killed when {kill_at:,} calls were answered, and resumed.",
        "",
        "| what | seen | bound |",
        "|---|---|---|",
        f"| memory after a quarter, a half, all of the calls | {quarter:.0f}, {half:.0f}, {end:.0f} MB | 600 MB |",
        f"| memory at most, resumed, before tables; with them | {playing_mb:.0f}, {whole_mb:.0f} MB | 600 MB |",
        f"| `arena resume` to its first new call, the whole command | {first_s:.1f} s | 3 s |",
        f"| its tables | {resumed['tables_wall_s']:.1f} s | |",
    ]


# ------------------------------------------------------------------ processes


def there(name: str, chosen: argparse.Namespace) -> bool:
    """Whether a contender can be had; says so where it cannot."""
    problem = None
    if name == "inspect":
        if not chosen.inspect:
            problem = "--inspect names no Python that has it"
        elif subprocess.run([chosen.inspect, "-c", "import inspect_ai, openai"], capture_output=True).returncode:
            problem = f"{chosen.inspect} cannot import inspect_ai and openai"
    if name == "ray":
        asked = [sys.executable, "-c", "import ray; from arena import config; config.compose(['runner=ray'])"]
        if subprocess.run(asked, capture_output=True).returncode:
            problem = "ray or runner=ray is missing"
    if problem:
        print(f"{CONTENDERS[name]}: skipped, {problem}", file=sys.stderr)
    return problem is None


def measured(name: str, debates: int, chosen: argparse.Namespace) -> dict[str, float]:
    """One contender playing so many debates, in a process of its own against an endpoint of its own."""
    with tempfile.TemporaryDirectory() as folder, endpoint(chosen) as url:
        before = stats(url)["cpu_s"]
        took = told(played(name, chosen, debates, folder, "run", url))
        served = stats(url)
    if served["calls"] != debates * TURNS or served["answered"] != served["calls"]:
        raise SystemExit(f"{name} made {served['calls']} calls, not {debates * TURNS}: {served}")
    took |= {"calls_per_s": served["calls"] / took["wall_s"], "endpoint_cpu_s": served["cpu_s"] - before}
    return took | {"tokens_a_call": served["tokens_in"] / served["calls"]}


def played(
    name: str, chosen: argparse.Namespace, debates: int, folder: str, run: str, url: str = ""
) -> subprocess.Popen[str]:
    """Start a contender."""
    if name == "inspect":
        script: list[Any] = [chosen.inspect, HERE / "inspect_debates.py", url, debates, chosen.at_once]
    else:
        script = [sys.executable, HERE / "contenders.py", name, "--url", url, "--debates", debates]
        script += ["--at-once", chosen.at_once, "--folder", folder, "--name", run]
    command = [str(word) for word in script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)


def told(process: subprocess.Popen[str]) -> dict[str, float]:
    """What a contender says when it is done."""
    out, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args} ended with {process.returncode}:\n{said[-2000:]}")
    return json.loads(out.splitlines()[-1])


@contextmanager
def endpoint(chosen: argparse.Namespace) -> Generator[str]:
    """An endpoint in a process of its own while the context lasts."""
    command = [sys.executable, str(HERE / "contenders.py"), "endpoint"]
    command += ["--latency", str(chosen.latency), "--chars", str(chosen.chars)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def stats(url: str) -> Mapping[str, Any]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=60) as reply:
        return json.load(reply)


def resident_mb(pid: int) -> float:
    """The memory of a process now; 0 where there is no /proc."""
    statm = Path(f"/proc/{pid}/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if statm.exists() else 0.0


def write(part: str, lines: Sequence[str]) -> None:
    """Put a part's lines between its marks in README.md."""
    readme = HERE / "README.md"
    text = readme.read_text(encoding="utf-8")
    begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->\n"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    readme.write_text(before + begin + "\n" + "\n".join(lines) + "\n\n" + end + after, encoding="utf-8")


if __name__ == "__main__":
    main()
