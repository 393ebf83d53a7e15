"""How strong each agent is: ratings from comparisons, with the seats' and the judges' part in them taken out.

The model is that of `arena.stats.davidson`, `arena.stats.ratable` says what can be fitted, `arena.stats.spread` how sure
the fit is. This file puts it on a scale: ratings, ranks, chances, and what seats and judges add.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from arena.stats.clustered import codes
from arena.stats.comparisons import Comparisons
from arena.stats.cycles import Cycles, cycles
from arena.stats.davidson import Fit, share
from arena.stats.estimate import LEVEL, Estimate, finite, made
from arena.stats.ratable import Told, told
from arena.stats.spread import Clusters, Spread, bootstrapped, sandwich, t, with_sharpness

Floats = NDArray[np.float64]

CENTRE = 1000.0
"""The mean rating of the agents."""

PER_DECADE = 400.0
"""Rating points that make the odds of winning ten times as high."""

POINTS = PER_DECADE / np.log(10)
"""Rating points per unit of log-odds."""

FEWEST_TOPICS = 5
"""Topics from which on intervals speak of topics that were not debated; of fewer, mirrored pairs are the clusters."""

BOOTSTRAP_AGENTS, BOOTSTRAP_MATCHES = 200, 20_000
"""Up to so many agents and matches errors are bootstrapped."""


@dataclass(frozen=True, slots=True)
class Rated:
    """An agent's rating: the mean of all is 1000, and 400 points more are odds ten times as high."""

    agent: str
    rating: float
    low: float | None
    """95 % interval; None where nothing tells it: fewer than two clusters, or none that differ."""
    high: float | None
    rank_low: int
    """Best rank that the data admit at 95 %; 1 is the strongest."""
    rank_high: int
    """Worst rank."""
    p_best: float | None
    """Share of draws from the ratings' distribution in which it is the strongest; None where there is no interval."""
    n: int
    """Matches against others."""


@dataclass(frozen=True, slots=True)
class JudgeEffect:
    """What a judge adds of its own. n counts its verdicts."""

    judge: str
    share: Estimate
    """The first seat's share of wins in this judge's verdicts between equals, ties half; 0.5 is fair."""
    lean: Estimate
    """By how many rating points it leans more to the first seat than the judges do on average."""
    sharpness: Estimate
    """How strongly it tells agents apart, the judges' mean being 1; its inverse is the judge's noise, and 0 tells nothing.

    The estimate is None where it was not fitted; `Ratings.notes` says why.
    """


@dataclass(frozen=True)
class Ratings:
    """Ratings that belong together. n counts clusters where nothing else is said."""

    agents: tuple[Rated, ...]
    """Strongest first."""
    win: Floats
    """(agents, agents) in that order: the row's chance against the column, in either seat as often, before the average judge,
    ties half; 0.5 on the diagonal."""
    side: Estimate
    """What the first seat is worth before the average judge, in rating points, tested against 0."""
    side_share: Estimate
    """The same as the first seat's share of wins between equals, ties half."""
    tie_share: Estimate | None
    """Share of ties between equals in neutral seats; None where nothing was tied."""
    judges: tuple[JudgeEffect, ...]
    """Empty where judges' effects were not fitted: a single judge, or not asked for."""
    cycles: Cycles
    method: Literal["bootstrap", "sandwich"]
    clusters: Literal["topics", "pairs"]
    """What the intervals hold to be independent: topics, or with too few of them mirrored pairs."""
    topics: int
    pairs: int
    """Mirrored pairs; a match without a mirror is one of its own."""
    matches: int
    effective_n: float
    """As many matches of equal weight would tell as much (Kish 1965); `matches` where the fit is not weighted."""
    draws: int
    """Draws behind ranks and P(best), and behind the intervals where the method is the bootstrap."""
    dropped: int
    """Bootstrap draws among those asked for whose fit found no end; they are left out of `draws`."""
    notes: tuple[str, ...]
    """What could not be fitted or should be known, in sentences."""


def rate(
    comparisons: Comparisons,
    random: np.random.Generator,
    *,
    weighted: bool = False,
    judge_effects: bool = True,
    sharpness: bool = True,
    method: Literal["auto", "bootstrap", "sandwich"] = "auto",
    draws: int = 500,
) -> Ratings:
    """Ratings by maximum likelihood, without any regularisation, and their 95 % intervals.

    `weighted` weighs each row by the inverse of its pairing's probability. `judge_effects` fits each judge's lean and, with
    `sharpness`, its sharpness, where there are at least two judges. Raises `GraphError` where no finite ratings exist: some
    never met, one group never lost to the rest, or seats cannot be told from strengths; it names what is missing.

    Topics are the clusters, and with fewer than five of them mirrored pairs (the two debates of a mirrored pair share a
    topic, so that topics alone allow for both). Intervals are estimate +/- t standard errors with clusters - 1 degrees of
    freedom. `method` says where the error is from: the bootstrap over clusters, the default up to 200 agents and 20,000
    matches, gives each cluster a random weight of mean 1 (exponential; Rubin 1981, Xu et al. 2020), so that no draw loses
    what ties the graph together; the sandwich is the cluster-robust covariance (Liang and Zeger 1986, times G / (G - 1)).
    An interval is about the mean over all topics like these. What it covers: experiments/rating_intervals.

    An agent's rank interval allows for all its comparisons at once: it is beaten by those that are above it by more than the
    95 % point of the largest of its studentised differences (in the draws; above 200 agents Bonferroni's). So each agent's
    true rank is covered, near equals or not; those of all agents at once are not.
    """
    weights = 1 / comparisons.probability if weighted else np.ones(comparisons.score.size)
    weights = weights / weights.mean()
    kept = told(comparisons, weights, judge_effects=judge_effects)
    by, clusters, notes = _clusters(comparisons, kept.rows, weights)
    sharp = with_sharpness(kept.fit, clusters) if sharpness and len(kept.judges) > 1 else kept.fit
    if sharp is None:
        notes.append(
            "how sharply each judge tells agents apart cannot be told from so little; all count as equally sharp"
        )
    fitted = sharp or kept.fit
    matches, at = np.unique(comparisons.match, return_index=True)
    if method == "auto":
        few = len(comparisons.agents) <= BOOTSTRAP_AGENTS and matches.size <= BOOTSTRAP_MATCHES
        method = "bootstrap" if few else "sandwich"
    spread = (bootstrapped if method == "bootstrap" else sandwich)(fitted, clusters, draws, random)
    if dropped := spread.dropped:
        notes.append(f"{dropped} of {draws} bootstrap draws have no finite ratings and are left out")
    if dropped > draws / 2:
        method, spread = "sandwich", sandwich(fitted, clusters, draws, random)
        notes.append("with most draws left out, intervals are by the sandwich")
    here = weights[at]
    others = at[comparisons.first[at] != comparisons.second[at]]
    n = np.bincount(
        np.concatenate([comparisons.first[others], comparisons.second[others]]), minlength=len(comparisons.agents)
    )
    agents, win = _rated(comparisons.agents, n, fitted, spread)
    side, side_share = _side(fitted, spread)
    return Ratings(
        agents=agents,
        win=win,
        side=side,
        side_share=side_share,
        tie_share=_tie_share(fitted, spread),
        judges=_judge_effects(comparisons, kept, fitted, spread) if kept.effects else (),
        cycles=cycles(fitted, clusters.weights, clusters.of),
        method=method,
        clusters=by,
        topics=codes(comparisons.topic)[1],
        pairs=codes(comparisons.pair)[1],
        matches=matches.size,
        effective_n=float(here.sum() ** 2 / (here @ here)),
        draws=len(spread.deviations),
        dropped=dropped,
        notes=(*kept.notes, *notes),
    )


def _clusters(
    c: Comparisons, rows: NDArray[np.bool_], weights: Floats
) -> tuple[Literal["topics", "pairs"], Clusters, list[str]]:
    topic, topics = codes(c.topic[rows])
    if topics >= FEWEST_TOPICS:
        return "topics", Clusters(topic, topics, weights[rows]), []
    pair, pairs = codes(c.pair[rows])
    these = "this one topic" if topics == 1 else f"these {topics} topics"
    said = f"intervals are about {these}: to speak of others takes {FEWEST_TOPICS}"
    return "pairs", Clusters(pair, pairs, weights[rows]), [said]


# ------------------------------------------------------------------ what is reported


def _rated(
    names: tuple[str, ...], n: NDArray[np.intp], fitted: Fit, spread: Spread
) -> tuple[tuple[Rated, ...], Floats]:
    strength, count = fitted.at.strength, len(names)
    rating = CENTRE + POINTS * strength
    certain = spread.clusters > 1
    half = POINTS * spread.reach(np.eye(count, fitted.vector.size))
    low, high = rating - half, rating + half
    ranks = _ranks(strength, spread) if certain else [(1, count)] * count
    drawn = strength + spread.deviations[:, :count] * spread.studentised[:, None]
    best = np.bincount(drawn.argmax(axis=1), minlength=count) / len(drawn)
    order = np.argsort(-strength, kind="stable")
    agents = tuple(
        Rated(
            names[i], float(rating[i]), finite(low[i]), finite(high[i]), ranks[i][0], ranks[i][1],
            float(best[i]) if certain and np.isfinite(half[i]) else None, int(n[i]),
        )
        for i in order
    )  # fmt: skip
    chance = share(np.subtract.outer(strength, strength), fitted.at.ties)
    return agents, chance[np.ix_(order, order)]


def _ranks(strength: Floats, spread: Spread) -> list[tuple[int, int]]:
    count = strength.size
    covariance, deviations = spread.covariance[:count, :count], spread.deviations[:, :count]
    variance = np.diag(covariance)
    ranks: list[tuple[int, int]] = []
    for i in range(count):
        error = np.sqrt(np.maximum(variance + variance[i] - 2 * covariance[i], 0.0))
        # Agents whose difference never varies, itself among them, have none that could be found.
        error[error <= 1e-12] = np.inf
        if count <= BOOTSTRAP_AGENTS:
            largest = (np.abs(deviations - deviations[:, [i]]) / error).max(axis=1) * spread.studentised
            reach = float(np.quantile(largest, LEVEL))
        else:
            # Bonferroni's point, which of so many is hardly larger and needs no draws.
            reach = float(stats.t.isf((1 - LEVEL) / 2 / (count - 1), spread.clusters - 1))
        ahead = (strength - strength[i]) / error
        ranks.append((1 + int((ahead > reach).sum()), count - int((ahead < -reach).sum())))
    return ranks


def _side(fitted: Fit, spread: Spread) -> tuple[Estimate, Estimate]:
    agents, judges = fitted.cells.agents, fitted.cells.judges
    contrast = np.zeros(fitted.vector.size)
    contrast[agents : agents + judges] = 1 / judges
    return _points(contrast, fitted, spread, "side advantage = 0"), _between_equals(contrast, fitted, spread)


def _judge_effects(c: Comparisons, kept: Told, fitted: Fit, spread: Spread) -> tuple[JudgeEffect, ...]:
    agents, judges = fitted.cells.agents, len(kept.judges)
    ballots = np.bincount(c.judge, minlength=len(c.judges))
    effects: list[JudgeEffect] = []
    for j in np.flatnonzero(ballots):
        n = int(ballots[j])
        if j not in kept.judges:
            always = float(c.score[c.judge == j][0])
            effects.append(JudgeEffect(c.judges[j], made(always, n=n), made(None, n=n), made(None, n=n)))
            continue
        at = agents + kept.judges.index(int(j))
        own, sharp = np.zeros((2, fitted.vector.size))
        own[at] = 1.0
        apart = own.copy()
        apart[agents : agents + judges] -= 1 / judges
        if fitted.sharp:
            sharp[at + judges] = 1.0
        effects.append(
            JudgeEffect(
                c.judges[j],
                replace(_between_equals(own, fitted, spread), n=n),
                replace(_points(apart, fitted, spread, "as the judges' mean"), n=n),
                replace(_linear(sharp, fitted, spread), n=n) if fitted.sharp else made(None, n=n),
            )
        )
    return tuple(effects)


def _tie_share(fitted: Fit, spread: Spread) -> Estimate | None:
    if not np.isfinite(fitted.at.ties):
        return None
    contrast = np.zeros(fitted.vector.size)
    contrast[-1] = 1.0
    # nu / (2 + nu) rises with nu.
    return _transformed(_linear(contrast, fitted, spread), lambda ties: float(expit(ties - np.log(2))))


def _linear(contrast: Floats, fitted: Fit, spread: Spread) -> Estimate:
    value, half = float(contrast @ fitted.vector), float(spread.reach(contrast))
    return made(value, value - half, value + half, n=spread.clusters)


def _points(contrast: Floats, fitted: Fit, spread: Spread, null: str) -> Estimate:
    value, half = POINTS * float(contrast @ fitted.vector), POINTS * float(spread.reach(contrast))
    statistic = value / half * t(spread.clusters)
    p = 2 * float(stats.t.sf(abs(statistic), max(spread.clusters - 1, 1)))
    test = f"cluster-robust t, {null}"
    return made(value, value - half, value + half, n=spread.clusters, test=test, statistic=statistic, p=p)


def _between_equals(contrast: Floats, fitted: Fit, spread: Spread) -> Estimate:
    return _transformed(_linear(contrast, fitted, spread), lambda odds: float(share(np.array(odds), fitted.at.ties)))


def _transformed(estimate: Estimate, rising: Callable[[float], float]) -> Estimate:
    values = (estimate.estimate, estimate.low, estimate.high)
    return made(*(None if value is None else rising(value) for value in values), n=estimate.n)
