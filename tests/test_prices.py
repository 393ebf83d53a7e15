"""What a call costs, and the most that it can."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.prices import cost, most, price
from arena import config
from arena.types import Ask, Message, Most, Occasion, Request, Sampling, Usage

PRICES = {
    "openai/o1": {"input": 15.0, "cached": 7.5, "output": 60.0},
    "openai/gpt-4o": {"input": 2.5, "cached": 1.25, "output": 10.0},
    "openai/gpt-4o-2024-05-13": {"input": 5.0, "output": 15.0},
    "openai/gpt-4o-mini": {"input": 0.15, "output": 0.6},
    "anthropic/claude": {"input": 3.0, "cached": 0.3, "cache_write": 3.75, "output": 15.0},
    "local/free": {"input": 0.0, "output": 0.0},
}
ASK: Any = Ask(0, 0, "s", "debater", 1, "opening", None, "", {}, str)  # pyright: ignore[reportArgumentType]


def request(*contents: str, model: str = "anthropic/claude", limit: int | None = 1000) -> Request:
    messages = tuple(Message("user", content) for content in contents)
    return Request(model, messages, Sampling(max_output_tokens=limit), Occasion(0, 0, ASK, 0))


# ------------------------------------------------------------------ which price


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("openai/gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("openai/gpt-4o-20240806", "openai/gpt-4o"),
        ("openai/gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("openai/o1-2024-12-17", "openai/o1"),
        ("anthropic/claude-20250219", "anthropic/claude"),
    ],
)
def test_a_dated_id_has_the_price_of_the_plain_one(model: str, line: str) -> None:
    assert price(PRICES, model) == PRICES[line]


def test_a_dated_id_with_a_line_of_its_own_has_that_price() -> None:
    assert price(PRICES, "openai/gpt-4o-2024-05-13") == PRICES["openai/gpt-4o-2024-05-13"]


@pytest.mark.parametrize(
    "model",
    [
        "openai/o1-pro", "openai/o1-pro-2025-03-19", "openai/o1-mini", "openai/o1-2024", "openai/o1-2024-12-17-x", "openai/o1x",
        "openai/gpt-4o-audio-preview", "openai/gpt", "openrouter/openai/gpt-4o", "OPENAI/o1", "o1", "",
    ],
)  # fmt: skip
def test_a_name_that_merely_begins_alike_has_no_price(model: str) -> None:
    assert price(PRICES, model) is None
    assert cost(PRICES, model, Usage(10, 10)) is None
    assert most(PRICES, request("x", model=model)).usd is None


SHIPPED = config.compose()["prices"]


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_price_is_one(name: str) -> None:
    line = SHIPPED[name]
    assert 0 < line.get("cached", 0.01) <= line["input"] < line["output"]
    assert line.get("cache_write", line["input"]) >= line["input"]


# ------------------------------------------------------------------ what it comes to


@pytest.mark.parametrize(
    ("model", "usage", "usd"),
    [
        ("openai/gpt-4o", Usage(1_000_000, 0), 2.5),
        ("openai/gpt-4o", Usage(0, 1_000_000), 10.0),
        ("openai/gpt-4o", Usage(1_000_000, 0, cached=400_000), 0.6 * 2.5 + 0.4 * 1.25),
        ("openai/gpt-4o-mini", Usage(1_000_000, 0, cached=400_000), 0.15),
        (
            "anthropic/claude",
            Usage(1_000_000, 0, cached=500_000, cache_write=300_000),
            0.2 * 3 + 0.5 * 0.3 + 0.3 * 3.75,
        ),
        ("openai/gpt-4o", Usage(1_000_000, 0, cache_write=500_000), 2.5),
        ("openai/o1", Usage(0, 1_000_000, reasoning=900_000), 60.0),
        ("local/free", Usage(1_000, 1_000), 0.0),
        ("openai/gpt-4o", Usage(0, 0, cached=1_000_000), 1.25),  # a server that counts it beside the input
    ],
)
def test_a_call_costs_what_its_tokens_cost(model: str, usage: Usage, usd: float) -> None:
    assert cost(PRICES, model, usage) == pytest.approx(usd)


def test_a_reply_that_does_not_say_what_was_used_has_no_cost() -> None:
    assert cost(PRICES, "openai/gpt-4o", Usage()) is None


# ------------------------------------------------------------------ the most that it can cost

usd = st.floats(0, 200, allow_subnormal=False)


@st.composite
def price_lines(draw: st.DrawFn) -> dict[str, float]:
    """Reading from a cache is never dearer than not to."""
    line = {"input": draw(usd), "output": draw(usd)}
    if draw(st.booleans()):
        line["cached"] = line["input"] * draw(st.floats(0, 1))
    if draw(st.booleans()):
        line["cache_write"] = draw(usd)
    return line


@given(line=price_lines(), contents=st.lists(st.text(), max_size=4), limit=st.integers(1, 10**6), data=st.data())
def test_no_usage_within_the_limits_costs_more_than_the_most(
    line: dict[str, float], contents: list[str], limit: int, data: st.DataObject
) -> None:
    sent = sum(len(content.encode()) for content in contents)
    taken = data.draw(st.integers(0, sent))
    written = data.draw(st.integers(0 if taken else 1, limit))
    cached = data.draw(st.integers(0, taken))
    usage = Usage(taken, written, cached, data.draw(st.integers(0, taken - cached)))
    bound, paid = most({"m": line}, request(*contents, model="m", limit=limit)), cost({"m": line}, "m", usage)
    assert bound.usd is not None
    assert bound.tokens is not None
    assert paid is not None
    assert paid <= bound.usd * (1 + 1e-9) + 1e-12
    assert usage.input + usage.output <= bound.tokens


def test_the_most_counts_bytes_and_not_characters() -> None:
    plain, wide = (most(PRICES, request(text, limit=1)) for text in ("a" * 100, "語" * 100))
    assert (wide.usd or 0) > 2 * (plain.usd or 0) > 0
    assert (wide.tokens or 0) - (plain.tokens or 0) == 200


def test_the_most_allows_for_what_a_chat_puts_around_every_message() -> None:
    one, several = (most(PRICES, request(*texts, limit=1)) for texts in (["a" * 8], ["a"] * 8))
    assert (several.usd or 0) > (one.usd or 0)


def test_a_lone_surrogate_is_counted() -> None:
    assert most(PRICES, request("\ud800")).usd is not None


def test_without_a_limit_on_the_output_nobody_knows_the_most() -> None:
    assert most(PRICES, request("x", limit=None)) == Most(None, None)


def test_what_is_free_costs_nothing_and_has_tokens() -> None:
    assert most(PRICES, request("x", model="simulated/x", limit=10), free=True) == Most(0.0, 10 + 1 + 2 * 16)
