"""Forms: what a reply must be, and how it is read.

A form reads a text into a value or says why it cannot (`Malformed`). Nothing here guesses: a number out of range, two
values that differ, or a private tag that was opened and never closed is a reply that is asked for again.

A `Parts` joins forms that one completion answers. It is where privacy begins: a tagged part is cut out of the free
text before anybody else may see it, and a text that still names one of the tags is not let through.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar

from arena.types import Completion, Form, Malformed

T = TypeVar("T")

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
    number with a percent sign. A bare number above 0 and up to 1 on the percent scale is refused as ambiguous.
    """

    tag: str = "confidence"
    scale: Literal["percent", "fraction"] = "percent"
    about: str = "own_side_wins"

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.tag,)

    def parse(self, text: str) -> float | Malformed:
        return _single(self.tag, text, lambda content: _probability(content, self.scale, self.tag))

    def render(self, value: float) -> str:
        stated = value * 100 if self.scale == "percent" else value
        number = f"{stated:.10f}".rstrip("0").rstrip(".")
        # Up to one, a bare number on the percent scale could be read as a fraction.
        return _tagged(self.tag, f"{number}%" if self.scale == "percent" and 0 < stated <= 1 else number)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Thoughts in a tag of their own. They may be empty, but the tag must be there and closed."""

    tag: str = "reasoning"

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.tag,)

    def parse(self, text: str) -> str | Malformed:
        return _single(self.tag, text, str)

    def render(self, value: str) -> str:
        return _tagged(self.tag, value)


@dataclass(frozen=True, slots=True)
class Implied:
    """A probability in [0, 1] that a text implies, in a tag, on the percent scale; the word none in the tag is None."""

    tag: str = "implied"

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.tag,)

    def parse(self, text: str) -> float | Malformed | None:
        return _single(self.tag, text, self._content)

    def _content(self, content: str) -> float | Malformed | None:
        if _plain(content) in ("none", "none implied"):
            return None
        value = _probability(content, "percent", self.tag)
        return Malformed(f"{value.reason}, or none") if isinstance(value, Malformed) else value

    def render(self, value: float | None) -> str:
        return _tagged(self.tag, "none") if value is None else Confidence(self.tag).render(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several options, in a tag."""

    tag: str
    options: tuple[str, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.tag,)

    def parse(self, text: str) -> str | Malformed:
        return _single(self.tag, text, self._content)

    def _content(self, content: str) -> str | Malformed:
        option = {_plain(option): option for option in self.options}.get(_plain(content))
        if option is None:
            return Malformed(f"<{self.tag}> holds {_quote(content)}, not one of {', '.join(self.options)}")
        return option

    def render(self, value: str) -> str:
        return _tagged(self.tag, value)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question, in a tag: one of the options by its letter or its words, or a few words of one's own."""

    tag: str = "answer"
    options: tuple[str, ...] = ()
    max_chars: int = 200

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.tag,)

    def parse(self, text: str) -> str | Malformed:
        """The letter where there are options."""
        return _single(self.tag, text, self._content)

    def _content(self, content: str) -> str | Malformed:
        if not self.options:
            answer = " ".join(content.split())
            if not _plain(answer):
                return Malformed(f"<{self.tag}> holds no answer")
            short = len(answer) <= self.max_chars
            return answer if short else Malformed(f"<{self.tag}> holds more than {self.max_chars} characters")
        said = _plain(content)
        for letter, option in zip(LETTERS, self.options, strict=False):
            if said in (letter.casefold(), _plain(option), _plain(f"{letter} {option}")):
                return letter
        letters = ", ".join(LETTERS[: len(self.options)])
        return Malformed(f"<{self.tag}> holds {_quote(content)}, not one of {letters}")

    def render(self, value: str) -> str:
        return _tagged(self.tag, value)


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What options are called, in order."""


def same(answer: str, other: str) -> bool:
    """Whether two answers say the same: letter case, punctuation, a leading article and marks over letters aside; numbers by
    their value."""
    one, two = _number(answer), _number(other)
    return _bare(answer) == _bare(other) if one is None or two is None else one == two


def _number(answer: str) -> float | None:
    plain = re.sub(r"(?<=\d)[,\s](?=\d{3}(?!\d))", "", answer.strip().rstrip("."))
    return float(plain) if re.fullmatch(r"[-+]?\d{1,15}(?:\.\d{1,15})?", plain, re.ASCII) else None


def _bare(answer: str) -> str:
    letters = "".join(c for c in unicodedata.normalize("NFKD", answer) if not unicodedata.combining(c))
    return re.sub(r"^(?:the|an|a) (?=\S)", "", _plain(letters))


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
        option = Choice(self.choice_tag, self.options).parse(text)
        if isinstance(option, Malformed):
            return option
        probability = Confidence(self.probability_tag, self.scale).parse(text)
        if isinstance(probability, Malformed):
            return probability
        return Chosen(option, probability)

    def render(self, value: Chosen) -> str:
        stated = Confidence(self.probability_tag, self.scale).render(value.probability)
        return f"{_tagged(self.choice_tag, value.choice)}\n{stated}"


@dataclass(frozen=True, slots=True)
class Parts:
    """Several forms that one completion answers, by part name. At most one of them is free text.

    `guarded` names the tags that free text may not mention, since what stands beside them is private: by default the
    tags of these forms; a seat that is asked for private parts in another completion has those guarded here too.
    Raises ValueError when two forms share a tag.
    """

    forms: Mapping[str, Form]
    guard: Guard = "headings"
    guarded: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if shared := {tag for tag in self.tags if self.tags.count(tag) > 1}:
            raise ValueError(f"two parts of one reply share the tag {min(shared)!r}")

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
        if any(not form.tags for form in self.forms.values()):
            plain = _visible(rest)
            lowered = plain.lower()
            for tag in self.tags if self.guarded is None else self.guarded:
                if found := _named(tag, plain, lowered, self.guard):
                    return Malformed(f"{_quote(found)} stands outside a well-formed <{tag}>...</{tag}>")
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


def check_tags(tags: Iterable[str]) -> None:
    """Raises ValueError for a name that cannot be a tag's, or stands there twice."""
    seen: set[str] = set()
    for tag in tags:
        if not re.fullmatch(r"[A-Za-z][\w.-]{0,63}", tag) or tag.lower() == "heard":
            raise ValueError(f"{tag!r} cannot be a tag: it is a word of letters, digits, _ - and ., and not `heard`")
        if tag.lower() in seen:
            raise ValueError(f"the tag {tag!r} stands for two things")
        seen.add(tag.lower())


def written(form: Form, text: str) -> str:
    """The tags of a form as they stand in a reply, a line each."""
    return "\n".join(found.group() for tag in form.tags for found in _block(tag).finditer(text))


def defuse(text: str, tags: tuple[str, ...]) -> str:
    """The text with every mention of the tags made inert, so that whoever quotes it is not read as using them."""
    if "<" not in text:
        return text
    for tag in tags:
        text = _opener(tag).sub(lambda found: "&lt;" + found.group()[1:], text)
    return text


# ------------------------------------------------------------------ tags


def _tagged(tag: str, content: str) -> str:
    return f"<{tag}>{content}</{tag}>"


# Every repetition below is bounded or tempered: replies are hostile text, and may be long.


@lru_cache
def _block(tag: str) -> re.Pattern[str]:
    name = re.escape(tag)
    # No opener of the same tag inside, so that a stray mention does not swallow the text up to a later block.
    inside = rf"(?:(?!<\s{{0,3}}/?\s{{0,3}}{name}\s{{0,3}}>).)*"
    opener, closer = rf"<\s{{0,3}}{name}\s{{0,3}}>", rf"<\s{{0,3}}/\s{{0,3}}{name}\s{{0,3}}>"
    return re.compile(f"{opener}({inside}){closer}", re.IGNORECASE | re.DOTALL)


@lru_cache
def _opener(tag: str) -> re.Pattern[str]:
    return re.compile(rf"<(?=\s{{0,3}}/?\s{{0,3}}{re.escape(tag)}\b)", re.IGNORECASE)


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


def _single(tag: str, text: str, read: Callable[[str], T | Malformed]) -> T | Malformed:
    """What the tag holds. It may stand several times if it always says the same."""
    contents = [found.strip() for found in _block(tag).findall(text)]
    if not contents:
        opened = _opener(tag).search(text)
        return Malformed(f"<{tag}> is opened or named but not closed" if opened else f"there is no <{tag}>...</{tag}>")
    values: list[T] = []
    for content in contents:
        value = read(content)
        if isinstance(value, Malformed):
            return value
        values.append(value)
    if any(value != values[0] for value in values):
        return Malformed(f"there are several <{tag}> that differ: {', '.join(map(_quote, contents[:4]))}")
    return values[0]


# ------------------------------------------------------------------ what betrays a tag in free text


def _visible(text: str) -> str:
    """The text as it looks, whatever characters make it look so."""
    return text if text.isascii() else _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))


def _named(tag: str, text: str, lowered: str, guard: Guard) -> str | None:
    """Where visible free text names a tag that was cut out of it, so that private words may stand beside it."""
    if guard == "off":
        return None
    words = _words(tag)
    if not all(word in lowered for word in words[:2]):
        return None
    for found in _mention(tag).finditer(text):
        around = text[max(0, found.start() - 80) : found.start()], text[found.end() : found.end() + 80]
        if _betrays(found.group(), words, *around, guard):
            return found.group()
    return None


_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


@lru_cache
def _words(tag: str) -> list[str]:
    return [word for word in re.split(r"[_\-.]+", tag.lower()) if word]


@lru_cache
def _mention(tag: str) -> re.Pattern[str]:
    """The tag's first two words, however they are joined, and the rest of its name where it follows."""
    gap = r"[\s_\-.\\*()]{0,4}"
    first, *rest = [re.escape(word) for word in _words(tag)]
    second, *others = rest or [""]
    following = "".join(f"(?:{gap}{word})?" for word in others)
    return re.compile(first + (gap + second if rest else "") + following, re.IGNORECASE)


def _betrays(mention: str, words: list[str], before: str, after: str, guard: Guard) -> bool:
    whole = all(word in mention.lower() for word in words)
    if _BRACKET_BEFORE.search(before) or (whole and _BRACKET_AFTER.match(after)):
        return True
    if len(words) == 1:
        # One plain word: prose uses it too, so only a label counts.
        return bool(_LABEL_BEFORE.search(before) and _LABEL_AFTER.match(after))
    if whole and not any(c.isspace() or c in "*()" for c in mention):
        return True
    return guard == "headings" and bool(_HEADING_BEFORE.search(before) and _HEADING_AFTER.match(after))


_BRACKET_BEFORE = re.compile(r"[<\[]\s{0,3}/?\s{0,3}$")
_BRACKET_AFTER = re.compile(r"\s{0,3}/?\s{0,3}[>\]]")
_LABEL_BEFORE = re.compile(r"(?:^|\n)[^\w\n]{0,12}$")
_LABEL_AFTER = re.compile(r"[^\w\n]{0,6}[:=]")
# A heading: at the start of a line or after punctuation, a few words before it at most; then its end, a colon, a number.
_HEADING_BEFORE = re.compile(r"(?:^|\n|[^\w\s,'’]|_)(?:[^\w\n]|_){0,8}(?:[\w'’]{1,20}[ \t]{1,3}){0,3}$")
_HEADING_AFTER = re.compile(
    r"(?:[ \t]{1,3}\w{1,20}){0,2}(?:[ \t]{0,3}\([^()\n]{0,60}\))?[ \t]{0,3}(?:$|\n|[:=*_#)\]<>`|\d–—]|-(?!\w))"
)


# ------------------------------------------------------------------ values

_NUMBER = re.compile(r"\+?(\d{1,12}(?:\.\d{1,20})?|\.\d{1,20})\s{0,3}(%|/\s{0,3}100)?", re.ASCII)


def _probability(content: str, scale: str, tag: str) -> float | Malformed:
    found = _NUMBER.fullmatch(content.strip(" \t\r\n*_`"))
    range_ = "a number from 0 to 100" if scale == "percent" else "a number from 0 to 1"
    if found is None:
        return Malformed(f"<{tag}> holds {_quote(content)}, not {range_}")
    number, percent = float(found.group(1)), found.group(2) is not None
    if scale == "percent" and not percent and 0 < number <= 1:
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
