"""What a call costs: list prices in USD per million tokens, and nothing where no price is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from arena.types import Request, Usage

Prices = Mapping[str, Mapping[str, Any]]
"""`provider/model` to `input`, `output` and, where they differ from input, `cached` and `cache_write`."""

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})")


def price(prices: Prices, model: str) -> Mapping[str, float] | None:
    """The price of a model; a dated id (`openai/gpt-4o-2024-08-06`) has the price of the plain one."""
    if model in prices:
        return prices[model]
    for name in sorted(prices, key=len, reverse=True):
        if model.startswith(name) and _DATED.fullmatch(model[len(name) :]):
            return prices[name]
    return None


def cost(prices: Prices, model: str, usage: Usage) -> float | None:
    """USD of a call, or None when the model has no price."""
    known = price(prices, model)
    if known is None:
        return None
    fresh = usage.input - usage.cached - usage.cache_write
    million = (
        fresh * known["input"]
        + usage.cached * known.get("cached", known["input"])
        + usage.cache_write * known.get("cache_write", known["input"])
        + usage.output * known["output"]
    )
    return million / 1e6


def most(prices: Prices, request: Request) -> float | None:
    """The most that a request can cost, or None when its output has no limit or its model no price.

    No tokenizer makes more tokens than there are bytes.
    """
    limit = request.sampling.max_output_tokens
    if limit is None:
        return None
    sent = sum(len(message.content.encode("utf-8", "replace")) + 16 for message in request.messages)
    known = price(prices, request.model)
    if known is None:
        return None
    return (
        sent * max(known["input"], known.get("cached", 0.0), known.get("cache_write", 0.0)) + limit * known["output"]
    ) / 1e6
