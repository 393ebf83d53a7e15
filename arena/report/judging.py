"""The judges' report card: what is known of each judge in a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arena.report.cells import Cell, Table, cell
from arena.stats.record import Record
from arena.stats.report_card import Report, report_card


def tables(records: Sequence[Record]) -> Iterator[Table]:
    """A table a condition in which somebody judged."""
    judges = report_card(records)
    conditions = list(dict.fromkeys(judge.condition for judge in judges))
    for condition in conditions:
        own = [judge for judge in judges if judge.condition == condition]
        second = next((judge.side_share.contrast for judge in own if judge.side_share), None)
        yield Table(
            str(condition) if len(conditions) > 1 else "",
            (
                "Judge", f"For the {second}" if second else "For a side", "Order effect", "Flips", "Length effect", "Own family",
                "Agrees with itself", "With the others", "Ballots", "USD a ballot",
            ),
            tuple(_row(judge) for judge in own),
            (MEANING,),
        )  # fmt: skip


MEANING = (
    "With 95 % intervals; n counts debates. For the second side: 50 % is without a lean. Order effect: by how much that side gains "
    "when it is read first. Flips: ballots that name the other side when the speeches are read in the other order. Length effect: "
    "log-odds for a side that speaks e times as much as the other. Own family: by how much more it votes for its own family than "
    "other judges do. Agreement: of its ballots on one debate in one order, and with most ballots of the other judges."
)


def _row(judge: Report) -> tuple[Cell, ...]:
    ballots, cost = judge.ballots, judge.cost_per_ballot
    return (
        Cell(judge.judge),
        cell(judge.side_share, "percent", n=True),
        cell(judge.order_effect, "points", n=True),
        cell(judge.flip_rate, "percent", n=True),
        cell(judge.length_effect, "plain", n=True),
        cell(judge.family_effect, "points", n=True),
        cell(judge.consistency, "percent", n=True),
        cell(judge.panel_agreement, "percent", n=True),
        Cell("–") if ballots is None else Cell(f"{ballots.estimate or 0:,.0f}", _missing(ballots)),
        Cell("–") if cost is None or cost.estimate is None else Cell(f"{cost.estimate:.2g}"),
    )


def _missing(ballots: Record) -> str:
    return f"{ballots.missing:,} missing" if ballots.missing else "none missing"
