"""The study's numbers from its published debates, each against the reference's own list of them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

REPRODUCE = Path(__file__).parent.parent / "experiments" / "two_llms_debate" / "reproduce.py"

Numbers = dict[tuple[str, str], tuple[dict[str, str], float | None]]


@pytest.fixture(scope="module")
def numbers() -> Numbers:
    """By id and key, what the reference says and what the experiment computes from the archive."""
    folder = Path(os.environ.get("ARENA_REFERENCE", "/nowhere")) / "two_llms_debate"
    if not folder.is_dir():
        pytest.skip("the published debates are not here: ARENA_REFERENCE names no folder that has two_llms_debate")
    command = [sys.executable, REPRODUCE, folder / "experiments.tar.xz", "--labels", folder / "alignment.csv", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    computed = {(row["id"], row["key"]): row["computed"] for row in json.loads(done.stdout)["numbers"]}
    with (folder / "published.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(computed) == 693
    return {(row["id"], row["key"]): (row, computed[row["id"], row["key"]]) for row in rows}


def of(numbers: Numbers, status: str) -> list[tuple[dict[str, str], float | None]]:
    return [found for found in numbers.values() if found[0]["status"] == status]


def printed(value: float | None, decimals: str) -> Decimal:
    """Rounded as on paper: half up. What is a half but for the last bits of a float is a half."""
    unit = Decimal(1).scaleb(-int(decimals))
    return Decimal(repr(round(value or 0.0, 9))).quantize(unit, ROUND_HALF_UP)


@pytest.mark.reference
def test_what_the_paper_prints_comes_out_at_its_decimals(numbers: Numbers) -> None:
    found = of(numbers, "match")
    assert len(found) == 94
    off = {row["id"] for row, value in found if printed(value, row["decimals"]) != Decimal(row["published"])}
    # 11.125 stands there as 11.12: a half that was rounded down.
    assert off == {"esc.self_debate"}


@pytest.mark.reference
def test_bounds_that_the_paper_prints_hold(numbers: Numbers) -> None:
    found = of(numbers, "bound")
    assert len(found) == 8
    assert all(value is not None and value < float(row["published"].removeprefix("<")) for row, value in found)


@pytest.mark.reference
def test_everything_else_comes_out_as_from_the_data(numbers: Numbers) -> None:
    found = [*of(numbers, "data only"), *of(numbers, "match (authors' result file)")]
    assert len(found) == 591
    for row, value in found:
        p = row["key"].startswith("p_") or row["key"].endswith("_p")
        assert value == pytest.approx(float(row["from_data"]), **({"rel": 1e-3} if p else {"abs": 1e-6})), row["id"]


@pytest.mark.reference
def test_without_labels_it_says_what_is_absent(reference: Path) -> None:
    archive = reference / "two_llms_debate" / "experiments.tar.xz"
    done = subprocess.run([sys.executable, REPRODUCE, archive, "--off"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "printed: 76 of 94 agree, 18 absent" in done.stdout
    assert "data: 442 of 442 agree" in done.stdout
