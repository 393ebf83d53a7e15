"""A judge's report card: what is known of each judge in one row, from the records of `arena stats`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from arena.stats.record import Record


@dataclass(frozen=True, slots=True)
class Report:
    """One judge in one condition. Each number is a record with its interval and n; None where it could not be had."""

    condition: str | None
    judge: str
    """Its model."""
    ballots: Record | None
    """Read, of n that were planned."""
    side_share: Record | None
    """For the second side; 0.5 is without a lean."""
    order_effect: Record | None
    """How much the second side gains when it is read first: above 0 the judge favours whom it reads first."""
    flip_rate: Record | None
    """Ballots that change with the order."""
    length_effect: Record | None
    """Log-odds by log ratio of characters; above 0 the judge favours who speaks more."""
    family_effect: Record | None
    """How much more it votes for its own family than impartial judges do."""
    consistency: Record | None
    """Agreement with itself, between ballots on one debate read in one order."""
    panel_agreement: Record | None
    """Agreement with most ballots of the other judges."""
    cost_per_ballot: Record | None
    """In US dollars."""


_COLUMNS: dict[str, tuple[str, str | None]] = {
    "ballots": ("judge_ballots", "read"),
    "side_share": ("judge_side_share", None),
    "order_effect": ("judge_order_effect", None),
    "flip_rate": ("judge_flip_rate", None),
    "length_effect": ("judge_length_effect", None),
    "family_effect": ("judge_family_effect", None),
    "consistency": ("judge_agreement", "within"),
    "panel_agreement": ("judge_panel_agreement", None),
    "cost_per_ballot": ("judge_cost_per_ballot", None),
}
"""Column to its statistic, and the contrast where a statistic has several."""


def report_card(records: Iterable[Record]) -> list[Report]:
    """A row a condition and judge, in the order of the records, from records of the default convention."""
    found: dict[tuple[str | None, str], dict[str, Record]] = {}
    for record in records:
        for column, (statistic, contrast) in _COLUMNS.items():
            if record.statistic == statistic and record.model is not None and contrast in (None, record.contrast):
                found.setdefault((record.condition, record.model), {})[column] = record
    return [
        Report(condition, judge, **{column: cells.get(column) for column in _COLUMNS})
        for (condition, judge), cells in found.items()
    ]
