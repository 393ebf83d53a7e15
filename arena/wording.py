"""Wording: the prompts of a game, written in `conf/` as Jinja templates and filled in here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from arena.mistake import Mistake


# Sandboxed, since a prompt is configuration and must not be able to run code. What models say is only ever filled in.
class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, which judges an attribute by the type of its object and its name, and need do so once for each."""

    def __init__(self, **how: Any):
        super().__init__(**how)
        self._safe: dict[tuple[type[Any], str], bool] = {}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        place = type(obj), attr  # pyright: ignore[reportUnknownVariableType]
        if place not in self._safe:
            self._safe[place] = super().is_safe_attribute(obj, attr, value)
        return self._safe[place]


_ENVIRONMENT = _Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


class WordingError(Mistake):
    """A prompt that is missing, is no template, or speaks of something that is not there."""


@lru_cache(maxsize=512)
def _compiled(text: str) -> Template:
    template = _ENVIRONMENT.from_string(text)
    # Jinja chains the globals of a template to its environment's, and walks the chain at every rendering.
    template.globals = dict(template.globals)
    return template


class Wording:
    """Named prompts."""

    def __init__(self, prompts: Mapping[str, str]):
        self.prompts = dict(prompts)
        self._templates: dict[str, Template] = {}
        for name, text in self.prompts.items():
            try:
                self._templates[name] = _compiled(text)
            except TemplateError as problem:
                raise WordingError(f"prompt {name!r} is no template: {problem}") from problem

    def render(self, name: str, facts: Mapping[str, Any]) -> str:
        """The prompt filled in, blank at neither end. Raises `WordingError`."""
        template = self._templates.get(name)
        if template is None:
            raise WordingError(f"there is no prompt {name!r}; there are {', '.join(sorted(self.prompts))}")
        try:
            return template.render(facts).strip()
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as problem:
            raise WordingError(f"prompt {name!r} cannot be filled in: {problem}") from problem


def digest(value: Any) -> str:
    """A short name for a JSON-like value that changes when the value does."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=12).hexdigest()
