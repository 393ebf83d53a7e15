"""The two wire formats: requests read, replies and errors written as OpenAI's and Anthropic's SDKs expect them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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


def openai_reply(exchange: Exchange, answered: Answered, tokens_in: int, tokens_out: int) -> Mapping[str, Any]:
    said = {"content": None, "refusal": answered.text} if answered.finish == "refusal" else {"content": answered.text}
    finish = "length" if answered.finish == "length" else "stop"
    return {
        "id": f"chatcmpl-{exchange.n}",
        "object": "chat.completion",
        "created": 0,
        "model": exchange.model,
        "choices": [{"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def anthropic_reply(exchange: Exchange, answered: Answered, tokens_in: int, tokens_out: int) -> Mapping[str, Any]:
    silent = answered.finish == "refusal" or not answered.text
    return {
        "id": f"msg_{exchange.n}",
        "type": "message",
        "role": "assistant",
        "model": exchange.model,
        "content": [] if silent else [{"type": "text", "text": answered.text}],
        "stop_reason": {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"}[answered.finish],
        "stop_sequence": None,
        "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out, "cache_read_input_tokens": 0},
    }


def error(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error in a shape that both SDKs read."""
    return web.json_response(
        {"type": "error", "error": {"type": kind, "message": message}}, status=status, headers=headers
    )


async def half_of(payload: bytes, request: web.Request) -> web.StreamResponse:
    """Promise the whole payload, send half of it, hang up."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(payload)
    await response.prepare(request)
    await response.write(payload[: len(payload) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
