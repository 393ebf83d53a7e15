"""`arena stats`: the records that others rely on, from runs of ours, with something missing and with nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import SMALL, Arena

import arena as package
from arena import frames

FIELDS = [
    "statistic", "convention", "condition", "phase", "contrast", "model", "threshold", "n", "estimate", "low", "high",
    "test", "statistic_value", "p", "missing",
]  # fmt: skip

COUNTED = {
    "matches_planned", "matches", "confidences_read", "confidences", "ballots_read", "ballots", "input_tokens",
    "output_tokens", "cost_usd", "debates", "escalation_significant_models", "judge_ballots", "judge_cost_per_ballot",
}  # fmt: skip
FREE = {"escalation_logit", "log_score", "judge_length_effect", "shading_predicts_winning", "noise_assumed"}
"""Statistics that are no probabilities, nor differences of them."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: one with private and public confidence and judges, one of self-debates, one more of pairs, both without."""
    from arena.main import command

    folder = tmp_path_factory.mktemp("runs")
    where = [f"runs={folder}", "--quiet"]
    assert command(["run", "name=both", "topics.limit=4", "game.params.public_confidence=true", *where]) == 0
    assert (
        command(["run", "name=self", "topics.limit=4", "schedule=self", "judge=none", "condition=copies", *where]) == 0
    )
    assert command(["run", "name=third", "topics.limit=4", "seed=1", "condition=third", "judge=none", *where]) == 0
    return folder


def records(arena: Arena, *arguments: str | Path) -> list[dict[str, Any]]:
    said = arena("stats", *arguments, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def only(found: list[dict[str, Any]], statistic: str, **where: Any) -> dict[str, Any]:
    (one,) = [r for r in found if r["statistic"] == statistic and all(r[k] == v for k, v in where.items())]
    return one


@pytest.mark.parametrize("convention", ["default", "published"])
def test_a_record_has_the_promised_fields_and_no_nan(arena: Arena, runs: Path, convention: str) -> None:
    found = records(arena, runs / "both", runs / "self", "--convention", convention)
    assert found
    for record in found:
        assert list(record) == FIELDS
        assert record["convention"] == convention
        assert all(np.isfinite(v) for v in record.values() if isinstance(v, float))
        assert record["p"] is None or 0 <= record["p"] <= 1
        assert (record["missing"] or 0) >= 0
        if record["statistic"] not in COUNTED | FREE and record["estimate"] is not None:
            assert -2 <= record["estimate"] <= 2
        if record["low"] is not None:
            assert record["low"] <= record["high"]


def test_every_name_that_others_rely_on_is_there(arena: Arena, runs: Path) -> None:
    names = {record["statistic"] for record in records(arena, runs / "both")}
    assert names >= {
        "confidence", "opening_overconfidence", "escalation", "mutual_overconfidence", "pair_sum", "dutch_book_loss",
        "martingale_drift", "excess_movement", "shading", "brier", "ece", "auroc", "judge_side_share", "judge_agreement",
        "judge_flip_rate", "judge_order_effect", "judge_panel_agreement", "judge_ballots", "judge_cost_per_ballot",
    }  # fmt: skip


def test_the_numbers_are_those_of_the_tables(arena: Arena, runs: Path) -> None:
    found = records(arena, runs / "both")
    tables = frames.read(runs / "both" / "tables")
    private = tables["confidences"].query("audience == 'private'")
    c = private.pivot_table(index="match_id", columns=["seat", "phase"], values="value").astype(float)
    closing = only(found, "confidence", phase="closing", model=None)
    assert closing["estimate"] == pytest.approx(c.xs("closing", axis=1, level="phase").mean().mean())
    assert closing["n"] == len(c)
    both = ((c["proposition", "closing"] > 0.75) & (c["opposition", "closing"] > 0.75)).mean()
    assert only(found, "mutual_overconfidence", phase="closing", threshold=">0.75")["estimate"] == pytest.approx(both)
    rise = c.xs("closing", axis=1, level="phase") - c.xs("opening", axis=1, level="phase")
    assert only(found, "escalation", contrast="opening->closing", model=None)["estimate"] == pytest.approx(
        rise.mean().mean()
    )


def test_both_conventions_give_the_same_mean_under_the_same_name(arena: Arena, runs: Path) -> None:
    where = {"phase": "opening", "model": None}
    ours = only(records(arena, runs / "both"), "confidence", **where)
    theirs = only(records(arena, runs / "both", "--convention", "published"), "confidence", **where)
    assert ours["estimate"] == pytest.approx(theirs["estimate"])
    assert theirs["n"] == 2 * ours["n"]


def test_one_seed_gives_one_result_and_another_another(arena: Arena, runs: Path) -> None:
    assert records(arena, runs / "both") == records(arena, runs / "both")
    assert records(arena, runs / "both") != records(arena, runs / "both", "--seed", "1")


def test_thresholds_are_the_user_s(arena: Arena, runs: Path) -> None:
    found = records(arena, runs / "both", "--threshold", ">0.6", "--threshold", ">=0.9")
    assert {r["threshold"] for r in found if r["statistic"] == "mutual_overconfidence"} == {">0.6", ">=0.9"}


@pytest.mark.parametrize("threshold", ["0.75", ">75", "<0.5", ">", ">x"])
def test_a_threshold_that_is_none_is_refused_with_how_it_is_written(arena: Arena, runs: Path, threshold: str) -> None:
    said = arena("stats", runs / "both", "--threshold", threshold)
    assert said.code == 2
    assert "it is written >0.75 or >=0.75" in said.err


def test_noise_that_is_given_is_taken_out_and_printed_beside(arena: Arena, runs: Path) -> None:
    found = records(arena, runs / "both", "--report-noise", "0.151", "--rounding", "0.05")
    assert only(found, "noise_assumed", contrast="report")["estimate"] == 0.151
    assert "0.151" in only(found, "excess_movement", contrast=None, model=None)["test"]


@pytest.mark.parametrize("flag", [("--rounding", "5"), ("--report-noise", "-1"), ("--report-noise", "nan")])
def test_noise_that_cannot_be_is_refused(arena: Arena, runs: Path, flag: tuple[str, str]) -> None:
    said = arena("stats", runs / "both", *flag)
    assert said.code == 2
    assert f"{flag[0]} is" in said.err


def test_a_number_that_does_not_exist_is_refused_with_those_that_do(arena: Arena, runs: Path) -> None:
    said = arena("stats", runs / "both", "--only", "escalaton")
    assert said.code == 2
    assert "escalation_per_round" in said.err


def test_a_run_is_named_once(arena: Arena, runs: Path) -> None:
    said = arena("stats", runs / "both", runs / "self" / ".." / "both")
    assert said.code == 2
    assert "is named twice" in said.err


def test_runs_side_by_side_are_compared(arena: Arena, runs: Path) -> None:
    found = records(arena, runs / "both", runs / "self")
    difference = only(found, "condition_difference", phase="opening")
    assert difference["contrast"] == "baseline-copies"


def test_two_runs_of_one_condition_are_told_apart(arena: Arena, runs: Path, tmp_path: Path) -> None:
    again = shutil.copytree(runs / "both", tmp_path / "again")
    found = records(arena, runs / "both", again)
    assert {r["condition"] for r in found if r["condition"]} == {"baseline (both)", "baseline (again)"}
    difference = only(found, "condition_difference", phase="opening")
    assert difference["estimate"] == 0


def test_what_is_missing_is_counted_and_bounded(arena: Arena, runs: Path, tmp_path: Path) -> None:
    holed = shutil.copytree(runs / "both", tmp_path / "holed")
    table = pd.read_parquet(holed / "tables" / "confidences.parquet")
    first = table.loc[0, "match_id"]
    lost = (table["match_id"] == first) & (table["phase"] == "closing") & (table["audience"] == "private")
    lost &= table["seat"] == "opposition"
    table.loc[lost, "value"], table.loc[lost, "status"] = None, "refused"
    table.to_parquet(holed / "tables" / "confidences.parquet")
    found = records(arena, holed)
    planned = only(found, "matches_planned")["n"]
    assert only(found, "pair_sum", phase="closing")["missing"] == 1
    assert only(found, "pair_sum", phase="closing")["n"] == planned - 1
    bounds = only(found, "mutual_overconfidence_worst_case", phase="closing", threshold=">0.75")
    assert bounds["high"] - bounds["low"] == pytest.approx(1 / planned)
    assert only(found, "confidences", phase="closing", contrast="private, refused")["estimate"] == 1
    for name in ("confidence", "brier"):
        assert only(found, name, phase="closing", model=None)["missing"] >= 1
    assert only(found, "escalation", contrast="opening->closing", model=None)["n"] == planned - 1
    whole = only(found, "confidence_worst_case", phase="closing", model=None)
    assert whole["high"] - whole["low"] == pytest.approx(1 / (2 * planned))


def test_matches_that_were_never_played_are_missing_everywhere(arena: Arena, runs: Path, tmp_path: Path) -> None:
    stopped = shutil.copytree(runs / "both", tmp_path / "stopped")
    tables = frames.read(stopped / "tables")
    gone = set(tables["matches"]["match_id"][:3])
    tables["matches"].loc[:2, ["status", "winner", "decision"]] = ["planned", None, None]
    for name in ("confidences", "verdicts", "utterances", "calls"):
        tables[name] = tables[name][~tables[name]["match_id"].isin(gone)]
    frames.write(stopped / "tables", tables)
    found = records(arena, stopped)
    assert only(found, "matches", contrast="planned")["estimate"] == 3
    for name in ("confidence", "pair_sum", "brier"):
        assert only(found, name, phase="closing", model=None)["missing"] >= 3
    assert only(found, "confidences_read", phase="closing", contrast="private")["missing"] == 6
    assert only(found, "judge_agreement", contrast="between")["missing"] == 3
    assert "planned" in [line.split()[1] for line in arena("stats", stopped).lines if line.startswith("  matches ")]


def test_a_run_on_which_nothing_was_said_has_counts_alone(arena: Arena, runs: Path, tmp_path: Path) -> None:
    empty = shutil.copytree(runs / "self", tmp_path / "empty")
    tables = frames.read(empty / "tables")
    tables["matches"]["status"] = "planned"
    for name in ("confidences", "verdicts", "utterances", "calls"):
        tables[name] = tables[name][:0]
    frames.write(empty / "tables", tables)
    found = records(arena, empty)
    assert {r["statistic"] for r in found} == {"matches_planned", "matches"}
    assert arena("stats", empty).code == 0


def test_for_people_it_prints_headlines_and_says_how_to_see_the_rest(arena: Arena, runs: Path) -> None:
    said = arena("stats", runs / "both")
    assert said.code == 0
    assert "mutual_overconfidence" in said.out
    assert "more numbers, single models among them: --all" in " ".join(said.out.split())
    assert len(arena("stats", runs / "both", "--all").lines) > len(said.lines)
    assert "judge_alpha" not in arena("stats", runs / "both", "--only", "escalation").out


def test_what_is_no_run_is_said_to_be_none(arena: Arena, tmp_path: Path) -> None:
    said = arena("stats", tmp_path / "nowhere")
    assert said.code == 2
    assert "nowhere is no run directory: it has no folder tables/" in said.err


def test_judges_are_read_where_nobody_stated_a_confidence(arena: Arena, runs: Path, tmp_path: Path) -> None:
    mute = shutil.copytree(runs / "both", tmp_path / "mute")
    table = pd.read_parquet(mute / "tables" / "confidences.parquet")
    table["about"] = "answer_correct"
    table.to_parquet(mute / "tables" / "confidences.parquet")
    found = records(arena, mute)
    assert only(found, "judge_agreement", contrast="between")["n"] > 0
    assert "confidence" not in {r["statistic"] for r in found}
    assert only(found, "confidences", contrast="about answer_correct, verbalised: in no other number")["estimate"] > 0


def test_probabilities_and_their_intervals_stay_in_bounds(arena: Arena, tmp_path: Path) -> None:
    assert arena("run", "name=two", f"runs={tmp_path}", *SMALL, "--quiet").code == 0
    for record in records(arena, tmp_path / "two"):
        if record["statistic"] in ("confidence", "mutual_overconfidence", "judge_side_share", "auroc", "ece", "brier"):
            assert all(record[end] is None or 0 <= record[end] <= 1 for end in ("low", "estimate", "high"))


def test_debates_of_several_lengths_keep_their_phases_in_order(arena: Arena, runs: Path, tmp_path: Path) -> None:
    """Whichever stands first in the tables: the closing comes last."""
    mixed = shutil.copytree(runs / "both", tmp_path / "mixed")
    tables = frames.read(mixed / "tables")
    half = set(tables["matches"]["match_id"][:4])
    table = tables["confidences"]
    long = table["match_id"].isin(half)
    extra = table[long & (table["phase"] == "rebuttal")].assign(phase="rebuttal_2", round=3)
    table.loc[long & (table["phase"] == "closing"), "round"] = 4
    tables["confidences"] = pd.concat([table[~long], extra, table[long]], ignore_index=True)
    frames.write(mixed / "tables", tables)
    contrasts = {r["contrast"] for r in records(arena, mixed) if r["statistic"] == "escalation"}
    assert "opening->closing" in contrasts
    assert not any(str(contrast).startswith("closing->") for contrast in contrasts)


def test_what_stands_there_twice_counts_once_and_is_said(arena: Arena, runs: Path, tmp_path: Path) -> None:
    twice = shutil.copytree(runs / "self", tmp_path / "twice")
    table = pd.read_parquet(twice / "tables" / "confidences.parquet")
    pd.concat([table, table[table["phase"] == "closing"]]).to_parquet(twice / "tables" / "confidences.parquet")
    found = records(arena, twice)
    assert only(found, "confidences_read", phase="closing")["missing"] == 0
    assert only(found, "confidences", phase="closing", contrast="stated again: the last one counts")["estimate"] > 0


def test_a_side_that_is_never_asked_makes_no_pair_and_is_no_loss(arena: Arena, runs: Path, tmp_path: Path) -> None:
    one = shutil.copytree(runs / "self", tmp_path / "one")
    table = pd.read_parquet(one / "tables" / "confidences.parquet")
    table[table["seat"] == "proposition"].to_parquet(one / "tables" / "confidences.parquet")
    found = records(arena, one)
    assert not {"pair_sum", "mutual_overconfidence"} & {r["statistic"] for r in found}
    assert only(found, "escalation_per_round")["missing"] == 0
    assert only(found, "confidence", phase="closing", model=None)["missing"] == 0


def test_tests_that_are_read_together_are_corrected_and_say_so(arena: Arena, runs: Path) -> None:
    found = records(arena, runs / "both", runs / "self")
    for name in ("escalation", "opening_overconfidence", "overconfidence", "judge_side_share", "shading"):
        each = [r for r in found if r["statistic"] == name and r["model"] and r["p"] is not None]
        assert each
        assert all("Holm over" in r["test"] for r in each), name
    three = records(arena, runs / "both", runs / "self", runs / "third")
    assert {
        r["p"] is None or "Holm over 3" in r["test"] for r in three if r["statistic"] == "condition_difference"
    } == {True}


def test_of_few_phases_the_headline_is_from_the_first_to_the_last(arena: Arena, runs: Path, tmp_path: Path) -> None:
    short = shutil.copytree(runs / "self", tmp_path / "short")
    table = pd.read_parquet(short / "tables" / "confidences.parquet")
    table[table["phase"] != "closing"].to_parquet(short / "tables" / "confidences.parquet")
    assert "opening->rebuttal" in arena("stats", short).out


def test_what_an_older_run_did_not_count_is_one_call_a_row(arena: Arena, runs: Path, tmp_path: Path) -> None:
    old = shutil.copytree(runs / "self", tmp_path / "old")
    pd.read_parquet(old / "tables" / "calls.parquet").drop(columns="calls").to_parquet(old / "tables" / "calls.parquet")
    assert records(arena, old) == records(arena, runs / "self")


def test_the_study_dropped_zeros_in_debates_of_four_rounds_alone(arena: Arena, runs: Path, tmp_path: Path) -> None:
    """arXiv:2505.19184 keeps them in its other conditions."""
    three = shutil.copytree(runs / "self", tmp_path / "three")
    table = pd.read_parquet(three / "tables" / "confidences.parquet")
    first = table.index[(table["phase"] == "closing")][0]
    table.loc[first, "value"] = 0.0
    table.to_parquet(three / "tables" / "confidences.parquet")
    four = shutil.copytree(three, tmp_path / "four")
    extra = table[table["phase"] == "rebuttal"].assign(phase="rebuttal_2", round=3)
    later = table.assign(round=table["round"].where(table["phase"] != "closing", 4))
    pd.concat([later, extra]).to_parquet(four / "tables" / "confidences.parquet")
    for folder, dropped in ((three, 0), (four, 1)):
        found = records(arena, folder, "--convention", "published")
        assert only(found, "confidence", phase="closing", model=None)["missing"] == dropped


def test_one_match_is_enough(arena: Arena, tmp_path: Path) -> None:
    assert arena("run", "name=one", f"runs={tmp_path}", *SMALL, "schedule.mirrored=false", "--quiet").code == 0
    found = records(arena, tmp_path / "one")
    assert only(found, "pair_sum", phase="closing")["p"] is None
    assert only(found, "pair_sum", phase="closing")["estimate"] is not None


def test_in_python_it_is_the_same_as_a_frame(arena: Arena, runs: Path) -> None:
    frame = package.statistics(runs / "both")
    assert list(frame.columns) == FIELDS
    assert frame["statistic"].tolist() == [r["statistic"] for r in records(arena, runs / "both")]
