"""Faults from inside: a model that is another one, except where it fails on purpose."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import KW_ONLY, dataclass, field
from random import Random
from typing import Literal, get_args

from agents.models.errors import Overloaded, RateLimited, Unreachable
from arena.forms import read
from arena.testing.faults import GARBAGE
from arena.types import Completion, Malformed, Model, Request

Kind = Literal["rate_limited", "overloaded", "drop", "stall", "garbage", "empty", "truncate"]
"""What goes wrong, as the endpoint's faults of these names. Nobody refuses: that would be an end, not a fault."""

KINDS: tuple[Kind, ...] = get_args(Kind)

_RETRY_AFTER_S = 0.05


@dataclass(frozen=True, slots=True)
class Chaos:
    """Completes requests by `model`, and fails the share `rate` of them, all kinds alike.

    Which call fails, and how, depends on `seed` and on what the call is for, not on when it is made: the same run has the same
    faults. A fault is no call of the model, so it costs nothing. A stall is over after `timeout_s`.
    """

    model: Model
    rate: float
    _: KW_ONLY
    seed: int = 0
    timeout_s: float = 1.0
    dealt: Counter[str] = field(default_factory=Counter[str])
    """Faults so far, by kind."""
    _tries: Counter[str] = field(default_factory=Counter[str])

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ValueError(f"the rate of faults must be at least 0 and less than 1, not {self.rate:g}")

    async def complete(self, request: Request) -> Completion:
        """Raises `Transient` for a fault, and what the model raises."""
        kind = self._drawn(request)
        if kind is None:
            return await self.model.complete(request)
        self.dealt[kind] += 1
        told = f"chaos: {kind}"
        match kind:
            case "rate_limited":
                raise RateLimited(told, retry_after_s=_RETRY_AFTER_S)
            case "overloaded":
                raise Overloaded(told)
            case "drop":
                raise Unreachable(told)
            case "stall":
                await asyncio.sleep(self.timeout_s)
                raise Overloaded(told)  # nothing was sent, so it is no timeout after which there may be a bill
            case "empty":
                return _invented(request, Completion(""))
            case "truncate":
                return _invented(request, Completion("This house", finish="length"))
            case "garbage":
                garbage = Completion(GARBAGE.encode(errors="replace").decode() + "<private_confidence>NaN")
                # Where any words are an answer, garbage would be one.
                unread = isinstance(read(request.occasion.ask.form, garbage), Malformed)
                return _invented(request, garbage if unread else Completion(""))

    async def close(self) -> None:
        """Close the model's connections, where it has any."""
        close = getattr(self.model, "close", None)
        if close is not None:
            await close()

    def _drawn(self, request: Request) -> Kind | None:
        occasion = request.occasion
        ask = occasion.ask
        call = f"{occasion.run_seed} {occasion.match_seed} {ask.step} {ask.slot} {occasion.attempt}"
        drawn = Random(f"{self.seed} {call} {self._tries[call]}")
        self._tries[call] += 1
        return None if drawn.random() >= self.rate else drawn.choice(KINDS)


def _invented(request: Request, answer: Completion) -> Completion:
    return Completion(answer.text, answer.finish, model=request.model, cost_usd=0.0)
