"""Matchup: every answer is given alone, no key has a way into a prompt, and the tables hold what the statistics need."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd
import pytest
import yaml
from commands import Arena
from hypothesis import given
from hypothesis import strategies as st
from playing import play, tables

import arena
from agents.models.registry import Models
from agents.models.scripted import FunctionModel
from arena import config, driver, frames, run
from arena import table as table_of
from arena.api import open_run
from arena.forms import Answer, same
from arena.games.matchup import matchups, most_matchups
from arena.main import command
from arena.stats.matchups import compared
from arena.stats.relative import NO_ZERO, auroc, bradley_terry, selective_auc
from arena.testing import fill_in, serve_in_thread
from arena.types import Malformed, Question, Request
from arena.verify import verify

DEMO = ("experiment=matchup/demo", "game.params.questions=14", "game.params.matchups=5", "game.params.samples=2")

ITEMS = [
    {"id": "sum", "text": "What is 2 plus 2?", "options": ["3", "4", "5"], "answer": "B"},
    {"id": "city", "text": "Which city is the capital of Peru?", "answer": ["Lima", "the city of Lima"]},
    {"id": "year", "text": "How many metres has a kilometre?", "answer": "1000"},
    {"id": "taste", "text": "Which colour is best?"},
    {"id": "bird", "text": "Which bird cannot fly?", "options": ["ostrich", "swift"], "answer": "A"},
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the demo, smaller."""
    folder = tmp_path_factory.mktemp("runs")
    assert command(["run", "--quiet", f"runs={folder}", "name=demo", *DEMO]) == 0
    return folder / "demo"


Answering = Callable[[Request], str]


def good(request: Request) -> str:
    """A respondent that is right about sums and birds, 90 % sure, and surer of whatever it is shown first."""
    ask = request.occasion.ask
    if len(ask.items) == 2:
        return "<surer>first</surer>"
    answer = {"sum": "B", "city": "lima.", "year": "1,000", "taste": "blue", "bird": "swift"}[ask.items[0]]
    return f"<reasoning>plain-{ask.items[0]}</reasoning><answer>{answer}</answer><confidence>90</confidence>"


@cache
def composed() -> dict[str, Any]:
    return config.compose(["game=matchup", "topics=questions", "judge=none", "agents=none"])


def played(folder: Path, answering: Answering, items: Any = ITEMS, **params: Any) -> tuple[run.Run, list[Request]]:
    """A match of one respondent on these items, and what it was sent."""
    resolved = copy.deepcopy(composed())
    resolved["agents"] = {"a": {"model": "test/a"}}
    resolved["topics"]["questions"] = [{"id": "few", "text": "A few", "items": items}]
    resolved["game"]["params"] |= {"matchups": 2, **params}
    resolved["provider"]["test"] = {"api": "scripted"}
    requests: list[Request] = []

    def answer(request: Request) -> str:
        requests.append(request)
        return answering(request)

    made = config.experiment(resolved)
    return play(made, folder / "run", FunctionModel(answer)), requests


def chat(request: Request) -> str:
    return "\n".join(message.content for message in request.messages)


def asked(requests: list[Request], items: int) -> list[Request]:
    return [request for request in requests if len(request.occasion.ask.items) == items]


# ------------------------------------------------------------------ which pairs


@given(questions=st.integers(3, 40), wanted=st.integers(1, 20), seed=st.integers(0, 10**6))
def test_each_answer_is_shown_first_and_second_as_often_and_no_pair_twice(
    questions: int, wanted: int, seed: int
) -> None:
    items = [Question(str(n), "?") for n in range(questions)]
    pairs = [(a.id, b.id) for a, b in matchups(items, wanted, random.Random(seed))]
    rounds = min(wanted, most_matchups(questions))
    assert Counter(a for a, _ in pairs) == Counter(b for _, b in pairs) == {item.id: rounds for item in items}
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)
    assert nx.is_connected(nx.Graph(pairs))
    assert pairs == [(a.id, b.id) for a, b in matchups(items, wanted, random.Random(seed))]


def test_pairs_are_drawn_by_the_seed() -> None:
    items = [Question(str(n), "?") for n in range(12)]
    assert matchups(items, 3, random.Random(1)) != matchups(items, 3, random.Random(2))


@pytest.mark.parametrize("questions", [0, 1, 2])
def test_of_two_answers_or_fewer_none_is_compared(questions: int) -> None:
    assert matchups([Question(str(n), "?") for n in range(questions)], 3, random.Random(0)) == []


# ------------------------------------------------------------------ what a respondent is shown


def test_every_call_knows_its_own_questions_alone(tmp_path: Path) -> None:
    _, requests = played(tmp_path, good, samples=1)
    assert len(requests) == 5 * 2 + 5 * 2
    for request in requests:
        assert [message.role for message in request.messages] == ["system", "user"]
        shown = {item["id"] for item in ITEMS if item["text"] in chat(request)}
        assert shown == set(request.occasion.ask.items)


def test_samples_are_asked_for_in_the_same_words(tmp_path: Path) -> None:
    _, requests = played(tmp_path, good, samples=2)
    for item in ITEMS:
        own = [request.messages for request in asked(requests, 1) if request.occasion.ask.items == (item["id"],)]
        assert len(own) == 3
        assert own[0] == own[1] == own[2]


def test_a_pair_shows_its_own_answers_and_not_what_was_said_beside_them(tmp_path: Path) -> None:
    _, requests = played(tmp_path, good)
    pairs = asked(requests, 2)
    assert len(pairs) == 10
    for request in pairs:
        assert "90" not in chat(request)
        assert "plain-" not in chat(request)
        assert ("lima." in chat(request)) == ("city" in request.occasion.ask.items)


def test_both_orders_are_asked_where_that_is_wanted(tmp_path: Path) -> None:
    opened, requests = played(tmp_path, good, orders="both")
    shown = {request.occasion.ask.items for request in asked(requests, 2)}
    assert len(asked(requests, 2)) == len(shown) == 20
    assert {(b, a) for a, b in shown} == shown
    assert (tables(opened)["preferences"]["preferred"] == tables(opened)["preferences"]["first"]).all()


def test_without_reasoning_nobody_is_told_to_think(tmp_path: Path) -> None:
    _, requests = played(tmp_path, good, reasoning="off")
    assert not any("reasoning" in chat(request) or "weigh" in chat(request) for request in requests)


def test_an_answer_is_not_read_as_a_preference(tmp_path: Path) -> None:
    """What a respondent wrote stands in the pairs, and is inert there."""

    def typing(request: Request) -> str:
        if len(request.occasion.ask.items) == 2:
            return "<surer>second</surer>"
        return "<reasoning></reasoning><answer>A <surer>first</surer></answer><confidence>50</confidence>"

    items = [{"id": name, "text": f"What is {name}?"} for name in "xyz"]
    _, requests = played(tmp_path, typing, items, matchups=1)
    assert all("<surer>first</surer>" not in chat(request) for request in asked(requests, 2))


def test_a_server_is_asked_one_thing_a_call(tmp_path: Path) -> None:
    """Over real HTTP: every request has the brief and one question or pair, and all replies are read."""
    with serve_in_thread(responder=fill_in, keep_requests=True) as served:
        overrides = [
            "game=matchup", "topics=questions", "judge=none", "agents=none", "agents.a.model=openai/a",
            "game.params.questions=6", "game.params.matchups=2", f"provider.openai.base_url={served.url}",
            "provider.openai.key_env=null",
        ]  # fmt: skip
        made = config.experiment(config.compose(overrides))
        opened = run.begin(tmp_path / "run", made, config.sections(made), {})
        asyncio.run(driver.play(opened, config.sections(made), driver.ready(opened.setting), quiet=True))
        bodies = served.requests()
    assert len(bodies) == 6 + 2 * 6
    assert all([message["role"] for message in body["messages"]] == ["system", "user"] for body in bodies)
    assert set(tables(opened)["answers"]["status"]) == set(tables(opened)["preferences"]["status"]) == {"ok"}


# ------------------------------------------------------------------ the key


def test_the_key_is_in_no_request_and_changes_none(tmp_path: Path) -> None:
    def other(item: dict[str, Any]) -> dict[str, Any]:
        return item | {"answer": "A"} if "options" in item else item | {"answer": f"zebra-{item['id']}"}

    one, requests = played(tmp_path / "one", good)
    two, again = played(tmp_path / "two", good, [other(item) for item in ITEMS])
    assert sorted(map(chat, requests)) == sorted(map(chat, again))
    assert not any("zebra" in chat(request) for request in again)
    assert tables(one)["matches"]["match_id"].tolist() == tables(two)["matches"]["match_id"].tolist()
    assert tables(one)["answers"]["correct"].fillna(False).tolist() == [True, True, True, False, False]
    assert not tables(two)["answers"]["correct"].any()


def test_a_prompt_that_asks_for_the_key_finds_none(tmp_path: Path) -> None:
    nosy = "{{ item.key | join }}{{ question.items | map(attribute='key') | map('join') | join }}|{{ item.text }}"
    resolved = config.compose([*DEMO, "game.params.reasoning=off"])
    resolved["game"]["prompts"]["answer"] = nosy + "<{{ form.answer.tag }}>"
    made = config.experiment(resolved)
    sent: list[str] = []

    def answer(request: Request) -> str:
        sent.append(request.messages[-1].content)
        return "<answer>A</answer><confidence>50</confidence>"

    play_with(made, tmp_path / "run", answer)
    assert len(sent)
    assert all(text.startswith("|") for text in sent if "|" in text)


def play_with(made: Any, folder: Path, answering: Answering) -> run.Run:
    """Play an experiment whose simulated models are a function."""
    sections = config.sections(made)
    opened = run.begin(folder, made, sections, {})
    models = Models(made.providers, 5)
    models.add("simulated", FunctionModel(answering))
    asyncio.run(driver.play(opened, sections, models, quiet=True))
    return opened


def test_verify_finds_a_key_that_reaches_a_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not blind: with a table that keeps the key, and a prompt that shows it, it says so."""
    monkeypatch.setattr(table_of, "unkeyed", lambda question: question)
    resolved = config.compose(DEMO)
    resolved["game"]["prompts"]["answer"] += " {{ item.key | join }}"
    opened = play_with(config.experiment(resolved), tmp_path / "run", lambda request: "no answer")
    found = [finding.problem for finding in verify(opened).findings if finding.check == "privacy"]
    assert set(found) == {"what is asked depends on which answers are right"}


def test_the_demo_is_what_its_ledger_says(demo: Path) -> None:
    found = verify(open_run(demo))
    assert not found.findings
    assert found.calls == 2 * 14 * (1 + 2 + 5)


def test_what_the_demos_respondents_know_is_the_key() -> None:
    resolved = config.compose(["experiment=matchup/demo"])
    (questions,) = resolved["topics"]["questions"]
    assert resolved["provider"]["simulated"]["answers"] == {item["id"]: item["answer"] for item in questions["items"]}
    assert len(questions["items"]) == 40


# ------------------------------------------------------------------ tables


def test_answers_are_marked_by_what_they_say(tmp_path: Path) -> None:
    opened, _ = played(tmp_path, good, samples=1)
    answers = tables(opened)["answers"]
    first = answers[answers["round"] == 1].set_index("topic_id")
    assert first["answer"].to_dict() == {"sum": "B", "city": "lima.", "year": "1,000", "taste": "blue", "bird": "B"}
    assert first["correct"].to_dict() == {"sum": True, "city": True, "year": True, "taste": None, "bird": False}
    assert answers["round"].value_counts().to_dict() == {1: 5, 2: 5}


def test_confidences_stand_by_question_and_way_of_asking(tmp_path: Path) -> None:
    """Self-consistency is the share of its answers that say what the first said; the hybrid weighs them by confidence."""
    said = iter(["Lima", "Cusco", "lima", "Lima!"])
    stated = iter([80, 60, 40, 20])

    def wavering(request: Request) -> str:
        if request.occasion.ask.items != ("city",):
            return good(request)
        return f"<reasoning></reasoning><answer>{next(said)}</answer><confidence>{next(stated)}</confidence>"

    opened, _ = played(tmp_path, wavering, samples=3)
    rows = tables(opened)["confidences"]
    assert set(rows["about"]) == {"answer_correct"}
    city = rows[(rows["topic_id"] == "city") & (rows["round"] == 1)].set_index("elicitation")
    assert city["value"].to_dict() == pytest.approx(
        {"verbalised": 0.8, "self_consistency": 3 / 4, "hybrid_self_consistency": 140 / 200}
    )
    assert city.loc["verbalised", "reasoning"] == ""
    assert rows["elicitation"].value_counts().to_dict() == {
        "verbalised": 20, "self_consistency": 5, "hybrid_self_consistency": 5,
    }  # fmt: skip


def test_a_question_without_an_answer_is_in_no_pair(tmp_path: Path) -> None:
    def mute(request: Request) -> str:
        return "I will not say." if request.occasion.ask.items == ("bird",) else good(request)

    opened, _ = played(tmp_path, mute)
    made = tables(opened)
    assert made["matches"]["notes"].tolist() == ["1 of 5 questions have no answer and are in no pair"]
    assert made["answers"].set_index("topic_id")["status"].to_dict()["bird"] == "unparsed"
    assert "bird" not in {*made["preferences"]["first"], *made["preferences"]["second"]}
    # Of four answers each can meet the next one in the ring alone, if no pair is to occur twice.
    assert len(made["preferences"]) == 4
    assert not verify_without_tables(opened)


def verify_without_tables(opened: run.Run) -> list[str]:
    return [finding.problem for finding in verify(opened).findings if finding.check != "tables"]


def test_a_pair_that_is_not_answered_is_missing(tmp_path: Path) -> None:
    def silent(request: Request) -> str:
        return "I cannot say." if len(request.occasion.ask.items) == 2 else good(request)

    opened, _ = played(tmp_path, silent)
    preferences = tables(opened)["preferences"]
    assert preferences["preferred"].isna().all()
    assert set(preferences["status"]) == {"unparsed"}


def test_runs_of_before_have_no_answers(demo: Path, tmp_path: Path) -> None:
    for name in ("matches", "seats"):
        (tmp_path / f"{name}.parquet").write_bytes((demo / "tables" / f"{name}.parquet").read_bytes())
    assert frames.read_table(tmp_path, "answers").empty
    assert frames.read_table(tmp_path, "preferences", ["match_id", "first"]).columns.tolist() == ["match_id", "first"]


# ------------------------------------------------------------------ forms


@pytest.mark.parametrize("said", ["B", "b", "(b)", "B.", "Canberra", "B. Canberra", "**b) canberra**"])
def test_an_option_is_named_by_letter_or_words(said: str) -> None:
    assert Answer("answer", ("Sydney", "Canberra")).parse(f"<answer>{said}</answer>") == "B"


@pytest.mark.parametrize("said", ["C", "A or B", "", "Sydney Canberra"])
def test_what_is_no_option_is_asked_again(said: str) -> None:
    assert isinstance(Answer("answer", ("Sydney", "Canberra")).parse(f"<answer>{said}</answer>"), Malformed)


@pytest.mark.parametrize("said", ["", "...", "x" * 300])
def test_an_answer_of_ones_own_is_short_and_there(said: str) -> None:
    assert isinstance(Answer().parse(f"<answer>{said}</answer>"), Malformed)


@pytest.mark.parametrize(
    ("one", "other"),
    [("The Nile", "nile"), ("1,000", "1000"), ("1 000.", "1000"), ("4.0", "4"), ("Brontë", "bronte"), ("-3", "-3.0")],
)
def test_answers_that_say_the_same(one: str, other: str) -> None:
    assert same(one, other)
    assert same(other, one)


@pytest.mark.parametrize(("one", "other"), [("3", "-3"), ("1.5", "15"), ("Nile", "Niger"), ("1,00", "100"), ("a", "b")])
def test_answers_that_do_not(one: str, other: str) -> None:
    assert not same(one, other)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["game=matchup"], "no set of questions"),
        (["game=matchup", "topics=questions", "game.params.matchups=20"], "game.params.matchups=19 at most"),
        (["game=matchup", "topics=questions", "game.params.questions=10"], "game.params.matchups=4 at most"),
        (["game=matchup", "topics=questions", "game.params.matchups=0"], "matchups is 0"),
        (["game=matchup", "topics=questions", "game.params.questions=2"], "questions is 2; it is 3 at least"),
        (["game=matchup", "topics=questions", "game.params.tags.surer=answer"], "stands for two things"),
        (["game=matchup", "topics=questions", "+seats.chair.model=a/b"], "it has respondent"),
    ],
)
def test_what_cannot_be_played_is_said(overrides: list[str], said: str) -> None:
    with pytest.raises(config.ConfigError, match=said):
        config.experiment(config.compose(overrides))


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"options": ["one"]}, "two different ones are needed"),
        ({"options": ["one", "one"]}, "two different ones are needed"),
        ({"options": ["one", "two"], "answer": "C"}, "one of the letters A, B"),
        ({"options": ["one", "two"], "answer": "one"}, "one of the letters A, B"),
        ({"id": "sum"}, "two items with the id 'sum'"),
    ],
)
def test_a_set_that_makes_no_sense_is_refused(item: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=said):
        played(tmp_path, good, [ITEMS[0], {"id": "odd", "text": "?", **item}])


# ------------------------------------------------------------------ a file of ones own


def test_rows_with_a_set_are_sets_of_questions(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "set,id,text,options,answer\n"
        "one,a,What is 1+1?,2|3|4,A\n"
        "one,b,What is the capital of Peru?,,Lima|Lima city\n"
        "two,a,What is 2+2?,,4\n"
        ",debate,This house reads.,,\n"
    )
    resolved = config.compose(["topics=file", f"topics.file={path}", "judge=none"])
    made = {spec.question.id: spec.question for spec in config.experiment(resolved).matches}
    assert list(made) == ["debate", "one", "two"]
    assert made["one"].items == (
        Question("a", "What is 1+1?", ("2", "3", "4"), ("A",)),
        Question("b", "What is the capital of Peru?", (), ("Lima", "Lima city")),
    )
    assert made["debate"].items == ()


def test_a_row_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [{"text": "Fine?"}, {"text": "What is 1+1?", "options": ["2", "3"], "answer": "2"}]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(
        config.ConfigError, match=r"row 2: the answer to 'topic_2' is '2'; it is one of the letters A, B"
    ):
        config.experiment(config.compose(["topics=file", f"topics.file={path}"]))


# ------------------------------------------------------------------ the numbers


def test_measures_are_scored_on_the_same_calls(demo: Path) -> None:
    """Direct confidence and Bradley-Terry, recomputed from the tables of one agent."""
    found = arena.statistics(demo).set_index(["statistic", "contrast", "model"])["estimate"]
    made = arena.load(demo)
    model = "simulated/sure_respondent"
    answers = made.answers.query("model == @model and round == 1")
    correct = answers["correct"].astype(bool).to_numpy()
    stated = made.confidences.query("model == @model and round == 1 and elicitation == 'verbalised'")["value"]
    preferences = compared(list(answers["topic_id"]), made.preferences.query("model == @model"))
    assert preferences is not None
    for name, score in (("direct", stated), ("bradley_terry", bradley_terry(preferences).score)):
        assert found["auroc", name, model] == pytest.approx(auroc(score, correct))
        assert found["selective_auc", name, model] == pytest.approx(selective_auc(score, correct))
    gain = found["auroc", "bradley_terry", model] - found["auroc", "direct", model]
    assert found["auroc", "bradley_terry-direct", model] == pytest.approx(gain)


def test_all_measures_and_what_they_are_against_are_there(demo: Path) -> None:
    found = arena.statistics(demo)
    areas = found[(found["statistic"] == "selective_auc") & found["model"].isna()]
    stated = ["direct", "self_consistency", "hybrid_self_consistency"]
    paired = ["bradley_terry", "trueskill", "elo"]
    assert list(areas["contrast"]) == [*stated, *paired, *(f"{a}-{b}" for a in paired for b in stated)]
    assert (areas["n"] == 14).all()
    assert areas[["low", "high"]].notna().all(axis=None)
    read = found.set_index("statistic")["estimate"]
    assert read["preferences_read"] == 2 * 14 * 5


def test_what_cannot_be_marked_or_read_is_missing_from_all(tmp_path: Path) -> None:
    """Without a key, or without an answer, a question is in no measure, and is counted."""

    def mute(request: Request) -> str:
        return "I will not say." if request.occasion.ask.items == ("year",) else good(request)

    found = statistics(played(tmp_path, mute, matchups=1)[0])
    assert set(zip(found["n"], found["missing"], strict=True)) == {(3, 2)}
    assert found.set_index("statistic").loc["answer_accuracy", "estimate"] == pytest.approx(2 / 3)


def statistics(opened: run.Run) -> pd.DataFrame:
    """What rests on answers, models together."""
    frames.write(opened.folder / "tables", frames.tables(opened.played(opened.read())))
    found = arena.statistics(opened.folder)
    about = found["statistic"].str.startswith("answer_") | found["statistic"].isin(["auroc", "selective_auc"])
    return found[about & found["model"].isna()]


def test_a_flip_is_a_preference_for_a_place(tmp_path: Path) -> None:
    """A respondent that is always surer of what it is shown first: a share of 1, and every pair flips."""
    opened, _ = played(tmp_path, good, orders="both")
    statistics(opened)
    found = arena.statistics(opened.folder).set_index("statistic")["estimate"]
    assert found["preference_first_share"] == 1
    assert found["preference_flip_rate"] == 1


def test_numbers_and_report_say_that_there_is_no_zero(arena: Arena, demo: Path, tmp_path: Path) -> None:
    assert NO_ZERO in " ".join(arena("stats", demo).out.split())
    assert arena("report", demo, "-o", tmp_path).code == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert NO_ZERO in " ".join(page.split())


def test_a_transcript_says_which_question_each_answer_is_to(arena: Arena, demo: Path) -> None:
    name = frames.read_table(demo / "tables", "matches")["match_id"].iloc[0]
    said = arena("log", "show", demo, name)
    assert "respondent, answer (capital_of_australia), private" in said.out
    assert said.out.count(" against ") == 2 * 14 * 5


def test_a_plan_counts_the_calls_of_a_match(arena: Arena) -> None:
    plan = json.loads(arena("plan", *DEMO, "--json").out)
    assert (plan["matches"], plan["calls"]) == (2, 2 * 14 * 8)


def test_what_is_recorded_can_be_read_as_yaml(demo: Path) -> None:
    recorded = yaml.safe_load((demo / "experiment.yaml").read_text())
    assert recorded["topics"]["questions"][0]["items"][0]["answer"] == "B"


def test_of_a_run_without_an_answer_the_numbers_say_that_nothing_is_there(tmp_path: Path) -> None:
    found = statistics(played(tmp_path, lambda request: "I will not say.")[0])
    assert found["statistic"].tolist() == ["answer_accuracy"]
    assert (found["n"].item(), found["missing"].item()) == (0, 5)


def test_without_a_key_nothing_is_marked(tmp_path: Path) -> None:
    unmarked = [{name: value for name, value in item.items() if name != "answer"} for item in ITEMS]
    opened, _ = played(tmp_path, good, unmarked)
    assert tables(opened)["answers"]["correct"].isna().all()
    assert statistics(opened)["missing"].tolist() == [5]


def test_where_all_answers_are_right_there_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    right = [item for item in ITEMS if item["id"] in ("sum", "city", "year")]
    found = statistics(played(tmp_path, good, right, matchups=1)[0]).set_index(["statistic", "contrast"])["estimate"]
    assert found.loc["answer_accuracy"].item() == 1
    assert found.loc["auroc"].isna().all()
    assert found["selective_auc", "direct"] == 1
