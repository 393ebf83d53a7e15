"""The two wire formats: requests read, replies and errors written as OpenAI's and Anthropic's SDKs expect them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from aiohttp import web

from arena.testing.responders import Answered, Api, Exchange
from arena.types import Message


def exchange(api: Api, raw: bytes, calls: Mapping[str, int]) -> Exchange:
    """The request in a body. Raises ValueError when it cannot be served."""
    try:
        body = json.loads(raw)
        model = str(body["model"])
        system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        messages = tuple(Message(said["role"], _plain(said.get("content"))) for said in [*system, *body["messages"]])
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        raise ValueError(f"expected a JSON object with model and messages: {problem!r}") from None
    if body.get("stream"):
        raise ValueError("this endpoint does not stream; send the request without `stream`")
    return Exchange(api, model, messages, body, calls.get(model, 0))


def _plain(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content or ())


@dataclass(frozen=True, slots=True)
class Tokens:
    """The usage that a reply reports."""

    input: int
    """The whole prompt."""
    output: int
    cached: int = 0
    """Of the prompt: read from a cache."""
    written: int = 0
    """Of the prompt: written to one."""


def reply(exchange: Exchange, answered: Answered, tokens: Tokens) -> dict[str, Any]:
    """A reply as the API of the request gives it."""
    return (_openai_reply if exchange.api == "openai" else _anthropic_reply)(exchange, answered, tokens)


def _openai_reply(exchange: Exchange, answered: Answered, tokens: Tokens) -> dict[str, Any]:
    said = {"content": None, "refusal": answered.text} if answered.finish == "refusal" else {"content": answered.text}
    finish = "length" if answered.finish == "length" else "stop"
    return {
        "id": f"chatcmpl-{exchange.n}",
        "object": "chat.completion",
        "created": 0,
        "model": exchange.model,
        "choices": [{"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": tokens.input,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
            "prompt_tokens_details": {"cached_tokens": tokens.cached},
        },
    }


def _anthropic_reply(exchange: Exchange, answered: Answered, tokens: Tokens) -> dict[str, Any]:
    silent = answered.finish == "refusal" or not answered.text
    return {
        "id": f"msg_{exchange.n}",
        "type": "message",
        "role": "assistant",
        "model": exchange.model,
        "content": [] if silent else [{"type": "text", "text": answered.text}],
        "stop_reason": {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"}[answered.finish],
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens.input - tokens.cached - tokens.written,
            "output_tokens": tokens.output,
            "cache_read_input_tokens": tokens.cached,
            "cache_creation_input_tokens": tokens.written,
        },
    }


UNKNOWN_FINISH = "eclipse"
"""A reason for a reply's end that no API knows."""


def altered(reply: dict[str, Any], fault: str | None, n: int) -> dict[str, Any]:
    """A reply after a fault that no content tells: `unknown_finish`, or `wrong_types`, whose kinds follow each other."""
    choices: list[dict[str, Any]] = reply.get("choices", [])
    if fault == "unknown_finish":
        for ending, name in [(each, "finish_reason") for each in choices] or [(reply, "stop_reason")]:
            ending[name] = UNKNOWN_FINISH
    if fault == "wrong_types":
        odd = _ODD[n % len(_ODD)]
        for choice in choices:
            choice |= {"message": {"role": odd, "content": odd, "refusal": odd}, "finish_reason": odd}
        if not choices:
            reply |= {"content": [{"type": "text", "text": odd}, odd], "stop_reason": odd}
        reply |= {"id": odd, "model": odd, "usage": dict.fromkeys(reply["usage"], "many")}
    return reply


_ODD: tuple[Any, ...] = (17, [1, "two"], None, {"text": 3}, True)


def error(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error in a shape that both SDKs read."""
    return web.json_response(
        {"type": "error", "error": {"type": kind, "message": message}}, status=status, headers=headers
    )


async def endless(payload: bytes, request: web.Request, pause_s: float = 0.05) -> web.StreamResponse:
    """Send the payload a byte at a time, and blanks after it, until nobody listens."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for byte in chain(payload, repeat(ord(" "))):
        await response.write(bytes([byte]))
        await asyncio.sleep(pause_s)
    return response


async def half_of(payload: bytes, request: web.Request) -> web.StreamResponse:
    """Promise the whole payload, send half of it, hang up."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(payload)
    await response.prepare(request)
    await response.write(payload[: len(payload) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
