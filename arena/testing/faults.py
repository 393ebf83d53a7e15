"""What goes wrong on purpose: kinds of fault, how often, and what they leave of a reply."""

from __future__ import annotations

import math
import re
from dataclasses import astuple, dataclass, fields
from random import Random
from typing import Self

from arena.testing.responders import Answered


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each thing goes wrong: rates in [0, 1] that sum to at most 1, else ValueError."""

    rate_limited: float = 0.0
    """429 with Retry-After; the next three are 500, 503 and 529."""
    server_error: float = 0.0
    unavailable: float = 0.0
    overloaded: float = 0.0
    drop: float = 0.0
    """The connection closes after half a body."""
    stall: float = 0.0
    """No answer ever comes."""
    garbage: float = 0.0
    """A well-formed reply whose text has odd characters (a lone surrogate too) and NaN in every tag."""
    empty: float = 0.0
    truncate: float = 0.0
    """Half of the text, finished by `length` or `max_tokens`."""
    invalid_json: float = 0.0
    """200, and a body that is no JSON."""
    refusal: float = 0.0
    """As each API tells one: a message's `refusal`, or a `stop_reason`."""
    wrong_types: float = 0.0
    """Well-formed JSON with numbers, lists and null where strings should be, and words where numbers should."""
    huge: float = 0.0
    """A reply that could be read, but for ten megabytes of words before it."""
    unknown_finish: float = 0.0
    """The whole reply, and a reason for its end that nobody knows."""
    slow: float = 0.0
    """The body comes a byte at a time and never ends: no single wait is long."""

    def __post_init__(self) -> None:
        rates = {kind: getattr(self, kind) for kind in KINDS}
        for kind, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"the rate of {kind} must be in [0, 1], not {rate}")
        if (total := math.fsum(rates.values())) > 1 + 1e-9:
            raise ValueError(f"the rates of all faults must sum to at most 1, not {total:g}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `429=0.05,drop=0.02`: names or HTTP numbers, and rates. Raises ValueError that says what exists."""
        rates: dict[str, float] = {}
        for pair in filter(None, (part.strip() for part in text.split(","))):
            name, _, rate = (part.strip() for part in pair.partition("="))
            kind = _KIND_OF_STATUS.get(name, name)
            if kind not in KINDS:
                known = ", ".join([*KINDS, *_KIND_OF_STATUS])
                raise ValueError(f"unknown fault {name!r}; known are {known}")
            if kind in rates:
                raise ValueError(f"the fault {kind} has two rates in {text!r}")
            try:
                rates[kind] = float(rate)
            except ValueError:
                raise ValueError(f"expected {name}=RATE with a number in [0, 1], found {pair!r}") from None
        return cls(**rates)

    def draw(self, drawn: Random) -> str | None:
        """The kind of fault that befalls one request, or None; takes one number from `drawn`."""
        rates: tuple[float, ...] = astuple(self)
        return drawn.choices([None, *KINDS], [max(0.0, 1 - math.fsum(rates)), *rates])[0]


KINDS = tuple(f.name for f in fields(Faults))
"""The names of all faults."""

STATUS = {
    "rate_limited": (429, "rate_limit_error"),
    "server_error": (500, "api_error"),
    "unavailable": (503, "api_error"),
    "overloaded": (529, "overloaded_error"),
}
_KIND_OF_STATUS = {str(status): kind for kind, (status, _) in STATUS.items()}
HUGE = 10_000_000
"""Characters that `huge` puts before a reply."""

GARBAGE = " \x00\x07\ufffd\u202e\ud800 {NaN -1e999 "
"""Control and direction characters, half of a pair, and numbers that are none."""


def degraded(answered: Answered, fault: str | None) -> Answered:
    """What a fault leaves of a reply's content."""
    match fault:
        case "garbage":
            return Answered(GARBAGE + re.sub(r">[^<]*</", ">NaN</", answered.text) + GARBAGE)
        case "empty":
            return Answered("")
        case "truncate":
            return Answered(answered.text[: len(answered.text) // 2], "length")
        case "refusal":
            return Answered("I can't help with that.", "refusal")
        case "huge":
            return Answered("words " * (HUGE // 6 + 1) + answered.text, answered.finish)
        case _:
            return answered
