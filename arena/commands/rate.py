"""`arena rate`: who is stronger, with what the seats and the judges did taken out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from arena.commands import OK, Commands, Shared, console, with_tables

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from arena.rate import Standings
    from arena.stats.estimate import Estimate
    from arena.stats.instruments import Sensitivity
    from arena.stats.ratings import Rated, Ratings

MATRIX = 12
"""Agents up to whom the chances of every pair are shown unasked."""

BAR = 25
"""Letters of a drawn interval."""

ROOM = 110
"""Letters of a line from which on intervals are drawn."""

NARROW = 100
"""Letters of a line below which intervals stand under their estimates."""

NARROWEST = 80
"""Letters of a line below which the judges' table is cut to their leans."""

NAME = 12
"""Letters of a name's line at least."""


def add(commands: Commands, shared: Shared) -> None:
    """The grammar of `arena rate`."""
    rate = commands.add_parser(
        "rate",
        parents=[shared.as_json],
        help="who is stronger: ratings with intervals, side and judges taken out",
        description="Bradley-Terry ratings with ties, the seats' advantage and the judges' leans fitted together.",
    )
    rate.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories, rated as one tournament")
    rate.add_argument(
        "--by",
        choices=["ballots", "decision"],
        default="ballots",
        help="what counts: each judge's ballots (default), or what the panel decided, draws being ties",
    )
    rate.add_argument("--only", action="append", default=[], metavar="AGENT", help="these agents alone; repeat it")
    rate.add_argument("--without", action="append", default=[], metavar="AGENT", help="leave an agent out; repeat it")
    rate.add_argument(
        "--condition", action="append", default=[], metavar="NAME", help="matches of this condition alone"
    )
    rate.add_argument(
        "--mixed", action="store_true", help="rate together what was played by different rules or on different topics"
    )
    rate.add_argument("--no-judge-effects", action="store_true", help="treat all judges as one")
    rate.add_argument(
        "--no-sharpness", action="store_true", help="let judges lean, and hold all to tell agents apart equally well"
    )
    rate.add_argument(
        "--method",
        choices=["auto", "bootstrap", "sandwich"],
        default="auto",
        help="of the intervals (default: the bootstrap up to 200 agents and 20,000 matches, the sandwich above)",
    )
    rate.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    rate.add_argument(
        "--matrix", action="store_true", help=f"show every pair's chances for more than {MATRIX} agents, too"
    )
    rate.add_argument(
        "--instruments",
        action="store_true",
        help="also what verdicts say if nobody knows how often each judge is wrong (Bayesian, nine priors; takes a while)",
    )
    rate.set_defaults(go=_rate)


def _rate(chosen: argparse.Namespace) -> int:
    from arena.rate import plain, rated
    from arena.settings import ConfigError

    if chosen.seed < 0:
        raise ConfigError(f"--seed is {chosen.seed}; it is a whole number from 0 on")
    standings = rated(
        with_tables(chosen.runs),
        by=chosen.by,
        only=chosen.only,
        without=chosen.without,
        conditions=chosen.condition,
        mixed=chosen.mixed,
        seed=chosen.seed,
        judge_effects=not chosen.no_judge_effects,
        sharpness=not chosen.no_sharpness,
        method=chosen.method,
    )
    noisy = _instruments(standings, chosen.seed) if chosen.instruments else None
    if chosen.json:
        from arena.report import instruments

        print(json.dumps(plain(standings) | ({"instruments": instruments.plain(noisy)} if noisy else {})))
        return OK
    out = console()
    for part in shown(standings, out.width, chosen.matrix):
        out.print(part)
    if noisy:
        from arena.report import instruments

        out.print(instruments.rendered(noisy))
    return OK


def _instruments(standings: Standings, seed: int) -> Sensitivity:
    """What the verdicts say of agents and judges under a grid of priors on the judges."""
    import numpy as np

    from arena.stats.instruments import from_comparisons, sensitivity

    return sensitivity(from_comparisons(standings.compared.comparisons), np.random.default_rng(seed))


# ------------------------------------------------------------------ for a terminal


def shown(standings: Standings, width: int, matrix: bool) -> Iterator[RenderableType]:
    """Standings for a terminal of this width; `matrix` shows every pair's chances however many agents there are."""
    from rich.text import Text

    ratings = standings.ratings
    yield _ranking(standings, width)
    for line in (*_of_seats(standings), *_of_cycles(ratings)):
        yield Text(line)
    if ratings.judges:
        yield Text()
        yield _judges(standings, width)
    fits = len(ratings.agents) <= MATRIX and NAME + 6 * len(ratings.agents) + 8 <= width
    if matrix or fits:
        yield Text()
        yield _matrix(ratings)
    for warning in standings.warnings:
        yield Text(f"• {_inert(warning)}")
    yield Text(_scale(ratings), style="dim")


def _ranking(standings: Standings, width: int) -> Table:
    from rich.text import Text

    held, ratings, weighted = standings.compared, standings.ratings, standings.weighted
    verdicts, judges = held.comparisons.score.size, len(held.comparisons.judges)
    of = f", {verdicts:,} verdicts of {judges} judge{'s' * (judges > 1)}" if held.by == "ballots" else ""
    table = _table(f"Ratings of {len(ratings.agents)} agents from {ratings.matches:,} matches{of}")
    drawn = width >= ROOM and all(rated.low is not None for rated in ratings.agents)
    again = {} if weighted is None else {rated.agent: rated for rated in weighted.agents}
    table.add_column("ranks", no_wrap=True)
    table.add_column("agent", overflow="fold", min_width=NAME)
    table.add_column("rating", justify="right", no_wrap=True)
    if drawn:
        table.add_column("", no_wrap=True)
    for column in ("P(best)", "matches", *(["weighted"] if again else [])):
        table.add_column(column, justify="right", no_wrap=True)
    for rated in ratings.agents:
        cells = [_ranks(rated), _inert(rated.agent), _rating(rated, width)]
        cells += [_bar(rated, ratings)] if drawn else []
        cells += ["" if rated.p_best is None else f"{rated.p_best:.2f}", f"{rated.n:,}"]
        cells += [_rating(again[rated.agent], width)] if again else []
        table.add_row(*map(Text, cells))
    return table


def _rating(rated: Rated, width: int) -> str:
    between = "" if rated.low is None or rated.high is None else f"({rated.low:,.0f} to {rated.high:,.0f})"
    return f"{rated.rating:,.0f}{_gap(width)}{between}"


def _gap(width: int) -> str:
    """What stands between an estimate and its interval in a table."""
    return "\n" if width < NARROW else " "


def _ranks(rated: Rated) -> str:
    return f"{rated.rank_low}" if rated.rank_low == rated.rank_high else f"{rated.rank_low}–{rated.rank_high}"


def _bar(rated: Rated, ratings: Ratings) -> str:
    """The interval drawn on the scale that all share."""
    least = min(other.low for other in ratings.agents if other.low is not None)
    most = max(other.high for other in ratings.agents if other.high is not None)

    def place(rating: float | None) -> int:
        return 0 if rating is None or most <= least else round((rating - least) / (most - least) * (BAR - 1))

    low, high = place(rated.low), place(rated.high)
    drawn = [" "] * low + ["─"] * (high - low + 1) + [" "] * (BAR - 1 - high)
    drawn[place(rated.rating)] = "●"
    return "".join(drawn)


def _of_seats(standings: Standings) -> Iterator[str]:
    """What the first seat is worth, whose lean that is, and how often there are ties."""
    from arena.rate import leaner

    ratings, (first, second) = standings.ratings, standings.compared.seats
    share, side = ratings.side_share, ratings.side
    if share.estimate is None or side.estimate is None:
        return
    favoured = first if share.estimate >= 0.5 else second
    flipped = favoured != first
    words = "verdicts" if standings.compared.by == "ballots" else "decisions"
    yield (
        f"Between equals the {favoured} wins {_percent(share, flipped)} of {words}{', ties half' if ratings.tie_share else ''}: "
        f"the seat is worth {_points(side, flipped)} points."
    )
    sure = share.low is not None and share.high is not None and not share.low <= 0.5 <= share.high
    if sure and (most := leaner(ratings)):
        judge, part = most
        yield (
            f"It does so mostly by one judge's lean: {'more than all' if part > 1 else f'{part:.0%}'} of that is "
            f"{_inert(judge.judge)}'s, before whom the {favoured} wins {_percent(judge.share, flipped)} between equals."
        )
    if ratings.tie_share is not None:
        yield f"Between equals {_percent(ratings.tie_share)} of {words} are ties."


def _of_cycles(ratings: Ratings) -> Iterator[str]:
    cycles = ratings.cycles
    if cycles.dominate:
        yield (
            f"Results run in circles: {_percent(cycles.cyclic)} of what differs between agents fits no order, so that the "
            "ranking means little."
        )
    elif cycles.cyclic.estimate is None or cycles.cyclic.low is None:
        yield "Whether results follow an order or run in circles cannot be told from these matches."
    else:
        yield f"{_percent(cycles.cyclic)} of what differs between agents runs in circles; an order explains the rest."


def _judges(standings: Standings, width: int) -> Table:
    from rich.text import Text

    effects = standings.ratings.judges
    wide = width >= NARROWEST
    sharp = wide and any(effect.sharpness.estimate is not None for effect in effects)
    table = _table("Judges")
    table.add_column("judge", overflow="fold", min_width=NAME)
    wins = f"{_inert(standings.compared.seats[0])} wins\nbetween equals"
    columns = [wins, "leans more than\nothers, points", *["sharpness"] * sharp, *["verdicts"] * wide]
    for column in columns:
        table.add_column(Text(column), justify="right", no_wrap=True)
    for effect in effects:
        estimates = [_percent(effect.share), _points(effect.lean), *[_sharpness(effect.sharpness)] * sharp]
        cells = [estimate.replace(" (", f"{_gap(width)}(") for estimate in estimates]
        table.add_row(Text(_inert(effect.judge)), *cells, *[f"{effect.share.n:,}"] * wide)
    return table


def _sharpness(sharpness: Estimate) -> str:
    if sharpness.estimate is None:
        return "–"
    low, high = sharpness.low, sharpness.high
    between = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
    return f"{sharpness.estimate:.2f}{between}"


def _matrix(ratings: Ratings) -> Table:
    from rich.text import Text

    table = _table("Chance of the row against the column, in percent, seats neutral")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("", overflow="fold", min_width=NAME)
    for place in range(1, len(ratings.agents) + 1):
        table.add_column(str(place), justify="right", no_wrap=True)
    for place, (rated, row) in enumerate(zip(ratings.agents, ratings.win.tolist(), strict=True), start=1):
        cells = ["·" if other == place else f"{100 * p:.0f}" for other, p in enumerate(row, start=1)]
        table.add_row(str(place), Text(_inert(rated.agent)), *cells)
    return table


def _scale(ratings: Ratings) -> str:
    from arena.stats.ratings import CENTRE, PER_DECADE

    how = f"by bootstrap ({ratings.draws:,} draws)" if ratings.method == "bootstrap" else "by sandwich"
    units = {"topics": ratings.topics, "pairs": ratings.pairs}[ratings.clusters]
    what = "topics" if ratings.clusters == "topics" else "mirrored pairs"
    return (
        f"The mean rating is {CENTRE:.0f}; {PER_DECADE:.0f} points more are odds ten times as high. Intervals and ranks at 95 %, "
        f"{how} over {units:,} {what}."
    )


def _table(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD)


def _inert(text: str) -> str:
    from arena.inert import inert

    return inert(text)


def _percent(share: Estimate, flipped: bool = False) -> str:
    """A share with its interval; flipped, that of the other seat."""
    if share.estimate is None:
        return "–"
    p, low, high = share.estimate, share.low, share.high
    if flipped:
        p, low, high = 1 - p, None if high is None else 1 - high, None if low is None else 1 - low
    between = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f})"
    return f"{p:.0%}{between}"


def _points(points: Estimate, flipped: bool = False) -> str:
    if points.estimate is None:
        return "–"
    sign = -1 if flipped else 1
    ends = [sign * end for end in (points.low, points.high) if end is not None]
    between = f" ({min(ends):+,.0f} to {max(ends):+,.0f})" if len(ends) == 2 else ""
    return f"{sign * points.estimate:+,.0f}{between}"
