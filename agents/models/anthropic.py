"""Models behind Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

import anthropic

from agents.models import transport, wire
from agents.models.errors import redacted
from arena.types import Completion, Finish, Message, Rates, Request, Sampling, Usage

_Block = dict[str, object]

_FINISH: Mapping[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


class AnthropicModel:
    """A client of one address. `max_output_tokens` is the limit where a request has none: the API demands one."""

    def __init__(self, *, api_key: str, base_url: str | None, timeout_s: float, max_output_tokens: int) -> None:
        self._api_key = api_key
        self._max_output_tokens = max_output_tokens
        self._address = transport.Address(
            anthropic, anthropic.AsyncAnthropic, "v1/messages", api_key=api_key, base_url=base_url, timeout_s=timeout_s
        )

    async def complete(self, request: Request) -> Completion:
        """Send the request once.

        Raises `ModelError`. `timeout_s` holds for the whole exchange, however slowly bytes arrive.
        """
        reply, granted = await self._address.post(self._body(request))
        return _read(reply, self._api_key, granted)

    async def close(self) -> None:
        """Close the connections."""
        await self._address.close()

    def _body(self, request: Request) -> dict[str, object]:
        system = _blocks(message for message in request.messages if message.role == "system")
        turns = _turns(request.messages)
        users = [content for role, content in turns if role == "user"]
        # The last two, since the request before this one ended with the user message before the last.
        for content in (system, *users[-2:]):
            if content:
                content[-1]["cache_control"] = {"type": "ephemeral"}
        return {
            "model": request.model.split("/", 1)[1],
            "max_tokens": request.sampling.max_output_tokens or self._max_output_tokens,
            "messages": [{"role": role, "content": content} for role, content in turns],
            **({"system": system} if system else {}),
            **_drawing(request.sampling),
        }


def _turns(messages: Iterable[Message]) -> list[tuple[str, list[_Block]]]:
    """The conversation as role and content; messages of one role that follow each other are one turn."""
    spoken = (message for message in messages if message.role != "system" and message.content.strip())
    return [(role, _blocks(run)) for role, run in groupby(spoken, key=lambda message: message.role)]


def _blocks(messages: Iterable[Message]) -> list[_Block]:
    # The API refuses blocks of nothing but whitespace.
    return [{"type": "text", "text": message.content} for message in messages if message.content.strip()]


def _drawing(sampling: Sampling) -> dict[str, object]:
    """The fields that say how to draw. Where the model thinks, the API refuses temperature and top_p."""
    effort = sampling.reasoning_effort
    if effort is not None and effort != "none":
        return {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": effort}}
    return {
        **({} if effort is None else {"thinking": {"type": "disabled"}}),
        **({} if sampling.temperature is None else {"temperature": sampling.temperature}),
        **({} if sampling.top_p is None else {"top_p": sampling.top_p}),
    }


def _read(reply: Mapping[str, object], secret: str, granted: Rates | None) -> Completion:
    if error := reply.get("error"):
        raise wire.reported(error, secret)
    if not isinstance(reply.get("content"), list):
        raise wire.unreadable("a list of content", reply, secret)
    blocks = [wire.mapping(block) for block in wire.items(reply.get("content"))]
    thoughts = [wire.text(block.get("thinking")) for block in blocks if block.get("type") == "thinking"]
    text = "".join(wire.text(block.get("text")) for block in blocks if block.get("type") == "text")
    return Completion(
        text=redacted(text, secret),
        finish=_FINISH.get(wire.text(reply.get("stop_reason")), "unknown"),
        usage=_usage(wire.mapping(reply.get("usage"))),
        reasoning=redacted("\n\n".join(thought for thought in thoughts if thought), secret) or None,
        model=redacted(wire.text(reply.get("model")), secret) or None,
        rates=granted,
    )


def _usage(usage: Mapping[str, object]) -> Usage:
    cached = wire.count(usage.get("cache_read_input_tokens"))
    written = wire.count(usage.get("cache_creation_input_tokens"))
    return Usage(
        input=wire.count(usage.get("input_tokens")) + cached + written,
        output=wire.count(usage.get("output_tokens")),
        cached=cached,
        cache_write=written,
        reasoning=wire.count(wire.mapping(usage.get("output_tokens_details")).get("thinking_tokens")),
    )
