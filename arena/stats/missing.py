"""What is missing: planned, played and read, by status, and how much it could matter at worst."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.stats.beliefs import Tables
from arena.stats.estimate import Estimate, made
from arena.stats.record import Record
from arena.stats.record import record as any_record
from arena.types import READ


def record(statistic: str, estimate: Estimate, **where: Any) -> Record:
    return any_record(statistic, "default", estimate, **where)


def records(tables: Tables, condition: str) -> Iterator[Record]:
    """The counts of one condition: matches planned and by status; confidences and ballots asked for, read, by status.

    `estimate` is the count, `n` what it is out of.
    """
    matches = tables["matches"]
    planned = len(matches)
    yield record("matches_planned", made(planned, n=planned), condition=condition)
    for status, count in sorted(matches["status"].value_counts().items()):
        yield record("matches", made(int(count), n=planned), condition=condition, contrast=str(status))
    confidences = tables["confidences"]
    for phase, rows in confidences.groupby("phase", sort=False):
        read = int(rows["value"].notna().sum())
        where: dict[str, Any] = {"condition": condition, "phase": str(phase)}
        yield record("confidences_read", made(read, n=len(rows)), **where, missing=len(rows) - read)
        for status, count in sorted(rows["status"].value_counts().items()):
            yield record("confidences", made(int(count), n=len(rows)), **where, contrast=str(status))
        if flagged := int(rows["flags"].fillna("").ne("").sum()):
            yield record("confidences", made(flagged, n=len(rows)), **where, contrast="flagged")
    ballots = tables["verdicts"]
    if len(ballots):
        read = int(ballots["status"].isin(READ).sum())
        yield record("ballots_read", made(read, n=len(ballots)), condition=condition, missing=len(ballots) - read)
        for status, count in sorted(ballots["status"].value_counts().items()):
            yield record("ballots", made(int(count), n=len(ballots)), condition=condition, contrast=str(status))


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
