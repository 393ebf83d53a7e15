"""Several runs, or several conditions, as one tournament: rated together where they were played alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import Arena
from written import FAST, PRO, Match, asked, everybody, met, refused, run


def configured(**judge: Any) -> dict[str, Any]:
    """As much of a configuration as matters for whether runs are alike."""
    return {
        "game": {"name": "debate", "params": {"rebuttals": 1}, "prompts": {"opening": "Speak."}},
        "judge": {"judges": {"j": {"model": "lab/j"}}, "tie": "draw", "prompts": {"verdict": "Decide."}, **judge},
        "seed": 0,
    }


def test_several_runs_are_rated_as_one(arena: Arena, tmp_path: Path) -> None:
    whole = asked(arena, run(tmp_path / "whole", everybody()), *FAST)
    matches = everybody()
    runs = [run(tmp_path / name, part) for name, part in (("one", matches[:24]), ("two", matches[24:]))]
    found = asked(arena, *runs, *FAST)
    for one, other in zip(found["agents"], whole["agents"], strict=True):
        assert one == pytest.approx(other)


UNLIKE: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str]] = {
    "topics": ({"motion": "Another motion."}, None, "T0 is another motion"),
    "game": ({"game": "parley"}, None, "game: debate in one; parley in two"),
    "condition": ({"condition": "informed"}, None, "condition: made in one; informed in two"),
    "rule": ({"decision": "larger_sum"}, None, "rule: most_votes in one; larger_sum in two"),
    "judges": ({}, configured(judges={"k": {"model": "lab/k"}}), "judges: j (lab/j) in one; k (lab/k) in two"),
    "tie": ({}, configured(tie="lot"), "judge.tie: draw in one; lot in two"),
    "prompts": (
        {},
        configured(prompts={"verdict": "Decide at once. " * 9}),
        "judge.prompts.verdict: not the same in one and",
    ),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_runs_that_were_not_played_alike_are_refused_unless_asked(arena: Arena, tmp_path: Path, what: str) -> None:
    how, other, sentence = UNLIKE[what]
    runs = [
        run(tmp_path / "one", everybody(), configured() if other else None),
        run(tmp_path / "two", everybody(**how), other),
    ]
    said = refused(arena, *runs)
    assert sentence in said
    assert "--mixed" in said
    assert any(sentence in warning for warning in asked(arena, *runs, *FAST, "--mixed")["warnings"])


def test_other_topics_and_other_judges_are_said(arena: Arena, tmp_path: Path) -> None:
    one = run(tmp_path / "one", everybody())
    two = run(tmp_path / "two", [Match("ann", "bob", [("k", PRO)], topic="T9"), Match("bob", "ann", [("k", PRO)])])
    said = refused(arena, one, two)
    assert "judges: j (lab/j) in one; k (lab/k) in two" in said
    assert "rate them one by one" in said
    assert "T9 in two alone, not in one" in said


def test_what_only_one_run_is_known_to_have_is_no_difference(arena: Arena, tmp_path: Path) -> None:
    runs = [
        run(tmp_path / "old", everybody(), configured()),
        run(tmp_path / "new", everybody(), configured(length_told=False)),
    ]
    assert asked(arena, *runs, *FAST)["matches"] == 96


def test_a_name_that_stands_for_two_models_is_refused_even_when_mixed(arena: Arena, tmp_path: Path) -> None:
    runs = [run(tmp_path / "one", everybody()), run(tmp_path / "two", everybody(extra={"temperature": 0.5}))]
    said = refused(arena, *runs, "--mixed")
    assert "ann: temperature not set in one; temperature 0.5 in two" in said
    assert "--without" in said


def test_a_name_that_is_left_out_confuses_nobody(arena: Arena, tmp_path: Path) -> None:
    one = run(tmp_path / "one", everybody())
    cat = [*met("dan", "cat", 2, 2, extra={"model": "lab/new"})]
    two = run(tmp_path / "two", cat)
    assert "cat: model lab/cat in one; model lab/new in two" in refused(arena, one, two)
    assert len(asked(arena, one, two, *FAST, "--without", "cat", "--without", "dan")["agents"]) == 2


def test_conditions_of_an_imported_run_are_rated_one_at_a_time(arena: Arena, tmp_path: Path) -> None:
    folder = run(tmp_path / "run", [*everybody(), *everybody(condition="informed")])
    said = refused(arena, folder)
    assert "condition: made in run, made; informed in run, informed" in said
    assert "rate them a condition at a time (--condition NAME)" in said
    assert asked(arena, folder, *FAST, "--condition", "informed")["matches"] == 48
    assert "there are made, informed" in refused(arena, folder, "--condition", "inform")


def test_conditions_that_are_left_out_make_no_difference(arena: Arena, tmp_path: Path) -> None:
    one = run(tmp_path / "one", [*everybody(), *everybody(condition="informed")])
    two = run(tmp_path / "two", everybody(condition="informed"))
    assert asked(arena, one, two, *FAST, "--condition", "informed")["matches"] == 96


@pytest.mark.parametrize("text", ["game: [", "just words", "game: {}"])
def test_a_configuration_that_is_none_is_refused(arena: Arena, tmp_path: Path, text: str) -> None:
    one, two = run(tmp_path / "one", everybody()), run(tmp_path / "two", everybody())
    (two / "experiment.yaml").write_text(text)
    assert f"{two / 'experiment.yaml'} is no configuration of a run" in refused(arena, one, two)
