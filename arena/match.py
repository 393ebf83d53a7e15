"""One match from its spec: seat agents and judges, lay the table, make its calls for real."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any

from agents.limits import Limiter, never
from agents.llm import LLMAgent
from agents.models.registry import Models
from agents.prices import cost, most
from arena import engine, named
from arena.forms import Verdict
from arena.history import History
from arena.ledger import Ledger
from arena.replay import Match, Walk
from arena.table import Table, Tamper
from arena.types import (
    Agent,
    AgentSpec,
    Answer,
    Call,
    Completion,
    Experiment,
    Failure,
    Judging,
    MatchSpec,
    Order,
    Outcome,
    Play,
    Seat,
)
from arena.wording import Wording
from judges.families import family
from judges.panel import panel_rule


class Setting:
    """An experiment with its game and wording in place: what every match of a run shares."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self.game = named.module("arena.games", experiment.game)
        self.role: str = getattr(self.game, "ROLE", "debater")
        self.wording = Wording(experiment.prompts)
        judging = experiment.judging
        self.decide = panel_rule(judging.rule, judging.tie)
        self.family = cache(partial(family, families=experiment.families))
        self.judge_form = partial(
            Verdict, choice_tag=judging.tags["choice"], probability_tag=judging.tags["probability"]
        )

    def match(self, spec: MatchSpec) -> Match:
        """A match ready to be played or walked."""
        judging = self.experiment.judging
        players = (Seat(name, self.role, agent.name) for name, agent in spec.players.items())
        seats = (*players, *panel(judging, spec.judges))
        agents: dict[str, Agent] = {
            name: LLMAgent(agent, self.experiment.seed, spec.seed) for name, agent in self.specs(spec).items()
        }

        def lay(tamper: Tamper | None) -> Table:
            return Table(
                spec.question, seats, self.wording, self.experiment.params, self.decide,
                judge_form=self.judge_form, reasoning=judging.reasoning, length_told=judging.length_told,
                seed=spec.seed, given=spec.given, tamper=tamper,
            )  # fmt: skip

        def play(table: Table) -> Play:
            return self.game.play(table, self.experiment.params)

        return Match(spec, seats, agents, lay, play, self.experiment.attempts)

    @property
    def simulated(self) -> frozenset[str]:
        """The models of the experiment that are none."""
        providers = {name for name, settings in self.experiment.providers.items() if settings["api"] == "simulated"}
        players = [agent for spec in self.experiment.matches for agent in spec.players.values()]
        everybody = (*players, *self.experiment.agents.values(), *self.experiment.judging.judges.values())
        models = {agent.model for agent in everybody}
        return frozenset(model for model in models if model.partition("/")[0] in providers)

    def specs(self, spec: MatchSpec) -> Mapping[str, AgentSpec]:
        """Seat name to who sits there, judges included."""
        seats = panel(self.experiment.judging, spec.judges)
        return {**spec.players, **{seat.name: judge for seat, judge in seats.items()}}


def panel(judging: Judging, judges: Sequence[str] | None) -> dict[Seat, AgentSpec]:
    """The seats of the judges, None for all of them: one a judge, ballot and order of the speeches."""
    return {
        Seat(f"{name}/{ballot}{_IN_ORDER[order]}", "judge", name, ballot, order): judging.judges[name]
        for name in (judging.judges if judges is None else judges)
        for ballot in range(1, judging.ballots + 1)
        for order in judging.orders
    }


_IN_ORDER: Mapping[Order, str] = {"as_spoken": "", "swapped": "/swapped"}
"""What a seat's name says of its order."""


Answered = Callable[[Call, Answer], None]
"""Told of every answer that was asked for in this run."""


class Caller:
    """Makes calls for real: the intent is recorded before a request leaves, the answer before it is used."""

    def __init__(self, experiment: Experiment, models: Models, limiter: Limiter, ledger: Ledger, answered: Answered):
        self._prices = experiment.prices
        self._models, self._limiter, self._ledger, self._answered = models, limiter, ledger, answered

    async def ask(self, call: Call) -> Answer:
        request = call.request
        model = self._models.model(request.model)
        answer = await self._limiter.call(
            model, request, lambda: self._ledger.intent(call, most(self._prices, request))
        )
        if isinstance(answer, Completion):
            answer = self._priced(request.model, _whole(answer))
        self._ledger.answer(call, answer)
        self._answered(call, answer)
        if isinstance(answer, Failure) and answer.kind == "authentication":
            await never()  # the run is being stopped: nobody acts on a key that was refused
        await self._limiter.turn()
        return answer

    def _priced(self, model: str, answer: Completion) -> Completion:
        if answer.cost_usd is not None:
            return answer
        return replace(answer, cost_usd=cost(self._prices, model, answer.usage))


def _whole(answer: Completion) -> Completion:
    """The completion without halves of characters, which JSON can carry and no table can."""
    texts = {"text": answer.text, "reasoning": answer.reasoning}
    return replace(answer, **{name: text and text.encode("utf-8", "replace").decode() for name, text in texts.items()})


async def play(match: Match, history: History, caller: Caller, ledger: Ledger) -> dict[str, Any]:
    """Play a match to its end and record it. Returns what the end record holds."""
    ended = ending(await engine.play(Walk(match), history, caller.ask))
    ledger.end(match.spec.id, ended)
    return ended


def ending(outcome: Outcome) -> dict[str, Any]:
    """An outcome as its end record holds it."""
    return {**asdict(outcome.decision), "notes": list(outcome.notes)}
