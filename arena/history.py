"""What is known of one match's calls: which stand, which were lost or asked again, which are owed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from arena.replay import Diverged, Walk
from arena.types import AgentSpec, Answer, Call, CallKey, Completion, Failure, MatchSpec, Most, Usage


@dataclass(frozen=True, slots=True)
class Spent:
    """What calls have come to; at most, where nobody knows."""

    usd: float = 0.0
    tokens: int = 0
    calls: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.usd + other.usd, self.tokens + other.tokens, self.calls + other.calls)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.usd - other.usd, self.tokens - other.tokens, self.calls - other.calls)


NOTHING = Spent()
NOT_KNOWN = Most(None, None)


def came_to(answer: Answer | None, most: Most) -> Spent:
    """What a call came to: the most that it could while there is no answer, or one that does not say; nothing in USD where no
    price is known."""
    match answer:
        case Completion(usage=usage) if usage != UNSAID or answer.cost_usd is not None:
            return Spent(answer.cost_usd or 0.0, usage.input + usage.output, 1)
        case Failure(may_have_cost=False):
            return Spent(calls=1 if answer.tries else 0)
        case _:
            return Spent(most.usd or 0.0, most.tokens or 0, 1)


UNSAID = Usage()
"""The usage of a reply that came without."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded call: its intent, and its answer when there is one."""

    key: CallKey
    seat: str
    model: str
    digest: str
    answer: Answer | None
    """None for a call that was in flight when the process died: it counts as spent, and is asked again."""
    at: float
    most: Most = NOT_KNOWN
    role: str = ""
    stale: bool = False
    """Whether it stands only if it still fits: something before it is asked again on request."""


@dataclass(slots=True)
class History:
    """What the ledger knows of one match."""

    match: str
    entries: dict[CallKey, Entry] = field(default_factory=dict[CallKey, Entry])
    """The call that stands for each key."""
    superseded: list[Entry] = field(default_factory=list[Entry])
    """Calls that were paid and stand no more: in flight at a crash, or asked again."""
    ended: Mapping[str, Any] | None = None
    ended_at: float | None = None
    started_at: float | None = None
    used: set[CallKey] = field(default_factory=set[CallKey])
    """The calls that the walk has taken so far."""
    _owed: list[CallKey] = field(default_factory=list[CallKey])

    def answer(self, call: Call) -> Answer | None:
        """The recorded answer, None when the call is owed. Raises `Diverged`.

        A record that answers something else than is asked now is no answer, and is asked again, in two cases: what it
        followed from was lost (a loss of power can do that), or is being asked again on request.
        """
        entry = self.entries.get(call.key)
        if entry is None or entry.answer is None or _is_refused_key(entry.answer):
            self._owed.append(call.key)
            return None
        if entry.digest == call.digest:
            self.used.add(call.key)
            return entry.answer
        if entry.stale or any(_follows(call.key, owed) for owed in self._owed):
            self._supersede(call.key)
            self._owed.append(call.key)
            return None
        raise Diverged(
            f"match {call.match}, step {call.key.step}, seat {call.seat}: the recorded call was asked something else "
            f"(digest {entry.digest}, now {call.digest}). The game, its prompts or the settings have changed since."
        )

    def open_again(self) -> bool:
        """Forget failures, so that they are asked again, and let what came after them change. True if there were any."""
        failed = [key for key, entry in self.entries.items() if isinstance(entry.answer, Failure)]
        for key in failed:
            self._supersede(key)
        if failed:
            self.ended = self.ended_at = None
            first = min(key.step for key in failed)
            later = {key: replace(entry, stale=True) for key, entry in self.entries.items() if key.step > first}
            self.entries |= later
        return bool(failed)

    def in_flight(self) -> list[Entry]:
        """Intents without an answer: the calls that were under way when the run was stopped or killed."""
        lost = [entry for entry in self.superseded if entry.answer is None]
        return lost + [entry for entry in self.entries.values() if entry.answer is None]

    def add(self, entry: Entry) -> None:
        """Take in the next record of a call; the latest stands, and what followed from one before may change."""
        if entry.answer is None:
            later = [key for key in self.entries if _follows(key, entry.key)]
            self.entries |= {key: replace(self.entries[key], stale=True) for key in later}
        before = self.entries.get(entry.key)
        if before is not None and before.answer is None and entry.answer is not None:
            entry = replace(entry, most=before.most, role=before.role)
        elif before is not None:
            self.superseded.append(before)
        self.entries[entry.key] = entry

    def _supersede(self, key: CallKey) -> None:
        self.superseded.append(self.entries.pop(key))


def _is_refused_key(answer: Answer) -> bool:
    """A key that was refused says nothing of the call; with the right one it is asked again."""
    return isinstance(answer, Failure) and answer.kind in ("authentication", "quota")


def _follows(key: CallKey, owed: CallKey) -> bool:
    same_slot = (key.step, key.slot) == (owed.step, owed.slot)
    return key.step > owed.step or (same_slot and (key.attempt, key.call) > (owed.attempt, owed.call))


# ------------------------------------------------------------------ a match as it was played


@dataclass(frozen=True, slots=True)
class Played:
    """What the tables are made of: one match, walked as far as its record goes."""

    spec: MatchSpec
    condition: str
    game: str
    walk: Walk
    history: History
    agents: Mapping[str, AgentSpec]
    """Seat name to who sits there."""
    simulated: Collection[str] = ()
    """The models among them that are none."""
    families: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    """Model to its family."""
