"""What is missing: planned, played and read, by status, and how much it could matter at worst."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from arena.stats.beliefs import Tables
from arena.stats.estimate import Estimate, made
from arena.stats.record import Record
from arena.stats.record import ours as record
from arena.types import READ

NEVER = "never asked"


@dataclass(frozen=True, slots=True)
class Count:
    """How many of something were planned, and what became of them."""

    planned: int
    statuses: Mapping[str, int]
    """By status; `NEVER` is what has no row, its match not having been played that far."""


def count(rows: pd.DataFrame, planned: int) -> Count:
    """The rows of a table by status. There are no fewer planned than rows."""
    statuses = {str(status): int(n) for status, n in sorted(rows["status"].fillna("unknown").value_counts().items())}
    if planned > len(rows):
        statuses[NEVER] = planned - len(rows)
    return Count(max(planned, len(rows)), statuses)


def standing(confidences: pd.DataFrame) -> pd.DataFrame:
    """Of what a seat stated twice in a phase, the last."""
    return confidences.drop_duplicates(["match_id", "phase", "audience", "seat"], keep="last")


def by_phase(rows: pd.DataFrame, seats: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame, int]]:
    """Audience, phase and rows of what seats say, and how many there would be had every seat that is asked then been asked
    in all matches. `rows` and `seats` are of one condition."""
    for (audience, phase), of in rows.groupby(["audience", "phase"], sort=False):
        yield str(audience), str(phase), of, int(seats["seat"].isin(list(pd.unique(of["seat"]))).sum())


def ballots_planned(tables: Tables) -> int:
    """Every seat of a judge casts one."""
    return int((tables["seats"]["role"] == "judge").sum())


def records(tables: Tables, condition: str) -> Iterator[Record]:
    """The counts of one condition: matches planned and by status; confidences and ballots read, and by status.

    `estimate` is the count, `n` what was planned: a match that was not played lacks all of its own.
    """
    matches = count(tables["matches"], 0)
    at: dict[str, Any] = {"condition": condition}
    yield record("matches_planned", made(matches.planned, n=matches.planned), **at, missing=0)
    for status, n in matches.statuses.items():
        yield record("matches", made(n, n=matches.planned), **at, contrast=status)
    confidences = tables["confidences"]
    ours = (confidences["about"] == "own_side_wins") & (confidences["elicitation"] == "verbalised")
    # Where there are answers, `arena.stats.matchups` has what was said about them.
    others = ~ours & ((confidences["about"] != "answer_correct") | tables["answers"].empty)
    for kind, rows in confidences[others].groupby(["about", "elicitation"], dropna=False):
        said = f"about {kind[0]}, {kind[1]}: in no other number"
        yield record("confidences", made(len(rows), n=len(confidences)), **at, contrast=said)
    confidences = confidences[ours]
    several = confidences["audience"].nunique() > 1
    for audience, phase, rows, planned in by_phase(confidences, tables["seats"]):
        stands, where = standing(rows), at | {"phase": phase}
        found, read = count(stands, planned), int(stands["value"].notna().sum())
        yield from _counts("confidences", found, read, audience if several else None, where)
        if again := len(rows) - len(stands):
            yield record(
                "confidences", made(again, n=found.planned), **where, contrast="stated again: the last one counts"
            )
        if flagged := int(rows["flags"].fillna("").ne("").sum()):
            yield record("confidences", made(flagged, n=found.planned), **where, contrast="flagged")
    ballots = count(tables["verdicts"], ballots_planned(tables))
    if ballots.planned:
        yield from _counts("ballots", ballots, sum(ballots.statuses.get(status, 0) for status in READ), None, at)


def _counts(name: str, found: Count, read: int, audience: str | None, where: dict[str, Any]) -> Iterator[Record]:
    yield record(f"{name}_read", made(read, n=found.planned), **where, contrast=audience, missing=found.planned - read)
    for status, n in found.statuses.items():
        said = ", ".join(filter(None, (audience, status)))
        yield record(name, made(n, n=found.planned), **where, contrast=said)


def worst_case(values: NDArray[np.float64], planned: int, where: dict[str, Any]) -> Iterator[Record]:
    """Where confidences are missing: the mean if each missing one were 0, and if each were 1 (Manski 1989)."""
    there = np.isfinite(values)
    lost = planned - int(there.sum())
    if lost:
        total = float(values[there].sum())
        bounds = made(None, total / planned, (total + lost) / planned, n=planned)
        yield record("confidence_worst_case", bounds, **where, missing=lost)


def share_bounds(name: str, found: Estimate, *, missing: int, **where: Any) -> Record:
    """A share of debates if none of the missing ones counted, and if all did."""
    count, planned = round((found.estimate or 0.0) * found.n), found.n + missing
    return record(name, made(None, count / planned, (count + missing) / planned, n=planned), **where, missing=missing)
