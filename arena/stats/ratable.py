"""From comparisons to the fit of the ratings: what can be told from them, and by name what cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.stats.comparisons import Comparisons, GraphError, listed, require_one_order
from arena.stats.davidson import Fit, NoMaximum, cells, fit, untold

Floats = NDArray[np.float64]

ALL_THE_SAME = {
    0.0: "every verdict is for the second seat, which says nothing about agents",
    0.5: "every verdict is a tie",
    1.0: "every verdict is for the first seat, which says nothing about agents",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What of the comparisons tells about agents, and its fit with judges who are all as sharp."""

    rows: NDArray[np.bool_]
    """Those that the fit is made of: all but the verdicts of judges who always decide for the same seat."""
    judges: tuple[int, ...]
    """The comparisons' judges in the fit's order; one for all where their effects are not fitted."""
    effects: bool
    """Whether judges' effects are fitted."""
    fit: Fit
    notes: tuple[str, ...]
    """Who is left out, in sentences."""


def told(c: Comparisons, weights: Floats, *, judge_effects: bool) -> Told:
    """The fit, each judge with a lean of its own where that is asked for and there are several.

    `weights` has a value a row. Raises `GraphError` where no finite ratings exist.
    """
    present = np.flatnonzero(np.bincount(c.judge, minlength=len(c.judges))).tolist()
    effects = judge_effects and len(present) > 1
    # A judge who names one seat whatever it reads has an infinite lean, and then says nothing about agents.
    blind = [j for j in present if _always(c.score[c.judge == j])] if effects else []
    if effects and len(blind) == len(present):
        who = listed([c.judges[j] for j in present])
        raise GraphError(f"no finite ratings exist: every judge always decided for the same seat ({who})")
    rows = ~np.isin(c.judge, blind) if blind else np.ones(c.score.size, dtype=bool)
    kept = c.only(rows) if blind else c
    if np.ptp(kept.score) == 0:
        raise GraphError(f"no finite ratings exist: {ALL_THE_SAME[float(kept.score[0])]}")
    require_one_order(kept)
    judges = tuple(j for j in present if j not in blind) if effects else (0,)
    position = np.zeros(len(c.judges), dtype=np.intp)
    if effects:
        position[list(judges)] = np.arange(len(judges))
    met = cells(kept.first, kept.second, position[kept.judge], kept.score, len(c.agents), len(judges))
    counts = met.counts(weights[rows])
    if (direction := untold(met, counts)) is not None:
        raise GraphError(_confounded(c, judges, direction, effects))
    try:
        fitted = fit(met, counts, sharp=False)
    except NoMaximum as e:
        raise GraphError(
            "no finite ratings exist: with the seats' or a judge's advantage large enough, who won is foretold without "
            "error; matches with the seats swapped are needed" + (", or a fit without judge effects" if effects else "")
        ) from e
    notes = tuple(f"{c.judges[j]} always decided for the same seat and says nothing about agents" for j in blind)
    return Told(rows, judges, effects, fitted, notes)


def _always(score: Floats) -> bool:
    return bool(score[0] != 0.5 and (score == score[0]).all())


def _confounded(c: Comparisons, judges: tuple[int, ...], direction: Floats, effects: bool) -> str:
    strength, lean = direction[: len(c.agents)], direction[len(c.agents) :]
    above = strength > strength.mean()
    sides = sorted((np.flatnonzero(above), np.flatnonzero(~above)), key=lambda side: side[0])
    one, other = (listed([c.agents[i] for i in side]) for side in sides)
    touched = [c.judges[j] for j, by in zip(judges, lean, strict=True) if abs(by) > 1e-6 * np.abs(lean).max()]
    of = f"the leans of {listed(touched)}" if effects else "what the first seat is worth"
    return (
        f"no ratings exist: {of} cannot be told from what {one} and {other} differ in, as the seats were given; a match with "
        "the seats swapped is needed" + (", or a fit without judge effects" if effects else "")
    )
