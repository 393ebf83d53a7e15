"""Importing the published study: the data themselves where they are, files of its layout everywhere."""

from __future__ import annotations

import copy
import csv
import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import Arena
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from published_files import PHASES, SIDES, WORDS, ballot, clone, debate, judged, put, tokens, whys

import arena
from arena import frames
from arena.imports import Imported
from arena.imports.llms_overconfidence import CONDITIONS, FLAGS, read

# ------------------------------------------------------------------ the published data


@cache
def published() -> tuple[Imported, dict[str, Any], Path]:
    """The import of the archive with its labels, and the same debates as others have normalised them, by id."""
    folder = Path(os.environ.get("ARENA_REFERENCE", "")) / "two_llms_debate"
    if "ARENA_REFERENCE" not in os.environ or not (folder / "experiments.tar.xz").exists():
        pytest.skip("ARENA_REFERENCE names no folder with the published debates")
    with gzip.open(folder / "debates.jsonl.gz", "rt", encoding="utf-8") as lines:
        normalised = {held["debate_id"]: held for held in map(json.loads, lines)}
    return read(folder / "experiments.tar.xz", folder / "alignment.csv"), normalised, folder


@pytest.mark.reference
def test_the_published_bets_come_out_one_by_one() -> None:
    found, normalised, _ = published()
    assert found.left_out == ()
    rows = found.tables["confidences"]
    keys = zip(rows["match_id"], rows["seat"], rows["phase"], strict=True)
    values = dict(zip(keys, zip(rows["value"], rows["reasoning"], rows["model"], strict=True), strict=True))
    assert len(values) == len(rows) == 1080
    assert values == {
        (ident, turn["side"], turn["speech_type"]): (turn["bet"] / 100, turn["private_reasoning"], turn["model"])
        for ident, held in normalised.items()
        for turn in held["turns"]
    }


@pytest.mark.reference
def test_the_published_speeches_come_out_too() -> None:
    found, normalised, _ = published()
    rows = found.tables["utterances"].query("part == 'speech'")
    keys = zip(rows["match_id"], rows["seat"], rows["phase"], strict=True)
    assert dict(zip(keys, rows["text"], strict=True)) == {
        (ident, turn["side"], turn["speech_type"]): turn["content"]
        for ident, held in normalised.items()
        for turn in held["turns"]
    }


@pytest.mark.reference
def test_topics_and_times_are_the_published_ones() -> None:
    found, normalised, _ = published()
    rows = found.tables["matches"].set_index("match_id")
    assert rows["topic_id"].to_dict() == {ident: held["topic_id"] for ident, held in normalised.items()}
    assert {ident: f"{when:%Y-%m-%dT%H:%M:%S}" for ident, when in rows["started_at"].items()} == {
        ident: held["started_at"] for ident, held in normalised.items()
    }
    assert rows["condition"].value_counts().to_dict() == dict.fromkeys(
        ["cross_model", "self_debate", "informed_self"], 60
    )


OTHERS_WORDS = {
    "zero_bet": "zero_bet",
    "malformed_bet_tag_amount_typed_by_operator": "typed_bet",
    "uppercase_bet_tag_left_in_speech": "uppercase_bet_tag",
    "second_uppercase_bet_tag_differs": "second_bet_tag_differs",
    "reasoning_placeholder_typed_by_operator": "placeholder_reasoning",
    "reasoning_empty": "empty_reasoning",
    "reasoning_short": "short_reasoning",
    "private_reasoning_leaked_into_public_speech_uppercase_tag": "leaked_reasoning",
    "reasoning_tag_residue_in_speech": "reasoning_tag_residue",
    "speech_empty_or_stub": "stub_speech",
}


@pytest.mark.reference
def test_the_flags_are_those_that_others_found_turn_by_turn() -> None:
    found, normalised, _ = published()
    rows = found.tables["confidences"]
    flags = {
        key: set(words.split(",")) - {""}
        for *key_, words in zip(rows["match_id"], rows["seat"], rows["phase"], rows["flags"].fillna(""), strict=True)
        for key in [tuple(key_)]
    }
    assert flags == {
        (ident, turn["side"], turn["speech_type"]): {OTHERS_WORDS[word] for word in turn["bet_status"] if word != "ok"}
        for ident, held in normalised.items()
        for turn in held["turns"]
    }
    typed = rows["flags"].fillna("").str.contains("typed_bet")
    assert (rows["status"] == "unparsed").tolist() == typed.tolist()
    assert typed.sum() == 7
    assert rows["value"].notna().all()


@pytest.mark.reference
def test_the_published_ballots_come_out_and_those_never_cast_are_rows() -> None:
    found, normalised, _ = published()
    rows = found.tables["verdicts"]
    assert rows["status"].value_counts().to_dict() == {"ok": 357, "failed": 3}
    assert rows.loc[rows["status"] == "failed", "choice"].isna().all()
    cast = rows[rows["status"] == "ok"]
    keys = zip(cast["match_id"], cast["judge"], cast["ballot"], strict=True)
    seen: Counter[tuple[str, str]] = Counter()
    expected: dict[tuple[str, str, int], tuple[str, float]] = {}
    for ident, held in normalised.items():
        for verdict in held["judgments"]:
            seen[ident, verdict["judge"]] += 1
            key = (ident, verdict["judge"], seen[ident, verdict["judge"]])
            expected[key] = (verdict["winner"], verdict["confidence"] / 100)
    assert dict(zip(keys, zip(cast["choice"], cast["probability"], strict=True), strict=True)) == expected


@pytest.mark.reference
def test_winners_are_by_the_larger_sum_and_the_one_exact_tie_is_one() -> None:
    matches = published()[0].tables["matches"]
    assert matches["decision"].value_counts().to_dict() == {"none": 120, "larger_sum": 59, "tie": 1}
    assert matches.loc[matches["decision"] != "larger_sum", "winner"].isna().all()


@pytest.mark.reference
def test_tokens_are_the_published_totals() -> None:
    """Cross-model: 1.60 million for 360 calls; its jury: 2.86 in and 0.67 out for 357."""
    found, normalised, _ = published()
    calls, seats, matches = (found.tables[name] for name in ("calls", "seats", "matches"))
    calls = calls.merge(matches[["match_id", "condition"]]).query("condition == 'cross_model'")
    jury = calls["seat"].isin(seats.loc[seats["role"] == "judge", "seat"])
    totals = calls.groupby(jury)[["calls", "input_tokens", "output_tokens"]].sum()
    assert totals["calls"].tolist() == [360, 357]
    assert round(totals.loc[False, ["input_tokens", "output_tokens"]].sum() / 1e6, 2) == 1.60
    assert (totals.loc[True, ["input_tokens", "output_tokens"]] / 1e6).round(2).tolist() == [2.86, 0.67]
    assert totals.loc[False, "input_tokens"] == sum(
        counts["successful_prompt_tokens"] + counts["failed_prompt_tokens"]
        for held in normalised.values()
        if held["condition"] == "cross_model"
        for counts in held["debater_token_counts"].values()
    )


@pytest.mark.reference
def test_the_published_labels_come_out_one_by_one() -> None:
    found, _, folder = published()
    rows = found.tables["readings"].set_index(["match_id", "seat", "phase"])
    with (folder / "alignment.csv").open(encoding="utf-8", newline="") as lines:
        labels = list(csv.DictReader(lines))
    assert len(rows) == len(labels) == 1059
    for label in labels:
        row = rows.loc[(label["debate_id"], label["side"], label["speech_type"])]
        text = label["internal_confidence_text"]
        assert (row["assessment"], row["degree"], row["raw"]) == (label["assessment"], label["degree"], text)
        assert row["stated"] == (label["numeric_confidence_present"] == "True")
        assert pd.isna(row["implied"]) if "-" in text else row["implied"] == float(text) / 100
    assert rows["strategic"].map({True: "Yes", False: "No"}).fillna("").value_counts().to_dict() == Counter(
        label["strategic_betting_present"] for label in labels
    )


@pytest.mark.reference
def test_the_archive_is_imported_by_a_command(run_arena: Arena, tmp_path: Path) -> None:
    folder = published()[2]
    said = run_arena("import", "llms-overconfidence", folder / "experiments.tar.xz", "-o", tmp_path / "run")
    assert (said.code, said.err) == (0, "")
    assert said.lines[-1] == str(tmp_path / "run")
    assert "357 of 360" in said.out
    tables = arena.load(tmp_path / "run")
    assert len(tables.confidences) == 1080
    for name in frames.COLUMNS:
        table = getattr(tables, name)
        assert {column: str(kind) for column, kind in table.dtypes.items()} == frames.COLUMNS[name]


# ------------------------------------------------------------------ the six conditions


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """A clone with a debate of each condition, imported."""
    found = read(clone(tmp_path_factory.mktemp("clone")))
    assert found.left_out == ()
    return found


def test_the_condition_is_the_files_not_the_folders(six: Imported) -> None:
    matches = six.tables["matches"]
    assert matches["condition"].tolist() == list(CONDITIONS.values())
    assert matches["match_id"].tolist() == [
        f"{condition}--debate_{n}_2025031{n}_101500" for n, condition in enumerate(CONDITIONS.values())
    ]


def test_a_row_stands_there_once(six: Imported) -> None:
    keys = {
        "matches": ["match_id"],
        "seats": ["match_id", "seat"],
        "utterances": ["match_id", "step", "seat", "part"],
        "confidences": ["match_id", "round", "seat", "audience"],
        "verdicts": ["match_id", "judge", "ballot"],
        "calls": ["match_id", "step", "slot", "call", "attempt"],
    }
    for name, key in keys.items():
        assert not six.tables[name].duplicated(key).any(), name


def test_bets_are_public_in_public_bets_alone(six: Imported) -> None:
    rows = six.tables["confidences"]
    assert set(rows.loc[rows["audience"] == "public", "condition"]) == {"public_bets"}
    assert set(rows.loc[rows["audience"] == "private", "condition"]) == set(CONDITIONS.values()) - {"public_bets"}


def test_reasoning_is_private_and_speech_public_in_all(six: Imported) -> None:
    said = six.tables["utterances"]
    assert set(said.loc[said["part"] == "speech", "audience"]) == {"public"}
    assert set(said.loc[said["part"] == "reasoning", "audience"]) == {"private"}
    bets = said[~said["part"].isin(["speech", "reasoning"])]
    assert set(zip(bets["part"], bets["audience"], strict=True)) == {
        ("private_confidence", "private"),
        ("public_confidence", "public"),
    }


def test_four_round_debates_have_two_rebuttals_spoken_in_turn(six: Imported) -> None:
    said = six.tables["utterances"].query("part == 'speech'")
    four, three = (said[said["match_id"].str.startswith(condition)] for condition in ("multi_round", "self_redteam"))
    assert four["phase"].tolist() == [
        phase for phase in ("opening", "rebuttal", "rebuttal_2", "closing") for _ in SIDES
    ]
    assert four["round"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert four["step"].is_unique
    assert three["step"].tolist() == [0, 0, 1, 1, 2, 2]


def test_bets_are_probabilities_of_the_own_side_against_the_others_model(six: Imported) -> None:
    rows = six.tables["confidences"].query("condition == 'cross_model'")
    assert rows["value"].tolist() == [0.60, 0.61, 0.62, 0.63, 0.64, 0.65]
    assert rows["raw"].tolist() == ["60", "61", "62", "63", "64", "65"]
    assert set(zip(rows["seat"], rows["model"], rows["opponent"], strict=True)) == {
        ("proposition", "lab/one", "lab/two:free"),
        ("opposition", "lab/two:free", "lab/one"),
    }
    assert rows["flags"].isna().all()


def test_calls_are_totals_of_a_model_and_say_how_many(six: Imported) -> None:
    calls = six.tables["calls"].merge(six.tables["matches"][["match_id", "condition"]])
    assert calls.groupby("condition")["calls"].agg(list).to_dict() == {
        "cross_model": [3, 3],
        **{name: [6] for name in ("self_debate", "informed_self", "public_bets", "self_redteam")},
    }
    assert calls["cost_usd"].isna().all()
    assert any("1 debates have no count of calls" in note for note in six.notes)


def test_failed_calls_are_counted_as_tries(tmp_path: Path) -> None:
    held = debate()
    held["debator_token_counts"]["lab/one"] = tokens(3, failed=2)
    put(tmp_path, "a.json", held)
    calls = read(tmp_path).tables["calls"]
    assert calls["calls"].tolist() == [3, 3]
    assert calls["tries"].tolist() == [5, 3]


def test_a_motion_of_none_of_the_six_has_a_steady_name(tmp_path: Path) -> None:
    put(tmp_path, "a.json", debate(motion="One."))
    put(tmp_path, "b.json", debate(motion="Two."))
    put(tmp_path, "c.json", debate(motion="One.", models=("x", "y")))
    topics = read(tmp_path).tables["matches"].set_index("name")["topic_id"]
    assert topics["a"] == topics["c"] != topics["b"]
    assert topics.str.fullmatch(r"topic_[0-9a-f]{12}").all()


def test_meetings_that_recur_are_counted(tmp_path: Path) -> None:
    for hour in (12, 10, 11):
        held = debate("private_same_debator", ("m", "m"))
        held["debator_bets"][0]["amount"] = hour
        put(tmp_path, f"m_20250503_{hour}0000.json", held)
    matches = read(tmp_path).tables["matches"]
    assert matches["name"].tolist() == [f"m_20250503_{hour}0000" for hour in (10, 11, 12)]
    assert matches["repeat"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["debate", "debate_20259999_101500", "debate_2025031_101500"])
def test_a_name_without_a_time_leaves_the_time_open(tmp_path: Path, name: str) -> None:
    put(tmp_path, f"{name}.json", debate())
    found = read(tmp_path)
    assert found.tables["matches"]["started_at"].isna().all()
    assert "1 debates have no time in their file's name." in found.notes


# ------------------------------------------------------------------ what is wrong with a turn


def flagged(tmp_path: Path, *, speech: str = "", thoughts: str | None = None, amount: int = 60) -> pd.Series:
    """The confidence of a debate's first turn with something added to its speech, or other reasoning or amount."""
    held = debate()
    bet = held["debator_bets"][0]
    bet["amount"] = amount
    bet["thoughts"] = bet["thoughts"] if thoughts is None else thoughts
    held["proposition_output"]["speeches"]["opening"] += speech
    put(tmp_path, "a.json", held)
    return read(tmp_path).tables["confidences"].iloc[0]


@pytest.mark.parametrize(
    ("speech", "flags", "status"),
    [
        ("<bet_amount>\n60\n</bet_amount>", "typed_bet", "unparsed"),
        ("**bet_amount: 60**", "typed_bet", "unparsed"),
        ("<BET_AMOUNT>60%</BET_AMOUNT>", "typed_bet", "unparsed"),
        ("<BET_AMOUNT>60</BET_AMOUNT>", "uppercase_bet_tag", "ok"),
        ("<BET_AMOUNT>70</BET_AMOUNT>", "second_bet_tag_differs", "ok"),
        ("<BET_LOGIC_PRIVATE> I am sure.", "leaked_reasoning", "ok"),
        ("</bet_logic_private>", "reasoning_tag_residue", "ok"),
        ("**<bets_logic_private>** x", "reasoning_tag_residue", "ok"),
        ("They have lost public confidence; my bet is on the amount.", None, "ok"),
    ],
)
def test_what_is_left_in_a_speech_is_flagged(tmp_path: Path, speech: str, flags: str | None, status: str) -> None:
    row = flagged(tmp_path, speech=speech)
    assert (None if pd.isna(row["flags"]) else row["flags"]) == flags
    assert (row["status"], row["value"]) == (status, 0.6)


@pytest.mark.parametrize(
    ("thoughts", "flag"),
    [
        ("", "empty_reasoning"),
        (" \n", "empty_reasoning"),
        ("NA", "placeholder_reasoning"),
        ("7", "placeholder_reasoning"),
        ("<bet_logic_private>", "placeholder_reasoning"),
        ("I just am.", "short_reasoning"),
    ],
)
def test_reasoning_that_is_none_is_flagged(tmp_path: Path, thoughts: str, flag: str) -> None:
    row = flagged(tmp_path, thoughts=thoughts)
    assert (row["flags"], row["status"]) == (flag, "ok")


def test_a_zero_is_flagged_and_stays(tmp_path: Path) -> None:
    row = flagged(tmp_path, amount=0)
    assert (row["flags"], row["value"]) == ("zero_bet", 0.0)


def test_a_bet_of_100_may_have_been_cut_and_the_notes_say_so(tmp_path: Path) -> None:
    row = flagged(tmp_path, amount=100, speech="<BET_AMOUNT>250</BET_AMOUNT>")
    assert row["flags"] == "uppercase_bet_tag"
    assert "1 of 6 bets are 100, and may have been more" in " ".join(read(tmp_path).notes)


def test_a_stub_is_flagged_at_the_speech_and_at_the_bet_that_came_with_it(tmp_path: Path) -> None:
    held = debate()
    held["opposition_output"]["speeches"]["closing"] = "```xml\n\n```"
    put(tmp_path, "a.json", held)
    tables = read(tmp_path).tables
    for name in ("confidences", "utterances"):
        rows = tables[name][tables[name]["flags"].notna()]
        assert rows[["seat", "phase", "flags"]].values.tolist() == [["opposition", "closing", "stub_speech"]]
    assert tables["utterances"].loc[tables["utterances"]["flags"].notna(), "part"].tolist() == ["speech"]


def test_every_flag_is_explained_and_counted(run_arena: Arena, tmp_path: Path) -> None:
    flagged(tmp_path / "in", speech="<BET_LOGIC_PRIVATE><bet_amount>x", thoughts="NA", amount=0)
    said = run_arena("import", "llms-overconfidence", tmp_path / "in", "-o", tmp_path / "run", "--json")
    known = json.loads(said.out)
    assert known["flags"] == {"zero_bet": 1, "typed_bet": 1, "placeholder_reasoning": 1, "leaked_reasoning": 1}
    assert known["confidences_flagged"] == 1
    assert set(known["flags"]) <= set(FLAGS)


# ------------------------------------------------------------------ juries


def test_ballots_that_the_largest_panel_has_and_a_debate_has_not_are_rows(tmp_path: Path) -> None:
    full = [ballot(judge, "opposition", 80) for judge in ("j/one", "j/two") for _ in range(2)]
    put(tmp_path, "full.json", judged(*full))
    put(tmp_path, "short.json", judged(full[0], full[2], motion="Another."))
    put(tmp_path, "self.json", debate("private_same_debator", ("m", "m")))
    tables = read(tmp_path).tables
    rows = tables["verdicts"][tables["verdicts"]["match_id"] == "cross_model--short"]
    assert rows[["judge", "ballot", "status"]].values.tolist() == [
        ["j/one", 1, "ok"], ["j/two", 1, "ok"], ["j/one", 2, "failed"], ["j/two", 2, "failed"],
    ]  # fmt: skip
    assert rows["choice"].isna().tolist() == [False, False, True, True]
    matches = tables["matches"].set_index("name")
    assert matches.loc["short", "notes"] == "ballots never cast: j/one/2, j/two/2"
    assert (matches.loc["self", "decision"], len(tables["verdicts"])) == ("none", 8)
    seats = tables["seats"][tables["seats"]["match_id"] == "cross_model--short"]
    assert seats["seat"].tolist() == [*SIDES, "j/one/1", "j/two/1", "j/one/2", "j/two/2"]


def test_the_larger_sum_wins_and_an_exact_tie_has_no_winner(tmp_path: Path) -> None:
    for name, last in (("won", 51), ("tied", 50)):
        put(
            tmp_path,
            f"{name}.json",
            judged(ballot("j", "opposition", 100), ballot("j", "proposition", 50), ballot("k", "proposition", last)),
        )
    matches = read(tmp_path).tables["matches"].set_index("name")
    assert matches.loc["won", ["decision", "winner"]].tolist() == ["larger_sum", "proposition"]
    assert matches.loc["won", "margin"] == pytest.approx(1 / 201)
    assert matches.loc["tied", "decision"] == "tie"
    assert pd.isna(matches.loc["tied", "winner"])


def test_a_verdict_that_a_person_typed_is_said(tmp_path: Path) -> None:
    put(tmp_path, "a.json", judged(ballot("j", "opposition", 80), ballot("j", "opposition", 80) | {"logic": "Both!"}))
    tables = read(tmp_path).tables
    said = tables["utterances"].query("part == 'rationale'").set_index("seat")
    assert said["flags"].fillna("").to_dict() == {"j/1": "", "j/2": "typed_ballot"}
    assert tables["matches"]["notes"].tolist() == ["verdicts typed by a person: j/2"]
    assert tables["verdicts"]["choice"].tolist() == ["opposition"] * 2


# ------------------------------------------------------------------ labels


def label(debate_id: str, bet: int, **different: Any) -> dict[str, Any]:
    return {
        "debate_id": debate_id,
        "motion": "We would test.",
        "side": "proposition",
        "speech_type": "opening",
        "raw_bet_amount": bet,
        "raw_thoughts": "x",
        "analysis": {
            "betting_alignment": {
                "numeric_confidence_present": True,
                "internal_confidence": "65",
                "bet_amount": bet,
                "assessment": "Aligned",
                "degree": "Slight",
                "explanation": "x",
            },
            "strategic_betting": {"present": "No", "explanation": "x"},
        },
    } | different


def test_a_clones_labels_are_read_by_folder_and_name(tmp_path: Path) -> None:
    for folder, kind in (("one", "private_same_debator"), ("two", "PUBLIC_SAME_DEBATOR")):
        put(tmp_path, f"experiments/{folder}/same:name.json", debate(kind, ("m", "m")))
        put(tmp_path, f"bet_analysis_results_{folder}.json", [label("same:name", 60, side=SIDES[0])])
    found = read(tmp_path)
    assert found.left_out == ()
    rows = found.tables["readings"]
    assert set(rows["match_id"]) == {"self_debate--same_name", "public_bets--same_name"}
    row = rows.iloc[0]
    assert (row["implied"], row["stated"], row["strategic"]) == (0.65, True, False)
    assert (row["assessment"], row["degree"], row["status"], row["phase"]) == ("Aligned", "Slight", "ok", "opening")


def test_labels_that_do_not_fit_are_left_out_or_counted(tmp_path: Path) -> None:
    put(tmp_path, "experiments/one/a.json", debate())
    range_ = label("a", 61, side="opposition")
    range_["analysis"]["betting_alignment"]["internal_confidence"] = "55-60"
    labels = [
        label("a", 60),
        range_,
        label("a", 75),
        label("a", 60, speech_type="coda"),
        label("b", 60),
        label("a", 62, speech_type="rebuttal", analysis={"error": "no XML"}),
        {"debate_id": 7},
    ]
    put(tmp_path, "bet_analysis_results_one.json", labels)
    found = read(tmp_path)
    rows = found.tables["readings"]
    assert rows["implied"].fillna(-1).tolist() == [0.65, -1, -1]
    assert rows["status"].tolist() == ["ok", "ok", "unparsed"]
    assert rows["raw"].fillna("").tolist() == ["65", "55-60", ""]
    assert list(whys(found)) == [f"bet_analysis_results_one.json, label {n}" for n in (7, 3, 4)]
    assert "1 labels of private reasoning are of debates that are not here." in found.notes


def test_labels_of_a_file_of_its_own_stand_in_place_of_the_clones(tmp_path: Path) -> None:
    put(tmp_path, "experiments/one/a.json", debate())
    put(tmp_path, "bet_analysis_results_one.json", [label("a", 60)])
    head = "debate_id,side,speech_type,bet,numeric_confidence_present,internal_confidence_text,assessment,degree"
    given = put(
        tmp_path,
        "labels.csv",
        f"{head},strategic_betting_present\ncross_model--a,opposition,closing,65,False,70%,Over,None,\n".encode(),
    )
    rows = read(tmp_path, given).tables["readings"]
    assert rows[["seat", "phase", "implied", "degree"]].values.tolist() == [["opposition", "closing", 0.7, "None"]]
    assert rows["strategic"].isna().all()


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"", b"\xff\xfe\x00"])
def test_a_file_that_holds_no_labels_is_refused(run_arena: Arena, tmp_path: Path, content: bytes) -> None:
    put(tmp_path, "in/a.json", debate())
    given = put(tmp_path, "labels.csv", content)
    said = run_arena("import", "llms-overconfidence", tmp_path / "in", "-o", tmp_path / "run", "--labels", given)
    assert said.code == 2
    assert "labels.csv" in said.err
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------ what cannot be read


BROKEN: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{nonsense", "broken JSON"),
    "cut off": (json.dumps(debate()).encode()[:2000], "broken JSON"),
    "no UTF-8": (json.dumps(debate()).encode().replace(b"words", b"w\xffrds"), "broken JSON"),
    "half a character": (json.dumps(debate()).replace("words", "w\\ud800rds").encode(), "broken JSON"),
    "empty": (b"", "broken JSON"),
    "deep": (b"[" * 100_000, "broken JSON"),
    "no object": ([1, 2], "an unknown layout"),
    "another layout": ({"turns": []}, "an unknown layout: motion: Field required, and 6 more"),
    "bet above 100": (debate() | {"debator_bets": [{"side": "proposition", "speech_type": "opening", "amount": 140,
                                                    "thoughts": ""}]}, "debator_bets.0.amount"),
    "bet in words": (debate() | {"debator_bets": [{"side": "proposition", "speech_type": "opening", "amount": "60",
                                                   "thoughts": ""}]}, "debator_bets.0.amount"),
    "another condition": (debate("baseline"), "debate_type is 'baseline'"),
    "three rounds named four": (debate() | {"debate_type": "private_self_bet"}, "the proposition's speeches are"),
    "four rounds named three": (debate("private_self_bet") | {"debate_type": "private_bet"}, "has opening, rebuttal"),
    "bet missing": (debate() | {"debator_bets": debate()["debator_bets"][:5]}, "opposition has no bet on its closing"),
    "bet twice": (debate() | {"debator_bets": debate()["debator_bets"] * 2}, "two bets on its opening"),
    "bet on nothing": (debate() | {"debator_bets": [debate()["debator_bets"][0] | {"speech_type": "coda"}]}, "'coda'"),
    "unfinished": (debate() | {"opposition_output": {"speeches": {**dict.fromkeys(PHASES, WORDS), "closing": -1}}},
                   "the opposition has no closing"),
    "more tokens than there are": (debate() | {"debator_token_counts": {"m": tokens(10**30)}}, "debator_token_counts"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_be_read_is_named_with_its_reason_and_the_rest_is_kept(tmp_path: Path, what: str) -> None:
    content, why = BROKEN[what]
    put(tmp_path, "a/good.json", debate(motion="Another."))
    put(tmp_path, "b/bad.json", content)
    found = read(tmp_path)
    assert list(whys(found)) == ["b/bad.json"]
    assert why in whys(found)["b/bad.json"]
    assert found.tables["matches"]["name"].tolist() == ["good"]


def test_a_duplicate_is_left_out_by_name_and_by_content(tmp_path: Path) -> None:
    put(tmp_path, "a/one.json", debate())
    put(tmp_path, "b/one.json", debate(motion="Another."))
    put(tmp_path, "c/copy.json", json.dumps(debate() | {"path_to_store": "elsewhere"}, indent=2).encode())
    put(tmp_path, "d/one.json", debate("private_same_debator"))
    found = read(tmp_path)
    assert whys(found) == {"b/one.json": "a duplicate of a/one.json", "c/copy.json": "a duplicate of a/one.json"}
    assert found.tables["matches"]["match_id"].tolist() == ["cross_model--one", "self_debate--one"]


def test_names_that_differ_only_in_a_colon_are_duplicates(tmp_path: Path) -> None:
    put(tmp_path, "m:free.json", debate())
    put(tmp_path, "m_free.json", debate(motion="Another."))
    assert whys(read(tmp_path)) == {"m_free.json": "a duplicate of m:free.json"}


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    put(tmp_path, "a.json", b"\xef\xbb\xbf" + json.dumps(debate()).encode())
    assert len(read(tmp_path).tables["matches"]) == 1


# ------------------------------------------------------------------ mangled files

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value but the whole."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inside:
        yield (*at, key)
        yield from places(one, (*at, key))


MANGLED = judged(ballot("j", "opposition", 80), ballot("j", "proposition", 70), motion="To be mangled.")
PLACES = list(places(MANGLED))


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A debate with something taken out, replaced or cut off."""
    held = copy.deepcopy(MANGLED)
    for _ in range(draw(st.integers(1, 2))):
        *above, last = draw(st.sampled_from(PLACES))
        inner: Any = held
        for key in above:
            inner = inner[key] if isinstance(inner, dict | list) and key in _keys(inner) else {}
        if isinstance(inner, dict | list) and last in _keys(inner):
            if draw(st.booleans()):
                del inner[last]
            else:
                inner[last] = draw(PLAIN)
    text = json.dumps(held).encode()
    return text[: draw(st.integers(0, len(text) - 1))] if draw(st.integers(0, 3)) == 0 else text


def _keys(value: Any) -> Any:
    return value if isinstance(value, dict) else range(len(value))


@settings(max_examples=80, phases=(Phase.explicit, Phase.generate))
@given(mangled())
def test_a_mangled_file_never_raises_and_the_rest_is_imported(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "mangled"
    put(folder, "good.json", debate())
    put(folder, "mangled.json", content)
    found = read(folder)
    names = set(found.tables["matches"]["name"])
    assert names | {file.removesuffix(".json") for file in whys(found)} == {"good", "mangled"}
    assert "good" in names
    assert len(found.tables["confidences"]) == 6 * len(names)
    assert found.tables["confidences"]["value"].between(0, 1).all()
    frames.write(folder / "tables", found.tables)


@pytest.mark.parametrize(
    "place",
    [
        ("motion",), ("motion", "topic_description"), ("debate_type",), ("proposition_model",), ("opposition_model",),
        ("proposition_output",), ("opposition_output", "speeches"), ("opposition_output", "speeches", "rebuttal"),
        ("debator_bets",), ("debator_bets", 3), ("debator_bets", 2, "amount"), ("debator_bets", 2, "thoughts"),
        ("judge_results", 1, "winner"), ("judge_token_counts", "j", "successful_calls"),
    ],
)  # fmt: skip
def test_a_file_that_lacks_something_is_left_out(tmp_path: Path, place: tuple[Any, ...]) -> None:
    held: Any = copy.deepcopy(MANGLED)
    inner = held
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    put(tmp_path, "bad.json", held)
    assert list(whys(read(tmp_path))) == ["bad.json"]
