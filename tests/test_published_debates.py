"""The published debates of ten frontier models, played again through real HTTP, come out bet for bet and ballot for ballot.

They need the reference files (ARENA_REFERENCE) and the replaying endpoint that lies beside them.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from killing import ARENA, Served, environment, run_killed

import arena

pytestmark = pytest.mark.reference


@pytest.fixture
def debates(reference: Path) -> dict[str, dict[str, Any]]:
    """The published cross-model debates, by id."""
    path = reference / "two_llms_debate" / "debates.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        published = map(json.loads, lines)
        return {debate["debate_id"]: debate for debate in published if debate["condition"] == "cross_model"}


@pytest.fixture
def endpoint(reference: Path) -> list[str]:
    """The command that serves the recordings."""
    script = reference.parent / "tools" / "llm_endpoint.py"
    if not script.exists():
        pytest.skip(f"{script} is not there")
    debates = reference / "two_llms_debate" / "debates.jsonl.gz"
    return [sys.executable, str(script), "--port", "0", "--life", "900", "--debates", str(debates)]


def match_list(debates: dict[str, dict[str, Any]], path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["match", "topic", "proposition", "opposition"])
        for ident, debate in debates.items():
            rows.writerow([ident, debate["topic"], *(f"openai/replay/{ident}/{side}" for side in SIDES)])
    return path


SIDES = ("proposition", "opposition")


def published_bets(debates: dict[str, dict[str, Any]]) -> dict[tuple[str, str, str], float]:
    return {
        (ident, turn["side"], turn["speech_type"]): turn["bet"] / 100
        for ident, debate in debates.items()
        for turn in debate["turns"]
    }


def published_ballots(debates: dict[str, dict[str, Any]]) -> dict[tuple[str, str], tuple[str, float]]:
    """Match and model id to winner and confidence."""
    ballots: dict[tuple[str, str], tuple[str, float]] = {}
    for ident, debate in debates.items():
        seen: dict[str, int] = {}
        for verdict in debate["judgments"]:
            judge = verdict["judge"].replace("/", "_")
            k = seen[judge] = seen.get(judge, -1) + 1
            ballots[ident, f"openai/replay-judge/{judge}/{k}"] = (verdict["winner"], verdict["confidence"] / 100)
    return ballots


def bets(tables: Any) -> dict[tuple[str, str, str], float]:
    rows = tables.confidences.merge(tables.matches[["match_id", "name"]])
    return {(row.name_, row.seat, row.phase): row.value for row in rows.rename(columns={"name": "name_"}).itertuples()}


def ballots(tables: Any) -> dict[tuple[str, str], Any]:
    rows = tables.verdicts.merge(tables.matches[["match_id", "name"]]).rename(columns={"name": "name_"})
    return {(row.name_, row.model): row for row in rows.itertuples()}


def assert_published(run: Path, debates: dict[str, dict[str, Any]]) -> None:
    tables = arena.load(run)
    assert len(tables.confidences) == 360
    assert bets(tables) == published_bets(debates)
    expected, found = published_ballots(debates), ballots(tables)
    assert len(found) == 360
    assert len(expected) == 357
    for key, row in found.items():
        if key in expected:
            assert (row.choice, row.probability) == expected[key]
        else:
            assert row.status == "failed"


def test_the_published_debates_come_out_bet_for_bet(
    debates: dict[str, dict[str, Any]], endpoint: list[str], tmp_path: Path
) -> None:
    matches = match_list(debates, tmp_path / "matches.csv")
    with Served(endpoint) as served:
        done = subprocess.run(
            [ARENA, "run", "experiment=two_llms_debate/replayed", f"matches={matches}", "name=replayed"],
            env=environment(OPENAI_BASE_URL=served.url, OPENAI_API_KEY="none"),
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert served.stats()["duplicate_calls"] == 0
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "runs/replayed"
    run = tmp_path / "runs" / "replayed"
    assert_published(run, debates)
    means = arena.load(run).confidences.groupby("phase")["value"].mean()
    assert means["opening"] == pytest.approx(0.72917, abs=5e-6)
    assert means["closing"] == pytest.approx(0.83258, abs=5e-6)


@pytest.mark.slow
def test_killed_ten_times_under_faults_they_still_do(
    debates: dict[str, dict[str, Any]], endpoint: list[str], tmp_path: Path
) -> None:
    """Nothing is asked twice but what was in flight at a kill."""
    matches = match_list(debates, tmp_path / "matches.csv")
    faults = "429=0.05,500=0.03,drop=0.02,garbage=0.02,empty=0.01"
    run = tmp_path / "runs" / "killed"
    start = [ARENA, "run", "experiment=two_llms_debate/replayed", f"matches={matches}", "name=killed",
             f"runs={tmp_path / 'runs'}", "limits.concurrency=16", "attempts=8"]  # fmt: skip
    counts = sorted(random.Random(0).sample(range(20, 700), 10))
    with Served([*endpoint, "--latency", "2", "--fault", faults]) as served:

        def stats() -> tuple[int, int]:
            known = served.stats()
            return known["answered"], known["in_flight"]

        kills = run_killed(start, run, counts, stats, environment(OPENAI_BASE_URL=served.url, OPENAI_API_KEY="none"))
        known = served.stats()
    print(f"{kills}\n{known}")
    assert kills.returncode == 0, kills.output
    assert kills.kills == 10
    assert known["duplicate_calls"] <= kills.in_flight
    assert_published(run, debates)
    verified = subprocess.run([ARENA, "log", "verify", str(run)], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout
