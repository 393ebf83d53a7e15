"""Standings in words and tables: who is stronger and how sure that is, what seats and judges did, and what stopped it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from arena.rate import leaner
from arena.report.cells import Cell, Table, cell
from arena.report.headlines import Card, Said
from arena.report.tournaments import Contests, Course, Decision, Tournament
from arena.report.words import count, interval, listed, rests_on, value
from arena.stats.estimate import Estimate
from arena.stats.ratings import CENTRE, PER_DECADE, Rated, Ratings
from arena.tournament import ended

MOST_JUDGES = 6
"""Judges whose leans a sentence lists; the table holds all."""


# ------------------------------------------------------------------ findings


def card(contests: Contests) -> Card:
    """What the tournaments found, in sentences; none where nobody met anybody."""
    said = [said for tournament in contests.tournaments for said in _findings(tournament, contests.several)]
    stopped = [_stopped(course, len(contests.courses) > 1) for course in contests.courses]
    return Card("Who is stronger", (*said, *stopped))


def _findings(tournament: Tournament, several: bool) -> Iterator[Said]:
    where = f" in {listed(list(tournament.conditions))}" if several else ""
    if tournament.standings is None:
        yield Said("no ratings", unrated(tournament, where), "")
        return
    ratings = tournament.standings.ratings
    order = _order(ratings, where)
    if ratings.cycles.dominate:
        yield order
    yield _leader(ratings, where)
    yield _seat(tournament, where)
    if not ratings.cycles.dominate:
        yield order


def unrated(tournament: Tournament, where: str = "") -> str:
    """Why there are no ratings, in a sentence."""
    return f"The agents{where} cannot be rated: {'; '.join(tournament.why.splitlines())}."


def _leader(ratings: Ratings, where: str) -> Said:
    best, agents = ratings.agents[0], len(ratings.agents)
    basis = f"({_between(best)}; {count(best.n, 'matches')})"
    if best.p_best is None:
        text = f"is the rating of {best.agent}, which leads {agents} agents{where}."
        return Said(value(best.rating, "rating"), text, basis)
    sure = (
        "It is first" if best.rank_high == 1 else f"Its rank may be anything from {best.rank_low} to {best.rank_high}"
    )
    return Said(
        value(best.p_best, "percent"),
        f"is the chance, as far as these matches tell, that {best.agent} is the strongest of {agents} agents{where}. Its rating is "
        f"{value(best.rating, 'rating')}, where the mean is {CENTRE:,.0f} and {PER_DECADE:.0f} points more are odds ten times as "
        f"high. {sure} at 95\u00a0%, all comparisons allowed for.",
        basis,
    )  # fmt: skip


def _between(rated: Rated) -> str:
    if rated.low is None or rated.high is None:
        return "too few topics and pairs for an interval"
    return f"95\u00a0% interval {value(rated.low, 'rating')} to {value(rated.high, 'rating')}"


def _seat(tournament: Tournament, where: str) -> Said:
    """What the better seat is worth, and by whose lean."""
    assert tournament.standings
    ratings = tournament.standings.ratings
    seat, second = favoured(tournament)
    share, side = turned_share(ratings.side_share, second), turned(ratings.side, second)
    between = "" if side.low is None else f" (95\u00a0% interval {interval(side, 'rating')})"
    half = ", ties half" if ratings.tie_share else ""
    text = (
        f"of verdicts between equals{where} go to the {seat}{half}: a side effect of {value(side.estimate, 'rating')} rating "
        f"points{between}."
    )
    if share.low is not None and share.low <= 0.5:
        text += " It may be chance."
    elif share.low is not None and (most := leaner(ratings)):
        judge, part = most
        text += (
            f" The {seat} wins mostly by one judge’s lean: {'more than all' if part > 1 else value(part, 'percent')} of what "
            f"the seat is worth is {judge.judge}’s."
        )
    if ratings.judges:
        shares = [(effect.judge, turned_share(effect.share, second)) for effect in ratings.judges]
        shares.sort(key=lambda pair: -(pair[1].estimate or 0.0))
        told = [f"{judge} {value(own.estimate, 'percent')} ({interval(own, 'percent')})" for judge, own in shares]
        more = [f"{len(told) - MOST_JUDGES} more in the table"] if len(told) > MOST_JUDGES else []
        text += f" Before each judge: {listed([*told[:MOST_JUDGES], *more])}."
    return Said(value(share.estimate, "percent"), text, rests_on(share, "percent", _clusters(ratings)))


def favoured(tournament: Tournament) -> tuple[str, bool]:
    """The seat that wins more often between equals, and whether it is the second one."""
    assert tournament.standings
    second = (tournament.standings.ratings.side_share.estimate or 0.0) < 0.5
    return tournament.standings.compared.seats[second], second


def turned(points: Estimate, second: bool) -> Estimate:
    """What the first seat is worth, or what the second one is."""
    if not second:
        return points
    worth, low, high = (None if x is None else -x for x in (points.estimate, points.high, points.low))
    return replace(points, estimate=worth, low=low, high=high)


def turned_share(share: Estimate, second: bool) -> Estimate:
    """The first seat's share, or the second one's."""
    if not second:
        return share
    part, low, high = (None if x is None else 1 - x for x in (share.estimate, share.high, share.low))
    return replace(share, estimate=part, low=low, high=high)


def _clusters(ratings: Ratings) -> str:
    return "topics" if ratings.clusters == "topics" else "mirrored pairs"


def _order(ratings: Ratings, where: str) -> Said:
    cyclic = ratings.cycles.cyclic
    if cyclic.estimate is None:
        return Said("unknown", f"is whether results{where} follow an order or run in circles: these cannot tell.", "")
    circles = f"of what differs between agents{where} runs in circles, as where a beats b, b beats c and c beats a"
    meaning = (
        "No order fits that: the ranking means little." if ratings.cycles.dominate else "An order explains the rest."
    )
    return Said(value(cyclic.estimate, "percent"), f"{circles}. {meaning}", rests_on(cyclic, "percent", "agent pairs"))


def _stopped(course: Course, several: bool) -> Said:
    told = ended(course.stopped_by, course.rounds, course.decisions[-1].standing)
    return Said(
        count(course.rounds, "rounds"),
        f"{course.label}: {told}" if several else told,
        f"({count(course.decisions[-1].matches, 'matches')})",
    )


# ------------------------------------------------------------------ tables


def tables(tournament: Tournament, several: bool) -> Iterator[Table]:
    """The standings, and what was found of seats and judges; none where there are no ratings. `several` says that there are
    other tournaments beside it."""
    if tournament.standings is not None:
        where = f" in {listed(list(tournament.conditions))}" if several else ""
        yield _agents(tournament, f"Standings{where}")
        yield _seats_and_judges(tournament, f"Seats and judges{where}")


def _agents(tournament: Tournament, title: str) -> Table:
    assert tournament.standings
    ratings, weighted = tournament.standings.ratings, tournament.standings.weighted
    again = {} if weighted is None else {rated.agent: rated for rated in weighted.agents}
    truth = shifted(tournament)
    rows = [
        (
            Cell(rated.agent),
            Cell(ranks(rated)),
            Cell(value(rated.rating, "rating"), _ends(rated)),
            *([Cell(value(truth.get(rated.agent), "rating"))] if truth else []),
            Cell("–" if rated.p_best is None else f"{rated.p_best:.2f}"),
            Cell(f"{rated.n:,}"),
            *([Cell(value(again[rated.agent].rating, "rating"), _ends(again[rated.agent]))] if again else []),
        )
        for rated in ratings.agents
    ]
    truths, weights = ["Truth"] if truth else [], ["Weighted by pairing"] if again else []
    how = f"by bootstrap, {ratings.draws:,} draws" if ratings.method == "bootstrap" else "by sandwich"
    units = ratings.topics if ratings.clusters == "topics" else ratings.pairs
    scale = (
        f"The mean rating is {CENTRE:,.0f}; {PER_DECADE:.0f} points more are odds ten times as high. Intervals and ranks at "
        f"95\u00a0%, {how} over {units:,} {_clusters(ratings)}."
    )
    warnings = [f"{warning[:1].upper()}{warning[1:]}." for warning in tournament.standings.warnings]
    head = ("Agent", "Rank", "Rating", *truths, "P(best)", "Matches", *weights)
    return Table(title, head, tuple(rows), (scale, *warnings))


def ranks(rated: Rated) -> str:
    """`1` or `1–3`."""
    return f"{rated.rank_low}" if rated.rank_low == rated.rank_high else f"{rated.rank_low}–{rated.rank_high}"


def _ends(rated: Rated) -> str:
    if rated.low is None or rated.high is None:
        return ""
    return f"{value(rated.low, 'rating')} to {value(rated.high, 'rating')}"


def shifted(tournament: Tournament) -> dict[str, float]:
    """The true ratings, moved together until their mean is that of these agents' estimates."""
    assert tournament.standings
    agents = [rated for rated in tournament.standings.ratings.agents if rated.agent in tournament.truth]
    if not agents:
        return {}
    shift = sum(rated.rating - tournament.truth[rated.agent] for rated in agents) / len(agents)
    return {rated.agent: tournament.truth[rated.agent] + shift for rated in agents}


def _seats_and_judges(tournament: Tournament, title: str) -> Table:
    assert tournament.standings
    ratings = tournament.standings.ratings
    seat, second = favoured(tournament)
    rows: list[tuple[str, Estimate, Estimate | None, Estimate | None, int]] = []
    rows.append(
        ("side effect", turned_share(ratings.side_share, second), turned(ratings.side, second), None, ratings.matches)
    )
    for judge in ratings.judges:
        share, lean = turned_share(judge.share, second), turned(judge.lean, second)
        rows.append((judge.judge, share, lean, judge.sharpness, judge.share.n))
    if ratings.tie_share is not None:
        rows.append(("ties", ratings.tie_share, None, None, ratings.matches))
    meaning = (
        f"The side effect is what the seat {seat} is worth before the average judge, in rating points; a judge’s points say by how "
        "much more than the average judge it leans to that seat, and its sharpness how strongly it tells agents apart, 1 being the "
        "average. n counts matches, and a judge’s verdicts."
    )  # fmt: skip
    return Table(
        title,
        ("", f"{seat} wins between equals", "Rating points", "Sharpness", "n"),
        tuple(
            (Cell(name), cell(share, "percent"), cell(points, "rating"), cell(sharpness, "plain"), Cell(f"{n:,}"))
            for name, share, points, sharpness, n in rows
        ),
        (meaning,),
    )


def decided(course: Course, several: bool) -> Table:
    """Round by round who met and what was known before."""
    asked = bool(course.decisions[-1].standing)
    return Table(
        f"{course.label}: {count(course.rounds, 'rounds')}" if several else count(course.rounds, "rounds"),
        ("Round", "Matches before", *(("Favoured answer", "Log wealth", "Needed") if asked else ()), "Who meets"),
        tuple(_decided(number, decision, asked) for number, decision in enumerate(course.decisions, start=1)),
        (),
    )


def _decided(number: int, decision: Decision, asked: bool) -> tuple[Cell, ...]:
    standing = decision.standing
    known = (
        [", ".join(standing["answer"]), *(f"{standing[name]:.2f}" for name in ("log_wealth", "needed"))]
        if standing
        else [""] * 3
    )
    met = "; ".join(" – ".join(pairing) for pairing in decision.pairings) or "nobody: it stopped"
    return Cell(f"{number}"), Cell(f"{decision.matches:,}"), *(map(Cell, known) if asked else ()), Cell(met)
