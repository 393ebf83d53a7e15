"""From the tables of runs to who met whom, and what came of it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from arena import named
from arena.mistake import Mistake
from arena.stats.comparisons import Comparisons

COLUMNS: Mapping[str, Sequence[str]] = {
    "matches": [
        "match_id", "game", "condition", "topic_id", "status", "decision", "winner", "mirror_of", "pairing_probability",
    ],
    "seats": ["match_id", "seat", "role", "agent"],
    "verdicts": ["match_id", "judge", "choice"],
}  # fmt: skip
"""The columns of a run's tables that are read."""

By = Literal["ballots", "decision"]
"""What counts: each ballot of each judge, or what the panel decided."""

DECISION = "decision"
"""Stands for a judge where a match was decided and no ballots are known, and where panels' decisions count."""

Numbers = NDArray[np.intp]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

Words = Any
"""A pyarrow array of strings, whose type is not known to type checkers; nor are pyarrow's functions."""
pc: Any = pyarrow.compute


class RateError(Mistake):
    """Runs that cannot be rated as they are. The message says what was found, where, and what would do."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What tables hold for ratings, and what they lack."""

    comparisons: Comparisons
    seats: tuple[str, str]
    """The names of the first and the second seat."""
    by: By
    planned: int
    """Matches between the agents that are rated."""
    unfinished: int
    """Of these, matches without an outcome."""
    undecided: int
    """Of these, finished matches that nobody decided."""
    alone: int
    """Of these, decided matches of an agent against its copy."""
    unreadable: int
    """Ballots without a choice, on finished matches."""
    without_ballots: int
    """Matches whose decision is rated since no ballot on them is known; 0 where all decisions are rated."""

    @property
    def missing(self) -> int:
        return self.unfinished + self.undecided


def compared(
    tables: Mapping[str, pd.DataFrame],
    *,
    by: By = "ballots",
    only: Collection[str] = (),
    without: Collection[str] = (),
) -> Compared:
    """Who met whom, and what came of it, in tables as `arena.frames.together` reads them.

    A row of the comparisons is a ballot, so that the scale is that of single ballots however many a judge casts on a match; that
    these go together is the intervals' matter, which are by topic or mirrored pair. A decision by the tie rule is a tie,
    whomever it fell to. `only` and `without` name agents; matches with anybody else are left out. The order of the tables'
    rows does not matter. Raises `RateError`.
    """
    matches = tables["matches"]
    if matches.empty:
        raise RateError("there are no matches to rate")
    ids = _array(matches["match_id"])
    pairings = _pairings(tables["seats"], ids, _seats(matches["game"]))
    kept = _kept(pairings, only, without)
    finished = kept & _equal(matches["status"], "finished")
    ballots = tables["verdicts"] if by == "ballots" else tables["verdicts"].iloc[:0]
    cast, unreadable = _cast(ballots, ids, finished, pairings.seats)
    decided = _decided(matches, pairings.seats)
    silent = finished & np.isfinite(decided)
    silent[cast.match] = False
    verdicts = _with_decisions(cast, np.flatnonzero(silent), decided)
    heard = np.zeros(len(ids), dtype=bool)
    heard[verdicts.match] = True
    if not heard.any():
        raise RateError(_nothing(int(kept.sum()), int(finished.sum()), by))
    return Compared(
        _comparisons(verdicts, pairings, kept, matches, ids),
        pairings.seats,
        by,
        planned=int(kept.sum()),
        unfinished=int((kept & ~finished).sum()),
        undecided=int((finished & ~heard).sum()),
        alone=int((heard & (pairings.who[0] == pairings.who[1])).sum()),
        unreadable=unreadable,
        without_ballots=int(silent.sum()) if by == "ballots" else 0,
    )


@dataclass(frozen=True, slots=True)
class _Pairings:
    """Who sits where, in every match."""

    seats: tuple[str, str]
    agents: tuple[str, ...]
    who: Numbers
    """(2, matches): who sits in the first and in the second seat, as indices of `agents`."""


@dataclass(frozen=True, slots=True)
class _Verdicts:
    """Ballots, and decisions that stand for them."""

    judges: tuple[str, ...]
    match: Numbers
    judge: Numbers
    points: Floats
    """What the first seat gets: 1, 0, or 0.5."""


def _comparisons(
    verdicts: _Verdicts, pairings: _Pairings, kept: Flags, matches: pd.DataFrame, ids: Words
) -> Comparisons:
    """A row a ballot or decision; rows by the match's id, the judge, and what they give the first seat."""
    order = pc.sort_indices(ids).to_numpy()
    place = np.empty(len(ids), dtype=np.intp)
    place[order] = np.arange(len(ids))
    rows = np.lexsort((verdicts.points, verdicts.judge, place[verdicts.match]))
    match = verdicts.match[rows]
    places = place[match]
    playing = np.unique(pairings.who[:, kept])
    number = np.zeros(len(pairings.agents), dtype=np.intp)
    number[playing] = np.arange(playing.size)
    topics, _ = pd.factorize(matches["topic_id"], sort=True, use_na_sentinel=False)
    try:
        return Comparisons(
            agents=tuple(pairings.agents[agent] for agent in playing),
            judges=verdicts.judges,
            first=number[pairings.who[0, match]],
            second=number[pairings.who[1, match]],
            score=verdicts.points[rows],
            judge=verdicts.judge[rows],
            match=_without_gaps(places),
            pair=_without_gaps(place[_mirrored(matches["mirror_of"], ids)][match]),
            topic=_without_gaps(topics[match]),
            probability=matches["pairing_probability"].to_numpy(float, na_value=1.0)[match],
        )
    except ValueError as problem:
        raise RateError(f"the table of matches cannot be right: {problem}") from problem


def _pairings(seats: pd.DataFrame, ids: Words, expected: Sequence[str]) -> _Pairings:
    """Raises `RateError` where a match has not one agent in each of two seats."""
    match = _rows(seats["match_id"], ids)
    plays = (match >= 0) & ~_equal(seats["role"], "judge")
    match = match[plays]
    seat, names = _named(seats["seat"], plays)
    agent, agents = _named(seats["agent"], plays)
    if len(names) != 2:
        raise RateError(f"ratings need matches between two seats; these have {_listed(names) or 'none'}")
    if list(expected) == [names[1], names[0]]:
        seat, names = 1 - seat, names[::-1]
    taken = np.bincount(2 * match + seat, minlength=2 * len(ids))
    if (wrong := np.flatnonzero(taken != 1)).size:
        which, side = divmod(int(wrong[0]), 2)
        found = f"{taken[wrong[0]]} agents" if taken[wrong[0]] else "nobody"
        raise RateError(f"match {ids[which].as_py()} has {found} in the seat {names[side]!r}; ratings need one in each")
    who = np.empty((2, len(ids)), dtype=np.intp)
    who[seat, match] = agent
    return _Pairings((names[0], names[1]), agents, who)


def _seats(games: pd.Series) -> Sequence[str]:
    """The seats of the games, the first first; none where a game is not known here, or they have not the same."""
    known = set(named.names("arena.games"))
    found = {tuple(named.module("arena.games", game).SEATS) if game in known else () for game in games.unique()}
    return next(iter(found)) if len(found) == 1 else ()


def _kept(pairings: _Pairings, only: Collection[str], without: Collection[str]) -> Flags:
    """The matches between the agents that are wanted. Raises `RateError` for one who is not there."""
    for option, agents in (("--only", only), ("--without", without)):
        for agent in agents:
            if agent not in pairings.agents:
                close = difflib.get_close_matches(agent, pairings.agents, n=1, cutoff=0.5)
                meant = f"did you mean {close[0]}?" if close else f"there are {_listed(pairings.agents)}"
                raise RateError(f"{option} {agent}: no agent of that name played here; {meant}")
    wanted = [(not only or agent in only) and agent not in without for agent in pairings.agents]
    return np.array(wanted)[pairings.who[0]] & np.array(wanted)[pairings.who[1]]


def _cast(verdicts: pd.DataFrame, ids: Words, finished: Flags, seats: tuple[str, str]) -> tuple[_Verdicts, int]:
    """The ballots on finished matches, and how many more have no choice. Raises `RateError`."""
    match = _rows(verdicts["match_id"], ids)
    counts = np.zeros(match.size, dtype=bool)
    counts[match >= 0] = finished[match[match >= 0]]
    there = counts & verdicts["choice"].notna().to_numpy()
    choice, chosen = _named(verdicts["choice"], there)
    if strange := [word for word in chosen if word not in seats]:
        raise RateError(f"ballots name {_listed(strange)}; they can name {seats[0]} or {seats[1]}")
    judge, judges = _named(verdicts["judge"], there)
    points = np.array([float(word == seats[0]) for word in chosen])
    return _Verdicts(judges, match[there], judge, points[choice]), int(counts.sum() - there.sum())


def _decided(matches: pd.DataFrame, seats: tuple[str, str]) -> Floats:
    """What the panel's decision gives the first seat; NaN where nobody decided."""
    points = np.full(len(matches), np.nan)
    points[_equal(matches["winner"], seats[0])] = 1.0
    points[_equal(matches["winner"], seats[1])] = 0.0
    points[_equal(matches["decision"], "tie")] = 0.5
    return points


def _with_decisions(cast: _Verdicts, match: Numbers, decided: Floats) -> _Verdicts:
    """The ballots, and the decisions on these matches as the words of one more judge."""
    if not match.size:
        return cast
    return _Verdicts(
        (*cast.judges, DECISION),
        np.concatenate([cast.match, match]),
        np.concatenate([cast.judge, np.full(match.size, len(cast.judges))]),
        np.concatenate([cast.points, decided[match]]),
    )


def _nothing(planned: int, finished: int, by: By) -> str:
    if not planned:
        return "no match is between two of the agents that are to be rated; a rating needs two who met"
    what = "a ballot or a decision" if by == "ballots" else "a decision"
    return (
        f"nobody decided anything here: of {planned:,} matches {finished:,} are finished, and none has {what}; "
        "`arena rejudge RUN` has judges decide what was played without them"
    )


def _mirrored(mirror_of: pd.Series, ids: Words) -> Numbers:
    """For each match the one that it mirrors; itself where it mirrors none that is there."""
    itself = np.arange(len(ids))
    # A mirrored match stands right behind its counterpart, as a rule.
    first = _found(_array(mirror_of), ids, itself - 1)
    return np.where(first >= 0, first, itself)


# ------------------------------------------------------------------ columns as arrays


def _array(column: pd.Series) -> Words:
    array = pa.array(column, pa.large_string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _rows(column: pd.Series, ids: Words) -> Numbers:
    """Where each of a column's ids stands among the ids; -1 where it does not."""
    array = _array(column)
    if not len(array):
        return np.empty(0, dtype=np.intp)
    # As a rule the rows of one match stand together, and matches in the same order everywhere.
    new = np.ones(len(array), dtype=bool)
    new[1:] = ~_same(array[1:], array[:-1])
    heads = array.filter(pa.array(new))
    return _found(heads, ids, np.arange(len(heads)))[np.cumsum(new) - 1]


def _found(wanted: Words, ids: Words, guess: Numbers) -> Numbers:
    """Where what is wanted stands among the ids; -1 where it does not. A guess that is right saves the look-up."""
    places = np.where((guess >= 0) & (guess < len(ids)), guess, 0)
    wrong = ~_same(wanted, ids.take(pa.array(places)))
    places[wrong] = -1
    unsure = wrong & wanted.is_valid().to_numpy(zero_copy_only=False)
    if unsure.any():
        looked_up = pc.index_in(wanted.filter(pa.array(unsure)), value_set=ids)
        places[unsure] = pc.fill_null(looked_up, -1).to_numpy()
    return places


def _same(some: Words, others: Words) -> Flags:
    """Which are equal; what is missing equals nothing."""
    return pc.fill_null(pc.equal(some, others), False).to_numpy(zero_copy_only=False)


def _named(column: pd.Series, chosen: Flags) -> tuple[Numbers, tuple[str, ...]]:
    """The chosen of a column's words as numbers, and the words, sorted."""
    codes, words = pd.factorize(column[chosen], sort=True)
    return codes.astype(np.intp), tuple(map(str, words))


def _equal(column: pd.Series, word: str) -> Flags:
    return (column == word).to_numpy(dtype=bool, na_value=False)


def _without_gaps(numbers: Numbers) -> Numbers:
    """The same groups, numbered from 0 without gaps."""
    there = np.zeros(numbers.max() + 1, dtype=np.intp)
    there[numbers] = 1
    return (np.cumsum(there) - 1)[numbers]


def _listed(words: Sequence[str], most: int = 8) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
