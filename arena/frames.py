"""Ledger to tidy tables: walked matches become rows, rows become Parquet or pandas frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from arena.forms import Answer, Choice, Chosen, Confidence, Implied, Parts, Verdict, same, written
from arena.history import Entry, Played
from arena.types import Ask, Completion, Failure, Form, Reply, Seat

COLUMNS: dict[str, dict[str, str]] = {
    "matches": {
        "match_id": "string", "name": "string", "game": "string", "condition": "string", "topic_id": "string",
        "topic": "string", "repeat": "Int64", "seed": "Int64", "status": "string", "decision": "string",
        "winner": "string", "margin": "Float64", "notes": "string", "mirror_of": "string",
        "pairing_probability": "Float64", "started_at": "datetime64[us, UTC]", "ended_at": "datetime64[us, UTC]",
    },
    "seats": {
        "match_id": "string", "seat": "string", "role": "string", "agent": "string", "model": "string",
        "family": "string", "system": "string", "temperature": "Float64", "top_p": "Float64", "max_output_tokens": "Int64",
        "reasoning_effort": "string", "seed": "Int64",
    },
    "utterances": {
        "match_id": "string", "step": "Int64", "round": "Int64", "phase": "string", "seat": "string",
        "agent": "string", "model": "string", "part": "string", "audience": "string", "status": "string",
        "text": "string", "chars": "Int64", "flags": "string",
    },
    "confidences": {
        "match_id": "string", "condition": "string", "topic_id": "string", "round": "Int64", "phase": "string",
        "seat": "string", "agent": "string", "model": "string", "opponent": "string", "about": "string",
        "audience": "string", "elicitation": "string", "value": "Float64", "status": "string", "raw": "string",
        "reasoning": "string", "flags": "string",
    },
    "verdicts": {
        "match_id": "string", "judge": "string", "model": "string", "ballot": "Int64", "choice": "string",
        "probability": "Float64", "order": "string", "status": "string",
    },
    "calls": {
        "match_id": "string", "step": "Int64", "slot": "Int64", "call": "Int64", "attempt": "Int64",
        "calls": "Int64", "seat": "string", "model": "string", "provider_model": "string", "input_tokens": "Int64",
        "cached_tokens": "Int64", "output_tokens": "Int64", "reasoning_tokens": "Int64", "cost_usd": "Float64",
        "most_usd": "Float64",
        "latency_s": "Float64", "tries": "Int64", "finish": "string", "status": "string",
        "started_at": "datetime64[us, UTC]",
    },
    "readings": {
        "match_id": "string", "round": "Int64", "phase": "string", "seat": "string", "model": "string",
        "reader": "string", "reader_model": "string", "ballot": "Int64", "implied": "Float64", "stated": "boolean",
        "strategic": "boolean", "assessment": "string", "degree": "string", "status": "string", "raw": "string",
    },
    "answers": {
        "match_id": "string", "condition": "string", "topic_id": "string", "round": "Int64", "phase": "string",
        "seat": "string", "agent": "string", "model": "string", "answer": "string", "correct": "boolean",
        "status": "string", "raw": "string",
    },
    "preferences": {
        "match_id": "string", "condition": "string", "seat": "string", "agent": "string", "model": "string",
        "first": "string", "second": "string", "preferred": "string", "status": "string", "raw": "string",
    },
}  # fmt: skip
"""Table name to column name to pandas type.

`flags` (comma-separated words) and `calls` above 1 come from imports alone: what is known to be wrong with a row, and how
many calls a row sums up where its source kept totals only. An imported confidence that a person typed in is `unparsed` and
has its published value all the same. `readings` is what readers made of private reasoning, in the
run that they read and in their own; its `match_id` is the match that was read, its `assessment` and `degree` are words of a
published reader. `answers` and `preferences` are a matchup's: what was answered to each question, whose id is the
`topic_id`, in which `round` (the first counts, later ones are samples), and of which of two answers an agent is surer."""

LATER = ("readings", "answers", "preferences")
"""Tables that older runs, and imported ones, need not have."""

BATCH = 256
"""Matches whose rows are held at once, and stand in one row group."""

Row = dict[str, Any]
Stored = Any
"""A pyarrow table, whose library says nothing of its types."""


def tables(matches: Iterable[Played]) -> dict[str, pd.DataFrame]:
    """The tables of a run, all in memory. A match that was planned and not finished has its row too."""
    rows: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    for played in matches:
        _add(rows, played)
    return {name: frame(name, rows[name]) for name in COLUMNS}


def batches(matches: Iterable[Played]) -> Iterator[dict[str, Stored]]:
    """The tables of a run as they are stored, some matches at a time, so that no more of them need be held."""
    rows: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    for number, played in enumerate(matches, start=1):
        _add(rows, played)
        if number % BATCH == 0:
            yield _stored(rows)
            rows = {name: [] for name in COLUMNS}
    if rows["matches"]:
        yield _stored(rows)


def _add(rows: dict[str, list[Row]], played: Played) -> None:
    """Add a match's rows to those of each table."""
    rows["matches"].append(_match(played))
    rows["seats"] += _seats(played)
    rows["utterances"] += _utterances(played)
    rows["confidences"] += [*_confidences(played), *_self_consistency(played)]
    rows["verdicts"] += _verdicts(played)
    rows["calls"] += _calls(played)
    rows["readings"] += _readings(played)
    rows["answers"] += _answers(played)
    rows["preferences"] += _preferences(played)


def _stored(rows: Mapping[str, list[Row]]) -> dict[str, Stored]:
    """Rows as they are stored, the same as by way of pandas."""
    return {
        name: pa.table(
            [
                pa.array([row.get(column) for row in rows[name]], type=kind, from_pandas=True)
                for column, kind in zip(COLUMNS[name], schema(name).types, strict=True)
            ],
            schema=schema(name),
        )
        for name in COLUMNS
    }


@cache
def schema(name: str) -> Any:
    """The types in which the named table is stored, with what pandas is told of them."""
    return pa.Schema.from_pandas(frame(name, []), preserve_index=False)


def frame(name: str, rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as the named table, with its columns and types."""
    types = COLUMNS[name]
    columns = {column: pd.array([row.get(column) for row in rows], dtype=kind) for column, kind in types.items()}  # pyright: ignore
    return pd.DataFrame(columns)


def write(folder: Path, frames: Mapping[str, pd.DataFrame]) -> None:
    """Write the tables as Parquet, each whole or not at all."""
    folder.mkdir(exist_ok=True)
    for name, table in frames.items():
        unfinished = folder / f".{name}.parquet"
        table.to_parquet(unfinished, index=False)
        unfinished.replace(folder / f"{name}.parquet")


def stream(folder: Path, matches: Iterable[Played]) -> None:
    """Write the tables of a run as Parquet, a row group for so many matches; all of them when all are whole.

    Readings that other runs put there stay: they are not in this run's own ledger.
    """
    folder.mkdir(exist_ok=True)
    unfinished = {name: folder / f".{name}.parquet" for name in COLUMNS}
    read_here = False
    try:
        with ExitStack() as open_files:
            files = {
                name: open_files.enter_context(pq.ParquetWriter(path, schema(name)))
                for name, path in unfinished.items()
            }
            for batch in batches(matches):
                read_here |= bool(batch["readings"].num_rows)
                for name, table in batch.items():
                    if table.num_rows:
                        files[name].write_table(table)
        for name, path in unfinished.items():
            whole = folder / f"{name}.parquet"
            if name != "readings" or read_here or not whole.exists():
                path.replace(whole)
    finally:
        for path in unfinished.values():
            path.unlink(missing_ok=True)


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """Read a run's tables. Raises `FileNotFoundError`."""
    return {name: read_table(folder, name) for name in COLUMNS}


def read_table(folder: Path, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read one of a run's tables, or some columns of it. What an older run has not is empty; a row of its calls is one call.

    Raises `FileNotFoundError`, and pyarrow's errors for a file that is no table.
    """
    path = folder / f"{name}.parquet"
    if name in LATER and folder.is_dir() and not path.exists():
        table = frame(name, [])
    else:
        there = set(pq.read_schema(path).names)
        wanted = [column for column in columns or COLUMNS[name] if column in there]
        table = pd.read_parquet(path, columns=wanted)
    wanted = {column: COLUMNS[name][column] for column in columns or COLUMNS[name]}
    table = table.reindex(columns=list(wanted)).astype(wanted)  # pyright: ignore
    return table.fillna({"calls": 1}) if name == "calls" and "calls" in wanted else table


def labels(folders: Sequence[Path]) -> list[str]:
    """What to call several runs: by their folder's name where these differ, by their path otherwise."""
    words = [folder.resolve().name for folder in folders]
    return words if len(set(words)) == len(words) else [str(folder) for folder in folders]


def together(folders: Sequence[Path], columns: Mapping[str, Sequence[str]]) -> dict[str, pd.DataFrame]:
    """Some columns of the tables of one or several runs, as if they were one run's.

    Matches of several runs are told apart by the run's name before their id; conditions of one name by it behind theirs.
    Raises `FileNotFoundError`.
    """
    read_ = [
        {name: read_table(folder / "tables", name, wanted) for name, wanted in columns.items()} for folder in folders
    ]
    if len(read_) == 1:
        return read_[0]
    held = [set(tables["matches"]["condition"]) for tables in read_]
    for label, tables, own in zip(labels(folders), read_, held, strict=True):
        shared = {name for name in own if sum(name in other for other in held) > 1}
        for table in tables.values():
            table["match_id"] = f"{label}/" + table["match_id"]
            if "condition" in table:
                told = table["condition"].where(~table["condition"].isin(shared), table["condition"] + f" ({label})")
                table["condition"] = told
    return {name: pd.concat([tables[name] for tables in read_], ignore_index=True) for name in columns}


# ------------------------------------------------------------------ rows


def _match(played: Played) -> Row:
    spec, history = played.spec, played.history
    outcome = played.walk.outcome
    begun = bool(history.entries or history.superseded)
    return {
        "match_id": spec.id,
        "name": spec.name,
        "game": played.game,
        "condition": played.condition,
        "topic_id": spec.question.id,
        "topic": spec.question.text,
        "repeat": spec.repeat,
        "seed": spec.seed,
        "status": "finished" if outcome else "unfinished" if begun else "planned",
        "decision": outcome.decision.how if outcome else None,
        "winner": outcome.decision.winner if outcome else None,
        "margin": outcome.decision.margin if outcome else None,
        "notes": "; ".join(outcome.notes) if outcome else None,
        "mirror_of": spec.mirror_of,
        "pairing_probability": spec.pairing_probability,
        "started_at": _when(history.started_at),
        "ended_at": _when(history.ended_at),
    }


def _seats(played: Played) -> Iterable[Row]:
    for seat in played.walk.match.seats:
        agent = played.agents[seat.name]
        sampling = agent.sampling
        yield {
            "match_id": played.spec.id,
            "seat": seat.name,
            "role": seat.role,
            "agent": agent.name,
            "model": agent.model,
            "family": played.families.get(agent.model),
            "system": agent.system,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_output_tokens": sampling.max_output_tokens,
            "reasoning_effort": sampling.reasoning_effort,
            "seed": sampling.seed,
        }


def _utterances(played: Played) -> Iterable[Row]:
    seats = len(played.walk.match.seats)
    for said in played.walk.table.transcript:
        agent = played.agents[said.seat]
        text = said.value if isinstance(said.value, str) else said.text
        yield {
            "match_id": played.spec.id,
            "step": said.step,
            "round": said.round,
            "phase": said.phase,
            "seat": said.seat,
            "agent": agent.name,
            "model": agent.model,
            "part": said.part,
            "audience": _heard_by(said.seat, said.audience, seats),
            "status": said.status,
            "text": text,
            "chars": len(text),
        }


def _confidences(played: Played) -> Iterable[Row]:
    seats = played.walk.match.seats
    given: dict[tuple[str, int, tuple[str, ...]], str] = {}
    for ask, reply in played.walk.replies:
        if "reasoning" in reply.values:
            given[ask.seat, ask.round, ask.items] = reply.values["reasoning"]
    for ask, reply in played.walk.replies:
        form = ask.form
        assert isinstance(form, Parts)
        for part, part_form in form.forms.items():
            if not isinstance(part_form, Confidence):
                continue
            agent = played.agents[ask.seat]
            private = not any(seat != ask.seat for seat in ask.audience[part])
            yield {
                "match_id": played.spec.id,
                "condition": played.condition,
                "topic_id": ask.items[0] if len(ask.items) == 1 else played.spec.question.id,
                "round": ask.round,
                "phase": ask.phase,
                "seat": ask.seat,
                "agent": agent.name,
                "model": agent.model,
                "opponent": _opponent(seats, ask.seat),
                "about": part_form.about,
                "audience": "private" if private else "public",
                "elicitation": "verbalised",
                "value": reply.values.get(part),
                "status": reply.status,
                "raw": _raw(reply, part_form),
                "reasoning": given.get((ask.seat, ask.round, ask.items)),
            }


def _raw(reply: Reply, form: Form) -> str:
    """The tags as the model wrote them where they were read, the whole reply or what went wrong where they were not."""
    return reply.text or reply.problem or "" if reply.missing else written(form, reply.text)


def _verdicts(played: Played) -> Iterable[Row]:
    panel = {seat.name: seat for seat in played.walk.match.seats if seat.role == "judge"}
    for ask, reply in played.walk.replies:
        form = ask.form
        assert isinstance(form, Parts)
        if ask.seat not in panel or not isinstance(form.forms.get("verdict"), Verdict):
            continue
        chosen: Chosen | None = reply.values.get("verdict")
        yield {
            "match_id": played.spec.id,
            "judge": panel[ask.seat].agent,
            "model": played.agents[ask.seat].model,
            "ballot": panel[ask.seat].ballot,
            "choice": chosen.choice if chosen else None,
            "probability": chosen.probability if chosen else None,
            "order": panel[ask.seat].order,
            "status": reply.status,
        }


def _readings(played: Played) -> Iterable[Row]:
    """What readers made of the recorded reasoning that was given to them; `match_id` is the recorded match's."""
    panel = {seat.name: seat for seat in played.walk.match.seats if seat.role == "judge"}
    for ask, reply in played.walk.replies:
        form = ask.form
        assert isinstance(form, Parts)
        if not isinstance(form.forms.get("implied"), Implied):
            continue
        (recorded,) = played.spec.given
        labels = {part: None if reply.missing else reply.values[part] == "yes" for part in ("stated", "strategic")}
        yield {
            **recorded.value,
            "round": recorded.round,
            "phase": recorded.phase,
            "seat": recorded.seat,
            "reader": panel[ask.seat].agent,
            "reader_model": played.agents[ask.seat].model,
            "ballot": panel[ask.seat].ballot,
            "implied": reply.values.get("implied"),
            **labels,
            "status": reply.status,
            "raw": _raw(reply, form),
        }


# ------------------------------------------------------------------ questions with answers


def _answers(played: Played) -> Iterable[Row]:
    """Each answer, marked by the key where there is one."""
    items = {item.id: item for item in played.spec.question.items}
    for ask, reply in played.walk.replies:
        form = ask.form
        assert isinstance(form, Parts)
        if not isinstance(form.forms.get("answer"), Answer):
            continue
        answer: str | None = reply.values.get("answer")
        key = items[ask.items[0]].key
        yield {
            **_who(played, ask),
            "topic_id": ask.items[0],
            "round": ask.round,
            "phase": ask.phase,
            "answer": answer,
            "correct": any(same(answer, right) for right in key) if key and answer is not None else None,
            "status": reply.status,
            "raw": _raw(reply, form.forms["answer"]),
        }


def _preferences(played: Played) -> Iterable[Row]:
    """Of which of two answers a seat said that it is surer, in the order in which it was asked."""
    for ask, reply in played.walk.replies:
        form = ask.form
        assert isinstance(form, Parts)
        if len(ask.items) != 2 or not isinstance(preference := form.forms.get("preference"), Choice):
            continue
        yield {
            **_who(played, ask),
            "first": ask.items[0],
            "second": ask.items[1],
            "preferred": None if reply.missing else ask.items[preference.options.index(reply.values["preference"])],
            "status": reply.status,
            "raw": _raw(reply, preference),
        }


def _who(played: Played, ask: Ask) -> Row:
    agent = played.agents[ask.seat]
    who = {"match_id": played.spec.id, "condition": played.condition, "seat": ask.seat}
    return who | {"agent": agent.name, "model": agent.model}


def _self_consistency(played: Played) -> Iterable[Row]:
    """For each question that was answered more than once, the confidence in the first answer: the share of all its answers that
    say the same (`self_consistency`), and that share of the confidence stated with them (`hybrid_self_consistency`, Xiong and
    others, arXiv:2306.13063)."""
    said: dict[tuple[str, str], list[tuple[Ask, Reply]]] = {}
    for ask, reply in played.walk.replies:
        if len(ask.items) == 1:
            said.setdefault((ask.seat, ask.items[0]), []).append((ask, reply))
    for (_, item), replies in said.items():
        (ask, first), *samples = replies
        if not samples:
            continue
        read = [reply.values for _, reply in replies if not reply.missing]
        alike = [values for values in read if not first.missing and same(values["answer"], first.values["answer"])]
        weights = {
            "self_consistency": (len(alike), len(read)),
            "hybrid_self_consistency": tuple(math.fsum(v["confidence"] for v in part) for part in (alike, read)),
        }
        for elicitation, (part, whole) in weights.items():
            yield {
                **_who(played, ask),
                "topic_id": item,
                "round": ask.round,
                "phase": ask.phase,
                "about": "answer_correct",
                "audience": "private",
                "elicitation": elicitation,
                "value": part / whole if alike and whole else None,
                "status": first.status,
                "raw": f"{len(alike)} of {len(read)} answers",
            }


# ------------------------------------------------------------------ calls


def _calls(played: Played) -> Iterable[Row]:
    history = played.history
    stands = sorted(history.entries.values(), key=lambda entry: entry.key)
    for entry in stands:
        # In a match that has ended, a call that its walk did not take stands no more.
        stands_no_more = played.walk.outcome is not None and entry.key not in history.used
        yield _call(played.spec.id, entry, _status(entry, "superseded" if stands_no_more else "ok"))
    for entry in sorted(history.superseded, key=lambda entry: (entry.key, entry.at)):
        # Sent again since: nobody will ever know what this one came to.
        yield _call(played.spec.id, entry, "lost" if entry.answer is None else "superseded")


def _status(entry: Entry, answered: str) -> str:
    return "in_flight" if entry.answer is None else answered


def _call(match_id: str, entry: Entry, status: str) -> Row:
    row: Row = {"match_id": match_id, **entry.key._asdict(), "calls": 1, "seat": entry.seat, "model": entry.model}
    row |= {"status": status, "started_at": _when(entry.at), "most_usd": entry.most.usd}
    match entry.answer:
        case Completion() as answer:
            usage = answer.usage
            row |= {
                "provider_model": answer.model,
                "input_tokens": usage.input,
                "cached_tokens": usage.cached,
                "output_tokens": usage.output,
                "reasoning_tokens": usage.reasoning,
                "cost_usd": answer.cost_usd,
                "latency_s": answer.latency_s,
                "tries": answer.tries,
                "finish": answer.finish,
            }
        case Failure() as answer:
            row |= {"finish": answer.kind, "tries": answer.tries}
            row["status"] = "failed" if status == "ok" else status
        case None:
            pass
    return row


def _opponent(seats: Sequence[Seat], seat: str) -> str | None:
    others = [other.agent for other in seats if other.role != "judge" and other.name != seat]
    return " & ".join(others) or None


def _heard_by(seat: str, audience: Sequence[str], seats: int) -> str:
    if not any(other != seat for other in audience):
        return "private"
    return "public" if len(audience) == seats else ",".join(audience)


def _when(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
