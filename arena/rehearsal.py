"""Play a match with stand-ins before anything is paid for: to see that every prompt can be filled in, and how long it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents import prices
from agents.budget import Need, Needs, Who, held
from agents.models.simulated import Preset, SimulatedModel
from arena.history import Spent
from arena.match import Setting
from arena.replay import Walk
from arena.types import Answer, Call, Completion, Experiment, Failure, MatchSpec, Most

_STAND_INS = SimulatedModel(
    {"speaker": Preset(opening=1.0, sd_seat=0.5, rounding=5), "judge": Preset(discernment=1.0, rounding=5)}
)


def stand_in(call: Call) -> Completion:
    """What a stand-in answers: words of the length of published speeches, values in the form that was asked for."""
    role = "judge" if call.request.occasion.ask.role == "judge" else "speaker"
    return _STAND_INS.reply(replace(call.request, model=f"stand-in/{role}"))


def play(setting: Setting, spec: MatchSpec, answer: Callable[[Call], Answer] = stand_in) -> Walk:
    """A match to its end, every call answered by a function."""
    walk = Walk(setting.match(spec))
    wanted = walk.start()
    while wanted:
        call = wanted.pop(0)
        wanted += walk.reply(call.key, answer(call))
    return walk


@dataclass(frozen=True, slots=True)
class Cost:
    """What a match is thought to cost."""

    usd: float
    unpriced: frozenset[str]
    """Models whose cost is not in it, because no price is known."""


def paid_for(experiment: Experiment, model: str) -> bool:
    """Whether it is known what a model costs: it has a price, or costs nothing."""
    return prices.free(experiment.providers, model) or prices.price(experiment.prices, model) is not None


def cost(setting: Setting, spec: MatchSpec) -> Cost:
    """What a match would cost with speeches of the length of published ones."""
    usd: list[float] = []
    unpriced: set[str] = set()

    def priced(call: Call) -> Completion:
        completion, model = stand_in(call), call.request.model
        if not prices.free(setting.experiment.providers, model):
            price = prices.cost(setting.experiment.prices, model, completion.usage)
            usd.append(price or 0.0)
            unpriced.update([model] if price is None else [])
        return completion

    play(setting, spec, priced)
    return Cost(sum(usd), frozenset(unpriced))


class Foresight:
    """What matches are thought to come to; matches between the same, on questions of the same size, to the same."""

    def __init__(self, setting: Setting):
        self._setting = setting
        self._known: dict[Any, Needs] = {}

    def needs(self, specs: Sequence[MatchSpec]) -> Needs:
        """What matches that belong together will want of a budget."""
        all_: dict[Who, Need] = {}
        for spec in specs:
            agents = self._setting.specs(spec)
            seats = tuple(
                (seat, agent.model, agent.sampling, len(agent.system or "")) for seat, agent in agents.items()
            )
            place = seats, len(spec.question.items), sum(len(said.text) for said in spec.given)
            if place not in self._known:
                self._known[place] = _needs(self._setting, spec)
            for who, need in self._known[place].items():
                all_[who] = all_[who] + need if who in all_ else need
        return all_


def _needs(setting: Setting, spec: MatchSpec) -> Needs:
    needs: dict[Who, Need] = {}
    for who, spent, most in _foreseen(setting, spec):
        one = Need(spent, held(most))
        needs[who] = needs[who] + one if who in needs else one
    return needs


def _foreseen(setting: Setting, spec: MatchSpec) -> list[tuple[Who, Spent, Most]]:
    """The calls of a match with speeches of the length of published ones: who asks, what it comes to, and what at most."""
    experiment = setting.experiment
    calls: list[tuple[Who, Spent, Most]] = []

    def foreseen(call: Call) -> Completion:
        completion, model = stand_in(call), call.request.model
        is_free = prices.free(experiment.providers, model)
        usage = completion.usage
        limit = call.request.sampling.max_output_tokens
        usage = replace(usage, output=min(usage.output, limit or usage.output))
        usd = 0.0 if is_free else prices.cost(experiment.prices, model, usage) or 0.0
        spent = Spent(usd, usage.input + usage.output, 1)
        who = model, call.request.occasion.ask.role
        calls.append((who, spent, prices.most(experiment.prices, call.request, is_free)))
        return completion

    play(setting, spec, foreseen)
    return calls


def rehearse(setting: Setting) -> None:
    """Have every prompt filled in once: answers that are read, ones that are asked again, ones that are missing.

    Raises `WordingError`, which names the prompt.
    """

    def hesitant(call: Call) -> Answer:
        return stand_in(call) if call.key.attempt else Completion("")

    spec = setting.experiment.matches[0]
    play(setting, spec, hesitant)
    play(setting, spec, lambda call: Failure("not_found", "rehearsal"))
