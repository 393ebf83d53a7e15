"""What a run would be: its matches, calls, tokens, cost and time, without calling anything.

A few matches are played with simulated speakers, whose speeches have the length of published ones, through the real
prompts; tokens are characters over four. Hidden reasoning and prompt caches are not foreseen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agents.budget import RESERVE, Budget
from agents.prices import cost, free
from arena.match import Setting
from arena.rehearsal import Foresight, play, stand_in
from arena.tournament import pairs
from arena.types import Call, Completion, MatchSpec, Usage

SAMPLE = 12
"""Matches that are played to measure a match."""
SECONDS_A_CALL = 2.0
TOKENS_A_SECOND = 60.0
"""An assumption about providers, stated with the estimate."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one model would be asked for."""

    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """None when no price is known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be played."""

    matches: int
    """At most, where a rule may stop it."""
    stops: bool
    """Whether a rule may stop it before."""
    topics: int
    agents: Mapping[str, int]
    """Agent name to matches it sits in."""
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    unpriced: tuple[str, ...]
    """Models whose cost is not in the sum, because no price is known."""
    seconds: float
    models: tuple[Share, ...]
    paid_for: int | None
    """About how many matches the budget pays for; None without one."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class _Seat:
    matches: int = 0
    calls: float = 0.0
    input: float = 0.0
    output: float = 0.0


def plan(setting: Setting) -> Plan:
    """Estimate a run."""
    experiment = setting.experiment
    specs = experiment.matches
    sample = _sample(setting)
    seats: dict[str, _Seat] = defaultdict(_Seat)
    depth = 0.0
    for spec in sample:
        depth += _measure(setting, spec, seats) / len(sample)
    tournament = experiment.tournament
    # Of a schedule that waits for results the first round is known, and stands for all.
    matches = tournament.most if tournament else len(specs)
    each = matches / len(specs)
    shares: dict[str, _Seat] = defaultdict(_Seat)
    sat: Counter[str] = Counter()
    for spec in specs:
        sat.update({agent.name for agent in spec.players.values()})
        for seat, agent in setting.specs(spec).items():
            share, one = shares[agent.model], seats[seat]
            share.calls += one.calls / one.matches * each
            share.input += one.input / one.matches * each
            share.output += one.output / one.matches * each
    if tournament:
        sat = Counter({name: round(2 * matches / len(experiment.agents)) for name in experiment.agents})
    models = tuple(_share(setting, model, share) for model, share in sorted(shares.items()))
    calls = sum(share.calls for share in models)
    output = sum(share.output_tokens for share in models)
    paid = sum(share.calls for share in models if not free(experiment.providers, share.model))
    a_call = SECONDS_A_CALL + output / max(calls, 1) / TOKENS_A_SECOND
    seconds = max(paid * a_call / experiment.limits.concurrency, depth * a_call if paid else 0.0)
    return Plan(
        matches=matches,
        stops=tournament is not None and tournament.stop.early,
        topics=len(experiment.questions),
        agents=dict(sorted(sat.items())),
        calls=calls,
        input_tokens=sum(share.input_tokens for share in models),
        output_tokens=output,
        cost_usd=sum(share.cost_usd or 0.0 for share in models),
        unpriced=tuple(share.model for share in models if share.cost_usd is None),
        seconds=seconds,
        models=models,
        paid_for=_paid_for(setting, sample, matches),
    )


def _paid_for(setting: Setting, sample: Sequence[MatchSpec], matches: int) -> int | None:
    """How many matches the budget pays for, going by some of them."""
    budget = Budget(setting.experiment.budget)
    if not budget.scopes:
        return None
    needs = Foresight(setting).needs(sample)
    # The last to be begun, a mirrored pair where there are such, finds its reserve.
    together = len(next(pairs(setting.experiment.matches)))
    times = (scope.times(needs) for scope in budget.scopes)
    groups = (found * len(sample) / together - RESERVE + 1 for found in times if found is not None)
    return min(matches, *(max(0, int(found)) * together for found in groups), matches)


def _sample(setting: Setting) -> list[MatchSpec]:
    """Matches that stand for all: some from the whole plan, and the first with each seat that is in none of these."""
    specs = setting.experiment.matches
    sample = list(specs[:: max(1, len(specs) // SAMPLE)][:SAMPLE])
    seated = {seat for spec in sample for seat in setting.specs(spec)}
    for spec in specs:
        seats = setting.specs(spec).keys()
        if not seats <= seated:
            sample.append(spec)
            seated |= seats
    return sample


def _measure(setting: Setting, spec: MatchSpec, seats: Mapping[str, _Seat]) -> int:
    """Play a match with stand-ins, add up what each seat is asked, and return how many calls follow one another."""
    for seat in setting.specs(spec):
        seats[seat].matches += 1

    def measured(call: Call) -> Completion:
        completion = stand_in(call)
        seat = seats[call.seat]
        seat.calls += 1
        seat.input += completion.usage.input
        seat.output += completion.usage.output
        return completion

    return play(setting, spec, measured).table.step + 1


def _share(setting: Setting, model: str, share: _Seat) -> Share:
    usage = Usage(input=round(share.input), output=round(share.output))
    usd = 0.0 if free(setting.experiment.providers, model) else cost(setting.experiment.prices, model, usage)
    return Share(model, round(share.calls), usage.input, usage.output, usd)
