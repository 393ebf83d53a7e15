"""The figures of tournaments: standings, who beats whom, who met whom, and how it was decided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import MaxNLocator

from arena.report.drawing import BAND, GRID, GROUND, INK, MUTED, SERIES, Drawn, panel, series, short, styled, svg
from arena.report.figures import Absent
from arena.report.standings import ranks, shifted, unrated
from arena.report.tournaments import Contests, Course, Decision, Met, Tournament
from arena.report.words import count, listed, value
from arena.stats.ratings import CENTRE, PER_DECADE, Ratings
from arena.tournament import ended

MOST_AGENTS = 40
"""Agents that get a row in the standings; the table holds all."""

MOST_CELLS = 15
"""Agents up to whom a matrix and a graph can be read."""

FOR, AGAINST = SERIES[0], SERIES[1]
"""Colours of what goes with the order and against it, of more than half and less."""


def figures(contests: Contests) -> list[Drawn | Absent]:
    """Every figure of who is stronger in its order. What nobody asked for, as there was no tournament, is absent without a word."""
    held = contests.tournaments
    rated = [tournament for tournament in held if tournament.standings]
    many = [tournament for tournament in held if tournament.met and len(tournament.met.agents) > 2]
    ranked = [tournament for tournament in many if tournament.standings]
    with styled():
        return [
            standings(rated) if rated else Absent("standings", " ".join(map(unrated, held))),
            matrix(ranked) if ranked else Absent("matrix", ""),
            graph(many) if many else Absent("graph", ""),
            decisions(contests.courses, contests.order) if contests.courses else Absent("decisions", ""),
        ]


def _heading(tournament: Tournament, shown: Sequence[Tournament]) -> str:
    """What a tournament's panel is headed with."""
    return listed(list(tournament.conditions)) if len(shown) > 1 else ""


def _most(shown: Sequence[Tournament], most: int) -> str:
    """Says that some agents are left out, where they are."""
    agents = max(len(tournament.met.agents) for tournament in shown if tournament.met)
    return f" The first {most} of {agents} agents are drawn." if agents > most else ""


# ------------------------------------------------------------------ standings


def standings(rated: Sequence[Tournament]) -> Drawn:
    """Ratings with their intervals, the strongest on top, beside the truth where it is known."""
    known = any(map(shifted, rated))
    truth = (
        " Diamonds are the ratings that the simulated agents were given. Only differences between ratings mean something, so they "
        "are moved together until their mean is that of the estimates."
    )
    return Drawn(
        "standings",
        "; ".join(map(_lead, rated)) if len(rated) <= 2 else "Who is stronger",
        f"Rating of each agent with its 95 % interval, from {listed([_basis(tournament) for tournament in rated])}; what seats and "
        f"judges do is taken out. The mean is {CENTRE:,.0f}; {PER_DECADE:.0f} points more are odds ten times as high. Beside them "
        "the ranks that the data admit at 95 %, and P(best): the share of draws from what the data leave open in which an agent "
        "is first."
        f"{truth if known else ''}{_most(rated, MOST_AGENTS)}",
        tuple(_standings_panel(tournament, _heading(tournament, rated)) for tournament in rated),
        columns=min(len(rated), 2),
        keys=(("estimate", *series(0)), ("truth", AGAINST, "D")) if known else (),
    )  # fmt: skip


def _ratings(tournament: Tournament) -> Ratings:
    assert tournament.standings
    return tournament.standings.ratings


def _lead(tournament: Tournament) -> str:
    agents = _ratings(tournament).agents
    doubt = (
        f", but its rank may be anything from {agents[0].rank_low} to {agents[0].rank_high}"
        if agents[0].rank_high > 1
        else ""
    )
    return f"{agents[0].agent} leads{doubt}"


def _basis(tournament: Tournament) -> str:
    assert tournament.standings
    held = tournament.standings.compared.comparisons
    return f"{_ratings(tournament).matches:,} matches and {held.score.size:,} verdicts of {count(len(held.judges), 'judges')}"


def _standings_panel(tournament: Tournament, title: str) -> str:
    rated, truth = _ratings(tournament).agents[:MOST_AGENTS], shifted(tournament)
    names = short([agent.agent for agent in rated], 18)
    top = 44 if title else 24
    figure, axes = panel(368, 21 * len(rated) + top + 38, (118, 88, top, 38), title)
    ink, marker = series(0)
    reach: list[float] = []
    for place, agent in enumerate(rated):
        ends = [end for end in (agent.low, agent.high) if end is not None]
        axes.plot(ends, [place] * len(ends), color=ink.stand_in, linewidth=2)
        axes.plot(agent.rating, place, marker=marker, markersize=6, color=ink.stand_in, markeredgewidth=0)
        reach += [*ends, agent.rating]
        if (true := truth.get(agent.agent)) is not None:
            axes.plot(
                true, place, marker="D", markersize=6.5, markerfacecolor="none", markeredgecolor=AGAINST.stand_in,
                markeredgewidth=1.5, zorder=4,
            )  # fmt: skip
            reach.append(true)
    margin = 0.06 * (max(reach) - min(reach) or 1)
    axes.set_xlim(min(reach) - margin, max(reach) + margin)
    axes.set_ylim(len(rated) - 0.5, -0.5)
    best = ["" if agent.p_best is None else f"{agent.p_best:.2f}" for agent in rated]
    for at, words in ((1.16, ["rank", *map(ranks, rated)]), (1.42, ["P(best)", *best])):
        for place, word in enumerate(words, start=-1):
            axes.text(
                at, place, word, transform=axes.get_yaxis_transform(), ha="center", va="center", fontsize=10,
                color=(MUTED if place < 0 else INK).stand_in,
            )  # fmt: skip
    axes.set_yticks(range(len(rated)), [names[agent.agent] for agent in rated])
    for label in axes.get_yticklabels():
        label.set_color(INK.stand_in)
    axes.grid(axis="x", color=GRID.stand_in, linewidth=0.6)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(lambda tick, _: value(tick, "rating"))
    axes.set_xlabel("rating", color=INK.stand_in, fontsize=10)
    return svg(figure, f"Ratings with intervals {title}")


# ------------------------------------------------------------------ who beats whom


def matrix(shown: Sequence[Tournament]) -> Drawn:
    """Chances of the row against the column: foretold above the diagonal, seen below it."""
    return Drawn(
        "matrix",
        "Who beats whom: what the ratings foretell, and what was seen",
        "How often the row beats the column, in percent, ties half; both in the order of the standings. Above the diagonal what "
        "the ratings foretell in neutral seats before the average judge; below it the verdicts that were seen, and under them the "
        "number of matches. Blue is more than half, orange less: where the order says it all, all above is blue and all below is "
        f"orange. Pairs that never met are empty below.{_most(shown, MOST_CELLS)}",
        tuple(_matrix_panel(tournament, _heading(tournament, shown)) for tournament in shown),
        columns=min(len(shown), 2),
    )  # fmt: skip


def _matrix_panel(tournament: Tournament, title: str) -> str:
    assert tournament.met
    met, win = tournament.met, _ratings(tournament).win
    agents = met.agents[:MOST_CELLS]
    names, size = short(list(met.agents), 15), len(agents)
    top = 44 if title else 24
    side, left = min(246 / size, 46.0), 116
    figure, axes = panel(368, side * size + top + 4, (left, 368 - left - side * size, top, 4), title)
    big, small = min(11.0, 0.42 * side), min(8.0, 0.3 * side)
    for row in range(size):
        for column in range(size):
            n = int(met.matches[row, column])
            seen = row > column
            if row == column or (seen and not n):
                continue
            chance = float(met.share[row, column] if seen else win[row, column])
            axes.add_patch(_cell(column, row, chance))
            axes.text(
                column, row - 0.14 * seen, f"{100 * chance:.0f}", ha="center", va="center", color=INK.stand_in, fontsize=big
            )  # fmt: skip
            if seen:
                axes.text(column, row + 0.29, f"{n:,}", ha="center", va="center", color=INK.stand_in, fontsize=small)
    axes.plot([-0.5, size - 0.5], [-0.5, size - 0.5], color=MUTED.stand_in, linewidth=0.8)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.xaxis.tick_top()
    axes.set_xticks(range(size), [f"{place}" for place in range(1, size + 1)])
    axes.set_yticks(range(size), [f"{names[agent]}  {place}" for place, agent in enumerate(agents, start=1)])
    for label in axes.get_yticklabels():
        label.set_color(INK.stand_in)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return svg(figure, f"Matrix of win chances {title}")


def _cell(x: float, y: float, chance: float) -> Rectangle:
    """The further from even, the stronger the colour, on whatever ground the page has."""
    return Rectangle(
        (x - 0.48, y - 0.48), 0.96, 0.96, facecolor=(FOR if chance >= 0.5 else AGAINST).stand_in, edgecolor="none",
        alpha=0.06 + 1.08 * abs(chance - 0.5),
    )  # fmt: skip


# ------------------------------------------------------------------ who met whom


def graph(shown: Sequence[Tournament]) -> Drawn:
    """The comparison graph: who met whom, how often, and whether the one who stands higher won more."""
    against = [_against(tournament.met) for tournament in shown if tournament.met]
    upsets, pairs = sum(wrong for wrong, _ in against), sum(of for _, of in against)
    orders = dict.fromkeys(
        "the standings" if tournament.standings else "their shares of verdicts" for tournament in shown
    )
    return Drawn(
        "graph",
        f"In {upsets} of {count(pairs, 'pairs')} that met, the one that stands lower won more",
        f"Who met whom: agents in the order of {' or '.join(orders)}, clockwise from the top, lines as thick as matches were "
        "played. Arrows point from the one that won more verdicts to the other: blue where it stands higher, orange and dashed "
        f"where it stands lower; grey lines are even.{_most(shown, MOST_CELLS)}",
        tuple(_graph_panel(tournament, _heading(tournament, shown)) for tournament in shown),
        columns=min(len(shown), 2),
    )  # fmt: skip


def _against(met: Met) -> tuple[int, int]:
    """Pairs in which the one that stands lower won more, and pairs that met."""
    above = np.triu(met.matches > 0, 1)
    return int((met.share[above] < 0.5).sum()), int(above.sum())


def _graph_panel(tournament: Tournament, title: str) -> str:
    assert tournament.met
    met, agents = tournament.met, tournament.met.agents[:MOST_CELLS]
    names, size = short(list(met.agents), 13), len(agents)
    figure, axes = panel(368, 268 + 16 * bool(title), (0, 0, 4 + 16 * bool(title), 4), title)
    turns = [2 * math.pi * place / size for place in range(size)]
    where = [(math.sin(turn), math.cos(turn)) for turn in turns]
    most, thickest = int(met.matches[:size, :size].max()), min(24 / size, 3.6)
    for high in range(size):
        for low in range(high + 1, size):
            if met.matches[high, low]:
                share = float(met.share[high, low])
                _edge(axes, where[high], where[low], share, thickest * int(met.matches[high, low]) / most)
    for place, (x, y) in enumerate(where):
        axes.plot(x, y, marker="o", markersize=17, color=GROUND.stand_in, markeredgecolor=INK.stand_in, zorder=3)
        axes.text(x, y, f"{place + 1}", ha="center", va="center_baseline", color=INK.stand_in, fontsize=9, zorder=4)
        beside = abs(x) > 0.2
        axes.text(
            1.13 * x, 1.15 * y, names[agents[place]], color=INK.stand_in, fontsize=10,
            ha=("left" if x > 0 else "right") if beside else "center", va="center" if beside else "bottom" if y > 0 else "top",
        )  # fmt: skip
    axes.set_xlim(-1.98, 1.98)
    axes.set_ylim(-1.4, 1.4)
    axes.axis("off")
    return svg(figure, f"Comparison graph {title}")


def _edge(axes: Axes, high: tuple[float, float], low: tuple[float, float], share: float, width: float) -> None:
    ink, line = (FOR, "-") if share > 0.5 else (AGAINST, (0, (3, 1.5))) if share < 0.5 else (MUTED, "-")
    ends = (high, low) if share >= 0.5 else (low, high)
    axes.add_patch(
        FancyArrowPatch(
            *ends, arrowstyle="-" if share == 0.5 else "-|>", mutation_scale=7 + width, shrinkA=10, shrinkB=10,
            color=ink.stand_in, linestyle=line, linewidth=max(width, 0.6), alpha=0.75, zorder=1 + (share < 0.5),
        )
    )  # fmt: skip


# ------------------------------------------------------------------ decisions


def decisions(courses: Sequence[Course], order: Sequence[str]) -> Drawn:
    """How a tournament was decided as it went: who met whom, and how the case against every other answer grew."""
    panels: list[str] = []
    for course in courses:
        asked = [decision for decision in course.decisions if decision.standing]
        title = f"{course.label}: " if len(courses) > 1 else ""
        panels += [_wealth_panel(asked, f"{title}the case against the best rival")] if asked else []
        panels.append(_pairings_panel(course, order, f"{title}who met whom"))
    told = [ended(course.stopped_by, course.rounds, course.decisions[-1].standing) for course in courses]
    asked = any(course.decisions[-1].standing for course in courses)
    wealth = (
        "On top, after every round, the log likelihood ratio of the favoured answer against the one beside it that is least "
        "excluded; at the dashed line that one is ruled out at the level that was asked for. Squares mark "
        "where another answer became the favoured one. Below, each "
    )
    return Drawn(
        "decisions",
        told[0].removesuffix(".") if len(told) == 1 else "How the tournaments were decided",
        f"{wealth if asked else 'Each '}vertical line is a pairing, mirrored matches counted once; rounds are shaded by turns. The "
        "agents stand in the order of the standings.",
        tuple(panels),
    )  # fmt: skip


def _wealth_panel(asked: Sequence[Decision], title: str) -> str:
    figure, axes = panel(368, 190, (104, 14, 28, 38), title)
    at = [decision.matches for decision in asked]
    wealth = [decision.standing["log_wealth"] for decision in asked]
    needed = [decision.standing["needed"] for decision in asked]
    ink, marker = series(0)
    axes.plot(at, needed, color=INK.stand_in, linewidth=1.1, dashes=(4, 3))
    axes.plot(at, wealth, color=ink.stand_in, linewidth=1.8)
    turns = [
        place
        for place in range(1, len(asked))
        if set(asked[place].standing["answer"]) != set(asked[place - 1].standing["answer"])
    ]
    axes.plot(
        [at[place] for place in turns], [wealth[place] for place in turns], linewidth=0, marker="s", markersize=5,
        color=AGAINST.stand_in, markeredgewidth=0,
    )  # fmt: skip
    axes.plot(at[-1], wealth[-1], marker=marker, markersize=7, color=ink.stand_in, markeredgewidth=0)
    axes.annotate(
        "needed", (at[0], needed[0]), (2, 4), textcoords="offset points", color=MUTED.stand_in, fontsize=9.5, va="bottom"
    )  # fmt: skip
    axes.set_ylim(min(0, *wealth) - 0.2, 1.15 * max(*wealth, *needed))
    _matches_axis(axes, at[-1])
    axes.grid(axis="y", color=GRID.stand_in, linewidth=0.6)
    return svg(figure, title)


def _pairings_panel(course: Course, order: Sequence[str], title: str) -> str:
    there = {agent for decision in course.decisions for pairing in decision.pairings for agent in pairing}
    agents = [agent for agent in order if agent in there] + sorted(there - set(order))
    place, names = {agent: number for number, agent in enumerate(agents)}, short(agents, 16)
    figure, axes = panel(368, 12 * len(agents) + 72, (104, 14, 28, 38), title)
    last = course.decisions[-1].matches
    for number, (decision, after) in enumerate(pairwise(course.decisions)):
        if number % 2:
            axes.axvspan(decision.matches, after.matches, facecolor=BAND.stand_in, edgecolor="none", alpha=0.6)
        each = (after.matches - decision.matches) / max(len(decision.pairings), 1)
        xs = [decision.matches + each * (turn + 0.5) for turn in range(len(decision.pairings))]
        ends = [sorted(place[agent] for agent in pairing) for pairing in decision.pairings]
        axes.vlines(xs, [low for low, _ in ends], [high for _, high in ends], color=FOR.stand_in, linewidth=1)
        axes.plot(
            [x for x in xs for _ in range(2)], [end for both in ends for end in both], linewidth=0, marker="o", markersize=2.6,
            color=FOR.stand_in, markeredgewidth=0,
        )  # fmt: skip
    axes.set_ylim(len(agents) - 0.4, -0.6)
    axes.set_yticks(range(len(agents)), [names[agent] for agent in agents], color=INK.stand_in)
    axes.spines["left"].set_visible(False)
    _matches_axis(axes, last)
    return svg(figure, title)


def _matches_axis(axes: Axes, last: int) -> None:
    axes.set_xlim(0, 1.03 * max(last, 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("matches decided on", color=INK.stand_in, fontsize=10)
