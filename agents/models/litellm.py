"""Models behind litellm, for the providers that have no file of their own here."""

from __future__ import annotations

import asyncio
import importlib
import os
from dataclasses import replace
from typing import Any

import openai

from agents.models import errors, wire
from agents.models.openai import read_chat
from arena.types import Completion, Request


class LiteLLMModel:
    """Whatever litellm reaches; it finds keys and addresses in the environment.

    Raises `ImportError` where litellm is not installed.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._litellm = _quiet()

    async def complete(self, request: Request) -> Completion:
        """Send the request once.

        Raises `ModelError`.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._litellm.acompletion(
                    **_arguments(request), timeout=self._timeout_s, num_retries=0, max_retries=0
                )
        # litellm lets mistakes of its own out too, such as a TypeError over a reply that it did not expect.
        except Exception as error:
            raise self._translated(error) from error
        answer = read_chat(reply.model_dump(warnings=False))
        return replace(answer, cost_usd=wire.amount(reply._hidden_params.get("response_cost")))

    async def close(self) -> None:
        """Close the connections."""
        await self._litellm.close_litellm_async_clients()

    def _translated(self, error: Exception) -> errors.ModelError:
        """litellm's errors are the OpenAI SDK's, some of them made more exact, with what the provider sent beside."""
        if isinstance(error, self._litellm.ContextWindowExceededError):
            return errors.ContextTooLong(str(error))
        if isinstance(error, self._litellm.ContentPolicyViolationError):
            return errors.ContentRefused(str(error))
        status = getattr(error, "status_code", None)
        if status is None or isinstance(error, openai.APIConnectionError):
            return errors.from_transport(error, self._timeout_s)
        if not isinstance(status, int):
            # An error inside a successful reply: litellm takes its code for the status.
            return wire.reported({"code": status, "message": str(error)}, "")
        # Where litellm keeps no body, the provider's codes stand only in what it was handling.
        body = getattr(error, "body", None) or f"{error}; {error.__context__}"
        return wire.failure(status, body, getattr(error, "litellm_response_headers", None) or {}, "")


def _arguments(request: Request) -> dict[str, object]:
    sampling = request.sampling
    arguments: dict[str, object] = {
        "model": request.model.split("/", 1)[1],
        "messages": [message._asdict() for message in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_output_tokens,
        "reasoning_effort": sampling.reasoning_effort,
        "seed": sampling.seed,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _quiet() -> Any:
    """litellm, with nothing that reports elsewhere."""
    # Without this its import fetches a price list from GitHub.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    try:
        litellm: Any = importlib.import_module("litellm")
    except ModuleNotFoundError as error:
        raise ImportError("litellm/... models need litellm: pip install 'debate-arena[litellm]'") from error
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    for hook in ("callbacks", "input_callback", "success_callback", "failure_callback", "service_callback"):
        setattr(litellm, hook, [])
    return litellm
