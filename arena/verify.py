"""Prove from the disk that a run is what it says: replay, digests, privacy, tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pandas.testing import assert_frame_equal

from arena import config, frames
from arena.forms import Chosen
from arena.history import History, Played
from arena.ledger import Reading
from arena.match import Setting, ending
from arena.replay import Diverged, Match, walk
from arena.run import Run
from arena.table import Tamper
from arena.tournament import Course, share, stands
from arena.types import Answer, Call, CallKey, MatchSpec, Question, Utterance


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and where."""

    check: str
    place: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked, and what was found."""

    matches: int
    finished: int
    calls: int
    views: int
    """Requests that were rebuilt with everything their seat may not hear replaced."""
    in_flight: int
    """Calls that a crash interrupted: paid for all we know, and asked again."""
    superseded: int
    torn: tuple[str, ...]
    findings: tuple[Finding, ...]


def verify(run: Run) -> Verified:
    """Replay every match and compare: every digest must fit, no seat's prompts may depend on what it may not hear, ends
    must be the recorded ones, and the tables must be what the ledger says."""
    reading = run.read()
    findings: list[Finding] = []
    finished = calls = views = 0
    planned = run.matches(reading)

    def replayed() -> Iterator[Played]:
        nonlocal finished, calls, views
        for spec in planned:
            history, match = reading.history(spec.id), run.setting.match(spec)
            log = _Log(history)
            try:
                walked, _ = walk(match, log)
            except Diverged as problem:
                findings.append(Finding("digests", spec.name, str(problem)))
                continue
            calls += len(log.calls)
            finished += walked.outcome is not None
            if (walked.outcome is not None) != (history.ended is not None):
                ended = "has an end record and no outcome" if history.ended else "has an outcome and no end record"
                findings.append(Finding("ends", spec.name, ended))
            elif walked.outcome is not None and (now := ending(walked.outcome)) != history.ended:
                findings.append(Finding("ends", spec.name, f"ends with {now}, recorded is {history.ended}"))
            for seat in match.agents:
                views += sum(call.seat == seat for call in log.calls)
                found = leaks(match, history, log.calls, seat)
                findings.extend(Finding("privacy", spec.name, problem) for problem in found)
            if not blind_to_the_key(run.setting, spec, history):
                findings.append(Finding("privacy", spec.name, "what is asked depends on which answers are right"))
            yield run.walked(walked, history)

    in_tables = _tables(run, frames.batches(replayed()))
    if not findings:  # in the ledger that the tables are to be made of
        findings += in_tables
    for stranger in set(reading.matches) - {spec.id for spec in planned}:
        findings.append(Finding("matches", stranger, "is in the ledger and not in the experiment"))
    findings += (Finding("ledger", place, "cannot be read") for place in reading.damaged)
    findings += (Finding("ledger", place, "is an answer that nobody asked for") for place in reading.unannounced)
    findings += _sections(config.sections(run.experiment), reading)
    findings += _decisions(run, reading)
    return Verified(
        matches=len(planned),
        finished=finished,
        calls=calls,
        views=views,
        in_flight=sum(len(history.in_flight()) for history in reading.histories()),
        superseded=_superseded(reading),
        torn=tuple(reading.torn),
        findings=tuple(findings),
    )


def _superseded(reading: Reading) -> int:
    return sum(entry.answer is not None for history in reading.histories() for entry in history.superseded)


@dataclass(slots=True)
class _Log:
    """A history that remembers which calls it answered."""

    history: History
    calls: list[Call]

    def __init__(self, history: History):
        self.history, self.calls = history, []

    def answer(self, call: Call) -> Answer | None:
        answer = self.history.answer(call)
        if answer is not None:
            self.calls.append(call)
        return answer


def _sections(now: Mapping[str, str], reading: Reading) -> Iterator[Finding]:
    if reading.sections is None:
        yield Finding("experiment", "ledger", "does not say what experiment it was begun with")
        return
    for name, digest in now.items():
        if reading.sections.get(name) != digest:
            yield Finding("experiment", name, "has changed since the ledger was begun")


def _decisions(run: Run, reading: Reading) -> Iterator[Finding]:
    """What a schedule decided has to follow from the results that it saw, and these have to be the recorded ones."""
    recorded = run.course(reading)
    if recorded is None:
        return
    tournament = recorded.tournament
    replayed, results = Course(tournament), dict[str, float | None]()
    seats = {spec.id: tuple(spec.players) for spec in recorded.matches}
    for number, record in enumerate(reading.rounds):
        place, decided = f"round {number}", tournament.recorded(record)
        results |= decided.saw
        for match, saw in decided.saw.items():
            history = reading.history(match)
            asked_again = any(entry.answer is not None for entry in history.superseded)
            if match not in seats:
                yield Finding("schedule", place, f"saw {match}, which it had not decided on")
            elif history.ended is not None and not asked_again and share(history.ended, seats[match]) != saw:
                yield Finding("schedule", place, f"saw {saw} of {match}, which its end record does not say")
        if unseen := [spec.id for spec in replayed.matches if spec.id not in results]:
            yield Finding("schedule", place, f"did not see {', '.join(unseen)}, decided on before")
            return
        past = [*tournament.field.past, *replayed.encounters(results)]
        standing = stands(past, tournament.field, tournament.stop.goal) if tournament.stop.goal else {}
        known = standing.get("state") == "known"
        if any(standing.get(key) != decided.standing.get(key) for key in ("state", "answer")) or (
            known != (decided.stop == "order_known")
        ):
            yield Finding("schedule", place, "says of the order what does not follow from the results that it saw")
        proposed = [] if known else tournament.propose(past, replayed.rounds)
        if tuple(proposed[: len(decided.meetings)]) != decided.meetings or (decided.stop == "finished" and proposed):
            yield Finding("schedule", place, "does not follow from the results that it saw")
        if decided.meetings:
            replayed.rounds.append(decided)


# ------------------------------------------------------------------ privacy


def leaks(match: Match, history: History, calls: list[Call], seat: str) -> Iterator[str]:
    """How the prompts of a seat depend on what it may not hear: non-interference, checked by replacing that.

    The match is walked again with every utterance that the seat is no audience of replaced by another; all requests of
    the seat have to be the same to the byte.
    """
    other = _Altered(history, seat)
    walk(match, other, tamper=_replaced(seat))
    for call in calls:
        if call.seat == seat and other.digests.get(call.key) != call.digest:
            yield f"what {seat} is asked at step {call.key.step} depends on what it may not hear"


def blind_to_the_key(setting: Setting, spec: MatchSpec, history: History) -> bool:
    """Whether the match's requests are the recorded ones also where other answers are right."""
    other = replace(spec, question=_rekeyed(spec.question))
    if other == spec:
        return True
    try:
        walk(setting.match(other), history)
    except Diverged:
        return False
    return True


def _rekeyed(question: Question) -> Question:
    """The question with another key, where it has one."""
    key = tuple(f"[replaced] {answer[::-1]}" for answer in question.key)
    return replace(question, key=key, items=tuple(_rekeyed(item) for item in question.items))


@dataclass(slots=True)
class _Altered:
    """Answers from the record whatever the digest of the others' calls now is; notes the seat's own."""

    history: History
    seat: str
    digests: dict[CallKey, str]

    def __init__(self, history: History, seat: str):
        self.history, self.seat, self.digests = history, seat, {}

    def answer(self, call: Call) -> Answer | None:
        if call.seat == self.seat:
            self.digests[call.key] = call.digest
        entry = self.history.entries.get(call.key)
        return entry.answer if entry is not None else None


def _replaced(seat: str) -> Tamper:
    def tamper(said: Utterance) -> Utterance:
        return said if seat in said.audience else _another(said)

    return tamper


def _another(said: Utterance) -> Utterance:
    """The same utterance with other content of the same kind."""
    match said.value:
        case float() as value:
            value = 0.25 if value != 0.25 else 0.75
        case str() as value:
            value = f"[replaced] {value[::-1]}"
        case Chosen() as chosen:
            value = replace(chosen, probability=1 - chosen.probability)
        case value:
            pass
    return replace(said, value=value, text=f"[replaced] {said.text[::-1]}", shown="")


# ------------------------------------------------------------------ tables


PIECE = 4096
"""Rows of a stored table that are read at once."""


class _Stored:
    """A table of a run, read on by as many rows as are asked for, whatever row groups it has."""

    def __init__(self, folder: Path, name: str):
        self._schema = frames.schema(name)
        path = folder / f"{name}.parquet"
        if name in frames.LATER and not path.exists():
            self._pieces, self._columns = iter(()), ()
        else:
            # Buffered, since a row group of a large run does not fit into memory.
            file = pq.ParquetFile(path, buffer_size=2**20)
            self._columns = tuple(column for column in self._schema.names if column in file.schema_arrow.names)
            self._pieces = file.iter_batches(PIECE, columns=self._columns)
        self._ahead = self._schema.empty_table()

    def next(self, rows: int) -> Any:
        """The next rows as a pyarrow table, fewer where it ends."""
        while self._ahead.num_rows < rows and (piece := next(self._pieces, None)) is not None:
            self._ahead = pa.concat_tables([self._ahead, self._typed(piece)])
        taken, self._ahead = self._ahead.slice(0, rows), self._ahead.slice(rows)
        return taken

    def _typed(self, piece: Any) -> Any:
        """Rows as they would be stored now; a column that an older run has not is empty, and a row of its calls is one call."""
        columns = {
            field.name: piece[field.name].cast(field.type)
            if field.name in self._columns
            else pa.nulls(piece.num_rows, field.type)
            for field in self._schema
        }
        if "calls" in columns:
            columns["calls"] = columns["calls"].fill_null(1)
        return pa.table(columns, schema=self._schema)


class _Compared:
    """A table of a run beside what it should hold, which comes a few rows at a time."""

    def __init__(self, run: Run, name: str):
        self._run, self._name = run, name
        self._stored: _Stored | None = None
        self._rows = 0
        self._problem: str | None = None

    def beside(self, derived: Any, *, last: bool = False) -> None:
        """Compare the next rows; the first difference is what is told."""
        self._rows += derived.num_rows
        if self._problem is None:
            self._problem = self._difference(derived, last)

    def finding(self) -> Finding | None:
        """What is wrong. A table that the ledger has nothing for may hold readings of other runs, or not be there in an older."""
        if self._problem is None or (self._name in frames.LATER and not self._rows):
            return None
        return Finding("tables", f"{self._name}.parquet", self._problem)

    def _difference(self, derived: Any, last: bool) -> str | None:
        try:
            self._stored = self._stored or _Stored(self._run.folder / "tables", self._name)
            stored = self._stored.next(derived.num_rows + last)
            if stored.equals(derived):
                return None
            assert_frame_equal(stored.to_pandas(), derived.to_pandas(), check_exact=True)
            return "is not what the ledger says, to the last digit"
        except FileNotFoundError:
            return f"is missing; `arena resume {self._run.folder}` makes it"
        except AssertionError as problem:
            return f"is not what the ledger says: {' '.join(str(problem).split())[:300]}"
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            NotImplementedError,
        ) as problem:  # pyarrow's are of these kinds
            return f"cannot be read: {' '.join(str(problem).split())[:300]}"


def _tables(run: Run, derived: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """What is wrong with the tables, beside those that are derived, some matches at a time."""
    compared = {name: _Compared(run, name) for name in frames.COLUMNS}
    for batch in derived:
        for name, rows in batch.items():
            compared[name].beside(rows)
    for name, table in compared.items():
        table.beside(frames.schema(name).empty_table(), last=True)
    return [found for table in compared.values() if (found := table.finding())]
