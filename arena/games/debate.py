"""Debate: two sides speak for and against a motion over several rounds, say how sure they are, and a panel decides.

The parameters span the conditions of "When Two LLMs Debate, Both Think They'll Win" (arXiv:2505.19184, section 3).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal

from arena.forms import Confidence, Parts, Reasoning, Speech, check_tags
from arena.table import EVERYONE, NOBODY, NOBODY_ELSE, Audience, Table
from arena.types import Ask, Decision, Form, Outcome, Play, Reply

SEATS = ("proposition", "opposition")


@dataclass(frozen=True, slots=True)
class Tags:
    """The tag names that a debater is asked to use."""

    private_confidence: str = "private_confidence"
    public_confidence: str = "public_confidence"
    reasoning: str = "private_reasoning"


@dataclass(frozen=True, slots=True)
class Params:
    """What can differ between debates."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    rebuttals: int = 1
    """Rebuttals a side, between opening and closing."""
    order: Literal["simultaneous", "sequential"] = "simultaneous"
    """Within a phase: neither hears the other, or the second hears the first."""
    private_confidence: Literal["auto", "off", "joint", "before", "after"] = "auto"
    """In one completion with the speech, asked before it, or after it (when the speeches of a simultaneous phase are
    out, so that the opponent's has been heard). `auto` is joint, but before the speech when there
    is a public confidence too, so that what is said aloud does not shape what is believed."""
    public_confidence: bool = False
    """Stated with the speech and heard by everyone, judges too."""
    own_confidence: Literal["shown", "hidden"] = "shown"
    """Whether a seat sees its own earlier private confidences and reasoning."""
    told: Literal["nothing", "equal_copy", "even_odds"] = "nothing"
    """What a seat is told of its opponent: nothing, that it is an equal copy, or also that the odds are exactly even."""
    reasoning: Literal["off", "own", "both_outcomes"] = "own"
    """Private reasoning about the confidence; `both_outcomes` must first argue for winning and for losing."""
    missing_speech: Literal["go_on", "forfeit"] = "go_on"
    missing_confidence: Literal["go_on", "forfeit"] = "go_on"
    min_speech_chars: int = 1
    guard: Literal["headings", "literal"] = "headings"
    """How closely a speech is searched for the names of private tags; `arena.forms.Guard` says how."""
    scale: Literal["percent", "fraction"] = "percent"
    tags: Tags = field(default_factory=Tags)

    def __post_init__(self) -> None:
        if self.rebuttals < 0:
            raise ValueError(f"rebuttals is {self.rebuttals}; a side has none at least")
        for stage in _stages(self, "opening"):
            check_tags(tag for form in stage.forms.values() for tag in form.tags)
            Parts(stage.forms)  # raises ValueError where two parts of one reply share a tag

    @property
    def private(self) -> Literal["off", "joint", "before", "after"]:
        """When private confidence is asked for, `auto` resolved."""
        if self.private_confidence != "auto":
            return self.private_confidence
        return "before" if self.public_confidence else "joint"

    @property
    def private_tags(self) -> tuple[str, ...]:
        """The tags that no speech may mention, in whichever completion they are asked for."""
        confidence = () if self.private == "off" else (self.tags.private_confidence,)
        return confidence if self.reasoning == "off" else (*confidence, self.tags.reasoning)

    @property
    def phases(self) -> tuple[str, ...]:
        """`opening`, `rebuttal`, `rebuttal_2` ..., `closing`."""
        rebuttals = ("rebuttal" if n == 1 else f"rebuttal_{n}" for n in range(1, self.rebuttals + 1))
        return ("opening", *rebuttals, "closing")


def play(table: Table, params: Params) -> Play:
    """The debate, phase by phase, then the panel."""
    groups = [SEATS] if params.order == "simultaneous" else [(seat,) for seat in SEATS]
    for round_, phase in enumerate(params.phases, start=1):
        for group in groups:
            for stage in _stages(params, phase):
                replies = yield from stage.ask(table, params, group, phase, round_)
                if lost := _forfeits(replies, stage, params):
                    return _forfeit(lost, stage)
    decision = yield from table.verdict(SEATS, round=len(params.phases))
    return Outcome(decision)


@dataclass(frozen=True, slots=True)
class _Stage:
    """One completion of a seat's turn: which parts it has, and what asks for them."""

    prompts: tuple[str, ...]
    forms: Mapping[str, Form]

    def ask(
        self, table: Table, params: Params, group: Sequence[str], phase: str, round_: int
    ) -> Generator[tuple[Ask, ...], tuple[Reply, ...], dict[str, Reply]]:
        own: Audience = NOBODY_ELSE if params.own_confidence == "shown" else NOBODY
        return table.ask_all(
            group,
            Parts(self.forms, params.guard, params.private_tags),
            prompt=self.prompts,
            audience={
                "speech": EVERYONE,
                "public_confidence": EVERYONE,
                "private_confidence": own,
                "reasoning": own,
            },
            phase=phase,
            round=round_,
        )


@lru_cache
def _stages(params: Params, phase: str) -> list[_Stage]:
    """The completions of one turn, in order."""
    tags = params.tags
    speech: dict[str, Form] = {"speech": Speech(params.min_speech_chars)}
    public: dict[str, Form] = {"public_confidence": Confidence(tags.public_confidence, params.scale)}
    private: dict[str, Form] = {"private_confidence": Confidence(tags.private_confidence, params.scale)}
    reasoning: dict[str, Form] = {} if params.reasoning == "off" else {"reasoning": Reasoning(tags.reasoning)}
    aside = reasoning | private
    if params.private == "off":
        private = {}
        # With nothing private to explain, the reasoning explains the public number.
        reasoning = reasoning if params.public_confidence else {}
    spoken = speech | (public if params.public_confidence else {})
    if params.private in ("off", "joint"):
        forms = speech | reasoning | private | (public if params.public_confidence else {})
        return [_Stage((phase_prompt(phase), *(part for part in forms if part != "speech")), forms)]
    aloud = _Stage((phase_prompt(phase), *(part for part in spoken if part != "speech")), spoken)
    alone = _Stage((f"{params.private}_speech", *aside), aside)
    return [alone, aloud] if params.private == "before" else [aloud, alone]


def phase_prompt(phase: str) -> str:
    """The prompt that asks for a phase's speech: all rebuttals share one."""
    return "rebuttal" if phase.startswith("rebuttal") else phase


def _forfeits(replies: Mapping[str, Reply], stage: _Stage, params: Params) -> list[str]:
    speech = "speech" in stage.forms and params.missing_speech == "forfeit"
    confidence = any("confidence" in part for part in stage.forms) and params.missing_confidence == "forfeit"
    return [seat for seat, reply in replies.items() if reply.missing and (speech or confidence)]


def _forfeit(lost: Sequence[str], stage: _Stage) -> Outcome:
    left = [seat for seat in SEATS if seat not in lost]
    note = f"{' and '.join(lost)} gave no {' or '.join(stage.forms)}"
    return Outcome(Decision(left[0] if left else None, "forfeit"), (note,))
