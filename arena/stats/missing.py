"""What is missing: planned, played and read, by status, and how much it could matter at worst."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from arena.stats.beliefs import Tables
from arena.stats.estimate import Estimate, made
from arena.stats.record import Record
from arena.stats.record import ours as record
from arena.types import READ


def records(tables: Tables, condition: str) -> Iterator[Record]:
    """The counts of one condition: matches planned and by status; confidences and ballots read, and by status.

    `estimate` is the count, `n` what was planned: a match that was not played lacks all of its own.
    """
    matches, seats = tables["matches"], tables["seats"]
    planned = len(matches)
    yield record("matches_planned", made(planned, n=planned), condition=condition, missing=0)
    for status, count in sorted(matches["status"].value_counts().items()):
        yield record("matches", made(int(count), n=planned), condition=condition, contrast=str(status))
    confidences = tables["confidences"]
    ours = (confidences["about"] == "own_side_wins") & (confidences["elicitation"] == "verbalised")
    if len(other := confidences[~ours]):
        for kind, rows in other.groupby(["about", "elicitation"], dropna=False):
            said = f"about {kind[0]}, {kind[1]}: in no other number"
            yield record("confidences", made(len(rows), n=len(confidences)), condition=condition, contrast=said)
    confidences = confidences[ours]
    several = confidences["audience"].nunique() > 1
    for (audience, phase), rows in confidences.groupby(["audience", "phase"], sort=False):
        asked = int(seats["seat"].isin(list(pd.unique(rows["seat"]))).sum())
        where: dict[str, Any] = {"condition": condition, "phase": str(phase)}
        yield from _counts("confidences", rows, rows["value"].notna(), asked, str(audience) if several else None, where)
        if again := int(rows.duplicated(["match_id", "seat"]).sum()):
            yield record("confidences", made(again, n=asked), **where, contrast="stated again: the last one counts")
        if flagged := int(rows["flags"].fillna("").ne("").sum()):
            yield record("confidences", made(flagged, n=asked), **where, contrast="flagged")
    ballots = tables["verdicts"]
    asked = max(int((seats["role"] == "judge").sum()), len(ballots))
    if asked:
        yield from _counts("ballots", ballots, ballots["status"].isin(READ), asked, None, {"condition": condition})


def _counts(
    name: str, rows: pd.DataFrame, read: pd.Series[bool], asked: int, audience: str | None, where: dict[str, Any]
) -> Iterator[Record]:
    """How many were read, and all by status; the match of what has no row was not played that far."""
    stands = ~rows.duplicated([name for name in ("match_id", "seat", "judge", "ballot") if name in rows], keep="last")
    rows, read = rows[stands], read[stands]
    count = int(read.sum())
    yield record(f"{name}_read", made(count, n=asked), **where, contrast=audience, missing=asked - count)
    statuses = {str(status): int(n) for status, n in sorted(rows["status"].value_counts().items())}
    if asked > len(rows):
        statuses["never asked"] = asked - len(rows)
    for status, n in statuses.items():
        said = ", ".join(filter(None, (audience, status)))
        yield record(name, made(n, n=asked), **where, contrast=said)


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
