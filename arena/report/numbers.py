"""Statistics for a terminal: a table a condition, a line a number."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from arena.inert import inert
from arena.stats.record import Record
from arena.stats.relative import NO_ZERO

COUNTS = (
    "matches", "confidences", "ballots", "judge_ballots", "readings", "matches_planned", "confidences_read", "ballots_read",
    "preferences_read", "input_tokens", "output_tokens",
)  # fmt: skip
"""Statistics whose estimate is a count."""

HEADLINES = (
    "matches_planned", "matches", "confidences_read", "ballots_read", "confidence", "opening_overconfidence",
    "condition_difference", "escalation", "escalation_per_round", "escalation_difference", "mutual_overconfidence",
    "pair_sum", "dutch_book_loss", "martingale_drift", "excess_movement", "public_confidence", "shading",
    "shading_predicts_winning", "overconfidence", "brier", "auroc", "ece", "ece_null_band", "judge_side_share", "judge_flip_rate",
    "judge_agreement", "judge_alpha", "alignment", "answer_accuracy", "answer_overconfidence", "selective_auc",
    "preferences_read", "preference_first_share", "preference_flip_rate", "input_tokens", "output_tokens", "cost_usd",
)  # fmt: skip
"""What is shown unless all is asked for."""

LAST_ONLY = (
    "mutual_overconfidence", "pair_sum", "dutch_book_loss", "overconfidence", "brier", "auroc", "ece", "ece_null_band",
)  # fmt: skip
"""Of these, the last phase alone."""


def rendered(records: Sequence[Record], *, whole: bool = False, tests: bool = True) -> RenderableType:
    """The records for a terminal. Unless `whole`, the headlines alone, and it is said how many more there are.

    `tests` adds the column that says what was tested, which needs room.
    """
    if not records:
        return Text("Nothing was played, so there are no numbers.")
    shown = list(records) if whole else headlines(records)
    parts: list[RenderableType] = []
    for condition in dict.fromkeys(record.condition for record in shown):
        rows = [record for record in shown if record.condition == condition]
        order = list(dict.fromkeys(record.statistic for record in rows))
        parts.append(_table(condition, sorted(rows, key=lambda record: order.index(record.statistic)), tests))
    left = len(records) - len(shown)
    more = f" {left:,} more numbers, single models among them: --all, --only NAME or --json." if left else ""
    units = "Probabilities are in [0, 1], intervals at 95 %. n counts debates, and where something is counted what was planned"
    parts.append(Text(f"{units}; missing is what was planned and is not in n.{more}", style="dim"))
    if any(record.statistic == "selective_auc" for record in shown):
        parts.append(Text(f"{NO_ZERO} Where it is about answers, n counts questions.", style="dim"))
    return Group(*parts)


def headlines(records: Sequence[Record]) -> list[Record]:
    """The records that say the most, single models and earlier phases aside."""
    phases: dict[str | None, list[str | None]] = {}
    for record in records:
        if record.statistic == "confidence" and record.model is None and record.phase is not None:
            phases.setdefault(record.condition, []).append(record.phase)
    return [record for record in records if _headline(record, phases.get(record.condition, [None]))]


def _headline(record: Record, phases: Sequence[str | None]) -> bool:
    if record.statistic not in HEADLINES or (record.model and not record.statistic.startswith(("judge", "alignment"))):
        return False
    said = record.contrast or ""
    if record.statistic == "matches":
        return said != "finished"
    if record.statistic in LAST_ONLY and record.phase != phases[-1]:
        return False
    if record.statistic == "escalation" and record.convention == "default":
        return said == f"{phases[0]}->{phases[-1]}"
    # Of the measures of relative confidence, differences of the default one alone.
    return not (
        said in ("as stated", "equal mass", "maximum")
        or "by debate and model" in said
        or said.startswith(("trueskill-", "elo-"))
    )


def _table(condition: str | None, records: Sequence[Record], tests: bool) -> Table:
    title = f"Condition {inert(condition)}" if condition else "Between conditions"
    table = Table(
        title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1 if tests else 0)
    )
    for column in ("statistic", "of") if tests else ("statistic",):
        table.add_column(column, overflow="fold")
    for column in ("estimate", "95 % interval", "n", "missing", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    if tests:
        table.add_column("test")
    before = None
    for record in records:
        name = record.statistic if record.statistic != before or not tests else ""
        before = record.statistic
        of = Text(inert(_of(record)))
        numbers = (
            number(record.estimate, record.statistic), interval(record), "" if record.n is None else f"{record.n:,}",
            f"{record.missing:,}" if record.missing else "", probability(record.p),
        )  # fmt: skip
        if tests:
            table.add_row(name, of, *numbers, Text(record.test or "", style="dim"))
        else:
            table.add_row(Text(name.replace("_", " ")).append(" " if of else "").append(of), *numbers)
    return table


def _of(record: Record) -> str:
    return ", ".join(filter(None, (record.phase, record.contrast, record.threshold, record.model)))


def number(value: float | None, statistic: str) -> str:
    """An estimate as one prints it: counts whole."""
    if value is None:
        return ""
    return f"{value:,.0f}" if statistic in COUNTS or abs(value) >= 100 else f"{value:.4f}"


def interval(record: Record) -> str:
    """The interval of a record; empty where there is none."""
    return "" if record.low is None or record.high is None else f"{record.low:.3f} to {record.high:.3f}"


def probability(p: float | None) -> str:
    """A p-value as one prints it."""
    if p is None:
        return ""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
