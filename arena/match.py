"""One match from its spec: seat agents and judges, lay the table, play it to its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import Any

from agents.llm import LLMAgent
from arena import engine, named
from arena.forms import Verdict
from arena.history import History
from arena.replay import Match, Walk
from arena.table import Table, Tamper
from arena.types import (
    Agent,
    AgentSpec,
    Experiment,
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
        return frozenset(model for model in self.experiment.models if model.partition("/")[0] in providers)

    def roles(self, spec: MatchSpec) -> Iterator[tuple[AgentSpec, str]]:
        """Who sits in a match, and in which role."""
        yield from ((player, self.role) for player in spec.players.values())
        yield from ((judge, "judge") for judge in panel(self.experiment.judging, spec.judges).values())

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


async def play(match: Match, history: History, ask: engine.Ask) -> dict[str, Any]:
    """Play a match to its end. Returns what its end record holds."""
    return ending(await engine.play(Walk(match), history, ask))


def ending(outcome: Outcome) -> dict[str, Any]:
    """An outcome as its end record holds it."""
    return {**asdict(outcome.decision), "notes": list(outcome.notes)}
