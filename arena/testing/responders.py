"""What stands in for the models: functions from a request to its reply."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from arena.types import Message

Api = Literal["openai", "anthropic"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, as a responder sees it."""

    api: Api
    model: str
    messages: tuple[Message, ...]
    """The whole prompt, the system message included, each message as plain text."""
    body: Mapping[str, Any]
    n: int
    """How many calls of this model id came before."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the model says, and why it stopped; with `refusal` the text is the refusal's own."""

    text: str
    finish: Literal["stop", "length", "refusal"] = "stop"


Responder = Callable[[Exchange], str | Answered]
"""What stands in for the models: a function from a request to its reply. A LookupError becomes a 404."""


def fill_in(exchange: Exchange) -> str:
    """A speech of words, then every tag that the latest instruction names, filled in: percentages of 50 to 95, sides or
    what else is offered, sentences. The model id and the messages decide all of it, so a resumed run equals a calm one."""
    return _filled_in(exchange, Random(repr((exchange.model, exchange.messages))))


def seeded(exchange: Exchange) -> str:
    """As `fill_in`, decided by the model id and the speeches in the prompt that were made here, each of which bears a mark.
    A reply that is asked for again, and told why, is the same one: a run among faults equals a calm one."""
    heard = sorted({mark for message in exchange.messages for mark in _MARK.findall(message.content)})
    drawn = Random(repr((exchange.model, heard)))
    return f"[{drawn.getrandbits(48):012x}] {_filled_in(exchange, drawn)}"


def _filled_in(exchange: Exchange, drawn: Random) -> str:
    prompt = _latest_instruction(exchange.messages)
    speech = " ".join(_sentence(drawn) for _ in range(6))
    tags = dict.fromkeys(_TAG.findall(prompt))
    return "\n".join([speech, *(f"<{tag}>{_filling(tag, prompt, drawn)}</{tag}>" for tag in tags)])


def replies(texts: Mapping[str, str | Sequence[str]] | Sequence[str]) -> Responder:
    """Fixed replies: one text for ever, or a list read by turn (how many assistant messages the prompt holds), for all
    models or by model id. Raises LookupError, hence answers 404, where no text was given."""

    def respond(exchange: Exchange) -> str:
        script = texts.get(exchange.model) if isinstance(texts, Mapping) else texts
        if script is None:
            raise LookupError(f"no replies were given for model {exchange.model!r}")
        if isinstance(script, str):
            return script
        turn = sum(message.role == "assistant" for message in exchange.messages)
        if turn >= len(script):
            raise LookupError(f"{exchange.model!r} has {len(script)} replies, and is asked for number {turn + 1}")
        return script[turn]

    return respond


_MARK = re.compile(r"\[([0-9a-f]{12})\]")
_TAG = re.compile(r"<([a-z]\w*)>")
_OPTIONS = re.compile(r"([`\"']?)([\w-]+)[`\"']?(?:,?\s+or\s+|\s*\|\s*)[`\"']?([\w-]+)")
_SIDES = ("proposition", "opposition")
_WORDS = ("evidence", "principle", "cost", "duty", "market", "policy", "harm", "benefit", "burden", "reform", "risk")


def _latest_instruction(messages: Sequence[Message]) -> str:
    """All that was said to the model since it last spoke: an instruction, and perhaps why it is asked again."""
    said: list[str] = []
    for role, content in reversed(messages):
        if role != "user":
            break
        said.append(content)
    return "\n".join(reversed(said))


def _sentence(drawn: Random) -> str:
    return " ".join(drawn.choices(_WORDS, k=drawn.randint(8, 14))).capitalize() + "."


def _filling(tag: str, prompt: str, drawn: Random) -> str:
    def about(*words: str) -> bool:
        return any(word in tag.lower() for word in words)

    if about("logic", "reason", "explan"):  # before the numbers: <bet_logic> asks for words
        return _sentence(drawn)
    if about("winner", "choice"):
        return drawn.choice(_options(prompt, near=prompt.index(f"<{tag}>")))
    if about("confidence", "bet", "probability", "amount"):
        return str(drawn.randint(50, 95))
    asked = re.search(rf"<{tag}>([^<]*)</{tag}>", prompt)
    if asked and "a number" in asked[1]:
        return str(drawn.randint(50, 95))
    if asked and re.fullmatch(r"\w+(?: or \w+)+", asked[1]):
        return drawn.choice(asked[1].split(" or "))
    return _sentence(drawn)


def _options(prompt: str, near: int) -> tuple[str, str]:
    """The two sides that a prompt offers as `one or other`, quoted ones first; else proposition and opposition."""
    named = all(side in prompt.lower() for side in _SIDES)

    def rank(offer: re.Match[str]) -> tuple[bool, bool, int]:
        sides = {offer[2].lower(), offer[3].lower()} == set(_SIDES)
        return not sides, not offer[1], abs(offer.start() - near)

    offer = min(_OPTIONS.finditer(prompt), key=rank, default=None)
    if offer is None or (named and rank(offer)[:2] == (True, True)):  # "one or two reasons" is no offer of sides
        return _SIDES
    return offer[2], offer[3]
