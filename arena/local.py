"""Who plays matches, and where: in this process, as every other crew does it elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from agents import prices
from agents.models.errors import ModelError
from agents.models.registry import Models
from arena import match
from arena.desk import Desk, errand
from arena.history import History
from arena.types import Answer, Call, Completion, Experiment, MatchSpec, Model, Request


def models(experiment: Experiment, names: Iterable[str]) -> Models:
    """The providers of an experiment, not yet connected. `names` are the models that may be called."""
    ceilings: dict[str, Mapping[str, float]] = {}
    if experiment.budget.any:
        known = {name: prices.price(experiment.prices, name) for name in names}
        ceilings = {name: price for name, price in known.items() if price is not None}
    wrap = None
    if experiment.chaos:
        from arena.testing.chaos import Chaos

        wrap = partial(Chaos, rate=experiment.chaos, seed=experiment.seed)
    return Models(experiment.providers, experiment.limits.timeout_s, ceilings=ceilings, wrap=wrap)


class Crew(Protocol):
    """Whoever plays matches. Their calls go over the desk."""

    async def play(self, spec: MatchSpec, history: History) -> Mapping[str, Any]:
        """Play a match to its end, from where its history leaves off. Returns what its end record holds."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...

    @property
    def waiting(self) -> str:
        """What it waits for beside answers, in words; empty where for nothing."""
        ...


class Local:
    """Matches in this process."""

    waiting = ""

    def __init__(self, setting: match.Setting, models: Models, desk: Desk):
        self._setting, self._models, self._desk = setting, models, desk

    async def play(self, spec: MatchSpec, history: History) -> Mapping[str, Any]:
        return await match.play(self._setting.match(spec), history, self._ask)

    async def close(self) -> None:
        pass

    async def _ask(self, call: Call) -> Answer:
        model, request = self._models.model(call.request.model), call.request
        return await self._desk.ask(errand(self._setting.experiment, call), lambda: sent(model, request))


async def sent(model: Model, request: Request) -> Completion | ModelError:
    """Send a request once."""
    try:
        return await model.complete(request)
    except ModelError as problem:
        return problem
