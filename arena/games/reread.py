"""Reread: readers say what private reasoning of a recorded match implies about its author's confidence.

`given` holds one utterance: the reasoning as its text, and who wrote it when as its seat, phase and round; its value names
the recorded match and the author's model, which no reader is told. Nor is anybody told the confidence that was stated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from arena.forms import Choice, Implied, Parts, Speech, check_tags, defuse
from arena.table import Table
from arena.types import Decision, Outcome, Play

SEATS = ()
"""Nobody plays: the readers are the panel, and none hears another."""

QUOTED = "notes"
"""The tag that prompts put around the reasoning."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The tag names that a reader is asked to use."""

    implied: str = "implied"
    stated: str = "stated"
    strategic: str = "strategic"

    def __post_init__(self) -> None:
        check_tags((*self.names, QUOTED))

    @property
    def names(self) -> tuple[str, ...]:
        return (self.implied, self.stated, self.strategic)


@dataclass(frozen=True, slots=True)
class Params:
    """What is read, and how it is answered."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    min_chars: int = 1
    """Reasoning of fewer characters is not read."""
    min_confidence: float = 0.0
    """Nor is the reasoning of a confidence, in [0, 1], that was stated lower."""
    tags: Tags = field(default_factory=Tags)

    def __post_init__(self) -> None:
        if self.min_chars < 1:
            raise ValueError(f"min_chars is {self.min_chars}; reasoning without a character cannot be read")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"min_confidence is {self.min_confidence}; it is a probability from 0 to 1")


def play(table: Table, params: Params) -> Play:
    """Put the reasoning to every reader."""
    (said,) = table.given
    tags = params.tags
    form = Parts(
        {
            "rationale": Speech(min_chars=0),
            "implied": Implied(tags.implied),
            "stated": Choice(tags.stated, ("yes", "no")),
            "strategic": Choice(tags.strategic, ("yes", "no")),
        },
        guard="off",
    )
    yield from table.ask_all(
        table.panel,
        form,
        prompt="reading",
        phase=said.phase,
        round=said.round,
        side=said.seat,
        # A reader that quotes the reasoning must not be read as answering with tags that were typed there.
        reasoning=defuse(said.text, (QUOTED, *tags.names)),
    )
    return Outcome(Decision(None, "none"))
