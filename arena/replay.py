"""The ledger's meaning: walk a game through what is recorded.

A `Walk` is one match under way, without any input or output: it says which calls it wants made, is told their answers
in whatever order they come, and ends with the outcome. The live engine drives it with models, everything else (resume,
tables, `log show`, `log verify`) drives it with the record.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from arena.forms import read
from arena.mistake import Mistake
from arena.table import Table, Tamper
from arena.types import (
    Agent,
    Answer,
    Ask,
    Call,
    CallKey,
    Failure,
    Malformed,
    MatchSpec,
    Outcome,
    Play,
    Reply,
    Request,
    Seat,
    View,
)


class Diverged(Mistake):
    """The record holds a call that the game would not make now: its code, its prompts or its settings have changed."""


@dataclass(frozen=True, slots=True)
class Match:
    """A match ready to be played or walked: its spec, with everything that the spec names in place."""

    spec: MatchSpec
    seats: tuple[Seat, ...]
    agents: Mapping[str, Agent]
    """Seat name to agent."""
    lay: Callable[[Tamper | None], Table]
    """A fresh table."""
    play: Callable[[Table], Play]
    attempts: int


class Record(Protocol):
    """What is known of one match's calls."""

    def answer(self, call: Call) -> Answer | None:
        """The recorded answer, or None when the call is owed. Raises `Diverged` when its digest differs."""
        ...


@dataclass(slots=True)
class _Slot:
    """One ask being answered: the agent's generator for the present attempt, and what it waits for."""

    ask: Ask
    view: View
    attempt: int = 0
    agent: Generator[tuple[Request, ...], tuple[Answer, ...], Answer] | None = None
    issued: int = 0
    waiting: dict[CallKey, Answer | None] = field(default_factory=dict[CallKey, "Answer | None"])
    reply: Reply | None = None


class Walk:
    """One match under way."""

    def __init__(self, match: Match, tamper: Tamper | None = None):
        self.match = match
        self.table = match.lay(tamper)
        self.outcome: Outcome | None = None
        self.replies: list[tuple[Ask, Reply]] = []
        """Every ask that was answered, in the order of the game."""
        self._play = match.play(self.table)
        self._slots: list[_Slot] = []

    def start(self) -> list[Call]:
        """The calls that the match begins with."""
        return self._advance(None)

    def reply(self, key: CallKey, answer: Answer) -> list[Call]:
        """The calls that are wanted now that this one is answered; empty while others of the same step are awaited."""
        slot = self._slots[key.slot]
        slot.waiting[key] = answer
        answers = tuple(slot.waiting.values())
        if any(known is None for known in answers):
            return []
        calls = self._resume(slot, tuple(known for known in answers if known is not None))
        if any(slot.reply is None for slot in self._slots):
            return calls
        replies = tuple(slot.reply for slot in self._slots if slot.reply is not None)
        self.replies += zip((slot.ask for slot in self._slots), replies, strict=True)
        return self._advance(replies)

    def _advance(self, replies: tuple[Reply, ...] | None) -> list[Call]:
        try:
            asks = self._play.send(replies)  # pyright: ignore[reportArgumentType]  (None starts a generator)
        except StopIteration as end:
            self.outcome = end.value
            return []
        self._slots = [_Slot(ask, self.table.view(ask.seat)) for ask in asks]
        return [call for slot in self._slots for call in self._attempt(slot, None)]

    def _attempt(self, slot: _Slot, reason: str | None) -> list[Call]:
        agent = self.match.agents[slot.ask.seat]
        slot.agent = agent.respond(slot.view, slot.ask, slot.attempt, reason)
        slot.issued = 0
        return self._resume(slot, None)

    def _resume(self, slot: _Slot, answers: tuple[Answer, ...] | None) -> list[Call]:
        assert slot.agent is not None
        try:
            requests = slot.agent.send(answers)  # pyright: ignore[reportArgumentType]
        except StopIteration as end:
            return self._read(slot, end.value)
        calls = [self._call(slot, slot.issued + i, request) for i, request in enumerate(requests)]
        slot.issued += len(calls)
        slot.waiting = {call.key: None for call in calls}
        return calls

    def _call(self, slot: _Slot, number: int, request: Request) -> Call:
        key = CallKey(slot.ask.step, slot.ask.slot, number, slot.attempt)
        return Call(self.match.spec.id, key, slot.ask.seat, request)

    def _read(self, slot: _Slot, answer: Answer) -> list[Call]:
        attempts = slot.attempt + 1
        if isinstance(answer, Failure):
            status = "refused" if answer.kind == "refused" else "failed"
            slot.reply = Reply({}, status, attempts, f"{answer.kind}: {answer.message}")
            return []
        values = read(slot.ask.form, answer)
        if not isinstance(values, Malformed):
            slot.reply = Reply(values, "ok" if attempts == 1 else "repaired", attempts, text=answer.text)
            return []
        if attempts < self.match.attempts:
            slot.attempt += 1
            return self._attempt(slot, values.reason)
        slot.reply = Reply({}, values.status, attempts, values.reason, answer.text)
        return []


def walk(match: Match, record: Record, tamper: Tamper | None = None) -> tuple[Walk, list[Call]]:
    """Walk a match as far as the record goes. Returns it, and the calls that are owed (none when it reached its end)."""
    walked = Walk(match, tamper)
    owed: list[Call] = []
    wanted = walked.start()
    while wanted:
        call = wanted.pop(0)
        answer = record.answer(call)
        if answer is None:
            owed.append(call)
        else:
            wanted += walked.reply(call.key, answer)
    return walked, owed
