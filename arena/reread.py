"""Read the private reasoning of a recorded run: a new run that pays for readings alone, and fills a table of the old one."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from arena import frames
from arena.games.reread import Params
from arena.run import Run, RunError
from arena.types import Utterance

READING = (
    "judge", "limits", "provider", "prices", "budget", "runner", "chaos", "name", "runs", "attempts", "seed", "game.params",
    "game.prompts",
)  # fmt: skip
"""The keys that a reading may change; all about the matches is the recorded run's."""


@dataclass(frozen=True, slots=True)
class Material:
    """What is read of a recorded run, and what is not."""

    matches: pd.DataFrame
    """A row a reasoning: the confidence it explains, with `name`, `topic_id` and `topic` of its match."""
    skipped: Mapping[str, int]
    """Confidences whose reasoning is not read, by reason."""

    @property
    def said(self) -> str:
        """What is read and what is not, in words."""
        left = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.items())
        count = f"{len(self.matches):,} of {len(self.matches) + sum(self.skipped.values()):,} confidences"
        return f"the reasoning of {count} is read" + (f"; not read: {left}" if left else "")


def material(run: Path, params: Params) -> Material:
    """What is read of a run, from its tables alone. Raises `RunError` where there is nothing to read."""
    from arena.stats import alignment  # with all of statsmodels, which other commands need not wait for

    tables = run / "tables"
    try:
        confidences = alignment.explained(
            frames.read_table(
                tables,
                "confidences",
                ["match_id", "round", "phase", "seat", "model", "about", "audience", "value", "reasoning"],
            ).query("about != 'answer_correct'")  # of an answer, not of a debate
        )
        matches = frames.read_table(tables, "matches", ["match_id", "name", "topic_id", "topic"])
    except FileNotFoundError as problem:
        raise RunError(
            f"{run} has no tables to read; `arena resume {run}` makes those of an unfinished run"
        ) from problem
    characters = confidences["reasoning"].str.strip().str.len().fillna(0)
    # The first reason that applies is the one that is counted.
    reasons = {
        "without a number": confidences["value"].isna(),
        "without reasoning": characters == 0,
        f"with reasoning of fewer than {params.min_chars} characters": characters < params.min_chars,
        f"below {params.min_confidence:g}": confidences["value"] < params.min_confidence,
    }
    why = pd.Series(None, index=confidences.index, dtype="string")
    for reason, applies in reasons.items():
        why = why.mask(why.isna() & applies.fillna(False), reason)
    skipped = {reason: int(count) for reason in reasons if (count := (why == reason).sum())}
    found = Material(confidences[why.isna()].merge(matches, on="match_id", how="left"), skipped)
    if found.matches.empty:
        raise RunError(f"{run} has nothing to read: {found.said}")
    return found


def configuration(run: Path, found: Material, composed: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration of the new run; what is read, and the list of its matches, are written into `folder`.

    `composed` is what the user's overrides make of the configuration of this game.
    """
    given, matches = folder / "given.jsonl", folder / "matches.jsonl"
    rows: list[Any] = found.matches.astype(object).where(found.matches.notna(), None).to_dict("records")
    with given.open("w", encoding="utf-8") as reasoning, matches.open("w", encoding="utf-8") as plan:
        for number, row in enumerate(rows):
            reasoning.write(json.dumps({"number": number, "given": [asdict(_said(row))]}) + "\n")
            name = f"{row['name'] or row['match_id']}, {row['phase']}, {row['seat']}"
            plan.write(json.dumps({"match": name, "topic": _topic(row)["id"]}) + "\n")
    topics = {tuple(topic.values()): topic for topic in map(_topic, rows)}
    return {
        **composed,
        "condition": "reread",
        "seats": {},
        "agents": {},
        "topics": {"name": "recorded", "limit": None, "questions": list(topics.values())},
        "schedule": {"name": "explicit", "mirrored": False, "repeats": 1},
        "matches": str(matches),
        "given": str(given),
        "recorded": str(run.resolve()),
    }


def _said(row: Mapping[str, Any]) -> Utterance:
    return Utterance(
        step=0,
        round=int(row["round"]),
        phase=row["phase"],
        seat=row["seat"],
        part="reasoning",
        audience=(),
        value={"match_id": row["match_id"], "model": row["model"]},
        text=row["reasoning"],
        shown="",
    )


def _topic(row: Mapping[str, Any]) -> dict[str, str]:
    text = row["topic"] or "(not recorded)"
    return {"id": row["topic_id"] or text, "text": text}


# ------------------------------------------------------------------ the readings, where they are looked for


def hand_over(run: Run, tables: Mapping[str, pd.DataFrame]) -> str | None:
    """Put the readings of a run of this game into the recorded run's table, in place of earlier ones of the same readers.

    `tables` are the run's, of which the matches' status is asked; the readings are read where they were written. Returns what
    was done or why not, in words; None where the run read nothing. Readings are handed over when all are there.
    """
    recorded = run.experiment.resolved.get("recorded")
    if run.experiment.game != "reread" or recorded is None:
        return None
    if (tables["matches"]["status"] != "finished").any():
        return f"the readings are put into {recorded} when all are there: arena resume {run.folder}"
    readings, target = frames.read_table(run.folder / "tables", "readings"), Path(recorded) / "tables"
    own = run.folder / "tables" / "readings.parquet"
    try:
        with _locked(target):
            known = set(frames.read_table(target, "matches", ["match_id"])["match_id"])
            if strangers := set(readings["match_id"]) - known:
                return f"{recorded} is not the run that was read: it has no match {min(strangers)}; the readings are in {own}"
            before = frames.read_table(target, "readings")
            who = ["reader", "reader_model"]
            replaced = pd.MultiIndex.from_frame(before[who]).isin(pd.MultiIndex.from_frame(readings[who]))
            frames.write(target, {"readings": pd.concat([before[~replaced], readings], ignore_index=True)})
    except FileNotFoundError:
        return f"{recorded} is not there any more; the readings are in {own}"
    counts = Counter(readings["status"])
    instead = f", in place of {int(replaced.sum()):,}" if replaced.any() else ""
    said = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    return f"readings put into {target / 'readings.parquet'}: {said}{instead}"


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Keep others who read the same run from writing its table at the same time."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
