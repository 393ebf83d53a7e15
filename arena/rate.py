"""Ratings of runs: their standings, whether they can be had at all, and what should be known beside them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import networkx as nx
import numpy as np
import pandas as pd

from arena import frames
from arena.alike import confusions, differences, parts
from arena.compared import COLUMNS, DECISION, By, Compared, RateError, compared
from arena.stats.comparisons import Comparisons, GraphError
from arena.stats.estimate import LEVEL, Estimate, finite
from arena.stats.ratings import CENTRE, PER_DECADE, JudgeEffect, Ratings, rate

Method = Literal["auto", "bootstrap", "sandwich"]

SUGGESTED = 3
"""Matches that a refusal proposes."""


@dataclass(frozen=True, slots=True)
class Standings:
    """Ratings, and what should be known beside them."""

    compared: Compared
    ratings: Ratings
    weighted: Ratings | None
    """The fit weighted by the inverse of the pairings' probabilities; None where every pairing was certain."""
    warnings: tuple[str, ...]
    """What limits the ratings, in sentences."""


def rated(
    folders: Sequence[Path],
    *,
    by: By = "ballots",
    only: Collection[str] = (),
    without: Collection[str] = (),
    conditions: Collection[str] = (),
    mixed: bool = False,
    seed: int = 0,
    judge_effects: bool = True,
    sharpness: bool = True,
    method: Method = "auto",
) -> Standings:
    """Ratings over runs, as one tournament. The arguments are those of `compared` and `standings`; `conditions` names those
    that count.

    Raises `RateError`, with `mixed` none for runs that were played by different rules or on different topics: then the
    warnings say so.
    """
    tables = frames.together(folders, COLUMNS)
    if conditions:
        tables["matches"] = _of_conditions(tables["matches"], conditions, frames.labels(folders))
    held = compared(tables, by=by, only=only, without=without)
    unlike = _unlike(folders, tables["matches"], conditions, held, mixed)
    made = standings(held, seed, judge_effects=judge_effects, sharpness=sharpness, method=method)
    return replace(made, warnings=(*(f"mixed: {said}" for said in unlike), *made.warnings))


def _unlike(
    folders: Sequence[Path], matches: pd.DataFrame, conditions: Collection[str], held: Compared, mixed: bool
) -> list[str]:
    """In what the runs, and conditions of imported ones, were not played alike. Raises `RateError` unless `mixed`."""
    if len(folders) == 1 and matches["condition"].nunique() == 1:
        return []
    found = parts(folders, conditions)
    if confused := confusions(found, held.comparisons.agents):
        raise RateError(
            "\n".join(["one name stands for different agents:", *confused, "leave it out: --without AGENT"])
        )
    unlike = differences(found)
    if unlike and not mixed:
        one = "one by one" if len(found) == len(folders) else "a condition at a time (--condition NAME)"
        why = "these were not played alike, so that one rating would mix them:"
        raise RateError("\n".join([why, *unlike, f"rate them {one}, or all as one nevertheless: --mixed"]))
    return unlike


def _of_conditions(matches: pd.DataFrame, conditions: Collection[str], labels: Sequence[str]) -> pd.DataFrame:
    """The matches of these conditions; `frames.together` has put the run behind a name that several have."""
    known = list(matches["condition"].unique())
    wanted: set[str] = set()
    for condition in conditions:
        found = {name for name in known if name in (condition, *(f"{condition} ({label})" for label in labels))}
        if not found:
            raise RateError(f"--condition {condition}: there is none of that name; there are {', '.join(known)}")
        wanted |= found
    return matches[matches["condition"].isin(wanted)]


def standings(
    held: Compared,
    seed: int = 0,
    *,
    judge_effects: bool = True,
    sharpness: bool = True,
    method: Method = "auto",
) -> Standings:
    """Ratings of what was compared; the arguments are those of `arena.stats.ratings.rate`.

    Raises `RateError` where no finite ratings exist: it says what is missing, and who could be left out.
    """

    def fitted(*, weighted: bool) -> Ratings:
        random = np.random.default_rng(seed)
        return rate(
            held.comparisons, random, weighted=weighted, judge_effects=judge_effects, sharpness=sharpness, method=method
        )

    try:
        ratings = fitted(weighted=False)
        weighted = fitted(weighted=True) if (held.comparisons.probability < 1).any() else None
    except GraphError as problem:
        raise RateError("\n".join([str(problem), *_way_out(held.comparisons)])) from problem
    return Standings(held, ratings, weighted, tuple(_warnings(held, ratings, weighted)))


def _way_out(held: Comparisons) -> Iterator[str]:
    """What to play where all have met, and whom to leave out so that the others can be rated, where there are such."""
    took, gave = held.score > 0, held.score < 1
    lost_to = nx.DiGraph()
    lost_to.add_nodes_from(range(len(held.agents)))
    lost_to.add_edges_from(set(zip(held.second[took].tolist(), held.first[took].tolist(), strict=True)))
    lost_to.add_edges_from(set(zip(held.first[gave].tolist(), held.second[gave].tolist(), strict=True)))
    groups: list[set[int]] = list(nx.strongly_connected_components(lost_to))
    largest, *rest = sorted(groups, key=lambda group: (-len(group), min(group)))
    if rest and nx.is_weakly_connected(lost_to):
        met = np.zeros((len(held.agents), len(held.agents)), dtype=np.intp)
        np.add.at(met, (held.first, held.second), 1)
        met += met.T
        links = sorted(min((met[a, b], a, b) for b in largest) for group in rest for a in group)[:SUGGESTED]
        told = "; ".join(f"{held.agents[a]} against {held.agents[b]}" for _, a, b in links)
        yield f"matches that could close the gap, for instance: {told}"
    if rest and len(largest) > 1:
        others = [held.agents[number] for number in sorted(largest)]
        out = [held.agents[number] for number in sorted(set[int]().union(*rest))]
        option, words = ("--without", out) if len(out) <= len(others) else ("--only", others)
        asked = " ".join(f"{option} {shlex.quote(agent)}" for agent in words)
        yield f"as it is, {len(others)} agents can be rated among themselves: {asked}"


def _warnings(held: Compared, ratings: Ratings, weighted: Ratings | None) -> Iterator[str]:
    planned = f"of {held.planned:,} matches"
    if held.unfinished:
        yield f"{held.unfinished:,} {planned} have no outcome and are not in it"
    if held.undecided:
        yield f"{held.undecided:,} {planned} were decided by nobody and are not in it"
    if held.unreadable:
        yield f"{held.unreadable:,} ballots could not be read and are not in it"
    if held.without_ballots:
        yield (
            f"{held.without_ballots:,} {planned} were decided without a ballot that is known (forfeits are among them); "
            f"they stand as verdicts of {DECISION!r}"
        )
    if held.alone:
        yield (
            f"{held.alone:,} {planned} are of an agent against its copy: they tell about seats and judges, "
            "and nothing about ratings"
        )
    if weighted is not None:
        yield (
            "pairings were chosen with known probabilities: the fit weighted by their inverse stands beside, and tells "
            f"as much as {weighted.effective_n:,.0f} matches of equal weight"
        )
    yield from ratings.notes


def leaner(ratings: Ratings) -> tuple[JudgeEffect, float] | None:
    """The judge to whom more than half of what the seat is worth is due, and that part; None where nobody is."""
    side = ratings.side.estimate or 0.0
    # A judge who always decided for one seat has no finite lean, and no part in what the seat is worth.
    own = [(effect, side + lean) for effect in ratings.judges if (lean := effect.lean.estimate) is not None]
    total = sum(worth for _, worth in own)
    if len(own) < 2 or not total:
        return None
    most, worth = max(own, key=lambda pair: pair[1] / total)
    return (most, worth / total) if worth / total > 0.5 else None


# ------------------------------------------------------------------ plain values


def plain(standings: Standings) -> dict[str, Any]:
    """Standings as plain values for JSON. What does not exist is None; nothing is NaN."""
    held, ratings, weighted = standings.compared, standings.ratings, standings.weighted
    order = [rated.agent for rated in ratings.agents]
    return {
        "agents": _agents(ratings),
        "side": {"seat": held.seats[0], **_plain(ratings.side), "share": _plain(ratings.side_share)},
        "judges": [
            {
                "judge": effect.judge,
                "n": effect.share.n,
                "share": _plain(effect.share),
                "lean": _plain(effect.lean),
                "sharpness": _plain(effect.sharpness),
            }
            for effect in ratings.judges
        ],
        "ties": None if ratings.tie_share is None else _plain(ratings.tie_share),
        "win": {
            agent: {other: finite(p) for other, p in zip(order, row, strict=True) if other != agent}
            for agent, row in zip(order, ratings.win.tolist(), strict=True)
        },
        "cycles": {
            "transitive": _plain(ratings.cycles.transitive),
            "cyclic": _plain(ratings.cycles.cyclic),
            "dominate": ratings.cycles.dominate,
            "left_out": ratings.cycles.left_out,
        },
        "weighted": None
        if weighted is None
        else {"agents": _agents(weighted), "effective_n": finite(weighted.effective_n)},
        "scale": {"mean": CENTRE, "points": PER_DECADE, "odds": 10, "level": LEVEL},
        "by": held.by,
        "planned": held.planned,
        "matches": ratings.matches,
        "missing": held.missing,
        "unreadable_ballots": held.unreadable,
        "method": ratings.method,
        "draws": ratings.draws,
        "dropped": ratings.dropped,
        "clusters": {"by": ratings.clusters, "topics": ratings.topics, "pairs": ratings.pairs},
        "warnings": list(standings.warnings),
    }


def _agents(ratings: Ratings) -> list[dict[str, Any]]:
    return [
        {
            "agent": rated.agent,
            "rating": finite(rated.rating),
            "low": finite(rated.low),
            "high": finite(rated.high),
            "rank_low": rated.rank_low,
            "rank_high": rated.rank_high,
            "p_best": finite(rated.p_best),
            "n": rated.n,
        }
        for rated in ratings.agents
    ]


def _plain(estimate: Estimate) -> dict[str, Any]:
    return {
        "estimate": estimate.estimate,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "p": estimate.p,
    }
