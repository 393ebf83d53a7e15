"""Simulated debaters and judges: no network, no key, seeded, and never to be mistaken for a model.

A debater's confidence follows a stated belief-updating model in log-odds of winning, L, per seat and round t = 0, 1, ...

    L_0 = opening + sd_model * m + sd_debate * u + sd_seat * i
    L_t = L_(t-1) + drift * (1 -/+ acceleration) + sd_drift * k + sd_step * s_t      (minus for t = 1, plus after)
    stated = 100 * logistic(L_t + shading + sd_report * r_t), rounded stochastically to a multiple of `rounding`

with m, k one draw a model, u one a debate, i one a seat, s and r one a seat and round, all standard normal. With
`evidence` set the debater is Bayesian instead: each round brings a log-likelihood ratio about who wins, drawn from
N(+/- evidence^2 / 2, evidence^2), so that its belief is a martingale in probability. It describes numbers, not minds.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arena.forms import Choice, Chosen, Confidence, Implied, Parts, Reasoning, Speech, Verdict
from arena.stats.preset import Preset
from arena.types import Completion, Form, Occasion, Request, Usage


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """Completes requests of `simulated/<preset>`; `simulated/<preset>:<name>` is another draw of the same preset."""

    presets: Mapping[str, Preset]
    latency_s: float = 0.0
    """Mean of an exponential latency."""

    async def complete(self, request: Request) -> Completion:
        if self.latency_s:
            occasion = request.occasion
            waits = _draws("latency", occasion.match_seed, occasion.ask.seat, occasion.ask.step, occasion.attempt)
            await asyncio.sleep(min(waits.expovariate(1 / self.latency_s), 8 * self.latency_s))
        return self.reply(request)

    def reply(self, request: Request) -> Completion:
        """The completion, a function of the request's model and occasion alone."""
        text = _text(self.preset(request.model), request.model, request.occasion)
        sent = sum(len(message.content) for message in request.messages)
        usage = Usage(input=sent // 4, output=len(text) // 4)
        return Completion(text, usage=usage, model=request.model, cost_usd=0.0)

    def preset(self, model: str) -> Preset:
        """Raises `LookupError` that lists the presets."""
        name = model.partition("/")[2].partition(":")[0]
        if name not in self.presets:
            raise LookupError(f"there is no preset {name!r} for {model}; there are {', '.join(sorted(self.presets))}")
        return self.presets[name]


def belief(preset: Preset, model: str, occasion: Occasion) -> float:
    """Log-odds of winning that the seat holds in the round of the occasion."""
    seat, last = occasion.ask.seat, occasion.ask.round - 1
    debate = _draws("debate", occasion.match_seed)
    person = _draws("model", occasion.run_seed, model)
    seated = _draws("seat", occasion.match_seed, seat)
    if preset.evidence is not None:
        wins = (truth(occasion.match_seed) == 0) == (seat == "proposition")
        toward = 0.5 * preset.evidence**2 * (1 if wins else -1)
        return sum(seated.gauss(toward, preset.evidence) for _ in range(last + 1))
    liking, trend = person.gauss(), person.gauss()
    log_odds = (
        preset.opening + preset.sd_model * liking + preset.sd_debate * debate.gauss() + preset.sd_seat * seated.gauss()
    )
    for t in range(1, last + 1):
        pace = 1 - preset.acceleration if t == 1 else 1 + preset.acceleration
        log_odds += preset.drift * pace + preset.sd_drift * trend + preset.sd_step * seated.gauss()
    return log_odds


def truth(match_seed: int) -> int:
    """Which side wins in truth: 0 for the one named first, 1 for the other."""
    return _draws("truth", match_seed).randrange(2)


def _text(preset: Preset, model: str, occasion: Occasion) -> str:
    form = occasion.ask.form
    if isinstance(form, Parts):
        return form.render({name: _value(part, name, preset, model, occasion) for name, part in form.forms.items()})
    return form.render(_value(form, "", preset, model, occasion))


def _value(form: Form, part: str, preset: Preset, model: str, occasion: Occasion) -> Any:
    match form:
        case Speech():
            return _speech(occasion)
        case Confidence():
            return _stated(preset, model, occasion, part)
        case Reasoning():
            return f"(Simulated reasoning.) {_STAND} {belief(preset, model, occasion):+.2f}."
        case Verdict():
            return _ballot(form, preset, model, occasion)
        case Implied():
            return _implied(preset, model, occasion)
        case Choice():
            return _draws("choice", occasion.match_seed, model, occasion.ask.seat, part).choice(form.options)
        case _:
            raise LookupError(f"{model} does not know how to fill in a {type(form).__name__}")


def _stated(preset: Preset, model: str, occasion: Occasion, part: str) -> float:
    ask = occasion.ask
    noise = _draws("report", occasion.match_seed, ask.seat, ask.round, part)
    shading = preset.shading if part.startswith("public") else 0.0
    log_odds = belief(preset, model, occasion) + shading + preset.sd_report * noise.gauss()
    return _rounded(100 / (1 + math.exp(-log_odds)), preset.rounding, noise) / 100


def _rounded(percent: float, unit: float, draws: random.Random) -> float:
    if not unit:
        return round(percent, 4)
    low = math.floor(percent / unit)
    return unit * (low + (draws.random() < percent / unit - low))


def _ballot(form: Verdict, preset: Preset, model: str, occasion: Occasion) -> Chosen:
    draws = _draws("ballot", occasion.match_seed, model, occasion.ask.seat)
    right = preset.discernment * (1 if truth(occasion.match_seed) == 0 else -1)
    log_odds = right + preset.side_lean + preset.sd_ballot * draws.gauss()
    probability = 100 / (1 + math.exp(-abs(log_odds)))
    return Chosen(form.options[0 if log_odds > 0 else 1], _rounded(probability, preset.rounding, draws) / 100)


_STAND = "The log-odds stand at"


def _implied(preset: Preset, model: str, occasion: Occasion) -> float | None:
    """What simulated reasoning in the question says outright, with noise; other reasoning implies nothing to it."""
    found = re.search(rf"{_STAND} ([+-]\d+\.\d\d)\.", occasion.ask.instruction)
    if found is None:
        return None
    draws = _draws("reading", occasion.match_seed, model, occasion.ask.seat)
    log_odds = float(found.group(1)) + preset.sd_ballot * draws.gauss()
    return _rounded(100 / (1 + math.exp(-log_odds)), preset.rounding, draws) / 100


_SENTENCES = (
    "The question before us is who bears the cost when the rule fails, and the motion answers it plainly.",
    "Our opponents describe a harm, but they never show that their own proposal would be rid of it.",
    "Consider the people who have no seat in this room: they live with the outcome and cannot opt out of it.",
    "A principle that is given up at the first exception was a preference all along.",
    "Where the evidence is mixed, the side that can undo its mistakes deserves the benefit of the doubt.",
    "Incentives do the work here that good intentions cannot, and that is why the mechanism matters.",
    "We accept that there are costs, and we say who pays them, when, and what is bought in return.",
    "The comparison is not with perfection but with what happens if nothing is done.",
    "That example cuts the other way once the whole of it is told.",
    "Two arguments remain unanswered, and either of them would be enough.",
    "It is enforcement, not drafting, where such measures are usually lost.",
    "If the clash comes down to autonomy against safety, autonomy has to be argued for and not assumed.",
    "The burden was to show a benefit that is likely, large and ours to claim; it has been met.",
    "What sounds like caution is a decision too, and it has victims who are harder to see.",
)


def _speech(occasion: Occasion) -> str:
    """Filler of the length that published speeches have (mean about 5,600 characters)."""
    ask = occasion.ask
    draws = _draws("speech", occasion.match_seed, ask.seat, ask.step)
    if ask.role == "judge":
        return "(Simulated judge.) A coin that leans toward the truth was tossed."
    length = min(max(draws.lognormvariate(math.log(5300), 0.35), 2000), 12000)
    paragraphs = [f"(Simulated speech: {ask.seat}, {ask.phase.replace('_', ' ')}. No model wrote this.)"]
    while sum(map(len, paragraphs)) < length:
        paragraphs.append(" ".join(draws.sample(_SENTENCES, 5)))
    return "\n\n".join(paragraphs)


def _draws(*parts: object) -> random.Random:
    return random.Random(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest())
