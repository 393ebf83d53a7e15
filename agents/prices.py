"""What a call costs: list prices in USD per million tokens, and nothing where no price is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agents.models.registry import LOCAL
from arena.types import Most, Request, Usage

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
    """USD of a call, or None when the model has no price or its reply did not say what was used."""
    known = price(prices, model)
    if known is None or usage == Usage():
        return None
    # Some servers count what is cached beside the input.
    fresh = max(0, usage.input - usage.cached - usage.cache_write)
    million = (
        fresh * known["input"]
        + usage.cached * known.get("cached", known["input"])
        + usage.cache_write * known.get("cache_write", known["input"])
        + usage.output * known["output"]
    )
    return million / 1e6


def free(providers: Mapping[str, Mapping[str, Any]], model: str) -> bool:
    """Whether nobody is paid for a model."""
    return providers.get(model.partition("/")[0], {}).get("api") in LOCAL


def most(prices: Prices, request: Request, free: bool = False) -> Most:
    """The most that a request can come to: no tokens where its output has no limit, no USD where its model has no price either.

    No tokenizer makes more tokens than there are bytes.
    """
    limit = request.sampling.max_output_tokens
    if limit is None:
        return Most(0.0 if free else None, None)
    sent = _AROUND + sum(len(message.content.encode("utf-8", "replace")) + _AROUND for message in request.messages)
    known = None if free else price(prices, request.model)
    if known is None:
        return Most(0.0 if free else None, sent + limit)
    dearest = max(known["input"], known.get("cached", 0.0), known.get("cache_write", 0.0))
    return Most((sent * dearest + limit * known["output"]) / 1e6, sent + limit)


def about(request: Request) -> int:
    """About how many tokens a request will use: a token is some four characters, and a reply as long as a published speech."""
    limit = request.sampling.max_output_tokens
    sent = sum(len(message.content) for message in request.messages) // 4
    return sent + min(_USUAL_REPLY, limit or _USUAL_REPLY)


_USUAL_REPLY = 1_400
_AROUND = 16
"""Tokens that may stand around a message, and around all of them."""
