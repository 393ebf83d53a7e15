"""Faults on purpose, from inside and over HTTP: the same each time, and a run among them ends as a calm one."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playing import Killed, dies_after, experiment, play, tables

from agents import limits
from agents.models.errors import ModelError, Overloaded, RateLimited, Unreachable
from agents.models.openai import OpenAIModel
from arena.forms import Choice, Confidence, Form, Malformed, Speech, read
from arena.history import NOTHING, Spent
from arena.ledger import Ledger
from arena.run import Run
from arena.testing import Chaos, Exchange, Faults, FunctionModel, chaos, seeded, serve_in_thread
from arena.types import (
    Ask,
    CallKey,
    Completion,
    Errand,
    Experiment,
    Message,
    Most,
    Occasion,
    Request,
    Sampling,
    Usage,
)

CALM = FunctionModel(lambda request: "calm")


def request(match: int = 1, step: int = 0, slot: int = 0, attempt: int = 0, form: Form | None = None) -> Request:
    ask = Ask(step, slot, "a", "debater", 1, "opening", form or Confidence("sure"), "?", {}, str)
    return Request("test/a", (Message("user", "?"),), Sampling(), Occasion(0, match, ask, attempt))


def happened(model: Chaos, asked: Request) -> str:
    """What became of a request, in a word."""

    async def once() -> str:
        try:
            answer = await model.complete(asked)
        except ModelError as problem:
            return problem.kind
        return answer.finish if answer.finish != "stop" else answer.text

    return asyncio.run(once())


def always(kind: chaos.Kind) -> tuple[Chaos, Request]:
    """A model and the first request to it that meets this fault."""
    model = Chaos(CALM, 0.9, timeout_s=0)
    for match in range(1000):
        before = model.dealt[kind]
        with suppress(ModelError):
            asyncio.run(model.complete(request(match)))
        if model.dealt[kind] > before:
            return Chaos(CALM, 0.9, timeout_s=0), request(match)
    raise AssertionError(kind)


# ------------------------------------------------------------------ from inside


def test_the_same_seed_has_the_same_faults_in_whatever_order_calls_are_made() -> None:
    asked = [request(match, step, slot) for match in range(6) for step in range(4) for slot in range(2)]

    def story(seed: int, order: list[Request]) -> dict[tuple[int, int, int], list[str]]:
        model = Chaos(CALM, 0.5, seed=seed, timeout_s=0)
        return {
            (one.occasion.match_seed, one.occasion.ask.step, one.occasion.ask.slot): [
                happened(model, one) for _ in range(3)
            ]
            for one in order
        }

    assert story(1, asked) == story(1, asked[::-1])
    assert story(1, asked) != story(2, asked)


def test_faults_are_as_many_as_was_asked_for_and_of_every_kind() -> None:
    model = Chaos(CALM, 0.2, timeout_s=0)
    seen = Counter(happened(model, request(match)) for match in range(2000))
    assert 0.17 < 1 - seen["calm"] / 2000 < 0.23
    assert set(model.dealt) == set(chaos.KINDS)
    assert min(model.dealt.values()) > 30
    assert sum(model.dealt.values()) == 2000 - seen["calm"]


def test_without_a_rate_nothing_fails() -> None:
    model = Chaos(CALM, 0.0)
    assert {happened(model, request(match)) for match in range(200)} == {"calm"}


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate of faults"):
        Chaos(CALM, rate)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("rate_limited", RateLimited), ("overloaded", Overloaded), ("drop", Unreachable), ("stall", Overloaded)],
)
def test_what_is_no_answer_is_an_error_that_may_pass(kind: chaos.Kind, error: type[ModelError]) -> None:
    model, asked = always(kind)
    with pytest.raises(error, match=f"chaos: {kind}") as seen:
        asyncio.run(model.complete(asked))
    assert not seen.value.may_have_cost


@pytest.mark.parametrize("kind", ["garbage", "empty", "truncate"])
@pytest.mark.parametrize("form", [Speech(), Confidence("sure"), Choice("choice", ("a", "b"))])
def test_what_is_an_answer_can_be_read_as_none_and_costs_nothing(kind: chaos.Kind, form: Form) -> None:
    """Garbage too where any words would be an answer."""
    model, asked = always(kind)
    occasion = asked.occasion
    answer = asyncio.run(model.complete(request(occasion.match_seed, form=form)))
    assert model.dealt == {kind: 1}
    assert isinstance(read(form, answer), Malformed)
    assert answer.cost_usd == 0.0


def test_a_call_that_is_tried_again_and_again_passes() -> None:
    model = Chaos(CALM, 0.6, timeout_s=0)
    assert all("calm" in [happened(model, request(match)) for _ in range(40)] for match in range(20))


def test_it_closes_what_it_wraps() -> None:
    closed: list[str] = []

    class Closing:
        async def complete(self, request: Request) -> Completion:
            return Completion("")

        async def close(self) -> None:
            closed.append("now")

    asyncio.run(Chaos(Closing(), 0.1).close())
    asyncio.run(Chaos(CALM, 0.1).close())
    assert closed == ["now"]


# ------------------------------------------------------------------ a run among faults


def said(asked: Request) -> str:
    return seeded(Exchange("openai", asked.model.partition("/")[2], asked.messages, {}, 0))


def came_to(opened: Run) -> dict[str, pd.DataFrame]:
    """What a run among faults has in common with a calm one: everything but how often calls were made."""
    made = tables(opened)
    del made["calls"]
    return {
        name: table.assign(status=table["status"].replace({"repaired": "ok"})) if "status" in table else table
        for name, table in made.items()
    }


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries are as short as can be."""
    monkeypatch.setattr(limits, "FIRST_BACKOFF_S", 0.001)


def patient(folder: Path) -> Experiment:
    """Two debates that may be asked for often."""
    setting = experiment("debate", folder)
    return replace(setting, attempts=8, limits=replace(setting.limits, tries=12))


@pytest.mark.usefixtures("impatient")
def test_faults_from_inside_leave_what_a_calm_run_leaves(tmp_path: Path) -> None:
    setting = patient(tmp_path)
    calm = play(setting, tmp_path / "calm", FunctionModel(said))
    model = Chaos(FunctionModel(said), 0.4, seed=1, timeout_s=0.01)
    among = play(setting, tmp_path / "among", model)
    assert sum(model.dealt.values()) > 5
    for name, table in came_to(calm).items():
        pd.testing.assert_frame_equal(table, came_to(among)[name])


KINDS = "429=0.04,500=0.04,529=0.04,drop=0.04,garbage=0.04,empty=0.04,truncate=0.04,invalid_json=0.04,wrong_types=0.04"


@pytest.mark.usefixtures("impatient")
def test_a_run_killed_three_times_among_faults_over_http_ends_as_a_calm_one(tmp_path: Path) -> None:
    setting = patient(tmp_path)
    with serve_in_thread(responder=seeded, faults=Faults.parse(KINDS), retry_after_s=0, seed=3) as served:

        def model() -> OpenAIModel:
            return OpenAIModel(api_key="none", base_url=served.url, timeout_s=1)

        calm = play(setting, tmp_path / "calm", FunctionModel(said))
        for writes in (7, 5, 11):
            with dies_after(writes, 0.5), suppress(Killed):
                play(setting, tmp_path / "shaken", model())
        resumed = play(setting, tmp_path / "shaken", model())
        counts = served.counts()
    assert sum(counts.faults.values()) > 5
    for name, table in came_to(calm).items():
        pd.testing.assert_frame_equal(table, came_to(resumed)[name])
    without_reply = sum(len(history.in_flight()) for history in resumed.read().histories())
    assert counts.duplicate_bodies <= without_reply


# ------------------------------------------------------------------ benchmarks/chaos.py

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """The scripts of the folder, which are no package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def errand(match: str, step: int = 0) -> Errand:
    return Errand(match, CallKey(step, 0, 0, 0), "s", "debater", "test/a", "digest", Most(1.0, 100))


def test_what_was_in_flight_at_a_moment_is_read_later(tmp_path: Path, script: Callable[[str], Any]) -> None:
    books, book = script("books"), Ledger(tmp_path)
    book.intent(errand("early"))
    book.intent(errand("late"))
    book.answer(errand("early"), Completion("", usage=Usage(1, 1)))
    then = books.moment(tmp_path)
    book.answer(errand("late"), Completion("", usage=Usage(1, 1)))
    book.intent(errand("later"))
    book.close()
    assert [match for match, _, _ in books.in_flight(tmp_path, then)] == ["late"]
    assert [match for match, _, _ in books.in_flight(tmp_path, books.moment(tmp_path))] == ["later"]


def test_a_bound_that_was_passed_for_a_moment_is_told(tmp_path: Path, script: Callable[[str], Any]) -> None:
    """Two calls that could have come to $2 were in flight under a bound of $1.5; in the end they cost nothing."""
    ledger = tmp_path / "ledger"
    book = Ledger(ledger)
    for match in ("a", "b"):
        book.intent(errand(match))
    for match in ("a", "b"):
        book.answer(errand(match), Completion("", usage=Usage(1, 1), cost_usd=0.0))
    book.close()
    chaos = script("chaos")
    assert chaos.passed(tmp_path, {"0001.jsonl": Spent(2.0, 200, 2)}) == []
    assert chaos.passed(tmp_path, {"0001.jsonl": Spent(1.5, 200, 2)}) == ["0001.jsonl: 2.0 usd spent, of at most 1.5"]
    assert [now.usd for _, now in script("books").spent(ledger)] == [1.0, 2.0, 1.0, 0.0]


@pytest.mark.usefixtures("impatient")
def test_the_lines_of_a_ledger_add_up_to_what_its_reader_counts(tmp_path: Path, script: Callable[[str], Any]) -> None:
    setting = patient(tmp_path)
    model = Chaos(FunctionModel(said), 0.4, seed=1, timeout_s=0.01)
    with dies_after(9, 0.5), suppress(Killed):
        play(setting, tmp_path / "run", model)
    reading = play(setting, tmp_path / "run", model).read()
    *_, (_, now) = script("books").spent(tmp_path / "run" / "ledger")
    assert now == sum(reading.spent.values(), NOTHING)


@pytest.mark.slow
def test_the_chaos_run_in_small(tmp_path: Path) -> None:
    """Real processes, SIGKILLs and budgets: benchmarks/chaos.py itself."""
    command = [sys.executable, str(BENCHMARKS / "chaos.py"), "--debates", "24", "--kills", "4", "--timeout", "0.5"]
    command += ["--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    assert seen["kills"] == {"driver": 4}
    assert [stage["unit"] for stage in seen["stages"]] == ["calls", "usd", "tokens"]
    assert seen["wrong"] == []
