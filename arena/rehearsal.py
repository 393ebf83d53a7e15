"""Play a match with stand-ins before anything is paid for: to see that every prompt can be filled in, and how long it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from agents import prices
from agents.models.registry import LOCAL
from agents.models.simulated import Preset, SimulatedModel
from arena.match import Setting
from arena.replay import Walk
from arena.types import Answer, Call, Completion, Experiment, Failure, MatchSpec

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
    free = experiment.providers.get(model.partition("/")[0], {}).get("api") in LOCAL
    return free or prices.price(experiment.prices, model) is not None


def cost(setting: Setting, spec: MatchSpec) -> Cost:
    """What a match would cost with speeches of the length of published ones."""
    usd: list[float] = []
    unpriced: set[str] = set()

    def priced(call: Call) -> Completion:
        completion, model = stand_in(call), call.request.model
        if setting.experiment.providers.get(model.partition("/")[0], {}).get("api") not in LOCAL:
            price = prices.cost(setting.experiment.prices, model, completion.usage)
            usd.append(price or 0.0)
            unpriced.update([model] if price is None else [])
        return completion

    play(setting, spec, priced)
    return Cost(sum(usd), frozenset(unpriced))


def rehearse(setting: Setting) -> None:
    """Have every prompt filled in once: answers that are read, ones that are asked again, ones that are missing.

    Raises `WordingError`, which names the prompt.
    """

    def hesitant(call: Call) -> Answer:
        return stand_in(call) if call.key.attempt else Completion("")

    spec = setting.experiment.matches[0]
    play(setting, spec, hesitant)
    play(setting, spec, lambda call: Failure("not_found", "rehearsal"))
