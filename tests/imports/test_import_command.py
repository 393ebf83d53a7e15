"""`arena import`: what it writes, says and refuses, and what the other commands make of an import."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Arena
from published_files import debate, put

import arena


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with a good file and two that are not."""
    put(tmp_path, "in/good.json", debate())
    put(tmp_path, "in/broken.json", b"{")
    put(tmp_path, "in/copy.json", debate())
    return tmp_path / "in"


def test_good_files_are_not_lost_to_bad_ones(run_arena: Arena, mixed: Path, tmp_path: Path) -> None:
    said = run_arena("import", "llms-overconfidence", mixed, "-o", tmp_path / "run")
    assert said.code == 1
    assert "arena: left out broken.json: broken JSON" in said.err
    assert "arena: left out good.json: a duplicate of copy.json" in said.err
    assert said.lines[-1] == str(tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert [one["file"] for one in manifest["left_out"]] == ["broken.json", "good.json"]
    assert manifest["source"] == "llms_overconfidence"
    assert manifest["conditions"]["cross_model"]["debates"] == 1
    assert manifest["path"] == str(mixed)
    assert len(manifest["digest"]) == 64
    assert arena.load(tmp_path / "run").matches["name"].tolist() == ["copy"]


def test_strict_writes_nothing_if_anything_is_wrong(run_arena: Arena, mixed: Path, tmp_path: Path) -> None:
    said = run_arena("import", "llms-overconfidence", mixed, "-o", tmp_path / "run", "--strict")
    assert said.code == 2
    assert "left out broken.json" in said.err
    assert "nothing was written" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_strict_writes_what_is_whole(run_arena: Arena, tmp_path: Path) -> None:
    put(tmp_path, "in/good.json", debate())
    assert run_arena("import", "llms-overconfidence", tmp_path / "in", "-o", tmp_path / "run", "--strict").code == 0


def test_nothing_is_written_where_no_debate_can_be_read(run_arena: Arena, tmp_path: Path) -> None:
    put(tmp_path, "in/broken.json", b"{")
    said = run_arena("import", "llms-overconfidence", tmp_path / "in", "-o", tmp_path / "run")
    assert said.code == 2
    assert "no debate could be read" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("there", ["folder", "file"])
def test_what_exists_is_not_written_over(run_arena: Arena, tmp_path: Path, there: str) -> None:
    put(tmp_path, "in/good.json", debate())
    taken = tmp_path / "run"
    if there == "folder":
        taken.mkdir()
    else:
        taken.write_text("mine")
    said = run_arena("import", "llms-overconfidence", tmp_path / "in", "-o", taken)
    assert said.code == 2
    assert f"{taken} exists" in said.err


def test_a_run_is_named_by_source_and_time_where_no_name_is_given(
    run_arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "in/good.json", debate())
    monkeypatch.chdir(tmp_path)
    said = [run_arena("import", "llms-overconfidence", "in") for _ in range(2)]
    runs = [one.lines[-1] for one in said]
    assert len(set(runs)) == 2
    assert all(run.startswith("runs/llms-overconfidence-") for run in runs)
    assert all(len(arena.load(run).matches) == 1 for run in runs)


def test_json_gives_the_facts(run_arena: Arena, mixed: Path, tmp_path: Path) -> None:
    said = run_arena("import", "llms-overconfidence", mixed, "-o", tmp_path / "run", "--json")
    known = json.loads(said.out)
    assert known["run"] == str(tmp_path / "run")
    assert known["conditions"]["cross_model"] == {
        "debates": 1, "confidences": 6, "confidences_unparsed": 0, "ballots": 0, "ballots_failed": 0, "readings": 0,
        "calls": 6,
    }  # fmt: skip
    assert len(known["left_out"]) == 2
    assert known["notes"]


def test_another_source_is_refused_and_ours_are_listed(run_arena: Arena, tmp_path: Path) -> None:
    said = run_arena("import", "zork", tmp_path, "-o", tmp_path / "run")
    assert said.code == 2
    assert "there is no 'zork'" in said.err
    assert "llms_overconfidence" in said.err


def test_control_characters_in_a_files_name_stay_off_the_terminal(run_arena: Arena, tmp_path: Path) -> None:
    put(tmp_path, "in/good.json", debate())
    put(tmp_path, "in/\x1b[31mred.json", b"{")
    said = run_arena("import", "llms-overconfidence", tmp_path / "in", "-o", tmp_path / "run")
    assert said.code == 1
    assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize("command", [["log", "ls"], ["log", "verify"], ["resume"], ["rejudge"], ["run", "--from"]])
def test_what_needs_a_ledger_says_that_imported_debates_have_none(
    run_arena: Arena, tmp_path: Path, command: list[str]
) -> None:
    put(tmp_path, "in/good.json", debate())
    run_arena("import", "llms-overconfidence", tmp_path / "in", "-o", tmp_path / "run")
    said = run_arena(*command, tmp_path / "run")
    assert said.code == 2
    assert "imported debates" in said.err
    assert "ledger" in said.err


def test_several_imports_are_loaded_side_by_side(run_arena: Arena, tmp_path: Path) -> None:
    for name in ("one", "two"):
        put(tmp_path, f"{name}_in/{name}.json", debate())
        run_arena("import", "llms-overconfidence", tmp_path / f"{name}_in", "-o", tmp_path / name)
    both = arena.load(tmp_path / "one", tmp_path / "two")
    assert both.matches["run"].tolist() == ["one", "two"]
