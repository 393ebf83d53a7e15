"""Models behind OpenAI's chat completions, or any address that speaks like it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import openai

from agents.models import transport, wire
from agents.models.errors import redacted
from arena.types import Completion, Finish, Rates, Request, Usage

_FINISH: Mapping[str, Finish] = {"stop": "stop", "length": "length", "content_filter": "refusal"}
_THOUGHT = re.compile(r"<think>(.*?)</think>", re.DOTALL)


class OpenAIModel:
    """A client of one address. `output_limit` and `dialect` say how it wants what differs.

    `ceilings` are the most that a model may cost in USD per million tokens of `input` and `output`, by model id. OpenRouter
    asks nobody who is dearer; other addresses have one price and are not told.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None,
        timeout_s: float,
        output_limit: str = "max_completion_tokens",
        dialect: Literal["openai", "openrouter"] = "openai",
        ceilings: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self._api_key = api_key
        self._output_limit = output_limit
        self._dialect = dialect
        self._ceilings = ceilings or {}
        self._address = transport.Address(
            openai, openai.AsyncOpenAI, "chat/completions", api_key=api_key, base_url=base_url, timeout_s=timeout_s
        )

    async def complete(self, request: Request) -> Completion:
        """Send the request once.

        Raises `ModelError`. `timeout_s` holds for the whole exchange, however slowly bytes arrive.
        """
        reply, granted = await self._address.post(self._body(request))
        return read_chat(reply, self._api_key, granted)

    async def close(self) -> None:
        """Close the connections."""
        await self._address.close()

    def _body(self, request: Request) -> dict[str, object]:
        sampling = request.sampling
        effort = sampling.reasoning_effort
        fields: dict[str, object] = {
            "model": request.model.split("/", 1)[1],
            "messages": [{"role": role, "content": content} for role, content in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._output_limit: sampling.max_output_tokens,
            "seed": sampling.seed,
        }
        if self._dialect == "openai":
            fields["reasoning_effort"] = effort
        else:
            fields["reasoning"] = None if effort is None else {"effort": effort}
            fields["usage"] = {"include": True}  # what the call cost
            if ceiling := self._ceilings.get(request.model):
                fields["provider"] = {"max_price": {"prompt": ceiling["input"], "completion": ceiling["output"]}}
        return {name: value for name, value in fields.items() if value is not None}


def read_chat(reply: Mapping[str, object], secret: str = "", granted: Rates | None = None) -> Completion:
    """The completion in a chat reply.

    Raises the `ModelError` that the reply carries instead, or `Disconnected` when it is no chat reply. Inline thought
    (`<think>`) goes to `reasoning`.
    """
    choice = wire.mapping(next(iter(wire.items(reply.get("choices"))), None))
    error = reply.get("error") or choice.get("error")
    if error:
        raise wire.reported(error, secret)
    message = wire.mapping(choice.get("message"))
    if not message:
        raise wire.unreadable("choices with a message", reply, secret)
    content, beside = _parts(message.get("content"))
    text, inline = _split_thought(content)
    hidden = wire.text(message.get("reasoning_content")) or wire.text(message.get("reasoning"))
    refusal = wire.text(message.get("refusal"))
    usage = wire.mapping(reply.get("usage"))
    thoughts = "\n\n".join(thought for thought in (hidden, beside, *inline) if thought)
    return Completion(
        text=redacted(text or refusal, secret),
        finish="refusal" if refusal else _FINISH.get(wire.text(choice.get("finish_reason")), "unknown"),
        usage=_usage(usage),
        reasoning=redacted(thoughts, secret) or None,
        model=redacted(wire.text(reply.get("model")), secret) or None,
        cost_usd=_paid(usage),
        rates=granted,
    )


def _parts(content: object) -> tuple[str, str]:
    """What a message's content says, and what the parts of another type beside it think."""
    if isinstance(content, str):
        return wire.text(content), ""
    said: list[str] = []
    thought: list[str] = []
    for item in wire.items(content):
        part = wire.mapping(item)
        if part.get("type", "text") in ("text", "output_text"):
            said.append(wire.text(item) or wire.text(part.get("text")))
        else:
            # Mistral nests the parts of a thought in its part.
            thought.append("".join(_parts(part.get("thinking"))) or wire.text(part.get("text")))
    return "".join(said), "".join(thought)


def _split_thought(text: str) -> tuple[str, tuple[str, ...]]:
    """The text without its inline thought, and the thoughts. A thought that never ends leaves no text."""
    if "think>" not in text:
        return text, ()
    thoughts: list[str] = _THOUGHT.findall(text)
    # Some chat templates open the thought in the prompt, so that the reply holds only its end.
    before, _, rest = _THOUGHT.sub("", text).rpartition("</think>")
    said, _, after = rest.partition("<think>")
    return said.strip(), tuple(thought.strip() for thought in (*thoughts, before, after))


def _paid(usage: Mapping[str, object]) -> float | None:
    """USD, where the reply tells. With a provider's key of one's own, OpenRouter's cost is its fee: the provider bills too."""
    cost = wire.amount(usage.get("cost"))
    if usage.get("is_byok") is not True:  # the provider's bill is told of other calls too, and is in their cost
        return cost
    bill = wire.amount(wire.mapping(usage.get("cost_details")).get("upstream_inference_cost"))
    return cost if bill is None else (cost or 0.0) + bill


def _usage(usage: Mapping[str, object]) -> Usage:
    prompt = wire.mapping(usage.get("prompt_tokens_details"))
    completion = wire.mapping(usage.get("completion_tokens_details"))
    given = wire.count(usage.get("prompt_tokens"))
    return Usage(
        input=given,
        # xAI and Gemini leave thought out of the completion's tokens, and count it in the total.
        output=max(wire.count(usage.get("completion_tokens")), wire.count(usage.get("total_tokens")) - given),
        cached=wire.count(prompt.get("cached_tokens")),
        cache_write=wire.count(prompt.get("cache_write_tokens")),
        reasoning=wire.count(completion.get("reasoning_tokens")),
    )
