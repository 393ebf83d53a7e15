"""What it would take to tell two agents apart: mirrored pairs, matches and money, before any of it is paid for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arena import rate
from arena.compared import RateError
from arena.composition import nearest
from arena.match import Setting
from arena.meetings import Meeting
from arena.rehearsal import cost
from arena.settings import ConfigError
from arena.stats.ratings import POINTS
from arena.stats.sequential import PRIOR_SPREAD, Expected, pairs_needed
from arena.types import Experiment, MatchSpec

POINTS_APART = 100.0
"""How far apart two agents are thought to be, unless one says."""


@dataclass(frozen=True, slots=True)
class Separation:
    """What it would take."""

    agents: tuple[str, str]
    points: float
    """How far apart the two are thought to be, in rating points."""
    source: str
    """Where that is from, in words."""
    level: float
    pairs: float
    """Mirrored pairs until it is known who is stronger, on average; at least that where `decided` is below 1."""
    decided: float
    """Share of simulated cases in which it was known within the most that were tried."""
    pairs_ninety: float | None
    """In nine cases of ten no more than so many; None where that is more than were tried."""
    matches: float
    usd: float
    """For `matches`."""
    unpriced: tuple[str, ...]
    """Models whose cost is not in it, because no price is known."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def separation(
    experiment: Experiment, agents: Sequence[str], points: float | None, like: Path | None, level: float, seed: int = 0
) -> Separation:
    """What it would take to know which of two scheduled agents is stronger, if they met each other alone.

    How far apart they are is said, or as in the run `like`, or 100 points. Raises `ConfigError` for an agent that is not
    scheduled, or not in that run.
    """
    one, other = _scheduled(experiment, agents)
    source = "as you say"
    if points is None and like is not None:
        points, source = _apart(like, one, other), f"as in {like}"
    elif points is None:
        points, source = POINTS_APART, "supposed"
    chance = float(1 / (1 + np.exp(-abs(points) / POINTS)))
    if abs(points) < 1:
        raise ConfigError(
            f"{one} and {other} are {abs(points):.1f} points apart {source}; no number of matches tells equals apart"
        )
    # As spread as the rule thinks the scores of mirrored pairs are before it has seen any.
    expected: Expected = pairs_needed(
        chance - 0.5, float(np.sqrt(PRIOR_SPREAD * chance * (1 - chance))), level, seed=seed
    )
    setting = Setting(experiment)
    found = [cost(setting, spec) for spec in _both_ways(experiment, one, other)]
    sides = 2 if experiment.tournament is None or experiment.tournament.field.mirrored else 1
    a_match = sum(each.usd for each in found) / len(found)
    return Separation(
        agents=(one, other),
        points=points,
        source=source,
        level=level,
        pairs=expected.mean,
        decided=expected.decided,
        pairs_ninety=expected.ninety if np.isfinite(expected.ninety) else None,
        matches=sides * expected.mean,
        usd=sides * expected.mean * a_match,
        unpriced=tuple(sorted({model for each in found for model in each.unpriced})),
    )


def _scheduled(experiment: Experiment, agents: Sequence[str]) -> tuple[str, str]:
    there = {agent.name for spec in experiment.matches for agent in spec.players.values()} | set(experiment.agents)
    for name in agents:
        if name not in there:
            raise ConfigError(
                f"--separate {' '.join(agents)}: {name!r} is not scheduled; there are {nearest(name, there)}"
            )
    one, other = agents
    if one == other:
        raise ConfigError(f"--separate {one} {other}: name two agents")
    return one, other


def _apart(like: Path, one: str, other: str) -> float:
    try:
        ratings = {rated.agent: rated.rating for rated in rate.rated([like]).ratings.agents}
    except RateError as problem:
        raise ConfigError(f"--like {like}: {problem}") from problem
    for name in (one, other):
        if name not in ratings:
            raise ConfigError(f"--like {like}: {name!r} did not play there; there are {nearest(name, ratings)}")
    return ratings[one] - ratings[other]


def _both_ways(experiment: Experiment, one: str, other: str) -> Iterable[MatchSpec]:
    """Matches of the two, to see what they cost."""
    if experiment.tournament is not None:
        field = experiment.tournament.field
        seats = [dict(zip(field.candidates, pair, strict=True)) for pair in ((one, other), (other, one))]
        return experiment.tournament.seat([Meeting(players, field.questions[0]) for players in seats])
    found = [spec for spec in experiment.matches if {agent.name for agent in spec.players.values()} == {one, other}]
    if not found:
        raise ConfigError(f"--separate {one} {other}: the two do not meet in this plan")
    return found[:2]
