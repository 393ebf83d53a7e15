"""Prompt caches: a seat's request begins with all of its previous one, and what a provider serves of it comes back as money."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

import arena
from arena import config, driver
from arena.match import Setting
from arena.replay import walk
from arena.run import Run, begin, finish
from arena.testing import fill_in, serve_in_thread
from arena.types import Answer, Call, Request

PRICE = {"input": 1.0, "output": 4.0, "cached": 0.1, "cache_write": 1.25}


def played(folder: Path, provider: str, base_url: str) -> Run:
    """A mirrored pair of standard debates between two models, with a judge who has one ballot."""
    models = {name: f"{provider}/{name}" for name in ("x", "y", "judge")}
    made = config.experiment(
        config.compose(
            [
                "agents=none",
                f"+agents={{x: {{model: {models['x']}}}, y: {{model: {models['y']}}}}}",
                "topics.limit=1",
                "judge=llm",
                f"judge.judges.judge.model={models['judge']}",
                "judge.orders=as_spoken",
                "judge.own_family=true",
                f"provider.{provider}.base_url={base_url}",
                f"prices={{{', '.join(f'{model}: {price(PRICE)}' for model in models.values())}}}",
            ]
        )
    )
    sections = config.sections(made)
    opened = begin(folder, made, sections, {})
    asyncio.run(driver.play(opened, sections, driver.known(Setting(made)), quiet=True))
    finish(opened, "finished")
    return opened


def price(values: Mapping[str, float]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in values.items()) + "}"


def asked(opened: Run) -> list[Call]:
    """Every call of a run, match by match, in the order of the game."""
    reading, calls = opened.read(), list[Call]()

    for spec in opened.matches(reading):
        history = reading.history(spec.id)

        class Noting:
            def answer(self, call: Call) -> Answer | None:
                calls.append(call)
                return history.answer(call)  # noqa: B023  (used up before the next is bound)

        walk(opened.setting.match(spec), Noting())
    return calls


def prompt(request: Request) -> str:
    return "\n".join(f"{message.role}: {message.content}" for message in request.messages)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")


def test_a_cache_can_serve_all_that_a_layout_which_only_grows_allows(tmp_path: Path) -> None:
    """What is allowed: of each request all of the same seat's previous one. The endpoint measures what a cache could serve."""
    with serve_in_thread(responder=fill_in, prefix_stats=True) as served:
        opened = played(tmp_path / "run", "openai", served.url)
        measured = served.counts().cached_share_of_prompt
    last: dict[tuple[str, str], str] = {}
    allowed = total = 0
    for call in asked(opened):
        text, before = prompt(call.request), last.get((call.match, call.seat), "")
        assert text.startswith(before)
        allowed, total = allowed + len(before), total + len(text)
        last[call.match, call.seat] = text
    assert allowed / total > 0.2
    assert measured >= 0.95 * allowed / total


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_what_was_cached_is_in_the_calls_and_cheaper(tmp_path: Path, provider: str) -> None:
    """OpenAI caches by itself, Anthropic where the request marks the end of what will come again."""
    with serve_in_thread(responder=fill_in, prefix_stats=True) as served:
        opened = played(tmp_path / "run", provider, served.url if provider == "openai" else served.origin)
    calls = arena.load(opened.folder).calls
    later = calls[(calls["step"] > 0) & ~calls["seat"].str.startswith("judge")]
    assert (later["cached_tokens"] > 0.3 * later["input_tokens"]).all()
    entries = [entry for history in opened.read().histories() for entry in history.entries.values()]
    for entry in entries:
        usage = entry.answer.usage
        fresh = usage.input - usage.cached - usage.cache_write
        by_hand = fresh * 1.0 + usage.cached * 0.1 + usage.cache_write * 1.25 + usage.output * 4.0
        assert entry.answer.cost_usd == pytest.approx(by_hand / 1e6)
    assert calls["cost_usd"].sum() == pytest.approx(sum(entry.answer.cost_usd for entry in entries))
