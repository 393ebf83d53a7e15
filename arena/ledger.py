"""The append-only record of a run's calls, and reading it back.

A ledger is a folder of JSON-lines segments, one per writing process. Before a request leaves, its `intent` is written;
then its `reply` or `failure`; a match that reached its outcome gets an `end`. A record is one write, made before
anybody acts on it, so a killed process loses nothing it had acknowledged; data are synced to the disk in groups, at the
latest every half second and at a match's end. A line that was torn by a crash is owed again, and so is one whose
checksum, its last member, no longer fits.

    run       what was played: digests of the experiment's sections, seed
    intent    match, key (step, slot, call, attempt), seat, role, model, digest, the most the call can come to
    reply     match, key, usage, cost, latency, tries, the provider's model id; last the words: text, hidden reasoning
    failure   match, key, kind, message: the call failed for good
    retry     match: failures before this record are asked again, and what followed from them may change
    end       match, decision
    round     meetings, saw, standing, stop: what a schedule that waits for results decided, and the results it saw

A key that has several intents was sent several times: each but the last may have cost its most.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import threading
import time
import zlib
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from arena.history import NOT_KNOWN, NOTHING, Entry, History, Spent, came_to
from arena.mistake import Mistake
from arena.types import Answer, CallKey, Completion, Errand, Failure, Most, Usage

FORMAT = 2
"""What a ledger says of how its records are written; before 2 there were other digests, and no checksums."""

SYNC_EVERY_S = 0.5
"""How often whoever plays calls `sync`, so that a loss of power takes no more than this."""


# macOS has no fdatasync.
_SYNC = getattr(os, "fdatasync", os.fsync)


class LedgerError(Mistake):
    """A ledger that cannot be written or read: locked by another process, or damaged. The message names the place."""


class Locked(LedgerError):
    """Another process is writing it."""


# ------------------------------------------------------------------ writing


class Ledger:
    """The writing end. Opening it takes the run's lock; a second process is refused."""

    def __init__(self, folder: Path):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as problem:
            raise LedgerError(f"{folder} cannot be written ({problem.strerror})") from problem
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            os.close(self._lock)
            raise Locked(f"{folder.parent} is being played by another process; wait for it or stop it") from problem
        self._file: int | None = None
        self._dirty, self._unsynced, self._syncing = False, False, threading.Lock()
        self._folder, self._broken = folder, ""

    def begin(self, sections: Mapping[str, str]) -> None:
        self._write({"kind": "run", "format": FORMAT, "sections": dict(sections), "at": time.time()})

    def intent(self, errand: Errand) -> None:
        most = errand.most
        self._write(
            {
                "kind": "intent", "match": errand.match, "key": [*errand.key], "seat": errand.seat, "role": errand.role,
                "model": errand.model, "digest": errand.digest, "most_usd": most.usd, "most_tokens": most.tokens,
                "at": time.time(),
            }
        )  # fmt: skip

    def answer(self, errand: Errand, answer: Answer) -> None:
        self._write(
            {
                "kind": "reply" if isinstance(answer, Completion) else "failure", "match": errand.match,
                "key": [*errand.key], "seat": errand.seat, "asked": errand.model, "digest": errand.digest,
                "answer": _plain(answer),
            }
        )  # fmt: skip

    def retry(self, match: str) -> None:
        self._write({"kind": "retry", "match": match, "at": time.time()})

    def end(self, match: str, decision: Mapping[str, Any]) -> None:
        self._write({"kind": "end", "match": match, "decision": decision, "at": time.time()})

    def round(self, decided: Mapping[str, Any]) -> None:
        self._write({"kind": "round", **decided, "at": time.time()})
        self.sync()

    def sync(self) -> None:
        """Force what was written to the disk. May be called from another thread."""
        with self._syncing:
            if self._unsynced:
                raise LedgerError(self._broken)
            if self._dirty and self._file is not None:
                self._dirty = False
                try:
                    _SYNC(self._file)
                except OSError as problem:
                    # What the system could not put on the disk it has forgotten: nothing after it may be believed.
                    self._unsynced = True
                    self._broken = self._cannot(str(problem.strerror))
                    raise LedgerError(self._broken) from problem

    def close(self) -> None:
        try:
            self.sync()
        finally:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            os.close(self._lock)

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._broken:
            raise LedgerError(self._broken)
        written = as_written(record)
        try:
            if self._file is None:
                self._file = self._segment()
            problem = None if os.write(self._file, written) == len(written) else "a record was cut short"
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            # A torn line is its segment's last: nothing may be appended behind it.
            self._broken = self._cannot(problem)
            raise LedgerError(self._broken)
        self._dirty = True

    def _cannot(self, problem: str) -> str:
        return (
            f"{self._folder} cannot be written ({problem}); see to the disk, then: arena resume {self._folder.parent}"
        )

    def _segment(self) -> int:
        """A file of its own, which begins with its first record."""
        number = 1 + max((int(path.stem) for path in _segments(self._folder)), default=0)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        return os.open(self._folder / f"{number:04}.jsonl", flags, 0o644)


def _plain(answer: Answer) -> dict[str, Any]:
    """An answer as its record holds it, its words last: whoever adds up what calls cost need not read them."""
    if isinstance(answer, Failure):
        return asdict(answer)
    usage = answer.usage
    return {
        "finish": answer.finish,
        "usage": {
            "input": usage.input, "output": usage.output, "cached": usage.cached, "cache_write": usage.cache_write,
            "reasoning": usage.reasoning,
        },
        "model": answer.model, "cost_usd": answer.cost_usd, "latency_s": answer.latency_s, "tries": answer.tries,
        "started_at": answer.started_at,
        # Last, and in this order: who counts reads no further.
        "reasoning": answer.reasoning, "text": answer.text,
    }  # fmt: skip


_REPLY = b'{"kind":"reply"'
_WORDS = b',"reasoning":'
"""Before the words of a reply, for the second time; no string can hold these bytes, since its quotes are escaped."""

_SUM = b',"sum":'
"""Before a record's last member, the checksum of all that stands before this."""


def as_written(record: Mapping[str, Any]) -> bytes:
    """A record as it is written, its checksum last."""
    try:
        plain = orjson.dumps(record)[:-1]
    except TypeError:
        # Halves of characters, which only JSON's escapes can carry.
        plain = json.dumps(record, separators=(",", ":")).encode()[:-1]
    return b"%b%b%d}\n" % (plain, _SUM, zlib.crc32(plain))


# ------------------------------------------------------------------ reading


class Reading:
    """A ledger read back: an index of where each match's records stand, which are read again when they are wanted, so that what
    is kept of a match does not grow with what was said in it."""

    def __init__(self, folder: Path):
        self.format = FORMAT
        self.sections: Mapping[str, str] | None = None
        """The digests that the run began with; None for a ledger without a first record."""
        self.rounds: list[Mapping[str, Any]] = []
        """What a schedule that waits for results decided, in order."""
        self.damaged: list[str] = []
        """Whole lines that could not be read, as `file:line`; what stood there is owed again."""
        self.unannounced: list[str] = []
        """Answers without an intent before them: nobody asked."""
        self.torn: list[str] = []
        """Last lines that a crash cut off; they are owed again too."""
        self.spent: dict[tuple[str, str], Spent] = {}
        """What all calls came to, by model and role: the most that a call could come to where nobody knows."""
        self._places: dict[str, array[int]] = {}
        """Match to segment, offset and length of each of its records, one after the other."""
        self._ends: dict[str, int] = {}
        """Match to the number of its end record among these."""
        self._harmed: dict[str | None, int] = {}
        """Match to the last segment in which one of its records is damaged; None stands for all, where a line does not say whose it
        is."""
        self._standing: dict[tuple[Any, ...], tuple[tuple[str, str], Most]] = {}
        """Intents that no answer has come to yet: whom they ask, and the most that they can come to."""
        self._paths = _segments(folder)
        for number in range(len(self._paths)):
            self._index(number)
        for who, most in self._standing.values():
            self._add(who, came_to(None, most))
        del self._standing
        for match in self._harmed.keys() - self._places.keys():
            self._harmed[None] = max(self._harmed[match], self._harmed.get(None, 0))

    @property
    def matches(self) -> Collection[str]:
        """The ids of the matches that have records."""
        return self._places.keys()

    def history(self, match: str) -> History:
        """What is known of a match."""
        history = History(match)
        for line in self._lines(self._places.get(match, array("q"))):
            record = _record(line)
            _take(history, record["kind"], record)
        return history

    def histories(self) -> Iterator[History]:
        """What is known of each match, one at a time."""
        return map(self.history, self._places)

    def is_over(self, match: str) -> bool:
        """Whether a match has ended, and none of its records is damaged: what it lost is owed again."""
        place = self._end(match)
        return place is not None and place[0] > max(self._harmed.get(match, -1), self._harmed.get(None, -1))

    def ended(self, match: str) -> Mapping[str, Any] | None:
        """How a match ended; None while it is not over."""
        if not self.is_over(match):
            return None
        (line,) = self._lines(self._end(match) or array("q"))
        return _record(line)["decision"]

    @property
    def spent_usd(self) -> float:
        """What all calls cost; nothing where no price is known."""
        return sum(spent.usd for spent in self.spent.values())

    def _end(self, match: str) -> array[int] | None:
        number = self._ends.get(match)
        return None if number is None else self._places[match][3 * number : 3 * number + 3]

    def _lines(self, places: array[int]) -> Iterator[bytes]:
        files: dict[int, int] = {}
        try:
            for segment, offset, length in zip(places[::3], places[1::3], places[2::3], strict=True):
                if segment not in files:
                    files[segment] = os.open(self._paths[segment], os.O_RDONLY)
                yield os.pread(files[segment], length, offset)
        finally:
            for file in files.values():
                os.close(file)

    def _index(self, segment: int) -> None:
        path, offset = self._paths[segment], 0
        with path.open("rb", buffering=2**20) as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    self.torn.append(f"{path.name}:{number}")
                    return
                try:
                    record = _record(line, sealed=self.format > 1, words=False)
                    match record["kind"]:
                        case "run":
                            if self.sections is None:
                                self.sections, self.format = record["sections"], record["format"]
                        case "round":
                            names = ("meetings", "saw", "standing", "stop")
                            self.rounds.append({name: record[name] for name in names})
                        case kind:
                            if not self._note(kind, record):
                                self.unannounced.append(f"{path.name}:{number}")
                            self._places.setdefault(record["match"], array("q")).extend((segment, offset, len(line)))
                except (ValueError, KeyError, TypeError):
                    self.damaged.append(f"{path.name}:{number}")
                    found = _MATCH.search(line)
                    self._harmed[found[1].decode() if found else None] = segment
                offset += len(line)

    def _note(self, kind: str, record: Mapping[str, Any]) -> bool:
        """Keep count of what a record says. False when it is an answer that no intent announced.

        Raises `KeyError`, `TypeError` or `ValueError` for one that is not whole.
        """
        match: str = record["match"]
        match kind:
            case "intent":
                call = (match, *record["key"])
                if (lost := self._standing.get(call)) is not None:
                    # Asked again: nobody knows what the first came to.
                    self._add(lost[0], came_to(None, lost[1]))
                self._standing[call] = (record["model"], record.get("role", "")), _most(record)
            case "reply" | "failure":
                answer = _answer(kind, record["answer"])
                asked = self._standing.pop((match, *record["key"]), None)
                who, most = asked or ((record["asked"], ""), NOT_KNOWN)
                self._add(who, came_to(answer, most))
                return asked is not None
            case "retry":
                self._ends.pop(match, None)
            case "end":
                self._ends[match] = len(self._places.get(match, ())) // 3
            case _:
                raise ValueError(kind)
        return True

    def _add(self, who: tuple[str, str], spent: Spent) -> None:
        self.spent[who] = self.spent.get(who, NOTHING) + spent


def read(folder: Path) -> Reading:
    """Read a run's ledger. Torn and damaged lines are located and skipped, the rest is used."""
    return Reading(folder)


_MATCH = re.compile(rb'^.{0,40}"match":"([^"\\]+)"')


def _record(line: bytes, *, sealed: bool = False, words: bool = True) -> dict[str, Any]:
    """The record on a line; a reply's perhaps without its words. Raises `ValueError` where it is none, or not what was written.

    A line that is not `sealed` may have no checksum.
    """
    end = line.rfind(_SUM, -20)
    if end < 0:
        record = json.loads(line)
        if sealed and not (isinstance(record, dict) and record.get("format") == 1):  # pyright: ignore[reportUnknownMemberType]
            raise ValueError("the checksum is missing")
        return record
    if not line.endswith(b"}\n") or zlib.crc32(line[:end]) != int(line[end + len(_SUM) : -2]):
        raise ValueError("the checksum does not fit")
    if not words and line.startswith(_REPLY) and (last := line.find(_WORDS, line.find(_WORDS) + 1)) >= 0:
        # What comes before them is all that is counted, and a hundredth of the line.
        line = line[:last] + b"}}"
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)  # halves of characters


def _take(history: History, kind: str, record: Mapping[str, Any]) -> None:
    match kind:
        case "intent":
            entry = Entry(
                CallKey(*record["key"]), record["seat"], record["model"], record["digest"], None,
                record["at"], _most(record), record.get("role", ""),
            )  # fmt: skip
            if history.started_at is None:
                history.started_at = entry.at
            history.add(entry)
        case "reply" | "failure":
            answer = _answer(kind, record["answer"])
            key = CallKey(*record["key"])
            history.add(Entry(key, record["seat"], record["asked"], record["digest"], answer, answer.started_at))
        case "retry":
            history.open_again()
        case _:
            history.ended, history.ended_at = record["decision"], record["at"]


def _most(intent: Mapping[str, Any]) -> Most:
    return Most(intent["most_usd"], intent.get("most_tokens"))


def _answer(kind: str, plain: Mapping[str, Any]) -> Answer:
    if kind == "failure":
        return Failure(**plain)
    fields: dict[str, Any] = {"text": "", **plain}
    fields["usage"] = Usage(**plain["usage"])
    return Completion(**fields)


def _segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdigit())
