"""Faults of the machine and of providers: each ends in a clear status, nothing hangs, nothing that was answered is lost."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from answering import Answering, Asked, Reply, completion, plain, provider
from commands import SMALL, Arena, comparable, files, played

from arena.main import command

# ------------------------------------------------------------------ providers


def written(reply: Any) -> Reply:
    return Reply(json.dumps(reply).encode())


def misnumbered(asked: Asked) -> Reply:
    usage = {"prompt_tokens": "many", "completion_tokens": [1], "total_tokens": None, "cost": "free"}
    return written(completion(asked.said, usage=usage, model=5))


TEN_MEGABYTES = written(completion("so " * 3_400_000))
"""Written once: while it is being written, the other providers of this process would answer late."""

Ways = dict[str, tuple[Callable[[Asked], Reply | None], str]]

WRONG: Ways = {
    "stalls": (lambda asked: None, "timeout"),
    "trickles": (lambda asked: Reply(plain(asked).body, trickled=True), "timeout"),
    "breaks_off": (lambda asked: Reply(plain(asked).body, cut=True), "connection"),
    "cuts_its_json": (lambda asked: Reply(plain(asked).body[:100]), "connection"),
    "sends_a_page": (lambda asked: Reply(b"<html>We are asleep.</html>"), "connection"),
    "nests_without_end": (lambda asked: Reply(b"[" * 200_000), "connection"),
    "sends_a_list": (lambda asked: written([1, None]), "connection"),
    "sends_choices_by_name": (lambda asked: written(completion("", choices={"0": {}})), "connection"),
    "sends_an_unknown_status": (lambda asked: Reply(b"?", 799), "overloaded"),
}
"""What a provider does, and how the call that failed is then called."""

ODD: Ways = {
    "says_a_number": (lambda asked: written(completion(17)), "unparsed"),
    "says_nothing": (lambda asked: written(completion(None)), "unparsed"),
    "says_a_table": (lambda asked: written(completion({"text": asked.said})), "unparsed"),
    "ends_for_a_reason_of_its_own": (lambda asked: written(completion(asked.said, "exhausted")), "ok"),
    "ends_for_a_list_of_reasons": (lambda asked: written(completion(asked.said, ["stop"])), "ok"),
    "counts_in_words": (misnumbered, "ok"),
    "counts_backwards": (lambda asked: written(completion(asked.said, usage={"prompt_tokens": -5})), "ok"),
    "says_ten_megabytes": (lambda asked: TEN_MEGABYTES, "failed"),
}
"""What a provider says, and what becomes of the speech."""


def play(runs: Path, name: str, answering: Answering, models: list[str], *limits: str) -> Path:
    """Every model debates with a copy of itself; nobody judges."""
    agents = ", ".join(f"{model}: {{model: openai/{model}}}" for model in models)
    few = ("topics.limit=1", "schedule=self", "schedule.mirrored=false", "game.params.rebuttals=0", "judge=none")
    with pytest.MonkeyPatch.context() as patch, provider(answering) as url:
        patch.setenv("OPENAI_API_KEY", "none")
        patch.setenv("OPENAI_BASE_URL", url)
        seated = ("agents=none", f"+agents={{{agents}}}", *limits)
        assert command(["run", "--quiet", f"runs={runs}", f"name={name}", *few, *seated]) == 0
    return runs / name


def ill_played(runs: Path, ways: Ways, *limits: str) -> dict[str, Any]:
    """The tables of a run in which each provider does one thing wrong, whatever it is asked."""
    run = play(runs, "ill", lambda asked: ways[asked.model][0](asked), [*ways], "attempts=2", *limits)
    assert command(["log", "verify", str(run), "--json"]) == 0
    tables = comparable(run)
    assert set(tables["matches"]["status"]) == {"finished"}
    return tables


@pytest.fixture(scope="module")
def ill_served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All ways in one run: where nothing but failures came from an account, its breaker would open."""
    return ill_played(tmp_path_factory.mktemp("runs"), WRONG | ODD, "limits.timeout_s=1.5", "limits.tries=1")


@pytest.mark.parametrize("way", WRONG)
def test_a_call_that_came_to_nothing_says_how(ill_served: dict[str, Any], way: str) -> None:
    calls = ill_served["calls"].query("model == @way", local_dict={"way": f"openai/{way}"})
    assert set(calls["status"]) == {"failed"}
    assert set(calls["finish"]) == {WRONG[way][1]}


@pytest.mark.parametrize("way", ODD)
def test_an_odd_reply_is_taken_for_what_can_be_read_of_it(ill_served: dict[str, Any], way: str) -> None:
    speeches = ill_served["utterances"].query("part == 'speech' and agent == @way", local_dict={"way": way})
    assert set(speeches.loc[speeches["round"] == speeches["round"].max(), "status"]) == {ODD[way][1]}


def test_a_count_that_no_provider_can_mean_does_not_stop_the_tables(tmp_path: Path) -> None:
    def boasting(asked: Asked) -> Reply:
        return written(completion(asked.said, usage={"prompt_tokens": 10**25, "completion_tokens": 1e300}))

    run = play(tmp_path, "boasting", boasting, ["m"])
    assert set(comparable(run)["calls"]["status"]) == {"ok"}


@pytest.mark.slow
def test_what_goes_wrong_once_is_asked_again_and_changes_nothing(tmp_path: Path) -> None:
    def at_first(asked: Asked) -> Reply | None:
        return WRONG[asked.model][0](asked) if asked.before == 0 else plain(asked)

    models = [*WRONG]
    calm = comparable(play(tmp_path, "calm", plain, models))
    once = comparable(play(tmp_path, "once", at_first, models, "limits.timeout_s=1", "limits.tries=8"))
    # A try of which nobody knows whether it was charged stands in the record too.
    once["calls"] = once["calls"].query("status != 'lost'").reset_index(drop=True)
    assert once["calls"]["tries"].min() == 2
    for name, table in calm.items():
        pd.testing.assert_frame_equal(
            table.drop(columns="tries", errors="ignore"), once[name].drop(columns="tries", errors="ignore")
        )


# ------------------------------------------------------------------ the clock


def test_a_clock_that_jumps_stops_nothing(arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Back to 1970, half an hour back, decades ahead: durations come from a clock that only goes on."""
    clock, draws, year = time.time, random.Random(0), 365 * 86400.0

    def jumping() -> float:
        return draws.choice([clock(), clock() - 1800, clock() + 30 * year, clock() + 180 * year, 0.0])

    calm = played(tmp_path, name="calm")
    monkeypatch.setattr(time, "time", jumping)
    run = played(tmp_path, name="jumping")
    monkeypatch.undo()
    for name, table in comparable(calm).items():
        pd.testing.assert_frame_equal(table, comparable(run)[name])
    assert arena("log", "verify", run).code == arena("resume", run, "--quiet").code == arena("report", run).code == 0


# ------------------------------------------------------------------ the disk


@contextmanager
def room_for(size: int) -> Generator[None]:
    """No file can grow beyond so many bytes: a write is cut short there, and the next one refused, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_stops_the_run_which_goes_on_where_there_is_room(arena: Arena, tmp_path: Path) -> None:
    calm = comparable(played(tmp_path, name="calm"))
    with room_for(60_000):
        stopped = arena("run", f"runs={tmp_path}", "name=full", *SMALL)
    run = tmp_path / "full"
    assert stopped.code == 2
    assert f"arena resume {run}" in stopped.err
    assert "Traceback" not in stopped.err
    kept = sum(b'"reply"' in line for line in (run / "ledger" / "0001.jsonl").read_bytes().splitlines())
    assert kept > 0
    assert arena("resume", run, "--quiet").code == 0
    asked = sum(
        b'"reply"' in line for path in (run / "ledger").glob("*.jsonl") for line in path.read_bytes().splitlines()
    )
    assert asked <= len(calm["calls"]) + 1
    for name in ("matches", "utterances", "confidences", "verdicts"):
        pd.testing.assert_frame_equal(calm[name], comparable(run)[name])
    assert arena("log", "verify", run).code == 0


def test_a_run_that_finds_no_room_to_begin_leaves_nothing_behind(arena: Arena, tmp_path: Path) -> None:
    with room_for(10_000):
        said = arena("run", f"runs={tmp_path}", "name=full", *SMALL)
    assert said.code == 2
    assert "File too large" in said.err
    assert files(tmp_path) == {}


def test_tables_that_find_no_room_are_made_again_later(arena: Arena, tmp_path: Path) -> None:
    run = played(tmp_path)
    before = comparable(run)
    with room_for(4_000):
        said = arena("resume", run, "--quiet")
    assert said.code == 2
    assert "File too large" in said.err
    assert arena("resume", run, "--quiet").code == 0
    for name, table in before.items():
        pd.testing.assert_frame_equal(table, comparable(run)[name])


NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec")
"""A shell that may mount, and whose mounts nobody else sees."""


def may_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run([*NAMESPACE, 'mount -t tmpfs none "$0"', folder], capture_output=True, check=False)
    return tried.returncode == 0


ENTERED = """
import sys, traceback
from arena.main import command
for line in sys.stdin.read().splitlines():
    try:
        print(command(line.split("\t")), flush=True)
    except Exception:
        traceback.print_exc()
"""
"""Command lines from standard input, one after the other; prints their exit codes."""


def in_namespace(mount: str, folder: Path, *lines: list[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run command lines in one process, in which something is mounted over the folder."""
    if not may_mount(folder):
        pytest.skip("this machine does not let us mount in a namespace of our own")
    told = "\n".join("\t".join(map(str, line)) for line in lines)
    return subprocess.run(
        [*NAMESPACE, f'{mount}; exec "$1" -c "$2"', folder, sys.executable, ENTERED],
        input=told, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip


def test_a_run_directory_that_is_read_only_is_read_and_not_played(tmp_path: Path) -> None:
    run = played(tmp_path)
    before = files(run)
    done = in_namespace(
        'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"', tmp_path,
        ["log", "ls", run, "--json"], ["log", "verify", run, "--json"], ["resume", run, "--quiet"], ["report", run],
        ["run", f"runs={tmp_path}", "name=new", *SMALL],
    )  # fmt: skip
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["0", "0", "2", "2", "2"]
    assert done.stderr.count("Read-only file system") == 3
    assert "Traceback" not in done.stderr
    assert files(run) == before


@pytest.mark.slow
def test_a_file_system_without_room_is_no_loss(tmp_path: Path) -> None:
    """The same as where files cannot grow, on a real file system of 100 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = in_namespace(
        'mount -t tmpfs -o size=100k none "$0"', folder,
        ["run", "--quiet", f"runs={folder}", "name=full", *SMALL], ["log", "ls", folder / "full", "--json"],
    )  # fmt: skip
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["2", "0"]
    assert "No space left on device" in done.stderr or "cut short" in done.stderr
    assert f"arena resume {folder / 'full'}" in done.stderr


# ------------------------------------------------------------------ the record


def test_a_bit_that_flips_in_the_record_is_found_and_asked_again(arena: Arena, tmp_path: Path) -> None:
    run = played(tmp_path)
    before, segment = comparable(run), run / "ledger" / "0001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    number = max(n for n, line in enumerate(lines) if b"Simulated" in line)
    lines[number] = lines[number].replace(b"Simulated", b"Simulatee", 1)
    segment.write_bytes(b"".join(lines))
    found = arena("log", "verify", run)
    assert found.code == 1
    assert f"0001.jsonl:{number + 1}" in found.out
    assert arena("resume", run, "--quiet").code == 0
    for name in ("matches", "utterances", "confidences", "verdicts"):
        pd.testing.assert_frame_equal(before[name], comparable(run)[name])
