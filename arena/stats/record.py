"""A number that `arena stats` gives: which one it is, what it rests on, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from arena.stats.estimate import Estimate

Convention = Literal["default", "published"]


@dataclass(frozen=True, slots=True)
class Record:
    """One statistic; fields that do not apply are None. Probabilities and differences of them are in [-1, 1]."""

    statistic: str
    convention: Convention
    condition: str | None = None
    phase: str | None = None
    contrast: str | None = None
    """What is compared: `opening->closing`, `self_debate-informed_self`, or which part of a statistic this is."""
    model: str | None = None
    """The debater's model, or the judge's where the statistic is about judges."""
    threshold: str | None = None
    """`>0.75` or `>=0.75`."""
    n: int | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    test: str | None = None
    statistic_value: float | None = None
    p: float | None = None
    missing: int | None = None
    """Units that were planned and are not in `n`."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def record(convention: Convention, statistic: str, estimate: Estimate, **where: Any) -> Record:
    """The record of an estimate."""
    return Record(
        statistic, convention, n=estimate.n, estimate=estimate.estimate, low=estimate.low, high=estimate.high,
        test=estimate.test, statistic_value=estimate.statistic, p=estimate.p, **where,
    )  # fmt: skip


def find(records: Iterable[Record], **where: Any) -> Record | None:
    """The first record with these fields; None where there is none, or it has no estimate."""
    found = next((r for r in records if all(getattr(r, name) == value for name, value in where.items())), None)
    return found if found is not None and found.estimate is not None else None


ours = partial(record, "default")
published = partial(record, "published")
