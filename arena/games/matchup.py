"""Matchup: an agent answers a set of questions, each on its own, and then says of pairs of its answers which it is surer of.

Relative confidence after "Language Models Prefer What They Know" (arXiv:2502.01126): `arena.stats.relative` makes a score an
answer of the preferences. Nothing is decided at the table, and no table ever has the key: answers are marked in `arena.frames`.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar, Literal

from arena.forms import Answer, Choice, Confidence, Parts, Reasoning, Speech, check_tags, defuse
from arena.table import NOBODY, NOBODY_ELSE, Audience, Table, Task
from arena.types import Ask, Decision, Form, Outcome, Play, Question, Reply

SEATS = ("respondent",)
ROLE = "respondent"

PREFERENCES = ("first", "second")


@dataclass(frozen=True, slots=True)
class Tags:
    """The tag names that a respondent is asked to use."""

    answer: str = "answer"
    confidence: str = "confidence"
    reasoning: str = "reasoning"
    surer: str = "surer"

    def __post_init__(self) -> None:
        check_tags((self.answer, self.confidence, self.reasoning, self.surer))


@dataclass(frozen=True, slots=True)
class Params:
    """What can differ between matches."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    questions: int | None = None
    """How many of the set are asked, the first ones; None for all."""
    matchups: int = 15
    """How many others each answer is compared with for its own sake, the paper's n (5, 10 and 15 there): with k questions
    there are n * k pairs, and each answer stands in 2 * n of them."""
    orders: Literal["balanced", "both"] = "balanced"
    """Which of two answers is shown first: each answer is, in half of its pairs; or every pair is shown in both orders."""
    samples: int = 0
    """How many more answers to each question are asked for in the same words, for self-consistency."""
    reasoning: Literal["off", "own"] = "own"
    """Whether it is to think before it answers, and before it says of which answer it is surer."""
    scale: Literal["percent", "fraction"] = "percent"
    tags: Tags = field(default_factory=Tags)

    def __post_init__(self) -> None:
        for name, value, least in (
            ("questions", self.questions, 3), ("matchups", self.matchups, 1), ("samples", self.samples, 0),
        ):  # fmt: skip
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; it is {least} at least")


def check(question: Question, params: Params) -> None:
    """Raises `ValueError` for what cannot be played."""
    asked = question.items[: params.questions]
    if not question.items:
        raise ValueError(
            f"the topic {question.id!r} is no set of questions: it has no items; topics=questions has some, and a topics.file "
            "with the columns `set`, `text`, `options` and `answer` makes sets of yours"
        )
    if params.matchups > most_matchups(len(asked)):
        raise ValueError(
            f"game.params.matchups is {params.matchups}, but of {len(asked)} questions ({question.id!r}) each can be compared "
            f"with {2 * most_matchups(len(asked))} others: game.params.matchups={most_matchups(len(asked))} at most"
        )


def play(table: Table, params: Params) -> Play:
    """The answers, more of them where samples are wanted, then the pairs."""
    (seat,) = table.players
    asked = table.question.items[: params.questions]
    replies = yield from _answers(table, params, seat, asked, 0)
    for sample in range(1, params.samples + 1):
        yield from _answers(table, params, seat, asked, sample)
    given = {item.id: reply.values["answer"] for item, reply in zip(asked, replies, strict=True) if not reply.missing}
    answered = [item for item in asked if item.id in given]
    pairs = matchups(answered, params.matchups, random.Random(f"matchups:{table.seed}"))
    if params.orders == "both":
        pairs += [(second, first) for first, second in pairs]
    yield from table.ask_each(
        seat,
        [_comparison(params, pair, given) for pair in pairs],
        prompt="surer",
        audience=NOBODY,
        phase="matchup",
    )
    lost = len(asked) - len(answered)
    notes = (f"{lost} of {len(asked)} questions have no answer and are in no pair",) if lost else ()
    return Outcome(Decision(None, "none"), notes)


def _answers(
    table: Table, params: Params, seat: str, asked: Sequence[Question], sample: int
) -> Generator[tuple[Ask, ...], tuple[Reply, ...], list[Reply]]:
    """One answer to each question. The seat is shown the first ones again, and nothing else that it said."""
    tags = params.tags
    # The confidence has no way into the pairs, where it would be repeated and not weighed anew.
    again: Mapping[str, Audience] = {"answer": NOBODY if sample else NOBODY_ELSE}
    tasks: list[Task] = []
    for item in asked:
        forms: dict[str, Form] = {"reasoning": Reasoning(tags.reasoning)} if params.reasoning == "own" else {}
        forms |= {"answer": Answer(tags.answer, item.options)}
        forms |= {"confidence": Confidence(tags.confidence, params.scale, about="answer_correct")}
        tasks.append(Task((item.id,), Parts(forms), {"item": item}))
    return (
        yield from table.ask_each(
            seat,
            tasks,
            prompt="answer",
            audience=dict.fromkeys(("reasoning", "confidence"), NOBODY) | again,
            phase="sample" if sample else "answer",
            round=sample + 1,
        )
    )


def _comparison(params: Params, pair: tuple[Question, Question], given: Mapping[str, str]) -> Task:
    rationale: dict[str, Form] = {"rationale": Speech(min_chars=0)} if params.reasoning == "own" else {}
    form = Parts(rationale | {"preference": Choice(params.tags.surer, PREFERENCES)}, guard="off")
    shown = [{"item": item, "answer": defuse(given[item.id], (params.tags.surer,))} for item in pair]
    return Task(tuple(item.id for item in pair), form, {"shown": shown})


def most_matchups(questions: int) -> int:
    """To how many others so many questions can be compared, counted for one of each pair, without a pair occurring twice."""
    return max(0, (questions - 1) // 2)


def matchups(questions: Sequence[Question], wanted: int, random: random.Random) -> list[tuple[Question, Question]]:
    """Pairs, the one that is shown first first, by the match's seed: each question stands first in `wanted` pairs and second in
    as many, no pair occurs twice, and a chain of pairs links every question to every other.

    The questions are dealt into a ring; in each round every one meets the one so many places on. Fewer rounds where the
    ring is too short for `wanted`.
    """
    ring = random.sample(questions, len(questions))
    most = most_matchups(len(ring))
    steps = [1, *random.sample(range(2, most + 1), min(wanted, most) - 1)] if most else []
    return [(ring[place], ring[(place + step) % len(ring)]) for step, place in product(steps, range(len(ring)))]
