"""The report: one self-contained HTML page of a run, or of several side by side, and its figures as SVG files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from arena.inert import inert
from arena.report import figures, headlines, judging, numbers, standings, tournament_figures, words
from arena.report.drawing import PALETTE, Drawn, inline, standalone
from arena.report.figures import Absent, Shown
from arena.report.gathered import Example, Gathered, Source, gather, typical
from arena.report.tournaments import Contests, contested
from arena.stats import ours
from arena.stats.record import Record
from arena.types import READ

READ_ALOUD = 20_000
"""Characters of one utterance at most in the debate to read; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was written."""

    page: Path
    figures: tuple[Path, ...]
    absent: tuple[str, ...]
    """Why there is no figure of something."""


def write(runs: Sequence[Path], folder: Path) -> Report:
    """Write `report.html` and `figures/*.svg` into a folder. Raises `FileNotFoundError` for what has no tables."""
    gathered = gather(runs)
    records = ours.records(gathered.tables)
    contests = contested(gathered)
    of_contests = tournament_figures.figures(contests)
    drawn = figures.figures(Shown(gathered.conditions, gathered.tables, records, gathered.believed))
    # All is made before anything is written, so that page and figures are of one time.
    made = rendered(gathered, records, contests, of_contests, drawn)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for figure in (*of_contests, *drawn):
        path = folder / "figures" / f"{figure.name}.svg"
        if isinstance(figure, Absent):
            path.unlink(missing_ok=True)
        else:
            path.write_text(standalone(figure), encoding="utf-8")
            files.append(path)
    page = folder / "report.html"
    unfinished = folder / ".report.html"
    unfinished.write_text(made, encoding="utf-8")
    unfinished.replace(page)
    absent = (figure.why for figure in (*of_contests, *drawn) if isinstance(figure, Absent))
    return Report(page, tuple(files), tuple(why for why in absent if why))


def rendered(
    gathered: Gathered,
    records: Sequence[Record],
    contests: Contests,
    of_contests: Sequence[Drawn | Absent],
    drawn: Sequence[Drawn | Absent],
) -> str:
    """The page. All text in it that is not ours is escaped, its control characters made visible."""
    simulated = sorted({name for source in gathered.sources for name in _simulated(source, gathered)})
    return _template().render(
        title=" and ".join(source.label for source in gathered.sources),
        sources=gathered.sources,
        about=headlines.about(gathered),
        simulated=simulated,
        alone=len(gathered.conditions) == 1,
        ranking=standings.card(contests),
        cards=headlines.cards(gathered, records),
        contests=[_figure(figure) for figure in of_contests if isinstance(figure, Drawn)],
        standings=[table for contest in contests.tournaments for table in standings.tables(contest, contests.several)],
        decisions=[standings.decided(course, len(contests.courses) > 1) for course in contests.courses],
        judges=list(judging.tables(records)),
        figures=[_figure(figure) for figure in drawn if isinstance(figure, Drawn)],
        absent=[figure.why for figure in drawn if isinstance(figure, Absent)],
        tables=[(condition, _rows(records, condition)) for condition in dict.fromkeys(record.condition for record in records)],
        meanings={named.title: named.meaning for record in records if (named := words.named(record.statistic)).meaning},
        examples=[_example(example) for example in typical(gathered)],
        settings=[_settings(source) for source in gathered.sources],
        light={ink.variable: ink.light for ink in PALETTE},
        dark={ink.variable: ink.dark for ink in PALETTE},
        version=version("debate-arena"),
    )  # fmt: skip


def _figure(drawn: Drawn) -> dict[str, Any]:
    return {
        "name": drawn.name, "title": _unbroken(drawn.title), "caption": _unbroken(drawn.caption), "legend": drawn.keys,
        "panels": [Markup(inline(panel)) for panel in drawn.panels], "columns": min(drawn.columns, len(drawn.panels)),
    }  # fmt: skip


def _unbroken(text: str) -> str:
    """The text with its percent signs held to their numbers."""
    return text.replace(" %", "\u00a0%")


@cache
def _template() -> Any:
    made = Environment(
        loader=PackageLoader("arena.report", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=_inert,
    )  # fmt: skip
    return made.get_template("page.html.jinja")


def _inert(shown: Any) -> Any:
    """Text that is not ours with its control characters made visible; what is markup is ours."""
    return inert(shown) if type(shown) is str else shown


def _simulated(source: Source, gathered: Gathered) -> set[str]:
    """The models of a run that are none."""
    none = {name for name, provider in source.providers.items() if provider.get("api") == "simulated"}
    return {str(model) for model in set(gathered.tables["seats"]["model"]) if str(model).partition("/")[0] in none}


# ------------------------------------------------------------------ tables of numbers


def _rows(records: Sequence[Record], condition: str | None) -> dict[str, list[dict[str, Any]]]:
    """The headline numbers and all others of a condition, as cells."""
    own = [record for record in records if record.condition == condition]
    chosen = numbers.headlines(records)
    order = list(dict.fromkeys(record.statistic for record in own))
    own.sort(key=lambda record: order.index(record.statistic))
    rows = [(record in chosen, _cells(record)) for record in own]
    return {
        "headlines": [cells for first, cells in rows if first],
        "others": [cells for first, cells in rows if not first],
    }


def _cells(record: Record) -> dict[str, Any]:
    named, unit = words.named(record.statistic), words.unit(record)
    of = ", ".join(filter(None, (record.phase, record.contrast, record.threshold, record.model)))
    counted = record.statistic in numbers.COUNTS
    return {
        "title": named.title, "meaning": named.meaning, "of": of,
        "estimate": numbers.number(record.estimate, record.statistic) if counted else words.value(record.estimate, unit),
        "interval": words.interval(record, unit), "n": f"{record.n or 0:,}", "p": words.p_value(record.p),
        "missing": f"{record.missing:,}" if record.missing else "", "test": record.test or "",
    }  # fmt: skip


# ------------------------------------------------------------------ a debate to read, and how it was played


def _example(example: Example) -> dict[str, Any]:
    said = [
        {
            "seat": str(row["seat"]), "phase": str(row["phase"]).replace("_", " "), "status": str(row["status"]),
            "part": str(row["part"]).replace("_", " "), "private": row["audience"] == "private",
            "missing": row["status"] not in READ,
            "text": (text := str(row["text"]))[:READ_ALOUD], "left": max(len(text) - READ_ALOUD, 0),
        }
        for row in example.said
    ]  # fmt: skip
    return {
        "condition": example.condition,
        "match_id": example.match_id,
        "topic": example.topic,
        "seats": example.seats,
        "said": said,
    }


def _settings(source: Source) -> dict[str, Any]:
    return {
        "label": source.label,
        "experiment": source.experiment,
        "manifest": json.dumps(source.manifest, indent=2, ensure_ascii=False) if source.manifest else None,
    }
