"""What a seat may not hear has no way to it: in its view, in its prompts, on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from playing import GAMES, Seeded, experiment, play

from arena import config, driver, run
from arena.match import Setting
from arena.replay import Walk
from arena.run import Run
from arena.table import Table
from arena.testing import Exchange, serve_in_thread
from arena.types import Answer, Ask, Completion, Request, View
from arena.verify import verify

PARAMS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "debate": {
        "rebuttals": st.integers(0, 2),
        "order": st.sampled_from(["simultaneous", "sequential"]),
        "private_confidence": st.sampled_from(["auto", "off", "joint", "before", "after"]),
        "public_confidence": st.booleans(),
        "own_confidence": st.sampled_from(["shown", "hidden"]),
        "told": st.sampled_from(["nothing", "equal_copy", "even_odds"]),
        "reasoning": st.sampled_from(["off", "own", "both_outcomes"]),
    },
    "matchup": {
        "orders": st.sampled_from(["balanced", "both"]),
        "samples": st.integers(0, 2),
        "reasoning": st.sampled_from(["off", "own"]),
    },
}
"""What to vary of a game's parameters; a game that is not here is tried with its defaults."""


class Watching:
    """An agent that checks every view it is given, and answers as another would."""

    def __init__(self, agent: Any, seen: list[View]):
        self.agent, self.seen = agent, seen

    def respond(
        self, view: View, ask: Ask, attempt: int, reason: str | None
    ) -> Generator[tuple[Request, ...], tuple[Answer, ...], Answer]:
        self.seen.append(view)
        return (yield from self.agent.respond(view, ask, attempt, reason))


@pytest.mark.parametrize("game", GAMES)
@settings(max_examples=20, phases=(Phase.explicit, Phase.generate))
@given(data=st.data())
def test_no_seat_is_given_an_utterance_without_it_in_the_audience(
    game: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    params = data.draw(st.fixed_dictionaries(PARAMS.get(game, {})))
    made = experiment(game, tmp_path_factory.getbasetemp(), **params)
    match = Setting(made).match(made.matches[0])
    seen: list[View] = []
    watched = replace(match, agents={seat: Watching(agent, seen) for seat, agent in match.agents.items()})
    asyncio.run(_walk(Walk(watched), Seeded(failing=0.0)))
    assert seen
    for view in seen:
        for turn in view.turns:
            assert all(view.seat in said.audience for said in (*turn.own, *turn.heard))
            assert all(said.seat == view.seat for said in turn.own)


async def _walk(walk: Walk, model: Any) -> Walk:
    wanted = walk.start()
    while wanted:
        call = wanted.pop(0)
        wanted += walk.reply(call.key, await model.complete(call.request))
    return walk


@pytest.mark.parametrize("game", GAMES)
@settings(max_examples=20, phases=(Phase.explicit, Phase.generate))
@given(data=st.data())
def test_a_private_word_is_in_no_request_of_another_seat(
    game: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Each seat's private parts carry a word of its own; nobody else's request ever holds it."""
    params = data.draw(st.fixed_dictionaries(PARAMS.get(game, {})))
    made = experiment(game, tmp_path_factory.getbasetemp(), **params)
    match = Setting(made).match(made.matches[0])
    requests: list[tuple[str, str]] = []
    said: list[str] = []

    class Marked(Seeded):
        async def complete(self, request: Request) -> Completion:
            seat = request.occasion.ask.seat
            requests.append((seat, "\n".join(message.content for message in request.messages)))
            answer = await super().complete(request)
            said.append(answer.text)
            return replace(answer, text=answer.text.replace("Simulated reasoning.", f"secret-{seat}-"))

    asyncio.run(_walk(Walk(match), Marked(failing=0.0)))
    assert game != "debate" or params["reasoning"] == "off" or "Simulated reasoning." in str(said) or not _aside(params)
    for seat, text in requests:
        for other in match.agents:
            assert other == seat or f"secret-{other}-" not in text


def _aside(params: dict[str, Any]) -> bool:
    """Whether private reasoning is asked for at all."""
    return params["private_confidence"] != "off" or params["public_confidence"]


def test_a_leaking_table_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify` is not blind: with a table that forgets audiences, it says which seat's prompts depend on what."""
    made = experiment("debate", tmp_path)
    view = Table.view

    def leaking(self: Table, seat: str) -> View:
        everything = [replace(said, audience=tuple(self.seats), shown=said.text) for said in self.transcript]
        kept, self.transcript = self.transcript, everything
        try:
            return view(self, seat)
        finally:
            self.transcript = kept

    monkeypatch.setattr(Table, "view", leaking)
    opened = play(made, tmp_path / "run", Seeded(failing=0.0))
    found = [finding for finding in verify(opened).findings if finding.check == "privacy"]
    assert found
    assert "depends on what it may not hear" in found[0].problem


# ------------------------------------------------------------------ on the wire

Answering = Callable[[Exchange], str]


def debaters(private: int, why: str) -> Answering:
    """A proposition with this private confidence and reasoning, and everybody else as always."""

    def answer(exchange: Exchange) -> str:
        last = exchange.messages[-1].content
        turn = sum(message.role == "assistant" for message in exchange.messages)
        if "winner" in last and exchange.model == "judge":
            return "<winner>opposition</winner><confidence>60</confidence>"
        secret, value = (why, private) if exchange.model == "proposition" else ("steady", 55)
        parts: list[str] = []
        if "<private_confidence>" in last:
            parts.append(f"<private_reasoning>{secret}</private_reasoning>")
            parts.append(f"<private_confidence>{value}</private_confidence>")
        if "speech" in last and "Do not write the speech yet" not in last:
            parts.append(f"Speech {turn} of the {exchange.model}.")
            parts.append("<public_confidence>64</public_confidence>")
        return "\n".join(parts)

    return answer


def requests_of(made_from: Path, params: list[str], answering: Answering) -> dict[str, list[str]]:
    """What reached the endpoint, by model, in an order that does not depend on who came first."""
    with serve_in_thread(responder=answering, keep_requests=True) as served:
        made_from.mkdir()
        overrides = [
            "topics.limit=1", "schedule.mirrored=false", "game.params.public_confidence=true",
            "seats.proposition.model=openai/proposition", "seats.opposition.model=openai/opposition",
            "judge=llm", "judge.judges.judge.model=openai/judge",
            f"provider.openai.base_url={served.url}", "provider.openai.key_env=null", *params,
        ]  # fmt: skip
        made = config.experiment(config.compose(overrides))
        opened = run.begin(made_from / "run", made, config.sections(made), {})
        play_for_real(opened)
        bodies = [json.dumps(body, sort_keys=True) for body in served.requests()]
    assert "private" in str(bodies)
    return {
        model: sorted(body for body in bodies if json.loads(body)["model"] == model)
        for model in ("proposition", "opposition", "judge")
    }


def play_for_real(opened: Run) -> None:
    made = opened.experiment
    asyncio.run(driver.play(opened, config.sections(made), driver.ready(opened.setting), quiet=True))


@pytest.mark.parametrize("when", ["before", "after", "joint"])
def test_no_request_on_the_wire_depends_on_anothers_private_confidence(tmp_path: Path, when: str) -> None:
    """Private and public confidence at once: with other private values, opponent and judge are sent the same bytes."""
    params = [f"game.params.private_confidence={when}"]
    low = requests_of(tmp_path / "low", params, debaters(10, "I am losing"))
    high = requests_of(tmp_path / "high", params, debaters(95, "I am winning"))
    assert low["opposition"] == high["opposition"]
    assert low["judge"] == high["judge"]
    assert low["proposition"] != high["proposition"]
    assert "64 percent" in str(low["opposition"])
    assert "64 percent" in str(low["judge"])
