"""Families of models: a table of patterns says who made a model, so that nobody has to judge its own kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase


def family(model: str, families: Mapping[str, str | None]) -> str | None:
    """The family of a model id; None for a model that no pattern fits, or that is of none.

    `families` maps patterns (`*` is any text, `?` a character, `[...]` one of some) to names of families, None for none. Of
    several patterns that fit, the longest says it, and of equally long ones the later. Case does not count.
    """
    fitting = [pattern for pattern in families if fnmatchcase(model.lower(), pattern.lower())]
    return families[max(reversed(fitting), key=len)] if fitting else None


def impartial(judges: Mapping[str, str | None], speaking: Iterable[str | None]) -> tuple[str, ...]:
    """The judges (name to family) of whose family nobody speaks, in their order. Who has no family may judge everybody."""
    barred = set(speaking) - {None}
    return tuple(name for name, own in judges.items() if own not in barred)
