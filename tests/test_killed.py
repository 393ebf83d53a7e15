"""Real processes, stopped in earnest: killed, interrupted, refused; real HTTP to an endpoint of our own."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from killing import ARENA, Served, environment, run_killed

import arena
from arena import ledger

EXPERIMENT = [
    "topics.limit=2",
    "agents=none",
    "+agents={x: {model: openai/x}, y: {model: openai/y}}",
    "judge=llm",
    "judge.judges.judge.model=openai/judge",
    "limits.concurrency=6",
    "attempts=8",
]


def serve(*options: str) -> Served:
    return Served([sys.executable, "-m", "arena.testing", "--port", "0", "--life", "120", *options])


def start(runs: Path, name: str) -> list[str]:
    return [ARENA, "run", *EXPERIMENT, f"runs={runs}", f"name={name}"]


def told(served: Served) -> dict[str, str]:
    return environment(OPENAI_BASE_URL=served.url, OPENAI_API_KEY="none")


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that nobody disturbed."""
    runs = tmp_path_factory.mktemp("calm")
    with serve() as served:
        done = subprocess.run(start(runs, "calm"), env=told(served), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return runs / "calm"


def values(run: Path) -> dict[str, pd.DataFrame]:
    """What a disturbed run has to have in common with a calm one."""
    tables = arena.load(run)
    return {
        "utterances": tables.utterances.drop(columns="status"),
        "confidences": tables.confidences.drop(columns=["status", "raw"]),
        "verdicts": tables.verdicts.drop(columns="status"),
        "matches": tables.matches[["match_id", "name", "status", "decision", "winner", "margin"]],
    }


def in_flight(run: Path) -> int:
    return sum(len(history.in_flight()) for history in ledger.read(run / "ledger").histories())


def test_a_run_killed_again_and_again_ends_as_a_calm_one(calm: Path, tmp_path: Path) -> None:
    """With faults and latency; whatever was answered twice was in flight at a kill."""
    counts = sorted(random.Random(1).sample(range(2, 30), 3))
    with serve("--latency", "0.2") as served:

        def stats() -> tuple[int, int]:
            known = served.stats()
            return known["answered"], known["in_flight"]

        kills = run_killed(start(tmp_path, "killed"), tmp_path / "killed", counts, stats, told(served), 60)
        duplicates = served.stats()["duplicate_bodies"]
    assert kills.returncode == 0, kills.output
    assert kills.kills == 3
    assert duplicates <= in_flight(tmp_path / "killed")
    for name, table in values(calm).items():
        pd.testing.assert_frame_equal(table, values(tmp_path / "killed")[name])


@pytest.mark.slow
def test_a_killed_tournament_goes_on_with_the_pairings_that_it_had(tmp_path: Path) -> None:
    """Who meets whom next follows from results, and results from real replies over HTTP."""
    four = [
        "+agents={a: {model: openai/a}, b: {model: openai/b}}",
        "schedule=swiss",
        "topics.limit=3",
        "game.params.rebuttals=0",
    ]

    def tournament(name: str) -> list[str]:
        return [*start(tmp_path, name), *four]

    with serve() as served:
        done = subprocess.run(tournament("calm"), env=told(served), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with serve("--latency", "0.1") as served:

        def stats() -> tuple[int, int]:
            known = served.stats()
            return known["answered"], known["in_flight"]

        kills = run_killed(tournament("killed"), tmp_path / "killed", [5, 30, 50], stats, told(served), 60)
        duplicates = served.stats()["duplicate_bodies"]
    assert kills.returncode == 0, kills.output
    assert kills.kills == 3
    assert duplicates <= in_flight(tmp_path / "killed")
    for name, table in values(tmp_path / "calm").items():
        pd.testing.assert_frame_equal(table, values(tmp_path / "killed")[name])


def test_faults_change_nothing_but_the_number_of_tries(calm: Path, tmp_path: Path) -> None:
    faults = "429=0.1,500=0.1,drop=0.1,invalid_json=0.05"
    with serve("--fault", faults, "--retry-after", "0") as served:
        command = [*start(tmp_path, "faulty"), "limits.tries=12"]
        done = subprocess.run(command, env=told(served), capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    for name, table in values(calm).items():
        pd.testing.assert_frame_equal(table, values(tmp_path / "faulty")[name])
    assert arena.load(tmp_path / "faulty").calls["tries"].max() > 1


def test_ctrl_c_waits_for_what_is_under_way_and_says_how_to_go_on(calm: Path, tmp_path: Path) -> None:
    """Every reply under way at the first Ctrl-C is recorded, so that nothing is paid for twice."""
    with serve("--latency", "0.5") as served:
        process = subprocess.Popen(start(tmp_path, "stopped"), env=told(served), stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, text=True)  # fmt: skip
        while served.stats()["answered"] < 4:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130
        assert f"arena resume {tmp_path / 'stopped'}" in said
        assert in_flight(tmp_path / "stopped") == 0
        manifest = json.loads((tmp_path / "stopped" / "manifest.json").read_text())
        assert manifest["stopped_by"] == "interrupted"
        resumed = [ARENA, "resume", str(tmp_path / "stopped")]
        done = subprocess.run(resumed, env=told(served), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert served.stats()["duplicate_bodies"] == 0
    for name, table in values(calm).items():
        pd.testing.assert_frame_equal(table, values(tmp_path / "stopped")[name])


def test_a_second_process_on_the_same_run_is_refused(tmp_path: Path) -> None:
    with serve("--latency", "1") as served:
        first = subprocess.Popen(start(tmp_path, "one"), env=told(served), stderr=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL)  # fmt: skip
        try:
            while not (tmp_path / "one" / "ledger" / "0001.jsonl").exists():
                time.sleep(0.01)
            second = subprocess.run([ARENA, "resume", str(tmp_path / "one")], env=told(served),
                                    capture_output=True, text=True, check=False)  # fmt: skip
        finally:
            first.kill()
            first.wait()
    assert second.returncode == 2
    assert "another process" in second.stderr


def test_a_provider_that_refuses_the_key_stops_the_run_with_what_was_answered_kept(tmp_path: Path) -> None:
    """A wrong key is nobody's missing value: the run stops, says so, and goes on once the key is right."""
    script = tmp_path / "server.py"
    script.write_text(
        "import asyncio\n"
        "from aiohttp import web\n"
        "from arena.testing import Endpoint\n"
        "@web.middleware\n"
        "async def closed(request, handler):\n"
        "    return web.json_response({'error': {'message': 'bad key', 'type': 'invalid_api_key'}}, status=401)\n"
        "async def main():\n"
        "    app = web.Application(middlewares=[closed])\n"
        "    runner = web.AppRunner(app)\n"
        "    await runner.setup()\n"
        "    site = web.TCPSite(runner, '127.0.0.1', 0)\n"
        "    await site.start()\n"
        "    print(f'http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with Served([sys.executable, str(script)]) as served:
        done = subprocess.run(start(tmp_path, "keyless"), env=told(served), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "authentication" in done.stderr
    assert f"arena resume {tmp_path / 'keyless'}" in done.stderr
    with serve() as served:
        resumed = [ARENA, "resume", str(tmp_path / "keyless")]
        again = subprocess.run(resumed, env=told(served), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
