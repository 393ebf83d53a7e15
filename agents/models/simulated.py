"""Simulated debaters and judges: no network, no key, seeded, and never to be mistaken for a model.

A debater's confidence follows a stated belief-updating model in log-odds of winning, L, per seat and round t = 0, 1, ...

    L_0 = opening + sd_model * m + sd_debate * u + sd_seat * i
    L_t = L_(t-1) + drift * (1 -/+ acceleration) + sd_drift * k + sd_step * s_t      (minus for t = 1, plus after)
    stated = 100 * logistic(L_t + shading + sd_report * r_t), rounded stochastically to a multiple of `rounding`

with m, k one draw a model, u one a debate, i one a seat, s and r one a seat and round, all standard normal. With
`evidence` set the debater is Bayesian instead: each round brings a log-likelihood ratio about who wins, drawn from
N(+/- evidence^2 / 2, evidence^2), so that its belief is a martingale in probability. It describes numbers, not minds.

A respondent has a latent log-odds of being right for each question and model, M, and of two answers it is surer of the first where
the difference is positive:

    M = ability + sd_ability * a
    right with probability logistic(M), each sample anew or, with probability `persistence`, as the first answer
    stated = 100 * logistic(M + overstatement + sd_report * r), rounded stochastically to a multiple of `rounding`
    difference = M_first - M_second + order_lean + sd_comparison * c
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from arena.forms import LETTERS, Answer, Choice, Chosen, Confidence, Implied, Parts, Reasoning, Speech, Verdict
from arena.stats.preset import Preset
from arena.types import Completion, Form, Occasion, Request, Usage


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """Completes requests of `simulated/<preset>`; `simulated/<preset>:<name>` is another draw of the same preset."""

    presets: Mapping[str, Preset]
    latency_s: float = 0.0
    """Mean of an exponential latency."""
    answers: Mapping[str, str] = field(default_factory=dict[str, str])
    """What simulated respondents answer where they are right, by the question's id. Other questions they can but guess."""

    async def complete(self, request: Request) -> Completion:
        if self.latency_s:
            occasion = request.occasion
            waits = _draws("latency", occasion.match_seed, occasion.ask.seat, occasion.ask.step, occasion.attempt)
            await asyncio.sleep(min(waits.expovariate(1 / self.latency_s), 8 * self.latency_s))
        return self.reply(request)

    def reply(self, request: Request) -> Completion:
        """The completion, a function of the request's model, its occasion, and who speaks first in its messages."""
        text = _text(self.preset(request.model), request, self.answers)
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


def _text(preset: Preset, request: Request, answers: Mapping[str, str]) -> str:
    form = request.occasion.ask.form
    if isinstance(form, Parts):
        return form.render({name: _value(part, name, preset, request, answers) for name, part in form.forms.items()})
    return form.render(_value(form, "", preset, request, answers))


def _value(form: Form, part: str, preset: Preset, request: Request, answers: Mapping[str, str]) -> Any:
    model, occasion = request.model, request.occasion
    match form:
        case Answer():
            return _answer(form, preset, request, answers)
        case Confidence(about="answer_correct"):
            return _sure(preset, request)
        case Reasoning() if occasion.ask.items:
            return f"(Simulated reasoning.) The log-odds of being right stand at {mastery(preset, request):+.2f}."
        case Choice() if len(occasion.ask.items) == 2:
            return _surer(form, preset, request)
        case Speech():
            return _speech(preset, occasion)
        case Confidence():
            return _stated(preset, model, occasion, part)
        case Reasoning():
            return f"(Simulated reasoning.) {_STAND} {belief(preset, model, occasion):+.2f}."
        case Verdict():
            return _ballot(form, preset, request)
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


def _ballot(form: Verdict, preset: Preset, request: Request) -> Chosen:
    occasion = request.occasion
    draws = _draws("ballot", occasion.match_seed, request.model, occasion.ask.seat)
    ahead = _ahead(request, form.options)
    if ahead is None:
        ahead = 1.0 if truth(occasion.match_seed) == 0 else -1.0
    right = preset.discernment * ahead
    first = _first_heard(request, form.options)
    order = preset.order_lean * (0 if first is None else 1 if first == form.options[0] else -1)
    taken = _draws("opinion", occasion.match_seed, request.model).random()
    opinion = preset.doubt * math.log(taken / (1 - taken))
    log_odds = right + preset.side_lean + order + opinion + preset.sd_ballot * draws.gauss()
    probability = 100 / (1 + math.exp(-abs(log_odds)))
    return Chosen(form.options[0 if log_odds > 0 else 1], _rounded(probability, preset.rounding, draws) / 100)


def _first_heard(request: Request, options: tuple[str, ...]) -> str | None:
    """The side whose speech stands first in the prompt, read from it; None where no speech is marked as a side's."""
    sides = "|".join(map(re.escape, options))
    marked = (re.search(rf'<heard from="({sides})"', message.content) for message in request.messages)
    return next((found.group(1) for found in marked if found is not None), None)


def _ahead(request: Request, options: tuple[str, ...]) -> float | None:
    """By how much the speeches of the first side are worth more than those of the second, as they say themselves in the prompt;
    None where none says it."""
    read = " ".join(message.content for message in request.messages)
    said = rf"\(Simulated speech: ({'|'.join(map(re.escape, options))}), .*? {_WORTH} ([+-]\d+\.\d\d)\.\)"
    worth: dict[str, list[float]] = {side: [] for side in options}
    for side, value in re.findall(said, read):
        worth[side].append(float(value))
    if not any(worth.values()):
        return None
    first, second = (sum(said) / len(said) if said else 0.0 for said in (worth[side] for side in options[:2]))
    return first - second


_WORTH = "It is worth"
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


def _speech(preset: Preset, occasion: Occasion) -> str:
    """Filler of the length that published speeches have (mean about 5,600 characters), which says what it is worth where its
    speaker has a rating: in log-odds against a speaker of 0 points."""
    ask = occasion.ask
    draws = _draws("speech", occasion.match_seed, ask.seat, ask.step)
    if ask.role == "judge":
        return "(Simulated judge.) A coin that leans toward the truth was tossed."
    if ask.items:
        return "(Simulated respondent.) Two latent numbers were compared, with noise."
    length = min(max(draws.lognormvariate(math.log(5300), 0.35), 2000), 12000)
    worth = ""
    if preset.rating is not None:
        good_day = _draws("worth", occasion.match_seed, ask.seat).gauss(0, preset.sd_worth)
        worth = f" {_WORTH} {preset.rating * math.log(10) / 400 + good_day:+.2f}."
    paragraphs = [f"(Simulated speech: {ask.seat}, {ask.phase.replace('_', ' ')}. No model wrote this.{worth})"]
    said = len(paragraphs[0])
    while said < length:
        paragraphs.append(" ".join(draws.sample(_SENTENCES, 5)))
        said += len(paragraphs[-1])
    return "\n\n".join(paragraphs)


# ------------------------------------------------------------------ questions with answers


def mastery(preset: Preset, request: Request, place: int = 0) -> float:
    """Log-odds that a simulated respondent answers an item right: of its ask's items, the one in this place."""
    occasion = request.occasion
    return (
        preset.ability
        + preset.sd_ability * _draws("mastery", occasion.run_seed, request.model, occasion.ask.items[place]).gauss()
    )


def _answer(form: Answer, preset: Preset, request: Request, answers: Mapping[str, str]) -> str:
    occasion = request.occasion
    item = occasion.ask.items[0]
    draws = _draws("answer", occasion.match_seed, request.model, item, occasion.ask.round)
    if occasion.ask.round > 1 and draws.random() < preset.persistence:
        draws = _draws("answer", occasion.match_seed, request.model, item, 1)
    right = draws.random() < 1 / (1 + math.exp(-mastery(preset, request)))
    known = answers.get(item)
    if known is not None and right:
        return known
    others = [letter for letter in LETTERS[: len(form.options)] if letter != known]
    return draws.choice(others) if others else f"a simulated guess, number {draws.randrange(3)}"


def _sure(preset: Preset, request: Request) -> float:
    occasion = request.occasion
    draws = _draws("sure", occasion.match_seed, request.model, occasion.ask.items[0], occasion.ask.round)
    log_odds = mastery(preset, request) + preset.overstatement + preset.sd_report * draws.gauss()
    return _rounded(100 / (1 + math.exp(-log_odds)), preset.rounding, draws) / 100


def _surer(form: Choice, preset: Preset, request: Request) -> str:
    occasion = request.occasion
    draws = _draws("surer", occasion.match_seed, request.model, occasion.ask.items)
    ahead = mastery(preset, request, 0) - mastery(preset, request, 1) + preset.order_lean
    return form.options[0 if ahead + preset.sd_comparison * draws.gauss() > 0 else 1]


def _draws(*parts: object) -> random.Random:
    return random.Random(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest())
