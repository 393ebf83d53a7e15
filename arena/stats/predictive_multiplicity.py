"""Predictive multiplicity of judges: in how many debates an equally good judge would have named another winner.

Judges who agree with the panel nearly as often as the best of them are equally good by that measure, and may yet differ on
single debates (Watson-Daniels, Parkes and Ustun, arXiv:2206.01131, with judges in the place of models). The judges of a run
are a few of all that could have been asked, and a judge contradicts nobody on a debate that it did not judge: all shares are
lower bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from arena.stats.clustered import codes
from arena.stats.estimate import LEVEL, Estimate, made
from arena.stats.pairs import share

EPSILONS = (0.0, 0.01, 0.02, 0.05, 0.1)
"""How much less often than the best a judge may agree with the panel."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a judge agrees with the panel."""

    judge: str
    with_panel: Estimate
    """The share of debates on which it names the winner that most of the others name; n counts debates where both name one."""
    compared: bool
    """Whether it may be in a set: judges with fewer than half the debates of whoever has most are not compared."""


@dataclass(frozen=True, slots=True)
class NearlyAsGood:
    """The judges that agree with the panel nearly as often as the best, and what they would have changed.

    Intervals are by debate, for the judges that are in the set; there is none where the baseline is alone, and nothing can
    differ. n counts debates on which the baseline and another judge name a winner, the same ones at every epsilon.
    """

    epsilon: float
    judges: tuple[str, ...]
    """Those whose agreement is at most epsilon below the best, the baseline among them."""
    ambiguity: Estimate
    """The share of debates on which a judge of the set names another winner than the baseline."""
    discrepancy: Estimate
    """The largest share of debates on which any single one does."""


@dataclass(frozen=True, slots=True)
class Multiplicity:
    """How far decisions hang on which of several equally good judges was asked."""

    agreements: tuple[Agreement, ...]
    baseline: str | None
    """The judge that agrees best; of several, the one with most debates, then the first. None where nobody can be compared."""
    sets: tuple[NearlyAsGood, ...]
    """One for each epsilon, in rising order; none without a baseline."""


def multiplicity(
    choice: ArrayLike, debates: ArrayLike, judges: ArrayLike, epsilons: Sequence[float] = EPSILONS
) -> Multiplicity:
    """Ambiguity and discrepancy of the winners that judges name, by how much worse than the best a judge may be.

    A row is a ballot: `choice` is the index of the side that it names, 0 or 1, `debates` says which debate it is on, `judges`
    by whom. A judge names the winner of most of its ballots on a debate, and nobody where they are split; the panel of a
    judge are the others, likewise. Raises `ValueError` on other choices, columns of different length and epsilons below 0.
    """
    if any(not epsilon >= 0 for epsilon in epsilons):
        raise ValueError(f"every epsilon must be at least 0, not {min(epsilons)}")
    names, named = _named(choice, debates, judges)
    panel = np.sign(named.sum(axis=0) - named)
    both = (named != 0) & (panel != 0)
    agreed, n = (both & (named == panel)).sum(axis=1), both.sum(axis=1)
    compared = (n > 0) & (2 * n >= n.max(initial=0))
    agreements = tuple(
        Agreement(*of) for of in zip(names, map(share, agreed.tolist(), n.tolist()), compared.tolist(), strict=True)
    )
    if not compared.any():
        return Multiplicity(agreements, None, ())
    rate = np.where(compared, agreed / np.maximum(n, 1), -1.0)
    best = max(range(len(names)), key=lambda j: (rate[j], n[j]))
    decided = (named[best] != 0) & (np.count_nonzero(named, axis=0) > 1)
    differs = (named * named[best] < 0)[:, decided]
    # 0.9 - 0.1 must reach 0.8, whatever binary fractions make of it.
    behind = np.round(rate[best] - rate, 12)
    sets = tuple(_set(names, epsilon, compared & (behind <= epsilon), differs) for epsilon in sorted(epsilons))
    return Multiplicity(agreements, names[best], sets)


def _set(names: list[str], epsilon: float, inside: NDArray[np.bool_], differs: NDArray[np.bool_]) -> NearlyAsGood:
    judges = tuple(name for name, is_in in zip(names, inside, strict=True) if is_in)
    own, n = differs[inside], differs.shape[1]
    if len(judges) == 1:
        return NearlyAsGood(epsilon, judges, made(0.0, n=n), made(0.0, n=n))
    return NearlyAsGood(epsilon, judges, share(int(own.any(axis=0).sum()), n), _largest(own.sum(axis=1), n))


def _largest(counts: NDArray[np.int_], n: int) -> Estimate:
    """The largest of several shares of n, the baseline's 0 among them, with an interval for the largest true one.

    Wilson intervals of all others, at a level at which they hold together (Bonferroni), reach lowest and highest for the largest.
    """
    if n == 0:
        return made(None, n=0)
    most = int(counts.max())
    ends = stats.binomtest(most, n).proportion_ci(1 - (1 - LEVEL) / (counts.size - 1), method="wilson")
    return made(most / n, max(ends.low, 0.0), min(ends.high, 1.0), n=n)


def _named(choice: ArrayLike, debates: ArrayLike, judges: ArrayLike) -> tuple[list[str], NDArray[np.int_]]:
    """Judges, and whom each names on each debate: 1 for the second side, -1 for the first, 0 for nobody."""
    chosen, debate, judge = (np.asarray(column) for column in (choice, debates, judges))
    for name, column in (("choice", chosen), ("debates", debate), ("judges", judge)):
        if column.shape != (chosen.size,):
            raise ValueError(
                f"{name} has shape {column.shape} for {chosen.size} ballots; one value each is needed, flat"
            )
    if other := int((~np.isin(chosen, (0, 1))).sum()):
        raise ValueError(f"{other} of {chosen.size} choices are neither 0 nor 1; drop and count them first")
    (group, count), (who, panel) = codes(debate), codes(judge)
    votes = np.zeros((panel, count), dtype=np.int_)
    np.add.at(votes, (who, group), np.where(chosen == 1, 1, -1))
    return [str(one) for one in np.unique(judge)], np.sign(votes)
