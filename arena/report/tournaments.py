"""The tournaments of a report: where agents met each other, how strong they are, and how it was decided who meets whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena import frames, ledger
from arena.compared import COLUMNS, Compared, RateError, compared
from arena.rate import Standings, rated
from arena.report.gathered import Gathered, Source
from arena.stats.comparisons import Comparisons

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Met:
    """Who met whom, and what was seen of it. Rows and columns are the agents, the strongest first."""

    agents: tuple[str, ...]
    matches: Numbers
    """(agents, agents), symmetric; 0 on the diagonal."""
    share: Floats
    """(agents, agents): the row's share of the verdicts against the column, ties half; NaN where the two never met."""


@dataclass(frozen=True, slots=True)
class Tournament:
    """Matches that can be rated as one, or why they cannot."""

    conditions: tuple[str, ...]
    standings: Standings | None
    met: Met | None
    """In the order of the standings, or of the shares of verdicts where there are none; None where nobody decided anything."""
    why: str
    """Why there are no ratings; empty where there are."""
    truth: Mapping[str, float]
    """The ratings that simulated agents were given, those whose is known; on a scale of its own."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided at one time of a tournament that waits for results."""

    matches: int
    """Matches that were decided on before."""
    pairings: tuple[tuple[str, ...], ...]
    """Who meets next, mirrored matches counted once; none where it was decided to stop."""
    standing: Mapping[str, Any]
    """What was known of the order, as the ledger has it; empty where nobody asked."""


@dataclass(frozen=True, slots=True)
class Course:
    """The decisions of one run, in order."""

    label: str
    stopped_by: str
    decisions: tuple[Decision, ...]

    @property
    def rounds(self) -> int:
        return sum(bool(decision.pairings) for decision in self.decisions)

    @property
    def standing(self) -> Mapping[str, Any]:
        """What was known at the end."""
        return self.decisions[-1].standing


@dataclass(frozen=True, slots=True)
class Contests:
    """All that a report says of who is stronger; empty where no agent met another."""

    tournaments: tuple[Tournament, ...]
    courses: tuple[Course, ...]

    @property
    def several(self) -> bool:
        return len(self.tournaments) > 1

    @property
    def order(self) -> list[str]:
        """The agents, the strongest first."""
        return list(dict.fromkeys(agent for held in self.tournaments if held.met for agent in held.met.agents))


def contested(gathered: Gathered) -> Contests:
    """The tournaments of the runs: one where all conditions in which agents met can be rated together, else one each."""
    return Contests(tuple(_tournaments(gathered)), tuple(_courses(gathered.sources)))


# ------------------------------------------------------------------ ratings


def _tournaments(gathered: Gathered) -> list[Tournament]:
    conditions = _with_opponents(gathered)
    together = _tournament(gathered, conditions) if conditions else None
    if together is None or together.standings or len(conditions) == 1:
        return [together] if together else []
    return [_tournament(gathered, [condition]) for condition in conditions]


def _with_opponents(gathered: Gathered) -> list[str]:
    """The conditions in which some agent met another."""
    matches, seats = gathered.tables["matches"], gathered.tables["seats"]
    agents = seats[seats["role"] != "judge"].groupby("match_id")["agent"].nunique()
    there = set(matches.loc[matches["match_id"].map(agents) > 1, "condition"])
    return [condition for condition in gathered.conditions if condition in there]


def _tournament(gathered: Gathered, conditions: Sequence[str]) -> Tournament:
    folders = [source.folder for source in gathered.sources]
    truth = dict(pair for source in gathered.sources for pair in _truth(source, gathered))
    try:
        standings = rated(folders, conditions=conditions)
    except RateError as problem:
        return Tournament(tuple(conditions), None, _unrated(gathered, conditions), str(problem), truth)
    agents = tuple(agent.agent for agent in standings.ratings.agents)
    return Tournament(tuple(conditions), standings, met(standings.compared.comparisons, agents), "", truth)


def _unrated(gathered: Gathered, conditions: Sequence[str]) -> Met | None:
    """Who met whom where nothing can be rated."""
    tables = frames.together([source.folder for source in gathered.sources], COLUMNS)
    matches = tables["matches"]
    try:
        held: Compared = compared(tables | {"matches": matches[matches["condition"].isin(conditions)]})
    except RateError:
        return None
    seen = met(held.comparisons, held.comparisons.agents)
    won = np.nansum(seen.share * seen.matches, axis=1) / np.maximum(seen.matches.sum(axis=1), 1)
    return met(held.comparisons, tuple(seen.agents[place] for place in np.argsort(-won, kind="stable")))


def met(comparisons: Comparisons, agents: Sequence[str]) -> Met:
    """Who met whom among the agents, in the order in which they are given."""
    c, count = comparisons, len(agents)
    place = np.array([agents.index(agent) for agent in c.agents])
    first, second = place[c.first], place[c.second]
    matches, verdicts = np.zeros((2, count, count), dtype=np.intp)
    points = np.zeros((count, count))
    _, one = np.unique(c.match, return_index=True)
    others = first != second
    for rows, columns, score in ((first, second, c.score), (second, first, 1 - c.score)):
        np.add.at(matches, (rows[one], columns[one]), 1)
        np.add.at(verdicts, (rows, columns), 1)
        np.add.at(points, (rows[others], columns[others]), score[others])
    np.fill_diagonal(matches, 0)
    share = np.divide(points, verdicts, out=np.full(points.shape, np.nan), where=matches > 0)
    return Met(tuple(agents), matches, share)


def _truth(source: Source, gathered: Gathered) -> Iterator[tuple[str, float]]:
    """Simulated agents of a run and the ratings that their presets give them."""
    presets = {
        (name, preset): values["rating"]
        for name, provider in source.providers.items()
        if provider.get("api") == "simulated"
        for preset, values in provider.get("presets", {}).items()
        if values.get("rating") is not None
    }
    seats = gathered.tables["seats"]
    seated = seats.loc[seats["role"] != "judge", ["agent", "model"]].drop_duplicates()
    for agent, model in seated.dropna().itertuples(index=False):
        provider, _, rest = str(model).partition("/")
        if (rating := presets.get((provider, rest.partition(":")[0]))) is not None:
            yield str(agent), float(rating)


# ------------------------------------------------------------------ decisions


def _courses(sources: Sequence[Source]) -> Iterator[Course]:
    """How the runs were decided that were decided as they went; the manifest says which these are."""
    for source in sources:
        if "rounds" in source.manifest and (decisions := tuple(_decisions(source))):
            yield Course(source.label, str(source.manifest.get("stopped_by")), decisions)


def _decisions(source: Source) -> Iterator[Decision]:
    decided = 0
    records = ledger.read(source.folder / "ledger").rounds
    for number, record in enumerate(records):
        # A stop that was gone on from, with other rules, is none.
        if record["meetings"] or number == len(records) - 1:
            pairings = tuple(
                tuple(meeting["players"].values()) for meeting in record["meetings"] if not meeting["mirror"]
            )
            yield Decision(decided, pairings, record["standing"])
            decided += len(record["meetings"])
