"""Forms: what a reply must be, and how it is read.

A form reads a text into a value or says why it cannot (`Malformed`). Nothing here guesses: a number out of range, two
values that differ, or a private tag that was opened and never closed is a reply that is asked for again.

A `Parts` joins forms that one completion answers. It is where privacy begins: a tagged part is cut out of the free
text before anybody else may see it, and a text that still names one of the tags is not let through.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from arena.types import Completion, Form, Malformed

Guard = Literal["headings", "literal", "off"]
"""How closely free text is searched for the names of tags that were cut out of it.

`literal` refuses the tag's name in any markup (`<bet_amount`, `bet_amount>85`, `**bet_amount:**`); `headings`, the
default, also refuses the name written as a heading (`**Bet Amount:** 85`); `off` is for text that nobody else hears.
"""


@dataclass(frozen=True, slots=True)
class Speech:
    """Free text for the others to hear."""

    min_chars: int = 1

    @property
    def tags(self) -> tuple[str, ...]:
        return ()

    def parse(self, text: str) -> str | Malformed:
        speech = text.strip()
        if len(speech) < self.min_chars:
            return Malformed(f"the text has {len(speech)} characters, at least {self.min_chars} are needed")
        return speech

    def render(self, value: str) -> str:
        return value


@dataclass(frozen=True, slots=True)
class Confidence:
    """A probability in [0, 1], stated in a tag. Several tags are fine when they say the same.

    `scale` is what is asked for: `percent` is 0 to 100, with or without a percent sign; `fraction` is 0 to 1, or a
    number with a percent sign. A bare number strictly between 0 and 1 on the percent scale is refused as ambiguous.
    """

    tag: str = "confidence"
    scale: Literal["percent", "fraction"] = "percent"
    about: str = "own_side_wins"

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.tag,)

    def parse(self, text: str) -> float | Malformed:
        content = _single(self.tag, text)
        if isinstance(content, Malformed):
            return content
        return _probability(content, self.scale, self.tag)

    def render(self, value: float) -> str:
        stated = value * 100 if self.scale == "percent" else value
        return _tagged(self.tag, f"{stated:.10g}")


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Thoughts in a tag of their own. They may be empty, but the tag must be there and closed."""

    tag: str = "reasoning"

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.tag,)

    def parse(self, text: str) -> str | Malformed:
        return _single(self.tag, text)

    def render(self, value: str) -> str:
        return _tagged(self.tag, value)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What `Verdict` reads: the option, and how likely it is held to be right."""

    choice: str
    probability: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One of several options and the probability, in [0, 1], that it is the right one."""

    options: tuple[str, ...]
    choice_tag: str = "winner"
    probability_tag: str = "confidence"
    scale: Literal["percent", "fraction"] = "percent"

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.choice_tag, self.probability_tag)

    def parse(self, text: str) -> Chosen | Malformed:
        choice = _single(self.choice_tag, text, same=_plain)
        if isinstance(choice, Malformed):
            return choice
        option = {_plain(option): option for option in self.options}.get(_plain(choice))
        if option is None:
            return Malformed(f"<{self.choice_tag}> holds {_quote(choice)}, not one of {', '.join(self.options)}")
        probability = Confidence(self.probability_tag, self.scale).parse(text)
        if isinstance(probability, Malformed):
            return probability
        return Chosen(option, probability)

    def render(self, value: Chosen) -> str:
        stated = Confidence(self.probability_tag, self.scale).render(value.probability)
        return f"{_tagged(self.choice_tag, value.choice)}\n{stated}"


@dataclass(frozen=True, slots=True)
class Parts:
    """Several forms that one completion answers, by part name. At most one of them is free text."""

    forms: Mapping[str, Form]
    guard: Guard = "headings"

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(tag for form in self.forms.values() for tag in form.tags)

    def parse(self, text: str) -> Mapping[str, Any] | Malformed:
        """Part name to value. `Malformed` if any part is, or if what is left after cutting names a tag again."""
        rest = _cut(text, self.tags)
        values: dict[str, Any] = {}
        for name, form in self.forms.items():
            value = form.parse(text if form.tags else rest)
            if isinstance(value, Malformed):
                return value
            values[name] = value
        for tag in self.tags if self.guard != "off" else ():
            if found := _residue(tag, self.guard).search(rest):
                return Malformed(f"{_quote(found.group().strip())} stands outside a well-formed <{tag}>...</{tag}>")
        return values

    def render(self, value: Mapping[str, Any]) -> str:
        return "\n\n".join(form.render(value[name]) for name, form in self.forms.items())


def parts(form: Form) -> Parts:
    """The form as `Parts`: a single form is a part that bears its kind's name."""
    return form if isinstance(form, Parts) else Parts({type(form).__name__.lower(): form})


def read(form: Form, completion: Completion) -> Mapping[str, Any] | Malformed:
    """What a completion holds, part name to value. One that was refused, cut off or is empty is never parsed."""
    if completion.finish == "refusal":
        return Malformed("the reply was refused", "refused")
    if completion.finish == "length":
        return Malformed("the reply was cut off before its end", "truncated")
    if not completion.text.strip():
        return Malformed("the reply is empty")
    return parts(form).parse(completion.text)


def defuse(text: str, tags: tuple[str, ...]) -> str:
    """The text with every mention of the tags made inert, so that whoever quotes it is not read as using them."""
    for tag in tags:
        text = _opener(tag).sub(lambda found: "&lt;" + found.group()[1:], text)
    return text


# ------------------------------------------------------------------ tags


def _tagged(tag: str, content: str) -> str:
    return f"<{tag}>{content}</{tag}>"


@lru_cache
def _block(tag: str) -> re.Pattern[str]:
    name = re.escape(tag)
    # No opener of the same tag inside, so that a stray mention does not swallow the text up to a later block.
    return re.compile(rf"<\s*{name}\s*>((?:(?!<\s*/?\s*{name}\s*>).)*)<\s*/\s*{name}\s*>", re.IGNORECASE | re.DOTALL)


@lru_cache
def _opener(tag: str) -> re.Pattern[str]:
    return re.compile(rf"<(?=\s*/?\s*{re.escape(tag)}\b)", re.IGNORECASE)


@lru_cache
def _residue(tag: str, guard: Guard) -> re.Pattern[str]:
    """What betrays a tag in free text. A name with an underscore is no word of prose: any mention does."""
    name, words = re.escape(tag), [re.escape(word) for word in re.split(r"[_\-]+", tag) if word]
    # "\_" and "-" are how Markdown and typists write the underscore.
    joined = r"(?:\\?_|-)".join(words)
    signs = [rf"<\s*/?\s*{name}\b", rf"\b{joined}\s*/?\s*>", rf"\[\s*/?\s*{name}\s*\]"]
    if len(words) > 1:
        signs.append(rf"(?<![a-z0-9]){joined}(?![a-z0-9])")
    else:
        signs.append(rf"^[^\w\n]*{name}[^\w\n]*[:=]")
    if guard == "headings" and len(words) > 1:
        phrase = r"[ \t*_\-]+".join(words)
        start = r"[ \t*_\-]+".join(words[:2])
        few = r"(?:[\w'’]+[ \t]+){0,3}"
        signs.append(rf"^[^\w\n]*{few}(?:{phrase}|{start})[^\w\n]*(?:\w+[^\w\n]*){{0,2}}(?::|[*_]+:?[ \t]*$)")
        signs.append(rf"^[ \t]*\#+[^\w\n]*{few}(?:{phrase}|{start})[^\n]{{0,20}}$")
        signs.append(rf"(?:{phrase})[^\w\n]{{0,6}}\d")
    return re.compile("|".join(signs), re.IGNORECASE | re.MULTILINE)


def _cut(text: str, tags: tuple[str, ...]) -> str:
    """The text without the blocks of the tags, nested and overlapping ones included."""
    spans = sorted(found.span() for tag in tags for found in _block(tag).finditer(text))
    return "".join(_outside(text, spans)).strip()


def _outside(text: str, spans: list[tuple[int, int]]) -> Iterator[str]:
    end = 0
    for start, stop in spans:
        if start > end:
            yield text[end:start]
        end = max(end, stop)
    yield text[end:]


def _single(tag: str, text: str, same: Any = str.strip) -> str | Malformed:
    """The content of the tag, which may stand several times if it always says the same."""
    contents = [found.strip() for found in _block(tag).findall(text)]
    if not contents:
        opened = _opener(tag).search(text)
        return Malformed(f"<{tag}> is opened or named but not closed" if opened else f"there is no <{tag}>...</{tag}>")
    if len({same(content) for content in contents}) > 1:
        return Malformed(f"there are several <{tag}> that differ: {', '.join(map(_quote, contents[:4]))}")
    return contents[0]


# ------------------------------------------------------------------ values

_NUMBER = re.compile(r"\+?(\d+(?:\.\d+)?|\.\d+)\s*(%|/\s*100)?")


def _probability(content: str, scale: str, tag: str) -> float | Malformed:
    found = _NUMBER.fullmatch(content.strip(" \t\r\n*_`"))
    range_ = "a number from 0 to 100" if scale == "percent" else "a number from 0 to 1"
    if found is None:
        return Malformed(f"<{tag}> holds {_quote(content)}, not {range_}")
    number, percent = float(found.group(1)), found.group(2) is not None
    if scale == "percent" and not percent and 0 < number < 1:
        return Malformed(f"<{tag}> holds {_quote(content)}, which could be a fraction or a percentage: give {range_}")
    value = number / 100 if percent or scale == "percent" else number
    if not math.isfinite(value) or value > 1:
        return Malformed(f"<{tag}> holds {_quote(content)}, not {range_}")
    return value


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().casefold()


def _quote(text: str, limit: int = 60) -> str:
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return repr(flat if len(flat) <= limit else flat[:limit] + "...")
