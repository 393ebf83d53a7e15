"""The tables: loading them, what they promise, and that `verify` finds where they or the ledger were touched."""

from __future__ import annotations

import copy
import gc
import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from commands import Arena, files, in_process, played

import arena
from arena import api, config, frames
from arena.forms import Chosen, Confidence, Parts, Verdict
from arena.frames import COLUMNS, LATER
from arena.history import History, Played
from arena.ledger import as_written
from arena.match import Setting
from arena.replay import Walk, walk
from arena.run import finish
from arena.types import Answer, Call, Completion, Failure, Usage
from arena.verify import Verified, verify

STATUSES = {"ok", "repaired", "abstained", "unparsed", "refused", "truncated", "failed"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with private and public confidence, to be read and not written to."""
    return played(tmp_path_factory.mktemp("runs"), "game.params.public_confidence=true")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another, without judges."""
    return played(tmp_path_factory.mktemp("runs"), "judge=none", "seed=1", name="other")


@pytest.fixture
def mine(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to do things to."""
    return shutil.copytree(finished, tmp_path / "mine")


@pytest.fixture(scope="module")
def tables(finished: Path) -> arena.Tables:
    return arena.load(finished)


# ------------------------------------------------------------------ loading


def test_a_run_is_loaded_by_its_path_as_words_or_as_a_path(finished: Path) -> None:
    pd.testing.assert_frame_equal(arena.load(str(finished)).calls, arena.load(finished).calls)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_table_has_the_columns_and_types_that_are_promised(tables: arena.Tables, name: str) -> None:
    table = getattr(tables, name)
    assert {column: str(kind) for column, kind in table.dtypes.items()} == COLUMNS[name]
    assert (len(table) > 0) == (name not in LATER)  # nobody has read or answered anything


@pytest.mark.parametrize("name", COLUMNS)
def test_a_table_has_them_too_where_it_is_empty(name: str) -> None:
    table = frames.frame(name, [])
    assert {column: str(kind) for column, kind in table.dtypes.items()} == COLUMNS[name]


def test_a_parquet_file_is_no_bound_to_our_reader(finished: Path, tables: arena.Tables) -> None:
    """Whoever reads it with pandas alone finds the same values."""
    raw = pd.read_parquet(finished / "tables" / "confidences.parquet")
    assert raw["value"].tolist() == tables.confidences["value"].tolist()


@pytest.mark.parametrize("name", COLUMNS)
def test_several_runs_are_one_table_that_says_which_is_which(finished: Path, other: Path, name: str) -> None:
    one, two, both = (getattr(arena.load(*runs), name) for runs in ((finished,), (other,), (finished, other)))
    assert list(both.columns) == ["run", *COLUMNS[name]]
    assert both["run"].tolist() == ["played"] * len(one) + ["other"] * len(two)
    assert {column: str(kind) for column, kind in both.dtypes.items()} == {"run": "string", **COLUMNS[name]}


def test_several_runs_keep_what_each_has(finished: Path, other: Path) -> None:
    both = arena.load(finished, other).confidences
    for folder in (finished, other):
        mine = both[both["run"] == folder.name].drop(columns="run").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, arena.load(folder).confidences)


def test_two_runs_of_one_name_are_told_apart(finished: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(finished, tmp_path / finished.name)
    assert arena.load(finished, copied).matches["run"].nunique() == 2


def test_a_run_is_named_where_one_stands_in_it(finished: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    assert set(arena.load(".", other).matches["run"]) == {"played", "other"}


def test_what_is_no_run_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        arena.load(tmp_path / "nowhere")


def test_nothing_cannot_be_loaded() -> None:
    with pytest.raises(TypeError, match="a run directory at least"):
        arena.load()


def test_the_package_names_nothing_else() -> None:
    with pytest.raises(AttributeError, match="zork"):
        _ = arena.zork


# ------------------------------------------------------------------ what the tables promise


def test_every_row_is_of_a_match_that_was_planned(tables: arena.Tables) -> None:
    planned = set(tables.matches["match_id"])
    assert all(set(getattr(tables, name)["match_id"]) == planned for name in COLUMNS if name not in LATER)


def test_a_row_stands_there_once(tables: arena.Tables) -> None:
    keys = {
        "matches": ["match_id"],
        "seats": ["match_id", "seat"],
        "utterances": ["match_id", "step", "seat", "part"],
        "confidences": ["match_id", "round", "seat", "audience"],
        "verdicts": ["match_id", "judge", "ballot", "order"],
        "calls": ["match_id", "step", "slot", "call", "attempt"],
    }
    for name, key in keys.items():
        assert not getattr(tables, name).duplicated(key).any(), name


def test_mirror_of_is_the_id_of_the_match_with_sides_swapped(tables: arena.Tables) -> None:
    seats = tables.seats.pivot(index="match_id", columns="seat", values="agent")
    mirrored = tables.matches.dropna(subset="mirror_of")
    assert len(mirrored) * 2 == len(tables.matches) == 2
    for match, counterpart in zip(mirrored["match_id"], mirrored["mirror_of"], strict=True):
        assert seats.loc[match, "proposition"] == seats.loc[counterpart, "opposition"]
        assert seats.loc[match, "opposition"] == seats.loc[counterpart, "proposition"]


def test_probabilities_lie_between_zero_and_one(tables: arena.Tables) -> None:
    for column in (tables.confidences["value"], tables.verdicts["probability"], tables.matches["margin"]):
        assert column.notna().all()
        assert column.between(0, 1).all()


def test_statuses_are_of_the_known_ones(tables: arena.Tables) -> None:
    for table in (tables.utterances, tables.confidences, tables.verdicts):
        assert set(table["status"]) <= STATUSES


def test_every_seat_states_its_confidence_in_every_phase_to_each_audience(tables: arena.Tables) -> None:
    stated = tables.confidences.groupby(["match_id", "seat", "audience"])["phase"].agg(list)
    assert set(map(tuple, stated)) == {("opening", "rebuttal", "closing")}
    assert len(stated) == 2 * 2 * 2


def test_a_confidence_knows_its_opponent(tables: arena.Tables) -> None:
    pairs = set(zip(tables.confidences["agent"], tables.confidences["opponent"], strict=True))
    assert pairs == {("escalating", "overconfident"), ("overconfident", "escalating")}


def test_a_confidence_has_the_reasoning_of_its_round(tables: arena.Tables) -> None:
    reasons = tables.utterances.query("part == 'reasoning'").set_index(["match_id", "seat", "round"])["text"]
    private = tables.confidences.query("audience == 'private'").set_index(["match_id", "seat", "round"])["reasoning"]
    pd.testing.assert_series_equal(private.sort_index(), reasons.sort_index(), check_names=False)


def test_what_is_private_is_so_in_every_table(tables: arena.Tables) -> None:
    parts = tables.utterances.groupby("part")["audience"].unique().map(set).to_dict()
    assert parts == {
        "speech": {"public"},
        "public_confidence": {"public"},
        "private_confidence": {"private"},
        "reasoning": {"private"},
        "rationale": {"private"},
        "verdict": {"private"},
    }


def test_chars_count_the_text(tables: arena.Tables) -> None:
    assert (tables.utterances["text"].str.len() == tables.utterances["chars"]).all()


def test_a_verdict_is_for_a_seat(tables: arena.Tables) -> None:
    assert set(tables.verdicts["choice"]) <= {"proposition", "opposition"}
    assert tables.verdicts.groupby(["match_id", "order"]).size().tolist() == [3] * 4


def test_a_winner_is_whom_most_ballots_name(tables: arena.Tables) -> None:
    votes = tables.verdicts.groupby("match_id")["choice"].agg(lambda choices: choices.mode()[0])
    winners = tables.matches.set_index("match_id")["winner"]
    assert votes.to_dict() == winners.to_dict()


def test_times_are_those_of_the_world(tables: arena.Tables) -> None:
    assert (tables.matches["started_at"] <= tables.matches["ended_at"]).all()
    assert (tables.calls["latency_s"] >= 0).all()


def test_settings_of_a_seat_are_recorded(tmp_path: Path) -> None:
    settings = {
        "system": "Be brief.", "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 1000,
        "reasoning_effort": "low", "seed": 7,
    }  # fmt: skip
    run = played(tmp_path, *(f"seats.proposition.{name}={value}" for name, value in settings.items()))
    seats = arena.load(run).seats
    assert seats.query("seat == 'proposition'")[list(settings)].drop_duplicates().to_dict("records") == [settings]
    assert seats.query("seat == 'opposition'")[list(settings)].isna().all(axis=None)


# ------------------------------------------------------------------ what is missing is missing


@cache
def _composed() -> dict[str, Any]:
    return config.compose(["topics.limit=1", "schedule=self", "judge.orders=as_spoken"])


class Answering:
    """A record that is made up as it is asked for, and remembered."""

    def __init__(self, history: History, answer: Callable[[Call], Answer | None]):
        self.history, self._answer = history, answer

    def answer(self, call: Call) -> Answer | None:
        return self._answer(call)


def walked(answer: Callable[[Call], Answer | None]) -> Played:
    """One match in which every call was answered so."""
    resolved = copy.deepcopy(_composed())
    resolved["agents"] = {"it": {"model": "openai/it"}}
    resolved["judge"]["judges"] = {"judge": {"model": "openai/judge"}}
    experiment = config.experiment(resolved)
    (spec,) = experiment.matches
    setting, history = Setting(experiment), History(spec.id)
    played, _ = walk(setting.match(spec), Answering(history, answer))
    return Played(spec, "c", "debate", played, history, setting.specs(spec))


def made(answer: Callable[[Call], Answer | None]) -> dict[str, pd.DataFrame]:
    """The tables of one match in which every call was answered so."""
    return frames.tables([walked(answer)])


def properly(call: Call) -> Completion:
    form = call.request.occasion.ask.form
    assert isinstance(form, Parts)
    values = {
        name: 0.6
        if isinstance(part, Confidence)
        else Chosen("opposition", 0.7)
        if isinstance(part, Verdict)
        else "Said."
        for name, part in form.forms.items()
    }
    return Completion(form.render(values), usage=Usage(10, 5), cost_usd=0.0)


MISSING: dict[str, Answer] = {
    "unparsed": Completion("Nothing that could be read."),
    "truncated": Completion("Cut", finish="length"),
    "refused": Completion("No.", finish="refusal"),
    "failed": Failure("not_found", "there is no such model"),
}


@pytest.mark.parametrize("status", MISSING)
def test_a_value_that_is_missing_is_recorded_as_what_it_is(status: str) -> None:
    tables = made(lambda call: properly(call) if call.key.step else MISSING[status])
    opening = tables["confidences"].query("phase == 'opening'")
    assert set(opening["status"]) == {status}
    assert opening["value"].isna().all()
    assert tables["confidences"].query("phase != 'opening'")["status"].tolist() == ["ok"] * 4
    assert tables["matches"]["status"].tolist() == ["finished"]


def test_a_value_that_was_read_at_a_later_attempt_is_repaired() -> None:
    tables = made(lambda call: properly(call) if call.key.attempt else Completion("?"))
    assert set(tables["confidences"]["status"]) == set(tables["verdicts"]["status"]) == {"repaired"}
    assert tables["confidences"]["value"].tolist() == [0.6] * 6


@pytest.mark.parametrize("status", MISSING)
def test_a_missing_ballot_is_a_row_without_a_choice(status: str) -> None:
    tables = made(lambda call: MISSING[status] if call.seat.startswith("judge") else properly(call))
    assert tables["verdicts"]["status"].tolist() == [status]
    assert tables["verdicts"][["choice", "probability"]].isna().all(axis=None)
    assert tables["matches"]["decision"].tolist() == ["none"]
    assert tables["matches"]["winner"].isna().all()


def test_a_match_that_was_not_begun_has_its_rows() -> None:
    tables = made(lambda call: None)
    assert tables["matches"]["status"].tolist() == ["planned"]
    assert tables["seats"]["seat"].tolist() == ["proposition", "opposition", "judge/1"]
    assert len(tables["calls"]) == len(tables["confidences"]) == 0


def test_a_parquet_file_keeps_what_is_missing(tmp_path: Path) -> None:
    tables = made(lambda call: MISSING["failed"])
    frames.write(tmp_path / "tables", tables)
    for name, table in frames.read(tmp_path / "tables").items():
        pd.testing.assert_frame_equal(table, tables[name])


# ------------------------------------------------------------------ written as matches are walked


def stored(folder: Path) -> dict[str, Any]:
    return {name: pq.read_table(folder / f"{name}.parquet") for name in COLUMNS}


def test_tables_that_are_written_match_by_match_are_those_that_are_written_whole(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "BATCH", 1)
    opened = api.open_run(finished)
    reading = opened.read()
    frames.stream(tmp_path / "by_match", opened.recorded(reading))
    frames.write(tmp_path / "whole", frames.tables(opened.played(reading)))
    by_match, whole = stored(tmp_path / "by_match"), stored(tmp_path / "whole")
    for name, table in whole.items():
        assert by_match[name].schema.equals(table.schema, check_metadata=True)
        assert by_match[name].equals(table)
    assert pq.ParquetFile(tmp_path / "by_match" / "calls.parquet").num_row_groups == len(whole["matches"]) == 2


@pytest.mark.parametrize("missing", MISSING)
def test_what_is_missing_is_the_same_in_a_table_that_is_written_match_by_match(missing: str, tmp_path: Path) -> None:
    frames.stream(tmp_path / "tables", [walked(lambda call: MISSING[missing])])
    tables = made(lambda call: MISSING[missing])
    for name, table in frames.read(tmp_path / "tables").items():
        pd.testing.assert_frame_equal(table, tables[name])


def test_matches_are_let_go_once_their_rows_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "BATCH", 1)
    held = WeakSet[Walk]()

    def matches() -> Iterator[Played]:
        for _ in range(3):
            match = walked(properly)
            held.add(match.walk)
            yield match
        gc.collect()
        assert len(held) == 1  # the last

    frames.stream(tmp_path / "tables", matches())


def test_tables_that_cannot_be_finished_leave_those_that_are_there(mine: Path) -> None:
    before = files(mine / "tables")

    def matches() -> Iterator[Played]:
        yield walked(properly)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        frames.stream(mine / "tables", matches())
    assert files(mine / "tables") == before


def test_tables_of_what_has_ended_need_no_prompts(mine: Path, finished: Path) -> None:
    """Whether these are still the recorded ones is for `verify`, and takes most of the time."""
    path = mine / "experiment.yaml"
    path.write_text(path.read_text().replace("You are a debater", "You are no debater"))
    finish(api.open_run(mine), "finished")
    for name, table in stored(finished / "tables").items():
        assert pq.read_table(mine / "tables" / f"{name}.parquet").equals(table)


def test_a_match_that_lost_part_of_its_record_is_not_taken_for_ended(mine: Path) -> None:
    """A call was asked again on request, and what followed from it before may not stand."""
    lines = records(mine)
    number, reply = next(of(mine, "reply"))
    intent = next(line for line in lines if line.get("key") == reply["key"] and line["match"] == reply["match"])
    end = next(line for line in lines if line["kind"] == "end" and line["match"] == reply["match"])
    lines[number] = reply | {"kind": "failure", "answer": {"kind": "connection", "message": ""}}
    other = reply["answer"] | {"text": reply["answer"]["text"].replace("Simulated", "Another")}
    lines += [{"kind": "retry", "match": reply["match"]}, intent, reply | {"answer": other}, end]
    rewrite(mine, lines)
    with ledger(mine).open("a") as file:
        file.write(f'{{"kind":"reply","match":"{reply["match"]}",and what was paid again\n')
    finish(api.open_run(mine), "finished")
    status = frames.read_table(mine / "tables", "matches").set_index("match_id")["status"]
    assert status.to_dict() == {
        match: "unfinished" if match == reply["match"] else "finished" for match in status.index
    }


# ------------------------------------------------------------------ verify

Record = dict[str, Any]


def verified(run: Path) -> Verified:
    return verify(api.open_run(run))


def findings(run: Path) -> list[str]:
    return sorted({finding.check for finding in verified(run).findings})


def ledger(run: Path) -> Path:
    return run / "ledger" / "0001.jsonl"


def records(run: Path) -> list[Record]:
    """The records of a run without their checksums, which are for whoever did not mean to change them."""
    lines = (json.loads(line) for line in ledger(run).read_text().splitlines())
    return [{name: value for name, value in record.items() if name != "sum"} for record in lines]


def rewrite(run: Path, records: list[Record]) -> None:
    ledger(run).write_bytes(b"".join(as_written(record) for record in records))


def of(run: Path, kind: str, seat: str = "") -> Iterator[tuple[int, Record]]:
    return (
        (number, record)
        for number, record in enumerate(records(run))
        if record["kind"] == kind and record.get("seat", "").startswith(seat)
    )


def test_a_run_that_nobody_touched_is_proved(finished: Path) -> None:
    result = verified(finished)
    assert result.findings == ()
    assert (result.matches, result.finished, result.in_flight, result.superseded) == (2, 2, 0, 0)
    assert result.calls == result.views == 2 * (2 * 2 * 3 + 2 * 3)


def test_rewriting_a_ledger_as_it_is_is_no_finding(mine: Path) -> None:
    rewrite(mine, records(mine))
    assert findings(mine) == []


EDITS: dict[str, tuple[str, Any]] = {
    "matches": ("winner", "nobody"),
    "seats": ("temperature", 2.0),
    "utterances": ("text", "I concede."),
    "confidences": ("value", 0.01),
    "verdicts": ("choice", "nobody"),
    "calls": ("cost_usd", 99.0),
}


@pytest.mark.parametrize("name", EDITS)
def test_verify_finds_a_table_that_was_edited_by_hand(mine: Path, name: str) -> None:
    column, value = EDITS[name]
    path = mine / "tables" / f"{name}.parquet"
    table = getattr(arena.load(mine), name)
    table.loc[len(table) - 1, column] = value
    table.to_parquet(path, index=False)
    (finding,) = verified(mine).findings
    assert (finding.check, finding.place) == ("tables", path.name)
    assert column in finding.problem


@pytest.mark.parametrize("name", EDITS)
def test_verify_finds_a_row_that_was_taken_out_of_a_table(mine: Path, name: str) -> None:
    getattr(arena.load(mine), name).iloc[:-1].to_parquet(mine / "tables" / f"{name}.parquet", index=False)
    (finding,) = verified(mine).findings
    assert (finding.check, finding.place) == ("tables", f"{name}.parquet")


@pytest.mark.parametrize("name", EDITS)
def test_verify_finds_a_row_that_was_put_into_a_table(mine: Path, name: str) -> None:
    table = getattr(arena.load(mine), name)
    pd.concat([table, table.tail(1)]).to_parquet(mine / "tables" / f"{name}.parquet", index=False)
    (finding,) = verified(mine).findings
    assert (finding.check, finding.place) == ("tables", f"{name}.parquet")


@pytest.mark.parametrize(("group", "piece"), [(1, 1000), (7, 5), (1000, 7)])
def test_verify_compares_whatever_row_groups_a_table_has(
    mine: Path, group: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "BATCH", 1)
    monkeypatch.setattr("arena.verify.PIECE", piece)
    path = mine / "tables" / "calls.parquet"
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=group)
    assert findings(mine) == []
    pq.write_table(table.take([*range(20), 21, 20, *range(22, len(table))]), path, row_group_size=group)
    assert findings(mine) == ["tables"]


def test_verify_takes_a_column_that_an_older_run_has_not_for_empty(mine: Path) -> None:
    for name, column in {"calls": "calls", "utterances": "flags"}.items():
        path = mine / "tables" / f"{name}.parquet"
        pq.write_table(pq.read_table(path).drop_columns([column]), path)
    assert findings(mine) == []


def test_verify_finds_a_change_in_the_last_digit(mine: Path) -> None:
    table = arena.load(mine).confidences
    table["value"] = np.nextafter(table["value"].to_numpy(float), 0)
    table.astype({"value": "Float64"}).to_parquet(mine / "tables" / "confidences.parquet", index=False)
    assert findings(mine) == ["tables"]


def test_verify_names_a_table_that_is_missing(mine: Path) -> None:
    (mine / "tables" / "verdicts.parquet").unlink()
    (finding,) = verified(mine).findings
    assert "verdicts.parquet" in finding.place + finding.problem


@pytest.mark.parametrize("text", [b"", b"no parquet"])
def test_verify_finds_a_table_that_cannot_be_read(mine: Path, text: bytes) -> None:
    (mine / "tables" / "verdicts.parquet").write_bytes(text)
    assert findings(mine) == ["tables"]


@pytest.mark.parametrize("kind", ["reply", "end"])
@pytest.mark.parametrize("which", [0, -1])
def test_verify_finds_a_line_that_was_taken_out_of_the_ledger(mine: Path, kind: str, which: int) -> None:
    lines = records(mine)
    del lines[list(of(mine, kind))[which][0]]
    rewrite(mine, lines)
    assert "ends" in findings(mine)


@pytest.mark.parametrize("kind", ["intent", "run"])
def test_verify_finds_a_line_without_which_the_others_mean_less(mine: Path, kind: str) -> None:
    lines = records(mine)
    del lines[list(of(mine, kind))[-1][0]]
    rewrite(mine, lines)
    assert findings(mine) != []


def test_verify_finds_a_whole_match_that_was_taken_out_of_the_ledger(mine: Path) -> None:
    gone = records(mine)[1]["match"]
    rewrite(mine, [record for record in records(mine) if record.get("match") != gone])
    assert findings(mine) == ["tables"]


@pytest.mark.parametrize("seat", ["proposition", "opposition"])
@pytest.mark.parametrize("edit", [("(Simulated speech", "(Another speech"), ("log-odds stand", "log-odds lie")])
def test_verify_finds_a_reply_that_was_edited_by_the_prompts_that_followed(
    mine: Path, seat: str, edit: tuple[str, str]
) -> None:
    lines = records(mine)
    number, record = next(
        (number, record) for number, record in of(mine, "reply", seat) if edit[0] in record["answer"]["text"]
    )
    record["answer"]["text"] = record["answer"]["text"].replace(*edit)
    lines[number] = record
    rewrite(mine, lines)
    (finding,) = verified(mine).findings
    assert finding.check == "digests"
    assert f"match {record['match']}, step " in finding.problem


def test_verify_finds_a_ballot_that_was_edited(mine: Path) -> None:
    """No prompt follows it, so that no digest tells."""
    lines = records(mine)
    number, record = next(of(mine, "reply", "fair"))
    sides = {"proposition": "opposition", "opposition": "proposition"}
    was = next(side for side in sides if f"<winner>{side}" in record["answer"]["text"])
    record["answer"]["text"] = record["answer"]["text"].replace(f"<winner>{was}", f"<winner>{sides[was]}")
    lines[number] = record
    rewrite(mine, lines)
    assert set(findings(mine)) & {"tables", "ends"}


@pytest.mark.parametrize("field", ["winner", "how"])
def test_verify_finds_an_end_that_the_record_does_not_come_to(mine: Path, field: str) -> None:
    lines = records(mine)
    number, record = next(of(mine, "end"))
    record["decision"][field] = "zork"
    lines[number] = record
    rewrite(mine, lines)
    (finding,) = verified(mine).findings
    assert finding.check == "ends"
    assert "zork" in finding.problem


@pytest.mark.parametrize("field", ["margin", "notes"])
def test_verify_finds_an_end_with_another_margin_or_note(mine: Path, field: str) -> None:
    lines = records(mine)
    number, record = next(of(mine, "end"))
    record["decision"][field] = {"margin": 0.123, "notes": ["zork"]}[field]
    lines[number] = record
    rewrite(mine, lines)
    assert findings(mine) == ["ends"]


def test_verify_finds_an_end_without_an_outcome(mine: Path) -> None:
    lines = records(mine)
    last = [number for number, _ in of(mine, "reply")][-1]
    del lines[last]
    rewrite(mine, lines)
    assert any("end record and no outcome" in finding.problem for finding in verified(mine).findings)


def test_verify_finds_a_match_of_another_experiment(mine: Path) -> None:
    lines = records(mine)
    rewrite(mine, [*lines, lines[1] | {"match": "stranger"}])
    assert ("matches", "stranger") in {(finding.check, finding.place) for finding in verified(mine).findings}


@pytest.mark.parametrize("line", ["no JSON", "{}", '{"kind":"zork","match":"x"}', "[]", "null", '"x"'])
def test_verify_names_a_line_that_cannot_be_read(mine: Path, line: str) -> None:
    lines = ledger(mine).read_text().splitlines()
    ledger(mine).write_text("\n".join([*lines[:3], line, *lines[3:]]) + "\n")
    assert ("ledger", "0001.jsonl:4") in {(finding.check, finding.place) for finding in verified(mine).findings}


def test_a_torn_last_line_is_named_and_is_no_finding(mine: Path) -> None:
    with ledger(mine).open("a") as file:
        file.write('{"kind":"intent","match":"')
    result = verified(mine)
    assert (result.findings, len(result.torn)) == ((), 1)


def test_verify_finds_a_prompt_that_was_changed(mine: Path) -> None:
    path = mine / "experiment.yaml"
    path.write_text(path.read_text().replace("You are a debater", "You are no debater"))
    assert findings(mine) == ["digests", "experiment"]


@pytest.mark.parametrize(
    "change",
    [
        ("rule: most_votes", "rule: larger_sum"),
        ("tie: draw", "tie: lot"),
    ],
)
def test_verify_finds_a_rule_that_was_changed(mine: Path, change: tuple[str, str]) -> None:
    path = mine / "experiment.yaml"
    assert change[0] in path.read_text()
    path.write_text(path.read_text().replace(*change))
    assert findings(mine) != []


def test_verify_of_a_copy_elsewhere_is_the_same(mine: Path, finished: Path) -> None:
    assert verified(mine) == verified(finished)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Arena:
    return in_process(capsys)


def test_resume_puts_right_what_was_edited_in_a_table(mine: Path, command: Arena) -> None:
    table = arena.load(mine).confidences
    table.loc[0, "value"] = 0.01
    table.to_parquet(mine / "tables" / "confidences.parquet", index=False)
    assert command("log", "verify", mine).code == 1
    assert command("resume", mine).code == 0
    assert command("log", "verify", mine).code == 0
