"""What is known of one match's calls: which stand, which were lost or asked again, which are owed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from arena.replay import Diverged
from arena.types import Answer, Call, CallKey, Failure


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
    most_usd: float | None = None


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
    retried: bool = False
    _owed: CallKey | None = None

    def answer(self, call: Call) -> Answer | None:
        """The recorded answer, None when the call is owed. Raises `Diverged`."""
        entry = self.entries.get(call.key)
        if entry is not None and self._owed is not None and _follows(call.key, self._owed):
            # Its predecessor was lost (a loss of power can do that), so what it answered is not what is asked now.
            self._supersede(call.key)
            entry = None
        if entry is None or entry.answer is None:
            self._owe(call.key)
            return None
        if entry.digest == call.digest:
            return entry.answer
        if self.retried:
            self._supersede(call.key)
            self._owe(call.key)
            return None
        raise Diverged(
            f"match {call.match}, step {call.key.step}, seat {call.seat}: the recorded call was asked something else "
            f"(digest {entry.digest}, now {call.digest}). The game, its prompts or the settings have changed since."
        )

    def open_again(self) -> bool:
        """Forget failures, so that they are asked again. True if there were any."""
        failed = [key for key, entry in self.entries.items() if isinstance(entry.answer, Failure)]
        for key in failed:
            self._supersede(key)
        if failed:
            self.retried, self.ended, self.ended_at = True, None, None
        return bool(failed)

    def in_flight(self) -> list[Entry]:
        """Intents without an answer: the calls that a crash interrupted."""
        lost = [entry for entry in self.superseded if entry.answer is None]
        return lost + [entry for entry in self.entries.values() if entry.answer is None]

    def add(self, entry: Entry) -> None:
        """Take in the next record of a call; the latest stands."""
        before = self.entries.get(entry.key)
        if before is not None and not (before.answer is None and entry.answer is not None):
            self.superseded.append(before)
        self.entries[entry.key] = entry

    def _supersede(self, key: CallKey) -> None:
        self.superseded.append(self.entries.pop(key))

    def _owe(self, key: CallKey) -> None:
        if self._owed is None or key.step < self._owed.step:
            self._owed = key


def _follows(key: CallKey, owed: CallKey) -> bool:
    same_slot = (key.step, key.slot) == (owed.step, owed.slot)
    return key.step > owed.step or (same_slot and (key.attempt, key.call) > (owed.attempt, owed.call))
