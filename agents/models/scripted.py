"""Scripted models: replies that are written down beforehand, for tests and demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agents.models.errors import NotFound
from arena.types import Completion, Request, Usage

Script = Sequence[str | Sequence[str]]
"""One entry a turn of the seat: the reply, or one reply an attempt (the last is repeated)."""


@dataclass(frozen=True, slots=True)
class ScriptedModel:
    """Completes requests of `scripted/<name>` from the script of that name.

    Which turn it is stands in the ask, so a killed match goes on rightly.
    """

    scripts: Mapping[str, Script]

    async def complete(self, request: Request) -> Completion:
        return self.reply(request)

    def reply(self, request: Request) -> Completion:
        """Raises `NotFound` for a script that does not exist or is over."""
        name = request.model.partition("/")[2]
        turn = request.occasion.ask.turn
        script = self.scripts.get(name)
        if script is None:
            raise NotFound(f"there is no script {name!r}; there are {', '.join(sorted(self.scripts)) or 'none'}")
        if turn >= len(script):
            raise NotFound(f"script {name!r} is over: it has {len(script)} turns, and this is turn {turn + 1}")
        entry = script[turn]
        text = entry if isinstance(entry, str) else entry[min(request.occasion.attempt, len(entry) - 1)]
        sent = sum(len(message.content) for message in request.messages)
        return Completion(text, usage=Usage(sent // 4, len(text) // 4), model=request.model, cost_usd=0.0)


@dataclass(frozen=True, slots=True)
class FunctionModel:
    """Completes requests by a function of the request: the fake for tests that want one."""

    function: Callable[[Request], str | Completion]

    async def complete(self, request: Request) -> Completion:
        answer = self.function(request)
        return answer if isinstance(answer, Completion) else Completion(answer, cost_usd=0.0)
