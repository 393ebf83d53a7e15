"""The study's numbers, published against computed, from its published debates: python reproduce.py CLONE

CLONE is a clone of the study's repository, its folder `experiments`, an archive of that, or a run directory that
`arena import llms-overconfidence` made. `published.csv` beside this file holds the facts: what the paper prints, and what its data
give under the study's own definitions.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from arena import frames
from arena.imports import llms_overconfidence
from arena.stats import published
from arena.stats.beliefs import NEEDED
from arena.stats.record import Record

FACTS = Path(__file__).with_name("published.csv")
KEY = ("statistic", "condition", "phase", "contrast", "model", "threshold")

DISAGREEMENTS = (
    ("jury decision", "the larger sum of confidences decides, ties by lot",
     "the printed share of opposition wins (71.7 %) counts votes and gives 3-3 to the opposition: side_win_share below"),
    ("topics", "six motions in every condition", "the three self-debate conditions with three rounds used three of them"),
    ("public bets", "the prompt says that the odds are even", "no version of the code says so"),
    ("four rounds", "one more rebuttal, else the same design",
     "the opposition had read the proposition's speech of the same round; bets of zero were dropped"),
    ("alignment", "overbetting shares in text and table", "the table counts two stray labels that the text leaves out"),
    ("escalation, self_debate", "11.12", "11.125: a half that was rounded down, while 14.075 was rounded up to 14.08"),
)  # fmt: skip
"""Where paper and data or code differ: about what, what the paper says, what is so and why."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A published number beside the computed one."""

    id: str
    key: str
    status: str
    """`printed` in the paper, a printed `bound`, in the authors' `result file`, or from their `data` alone."""
    printed: str
    from_data: float
    computed: float | None
    verdict: str
    """`agrees`, `off`, or `absent` where the data given lack what it rests on."""


def compare(records: Sequence[Record]) -> list[Compared]:
    """Every fact beside its number."""
    found: dict[tuple[str | None, ...], list[Record]] = {}
    for record in records:
        found.setdefault(tuple(getattr(record, name) for name in KEY), []).append(record)
    with FACTS.open(encoding="utf-8", newline="") as lines:
        return [_compared(fact, found) for fact in csv.DictReader(lines)]


def _compared(fact: dict[str, str], found: dict[tuple[str | None, ...], list[Record]]) -> Compared:
    candidates = found.get(tuple(fact[name] or None for name in KEY), [])
    chosen = [r for r in candidates if fact["test"] in ("", r.test)]
    computed = _value(chosen[0], fact) if len(chosen) == 1 else None
    data = float(fact["from_data"])
    if computed is None:
        verdict = "absent" if not candidates else "off"
    else:
        verdict = "agrees" if _agrees(fact, computed, data) else "off"
    return Compared(fact["id"], fact["key"], fact["status"], fact["printed"], data, computed, verdict)


def _value(record: Record, fact: dict[str, str]) -> float | None:
    if fact["field"] == "count":
        value = None if record.estimate is None or record.n is None else record.estimate * record.n
    else:
        value = getattr(record, fact["field"])
    return None if value is None else value * float(fact["scale"])


def _agrees(fact: dict[str, str], computed: float, data: float) -> bool:
    """Printed numbers to half a unit of their last digit, bounds as bounds, the rest to 1e-6, p-values to 1e-3 of them."""
    if fact["status"] == "bound":
        return computed < float(fact["printed"].removeprefix("<"))
    if fact["status"] == "printed":
        return abs(computed - float(fact["printed"])) <= 0.5 * 10.0 ** -int(fact["decimals"]) + 1e-9
    return abs(computed - data) <= (1e-3 * abs(data) if fact["field"] == "p" else 1e-6)


def main() -> None:
    grammar = argparse.ArgumentParser(description="Published against computed, number by number.")
    grammar.add_argument("path", type=Path, metavar="CLONE", help="the study's repository, or a run imported from it")
    grammar.add_argument("--labels", type=Path, metavar="CSV", help="published labels of private reasoning, as a CSV")
    grammar.add_argument("--json", action="store_true", help="the comparison as JSON")
    grammar.add_argument("--off", action="store_true", help="show only what does not agree")
    chosen = grammar.parse_args()
    if (chosen.path / "tables").is_dir():
        records = published.records(frames.together([chosen.path], NEEDED))
    else:
        records = published.records(llms_overconfidence.read(chosen.path, chosen.labels).tables)
    compared = compare(records)
    counted = Counter((row.status, row.verdict) for row in compared)
    if chosen.json:
        print(json.dumps({"numbers": [asdict(row) for row in compared]}))
    else:
        _print(compared, counted, records, chosen.off)
    sys.exit(1 if any(verdict != "agrees" for _, verdict in counted) else 0)


def _print(compared: list[Compared], counted: Counter[tuple[str, str]], records: list[Record], off: bool) -> None:
    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(soft_wrap=True, width=160)
    table = Table(title="Published against computed", title_justify="left", box=SIMPLE_HEAD)
    for column in ("number", "of", "status"):
        table.add_column(column)
    for column in ("printed", "from data", "computed"):
        table.add_column(column, justify="right")
    table.add_column("")
    for row in compared:
        if not off or row.verdict != "agrees":
            computed = "" if row.computed is None else f"{row.computed:.6g}"
            style = "" if row.verdict == "agrees" else "bold red"
            table.add_row(
                row.id, row.key, row.status, row.printed, f"{row.from_data:.6g}", computed, row.verdict, style=style
            )
    console.print(table)
    differing = Table(title="Where paper and data disagree", title_justify="left", box=SIMPLE_HEAD)
    for column in ("about", "the paper says", "what is so"):
        differing.add_column(column)
    for row in DISAGREEMENTS:
        differing.add_row(*row)
    console.print(differing)
    for record in records:
        if record.statistic == "side_win_share" and record.estimate is not None:
            console.print(f"side_win_share, {record.contrast}: {100 * record.estimate:.1f} % of {record.n} debates")
    console.print()
    for status in ("printed", "bound", "result file", "data"):
        whole = sum(count for (kind, _), count in counted.items() if kind == status)
        differ = {verdict: n for (kind, verdict), n in counted.items() if kind == status and verdict != "agrees"}
        rest = "".join(f", {n} {verdict}" for verdict, n in differ.items())
        console.print(f"{status}: {counted[status, 'agrees']} of {whole} agree{rest}")
    if not any(record.statistic == "alignment" for record in records):
        console.print("The labels of private reasoning are not there: a clone has them, or say --labels FILE.csv.")


if __name__ == "__main__":
    main()
