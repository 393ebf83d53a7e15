"""The report's figures: from tables, beliefs and records to drawings, each with what it found and what to see in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Polygon, Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray
from scipy import stats

from arena.inert import inert
from arena.progress import money
from arena.report.drawing import BAND, GRID, GROUND, INK, MUTED, SHADE, Drawn, Ink, panel, series, short, styled, svg
from arena.report.words import MINUS, capital, count, listed, value, whole
from arena.stats import beliefs, calibration
from arena.stats.beliefs import Beliefs
from arena.stats.calibration import ReliabilityBin
from arena.stats.estimate import LEVEL
from arena.stats.missing import NEVER, Count, ballots_planned, by_phase, standing
from arena.stats.missing import count as count_of
from arena.stats.record import Record, find
from arena.types import READ

MOST_MODELS = 24
"""Models that get a panel or row of their own; the tables of numbers hold all."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Absent:
    """A figure whose data do not exist, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What all figures are made from."""

    conditions: tuple[str, ...]
    """In the order in which they are shown; a condition keeps its colour in all figures."""
    tables: Mapping[str, pd.DataFrame]
    records: Sequence[Record]
    believed: Mapping[str, Beliefs]
    """Of each condition that has any."""

    def find(self, statistic: str, **where: Any) -> Record | None:
        """The record of a statistic. What is not said must be None, the phase aside."""
        unsaid = {"condition": None, "contrast": None, "model": None, "threshold": None}
        return find(self.records, statistic=statistic, **unsaid | where)

    def keys(self, conditions: Sequence[str]) -> tuple[tuple[str, Ink, str], ...]:
        """A legend, where there is anything to tell apart."""
        if len(self.conditions) < 2:
            return ()
        return tuple((condition, *self.series(condition)) for condition in conditions)

    def series(self, condition: str) -> tuple[Ink, str]:
        return series(self.conditions.index(condition))

    def of(self, condition: str) -> str:
        """How a title says which condition it speaks of."""
        return f" in {condition}" if len(self.conditions) > 1 else ""

    def over(self, condition: str) -> str:
        """What a condition's panel is headed with."""
        return condition if len(self.conditions) > 1 else ""


def figures(shown: Shown) -> list[Drawn | Absent]:
    """Every figure of the report in its order; one that has nothing to show says why."""
    with styled():
        return [draw(shown) for draw in (confidence, plane, escalation, reliability, judges, missing, cost)]


# ------------------------------------------------------------------ confidence by phase


def confidence(shown: Shown) -> Drawn | Absent:
    """Stated chances over the phases: every seat of every debate a thin line, means with their intervals on top."""
    there = {name: held for name, held in shown.believed.items() if np.isfinite(held.c).any()}
    if not there:
        return Absent("confidence", "No debater stated a confidence, so there is no figure of confidence by phase.")
    phases = max((held.phases for held in there.values()), key=len)
    models = sorted({model for held in there.values() for model in held.names})
    names = short(models)
    lowest = min(25 * math.ceil(4 * float(np.nanmin(held.c)) - 1) for held in there.values())
    draw = partial(_phase_panel, shown, phases, max(0, min(lowest, 25)))
    several = len(there) > 1
    panels = [draw({name: held}, name if several else "all models", None, threads=True) for name, held in there.items()]
    if len(models) > 1 or several:
        panels += [draw(there, names[model], model, threads=not several) for model in models[:MOST_MODELS]]
    which = "drawn for each condition, not for each model" if several else "thicker where several coincide"
    left_out = f" The first {MOST_MODELS} of {len(models)} models are drawn." if len(models) > MOST_MODELS else ""
    return Drawn(
        "confidence",
        _confidence_title(shown, there),
        f"Chance of winning that debaters stated, by phase of the debate. Each thin line is one debater in one debate, {which}; "
        "dots are means with 95 % intervals. The dashed line is even odds, around which both sides’ chances must average."
        f"{left_out}",
        tuple(panels),
        columns=4,
        keys=shown.keys(list(there)),
    )


def _confidence_title(shown: Shown, there: Mapping[str, Beliefs]) -> str:
    said: list[str] = []
    for name, held in there.items():
        first, last = (shown.find("confidence", condition=name, phase=held.phases[end]) for end in (0, -1))
        if first and last and first.estimate is not None and last.estimate is not None and len(held.phases) > 1:
            said.append(f"from {whole(100 * first.estimate)} % to {whole(100 * last.estimate)} %{shown.of(name)}")
    if not said or len(said) > 3:
        return "Confidence by phase"
    return f"Mean confidence went {listed(said)}"


def _phase_panel(
    shown: Shown,
    phases: Sequence[str],
    lowest: int,
    there: Mapping[str, Beliefs],
    title: str,
    model: str | None,
    *,
    threads: bool,
) -> str:
    figure, axes = panel(176, 150, (37, 14, 25, 22), title)
    place = {phase: number for number, phase in enumerate(phases)}
    axes.axhline(50, color=MUTED.stand_in, linewidth=0.8, dashes=(3, 3))
    for slot, (condition, held) in enumerate(there.items()):
        if model is not None and model not in held.names:
            continue
        ink, marker = shown.series(condition)
        if threads:
            seats = held.models >= 0 if model is None else held.of(model)
            _threads(axes, held.c[seats], [place.get(phase, 0) for phase in held.phases], ink)
        shift = 0.14 * (slot - (len(there) - 1) / 2)
        found = [
            (place.get(phase, 0) + shift, record)
            for phase in held.phases
            if (record := shown.find("confidence", condition=condition, phase=phase, model=model))
        ]
        if found:
            _means(axes, found, ink, marker, label=len(there) == 1, rim=threads)
    axes.set_xlim(-0.3, len(phases) - 0.7)
    axes.set_ylim(lowest, 100)
    axes.set_yticks([tick for tick in (0, 25, 50, 75, 100) if tick >= lowest])
    axes.yaxis.set_major_formatter(lambda tick, _: f"{tick:g} %")
    axes.grid(axis="y", color=GRID.stand_in, linewidth=0.6)
    names = [phase if len(phases) <= 3 else phase.replace("rebuttal", "reb.") for phase in phases]
    axes.set_xticks(range(len(phases)), [inert(name).replace("_", " ")[:12] for name in names], fontsize=9)
    return svg(figure, f"Confidence by phase, {title}")


def _threads(axes: Axes, c: Floats, xs: Sequence[int], ink: Ink) -> None:
    """Every course (rows of `c`). Equal ones are drawn once, thicker and darker; those of one weight share one path."""
    courses = Counter(map(tuple, (100 * c).round(1).tolist()))
    weights: dict[int, list[tuple[float, ...]]] = {}
    for course, times in courses.items():
        weights.setdefault(min(times, 4), []).append(course)
    faint = 0.24 if len(courses) < 150 else 0.12
    for times, several in sorted(weights.items()):
        vertices: list[tuple[float, float]] = []
        codes: list[Any] = []
        for course in several:
            points = [(float(x), y) for x, y in zip(xs, course, strict=True) if math.isfinite(y)]
            vertices += points
            codes += [Path.MOVETO, *[Path.LINETO] * (len(points) - 1)] if points else []
        if vertices:
            path = PathPatch(Path(vertices, codes), fill=False, edgecolor=ink.stand_in)
            path.set(linewidth=0.4 + 0.3 * times, alpha=min(faint * times, 0.6))
            axes.add_patch(path)


def _means(axes: Axes, found: Sequence[tuple[float, Record]], ink: Ink, marker: str, *, label: bool, rim: bool) -> None:
    xs = [x for x, _ in found]
    ys = [100 * (record.estimate or 0) for _, record in found]
    # A rim of the page's own ground sets the means off from the threads.
    for colour, width in ((GROUND, 3.8), (ink, 1.8)) if rim else ((ink, 1.8),):
        axes.plot(xs, ys, color=colour.stand_in, linewidth=width)
        for x, record in found:
            if record.low is not None and record.high is not None:
                axes.plot([x, x], [100 * record.low, 100 * record.high], color=colour.stand_in, linewidth=width)
    axes.plot(xs, ys, color=ink.stand_in, linewidth=0, marker=marker, markersize=5, markeredgewidth=0)
    for x, y in dict.fromkeys([(xs[0], ys[0]), (xs[-1], ys[-1])]) if label else ():
        below = y > 85
        axes.annotate(
            whole(y), (x, y), (0, -9 if below else 8), textcoords="offset points", ha="center",
            va="top" if below else "bottom", color=INK.stand_in, fontsize=10, fontweight="bold",
        )  # fmt: skip


# ------------------------------------------------------------------ both sides at once


def plane(shown: Shown) -> Drawn | Absent:
    """Both sides' last confidences, a point a debate; above the diagonal they add up to more than is possible."""
    pairs = {name: _closing(held) for name, held in shown.believed.items() if len(held.sides) == 2}
    pairs = {name: c for name, c in pairs.items() if len(c)}
    if not pairs:
        return Absent(
            "plane", "No debate has a last confidence of two sides, so there is no figure of the two together."
        )
    above = [
        f"{int((c.sum(axis=1).round(9) > 1).sum()):,} of {count(len(c), 'debates')}{shown.of(name)}"
        for name, c in pairs.items()
    ]
    what = "the chances that two sides state last add up to more than 100 %"
    return Drawn(
        "plane",
        f"{capital(what)} in {listed(above)}" if len(pairs) <= 3 else f"How often {what}",
        "Each point is a debate, placed by what both sides said of their chances at the end; larger where several coincide. "
        "Only one side can win, so coherent pairs lie on the line. In the shaded region the chances add up to more than 100 %: "
        "there, somebody must be wrong.",
        tuple(
            _plane_panel(c, shown.believed[name].sides, shown.over(name), *shown.series(name))
            for name, c in pairs.items()
        ),
        columns=3,
    )


def _closing(held: Beliefs) -> Floats:
    last = held.c[:, :, -1]
    return last[np.isfinite(last).all(axis=1)]


def _plane_panel(c: Floats, sides: Sequence[str], title: str, ink: Ink, marker: str) -> str:
    figure, axes = panel(344, 330, (62, 22, 28 if title else 12, 46), title)
    axes.add_patch(Polygon([(0, 100), (100, 100), (100, 0)], facecolor=SHADE.stand_in, edgecolor="none"))
    axes.plot([0, 100], [100, 0], color=INK.stand_in, linewidth=1.1)
    # Along the line, where debates of overconfident sides do not lie.
    for away, words in ((-3.2, "exactly 100 %"), (3.2, "more than 100 %: impossible")):
        axes.text(26 + away, 74 + away, words, rotation=-45, ha="center", va="center", color=INK.stand_in, fontsize=10)
    points = Counter(map(tuple, (100 * c).round(0).tolist()))
    places = np.array(list(points), dtype=float)
    times = np.array(list(points.values()), dtype=float)
    each = 400.0 / max(float(times.max()), 8)
    axes.scatter(
        places[:, 0], places[:, 1], s=15 + each * (times - 1), marker=marker, facecolor=ink.stand_in, edgecolor="none",
        alpha=0.75 if len(points) < 150 else 0.4, clip_on=False, zorder=3,
    )  # fmt: skip
    _percent_axes(axes, *(f"{capital(inert(side))}: chance stated at the end" for side in sides))
    return svg(figure, f"Closing confidences of both sides {title}")


def _percent_axes(axes: Axes, across: str, up: str) -> None:
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    ticks = (0, 25, 50, 75, 100)
    for axis, words in ((axes.xaxis, across), (axes.yaxis, up)):
        axis.set_ticks(ticks, [f"{tick} %" for tick in ticks])
        axis.set_label_text(words, color=INK.stand_in, fontsize=10)


# ------------------------------------------------------------------ forests


def escalation(shown: Shown) -> Drawn | Absent:
    """By how much confidence rose from first to last phase, a row a model and one for all."""
    ends = {name: f"{held.phases[0]}->{held.phases[-1]}" for name, held in shown.believed.items()}
    rows = _rows(shown, "escalation", ends)
    if not rows:
        return Absent(
            "escalation", "No debater stated a confidence twice in a debate, so there is no figure of escalation."
        )
    said = [
        f"{value(pooled.estimate, 'points')}{shown.of(name)}"
        for name, contrast in ends.items()
        if (pooled := shown.find("escalation", condition=name, contrast=contrast))
    ]
    return Drawn(
        "escalation",
        f"Confidence changed by {listed(said)}" if 0 < len(said) <= 3 else "How confidence changed",
        "Change of stated confidence from the first phase to the last, with 95 % intervals: all debaters on top, then each "
        "model. Right of zero, debaters grew surer as they argued. Both sides of a debate cannot rightly do so on average.",
        (_forest(shown, rows, "change, percentage points", 0),),
        keys=shown.keys(shown.conditions),
    )


def judges(shown: Shown) -> Drawn | Absent:
    """Which side each judge gave its ballots to."""
    second = {r.condition: r.contrast for r in shown.records if r.statistic == "judge_side_share" and r.condition}
    rows = _rows(shown, "judge_side_share", second)
    if not rows:
        return Absent("judges", "No judge cast a ballot for one of two sides, so there is no figure of the panel.")
    panel_ = [by for model, by in rows if model]
    leaning = sum(any(_leans(record) for record in by.values()) for by in panel_)
    return Drawn(
        "judges",
        f"{leaning} of {count(len(panel_), 'judges')} clearly {'leans' if leaning == 1 else 'lean'} to one side",
        "Share of each judge’s ballots that went to the opposition, with 95 % intervals by debate. Where it lies clearly off "
        "the dashed line at 50 %, the judge leans to a side, or one side’s case was better more often.",
        (_forest(shown, rows, "ballots for the opposition, %", 50),),
        keys=shown.keys([name for name in shown.conditions if any(name in by for _, by in rows)]),
    )


def _leans(record: Record) -> bool:
    """By the test that allows for the number of judges."""
    return record.p is not None and record.p < 1 - LEVEL


Rows = list[tuple[str | None, dict[str, Record]]]
"""Model (None: all together) and its record in each condition."""


def _rows(shown: Shown, statistic: str, contrasts: Mapping[str, str | None]) -> Rows:
    """The records of a statistic, with the contrast that is given for each condition."""
    there = [
        record for record in shown.records
        if record.statistic == statistic and record.estimate is not None
        and record.condition in contrasts and record.contrast == contrasts[str(record.condition)]
    ]  # fmt: skip
    models = sorted({record.model for record in there if record.model})
    rows = [
        (model, {record.condition: record for record in there if record.model == model and record.condition})
        for model in (None, *models[:MOST_MODELS])
    ]
    return [(model, by) for model, by in rows if by]


def _forest(shown: Shown, rows: Rows, unit: str, null: float) -> str:
    names = short([model for model, _ in rows if model])
    there = [condition for condition in shown.conditions if any(condition in by for _, by in rows)]
    step = 7 * len(there) + 11
    figure, axes = panel(368, step * len(rows) + 54, (142, 12, 8, 40))
    axes.axvline(null, color=MUTED.stand_in, linewidth=0.9, dashes=(3, 3))
    reach = [null]
    for place, (model, by) in enumerate(rows):
        for condition, record in by.items():
            ink, marker = shown.series(condition)
            y = place + (there.index(condition) - (len(there) - 1) / 2) * 7 / step
            ends = [100 * end for end in (record.low, record.high) if end is not None]
            if len(ends) == 2:
                axes.plot(ends, [y, y], color=ink.stand_in, linewidth=1.6 if model else 2.4)
            middle = 100 * (record.estimate or 0)
            axes.plot(middle, y, marker=marker, markersize=5 if model else 7, color=ink.stand_in, markeredgewidth=0)
            reach += [*ends, middle]
    if rows[0][0] is None and len(rows) > 1:
        axes.axhline(0.5, color=GRID.stand_in, linewidth=0.8)
    margin = 0.06 * (max(reach) - min(reach) or 1)
    axes.set_xlim(min(reach) - margin, max(reach) + margin)
    _named_rows(axes, [names[model] if model else "all together" for model, _ in rows])
    if rows[0][0] is None:
        axes.get_yticklabels()[0].set_fontweight("bold")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit, color=INK.stand_in, fontsize=10)
    axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:g}".replace("-", MINUS))
    return svg(figure, f"Forest plot: {unit}")


def _named_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), list(names))
    for label in axes.get_yticklabels():
        label.set_color(INK.stand_in)
    axes.grid(axis="x", color=GRID.stand_in, linewidth=0.6)


# ------------------------------------------------------------------ calibration


def reliability(shown: Shown) -> Drawn | Absent:
    """How often debaters who stated a chance won, beside what calibrated ones would show by chance."""
    there: dict[str, tuple[ReliabilityBin, ...]] = {}
    for name, held in shown.believed.items():
        stated, won = held.c[:, :, -1], held.won
        both = beliefs.whole(stated + won, held.everybody[0][2])
        if both.any():
            there[name] = calibration.reliability(stated[both], won[both], held.debate[both])
    if not there:
        return Absent(
            "reliability", "No debate has both a winner and a stated confidence, so there is no reliability diagram."
        )
    every = [cell for cells in there.values() for cell in cells]
    outside = sum(not _expected(cell) for cell in every)
    return Drawn(
        "reliability",
        f"In {outside} of {count(len(every), 'ranges')} of stated confidence, debaters won more or less often than chance explains",
        "How often debaters won, by the chance that they stated at the end, with 95 % intervals; larger points rest on more "
        "statements. Calibrated debaters lie on the diagonal, and in 95 % of cases within the grey bars, which show what chance "
        "alone does.",
        tuple(_reliability_panel(cells, shown.over(name), *shown.series(name)) for name, cells in there.items()),
        columns=3,
    )


def _reliability_panel(cells: Sequence[ReliabilityBin], title: str, ink: Ink, marker: str) -> str:
    figure, axes = panel(344, 330, (62, 22, 28 if title else 12, 46), title)
    most = max(cell.observed.n for cell in cells)
    for cell in cells:
        low, high = _by_chance(cell)
        bar = Rectangle(
            (100 * cell.stated - 2.2, 100 * low), 4.4, 100 * (high - low), facecolor=BAND.stand_in, edgecolor="none"
        )
        axes.add_patch(bar)
    axes.plot([0, 100], [0, 100], color=MUTED.stand_in, linewidth=1, dashes=(3, 3))
    for cell in cells:
        found, x = cell.observed, 100 * cell.stated
        if found.low is not None and found.high is not None:
            axes.plot([x, x], [100 * found.low, 100 * found.high], color=ink.stand_in, linewidth=1.6)
        axes.plot(
            x, 100 * (found.estimate or 0), marker=marker, markersize=4.5 + 6 * math.sqrt(found.n / most), color=ink.stand_in,
            markeredgewidth=0, clip_on=False,
        )  # fmt: skip
    _percent_axes(axes, "Chance of winning stated at the end", "Share that won")
    return svg(figure, f"Reliability diagram {title}")


def _by_chance(cell: ReliabilityBin) -> tuple[float, float]:
    """Where 95 % of the calibrated lie (Broecker and Smith 2007), a bin's rows taken for independent."""
    low, high = stats.binom.interval(LEVEL, cell.observed.n, cell.stated)
    return float(low) / cell.observed.n, float(high) / cell.observed.n


def _expected(cell: ReliabilityBin) -> bool:
    low, high = _by_chance(cell)
    return cell.observed.estimate is None or low <= cell.observed.estimate <= high


# ------------------------------------------------------------------ what is missing, what it cost


@dataclass(frozen=True, slots=True)
class Lost:
    """How much of one kind was planned, and what of it is missing or was not read, by reason."""

    kind: str
    planned: int
    missing: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.missing.values())


def losses(tables: Mapping[str, pd.DataFrame]) -> list[Lost]:
    """Debates, speeches, confidences and ballots, as `arena.stats.missing` counts them; answers and pairs of them."""
    kinds = ("debates", "speeches", "confidences", "ballots", "answers", "pairs of answers")
    counted: dict[str, list[Count]] = {kind: [] for kind in kinds}
    for of in beliefs.split(tables).values():
        counted["debates"].append(count_of(of["matches"].replace({"status": {"planned": "never started"}}), 0))
        counted["ballots"].append(count_of(of["verdicts"], ballots_planned(of)))
        counted["answers"].append(count_of(of["answers"].query("round == 1"), 0))
        counted["pairs of answers"].append(count_of(of["preferences"], 0))
        speeches = of["utterances"].query("part == 'speech'")
        of_winning = of["confidences"].query("about == 'own_side_wins'")
        for kind, said in (("speeches", speeches), ("confidences", _kept(standing(of_winning)))):
            counted[kind] += [count_of(rows, planned) for _, _, rows, planned in by_phase(said, of["seats"])]
    lost = (_lost(kind, counts) for kind, counts in counted.items())
    return [one for one in lost if one.planned]


def _lost(kind: str, counts: Sequence[Count]) -> Lost:
    reasons = Counter[str]()
    for one in counts:
        reasons.update({status: n for status, n in one.statuses.items() if status not in ("finished", *READ)})
    missing = dict(sorted(reasons.items(), key=lambda reason: (reason[0] == NEVER, -reason[1])))
    return Lost(kind, sum(one.planned for one in counts), missing)


def _kept(confidences: pd.DataFrame) -> pd.DataFrame:
    """With a word where a value stands though it could not be read: some imports have them."""
    status = confidences["status"]
    return confidences.assign(
        status=status.where(status.isin(READ) | confidences["value"].isna(), status + " (value kept)")
    )


def missing(shown: Shown) -> Drawn | Absent:
    """What was planned and is not there, as shares of what was planned."""
    kinds = losses(shown.tables)
    if not any(lost.total for lost in kinds):
        return Absent(
            "missing", f"Nothing is missing among {listed([count(lost.planned, lost.kind) for lost in kinds])}."
        )
    reasons = sorted({reason for lost in kinds for reason in lost.missing})
    return Drawn(
        "missing",
        f"Missing or not read: {listed([f'{lost.total:,} of {count(lost.planned, lost.kind)}' for lost in kinds if lost.total])}",
        "What was planned and is not there or could not be read, in percent of what was planned, by reason. Nothing that is "
        "missing was guessed, or counted as a loss.",
        (_missing_panel(kinds, reasons),),
        keys=tuple((reason.replace("_", " "), *series(number)) for number, reason in enumerate(reasons)),
    )


def _missing_panel(kinds: Sequence[Lost], reasons: Sequence[str]) -> str:
    figure, axes = panel(368, 30 * len(kinds) + 48, (142, 18, 4, 40))
    for place, lost in enumerate(kinds):
        left = 0.0
        for number, reason in enumerate(reasons):
            share = 100 * lost.missing.get(reason, 0) / lost.planned
            axes.barh(place, share, left=left, height=0.55, color=series(number)[0].stand_in)
            left += share
    axes.set_xlim(0, 1.05 * max(100 * lost.total / lost.planned for lost in kinds))
    _named_rows(axes, [f"{lost.kind} ({lost.planned:,})" for lost in kinds])
    axes.set_xlabel("% of what was planned", color=INK.stand_in, fontsize=10)
    return svg(figure, "What is missing")


def cost(shown: Shown) -> Drawn | Absent:
    """Tokens by model, read and written, and what they cost."""
    spent = by_model(shown.tables["calls"])
    total = int(spent["total"].sum())
    if not total:
        return Absent("cost", "No tokens are recorded, so there is no figure of tokens and cost.")
    calls, unpriced = int(spent["calls"].sum()), int(spent["unpriced"].sum())
    price = "no price is known" if calls == unpriced else money(float(spent["cost"].sum()), unpriced)
    return Drawn(
        "cost",
        f"{total:,} tokens in {count(calls, 'calls')}; {price}",
        "Tokens that each model read (input) and wrote (output, hidden reasoning included), as debater and as judge, and what "
        "they cost.",
        (_cost_panel(spent[:MOST_MODELS]),),
        keys=(("input", *series(0)), ("output", *series(1))),
    )


def by_model(calls: pd.DataFrame) -> pd.DataFrame:
    """A row a model, the largest first: calls, tokens, US dollars, calls without a price. Calls under way are left out."""
    spent = calls[~calls["status"].isin(("in_flight", "lost"))]
    unpriced = spent["calls"].where(spent["cost_usd"].isna() & spent["input_tokens"].notna(), 0)
    spent = spent.assign(unpriced=unpriced)
    columns = {
        "calls": "calls", "input_tokens": "input", "cached_tokens": "cached", "output_tokens": "output", "cost_usd": "cost",
        "unpriced": "unpriced",
    }  # fmt: skip
    summed = spent.groupby("model")[list(columns)].sum().rename(columns=columns)
    return summed.assign(total=summed["input"] + summed["output"]).sort_values("total", ascending=False, kind="stable")


def _cost_panel(spent: pd.DataFrame) -> str:
    names = short([str(model) for model in spent.index])
    figure, axes = panel(368, 24 * len(spent) + 48, (142, 58, 4, 40))
    scale, unit = (1e6, "million tokens") if spent["total"].max() >= 1e6 else (1e3, "thousand tokens")
    for place, (_, row) in enumerate(spent.iterrows()):
        axes.barh(place, row["input"] / scale, height=0.6, color=series(0)[0].stand_in)
        axes.barh(place, row["output"] / scale, left=row["input"] / scale, height=0.6, color=series(1)[0].stand_in)
        axes.annotate(
            "no price" if row["unpriced"] else f"${row['cost']:.2f}", (row["total"] / scale, place), (4, 0), va="center",
            textcoords="offset points", color=INK.stand_in, fontsize=9.5, annotation_clip=False,
        )  # fmt: skip
    _named_rows(axes, list(names.values()))
    axes.set_xlabel(unit, color=INK.stand_in, fontsize=10)
    return svg(figure, "Tokens and cost by model")
