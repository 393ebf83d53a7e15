"""The desk at which calls are let go and their answers taken in: what is done there is on disk before anybody acts on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from agents.budget import Budget, Scope
from agents.limits import Limiter, Send, never
from agents.models.errors import ModelError
from agents.prices import about, cost, free, most
from arena.history import came_to
from arena.ledger import Ledger
from arena.types import Answer, Call, Completion, Errand, Experiment, Failure

Answered = Callable[[Errand, Answer], None]
"""Told of every answer that was asked for in this run."""


def errand(experiment: Experiment, call: Call) -> Errand:
    """A call as the books have it."""
    request = call.request
    bound = most(experiment.prices, request, free(experiment.providers, request.model))
    role = request.occasion.ask.role
    return Errand(call.match, call.key, call.seat, role, request.model, request.digest, bound, about(request))


class Desk:
    """One a run. The intent of a call is recorded before its request leaves, its answer before it is used; what it may cost is held
    meanwhile."""

    def __init__(self, experiment: Experiment, limiter: Limiter, budget: Budget, book: Ledger, answered: Answered):
        self._prices = experiment.prices
        self.limiter, self.budget, self._book, self._answered = limiter, budget, book, answered
        self._syncing: asyncio.Future[None] | None = None
        self.spent_out: Scope | None = None
        """The bound that stopped the run."""

    async def ask(self, errand: Errand, send: Send) -> Answer:
        """Have a call made, as often as it takes, and return its answer once it is recorded.

        Where the run is being stopped it never returns; whoever waits is cancelled.
        """
        held = announced = False

        def leaving(problem: ModelError | None) -> Awaitable[None] | None:
            nonlocal held, announced
            if held and problem is not None and problem.may_have_cost:
                self.budget.settle(errand, came_to(None, errand.most))
                held = False
            if not held:
                if not self.budget.hold(errand):
                    return self._room(errand)
                held = announced = True
                self._book.intent(errand)
            return None

        try:
            answer = await self.limiter.call(errand.model, errand.tokens, send, leaving)
        except asyncio.CancelledError:
            if held:  # nobody waits for the answer any more, and its intent stands without one
                self.budget.settle(errand, came_to(None, errand.most))
            raise
        if isinstance(answer, Completion):
            answer = self._priced(errand.model, _whole(answer))
        if not announced:
            self._book.intent(errand)  # it was given up before it left; no answer stands without its intent
        self._book.answer(errand, answer)
        if held:
            self.budget.settle(errand, came_to(answer, errand.most))
        self._answered(errand, answer)
        if isinstance(answer, Failure) and answer.kind in ("authentication", "quota"):
            await never()  # the run is being stopped: nobody acts on an answer that will be asked for again
        await self.limiter.turn()
        return answer

    def ended(self, match: str, decision: Mapping[str, Any]) -> None:
        """Record a match's end, and have all that was written forced to the disk."""
        self._book.end(match, decision)
        self.budget.end(match)
        if self._syncing is None or self._syncing.done():
            if self._syncing is not None:
                self._syncing.result()
            self._syncing = asyncio.get_running_loop().run_in_executor(None, self._book.sync)

    async def _room(self, errand: Errand) -> None:
        """Wait until something is given back; stop the run where nothing will be."""
        if (scope := self.budget.spent_out(errand)) is not None:
            self.spent_out = self.spent_out or scope
            self.limiter.stop()
            await never()
        await self.budget.changed()

    def _priced(self, model: str, answer: Completion) -> Completion:
        if answer.cost_usd is not None:
            return answer
        return replace(answer, cost_usd=cost(self._prices, model, answer.usage))


def _whole(answer: Completion) -> Completion:
    """The completion without halves of characters, which JSON can carry and no table can."""
    if answer.text.isascii() and (answer.reasoning or "").isascii():
        return answer
    texts = {"text": answer.text, "reasoning": answer.reasoning}
    return replace(answer, **{name: text and text.encode("utf-8", "replace").decode() for name, text in texts.items()})
