"""The append-only record of a run's calls, and reading it back.

A ledger is a folder of JSON-lines segments, one per writing process. Before a request leaves, its `intent` is written;
then its `reply` or `failure`; a match that reached its outcome gets an `end`. A record is one write, made before
anybody acts on it, so a killed process loses nothing it had acknowledged; data are synced to the disk in groups, at the
latest every half second and at a match's end. A line that was torn by a crash is owed again.

    run       what was played: digests of the experiment's sections, seed
    intent    match, key (step, slot, call, attempt), seat, model, digest, the most the call can cost
    reply     match, key, text, finish, usage, cost, latency, tries, the provider's model id, hidden reasoning
    failure   match, key, kind, message: the call failed for good
    retry     match: failures before this record are asked again, and what followed from them may change
    end       match, decision
    round     meetings, saw, standing, stop: what a schedule that waits for results decided, and the results it saw
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arena.history import Entry, History
from arena.types import Answer, Call, CallKey, Completion, Failure, Usage

SYNC_EVERY_S = 0.5
"""How often whoever plays calls `sync`, so that a loss of power takes no more than this."""


# macOS has no fdatasync.
_SYNC = getattr(os, "fdatasync", os.fsync)


class LedgerError(Exception):
    """A ledger that cannot be written or read: locked by another process, or damaged. The message names the place."""


# ------------------------------------------------------------------ writing


class Ledger:
    """The writing end. Opening it takes the run's lock; a second process is refused."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            os.close(self._lock)
            raise LedgerError(
                f"{folder.parent} is being played by another process; wait for it or stop it"
            ) from problem
        number = 1 + max((int(path.stem) for path in _segments(folder)), default=0)
        self._file = os.open(folder / f"{number:04}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._dirty = False
        self._folder, self._broken = folder, ""

    def begin(self, sections: Mapping[str, str]) -> None:
        self._write({"kind": "run", "format": 1, "sections": dict(sections), "at": time.time()})

    def intent(self, call: Call, most_usd: float | None) -> None:
        self._write(
            {
                "kind": "intent", "match": call.match, "key": call.key, "seat": call.seat,
                "model": call.request.model, "digest": call.digest, "most_usd": most_usd, "at": time.time(),
            }
        )  # fmt: skip

    def answer(self, call: Call, answer: Answer) -> None:
        self._write(
            {
                "kind": "reply" if isinstance(answer, Completion) else "failure", "match": call.match,
                "key": call.key, "seat": call.seat, "asked": call.request.model, "digest": call.digest,
                "answer": {name: value for name, value in asdict(answer).items() if value is not None},
            }
        )  # fmt: skip

    def retry(self, match: str) -> None:
        self._write({"kind": "retry", "match": match, "at": time.time()})

    def end(self, match: str, decision: Mapping[str, Any]) -> None:
        self._write({"kind": "end", "match": match, "decision": decision, "at": time.time()})
        self.sync()

    def round(self, decided: Mapping[str, Any]) -> None:
        self._write({"kind": "round", **decided, "at": time.time()})
        self.sync()

    def sync(self) -> None:
        """Force what was written to the disk."""
        if self._dirty:
            _SYNC(self._file)
            self._dirty = False

    def close(self) -> None:
        self.sync()
        os.close(self._file)
        os.close(self._lock)

    def _write(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        if self._broken:
            raise LedgerError(self._broken)
        try:
            problem = None if os.write(self._file, line) == len(line) else "a record was cut short"
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            # A torn line is its segment's last: nothing may be appended behind it.
            cure = f"see to the disk, then: arena resume {self._folder.parent}"
            self._broken = f"{self._folder} cannot be written ({problem}); {cure}"
            raise LedgerError(self._broken)
        self._dirty = True


# ------------------------------------------------------------------ reading


@dataclass(frozen=True, slots=True)
class Reading:
    """A ledger read back."""

    matches: Mapping[str, History]
    sections: Mapping[str, str] | None
    """The digests that the run began with; None for a ledger without a first record."""
    rounds: tuple[Mapping[str, Any], ...]
    """What a schedule that waits for results decided, in order."""
    damaged: tuple[str, ...]
    """Whole lines that could not be read, as `file:line`; what stood there is owed again."""
    unannounced: tuple[str, ...]
    """Answers without an intent before them: nobody asked."""
    torn: tuple[str, ...]
    """Last lines that a crash cut off; they are owed again too."""

    def history(self, match: str) -> History:
        return self.matches.get(match) or History(match)

    @property
    def spent_usd(self) -> float:
        """What all calls cost; the most that a call could cost where its reply never came, nothing where no price is known."""
        entries = (e for history in self.matches.values() for e in (*history.entries.values(), *history.superseded))
        return sum(entry.spent_usd for entry in entries)


def read(folder: Path) -> Reading:
    """Read a run's ledger. Torn and damaged lines are located and skipped, the rest is used."""
    matches: dict[str, History] = {}
    sections: Mapping[str, str] | None = None
    rounds: list[Mapping[str, Any]] = []
    damaged: list[str] = []
    unannounced: list[str] = []
    torn: list[str] = []
    for path in _segments(folder):
        data = path.read_bytes()
        lines = data.split(b"\n")
        if lines.pop():
            torn.append(f"{path.name}:{len(lines) + 1}")
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                kind = record["kind"]
                if kind == "run":
                    sections = sections or record["sections"]
                    continue
                if kind == "round":
                    rounds.append({name: record[name] for name in ("meetings", "saw", "standing", "stop")})
                    continue
                history = matches.setdefault(record["match"], History(record["match"]))
                if not _take(history, kind, record):
                    unannounced.append(f"{path.name}:{number}")
            except (ValueError, KeyError, TypeError):
                damaged.append(f"{path.name}:{number}")
    return Reading(matches, sections, tuple(rounds), tuple(damaged), tuple(unannounced), tuple(torn))


def _take(history: History, kind: str, record: Mapping[str, Any]) -> bool:
    """Take in a record. False when it is an answer that no intent announced."""
    match kind:
        case "intent":
            entry = Entry(
                CallKey(*record["key"]), record["seat"], record["model"], record["digest"], None,
                record["at"], record["most_usd"],
            )  # fmt: skip
            if history.started_at is None:
                history.started_at = entry.at
            history.add(entry)
        case "reply" | "failure":
            answer = _answer(kind, record["answer"])
            key = CallKey(*record["key"])
            asked = history.entries.get(key)
            history.add(Entry(key, record["seat"], record["asked"], record["digest"], answer, answer.started_at))
            return asked is not None and asked.answer is None
        case "retry":
            history.open_again()
        case "end":
            history.ended, history.ended_at = record["decision"], record["at"]
        case _:
            raise ValueError(kind)
    return True


def _answer(kind: str, plain: Mapping[str, Any]) -> Answer:
    if kind == "failure":
        return Failure(**plain)
    fields = dict(plain)
    fields["usage"] = Usage(**plain["usage"])
    return Completion(**fields)


def _segments(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.glob("*.jsonl") if path.stem.isdigit()))
