"""Relative confidence: from "of which of these two answers are you surer" to a score an answer, and how well scores rank
right before wrong (Shrivastava, Kumar and Liang, arXiv:2502.01126).

The scores rank the answers of one agent to one set. They have no zero: see `NO_ZERO` and `anchored`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, sparse, special

from arena.stats.bootstrap import resamples
from arena.stats.estimate import LEVEL, Estimate, made

NO_ZERO = (
    "Relative confidence ranks answers and has no zero: by itself it cannot show overconfidence. "
    "Mapped to probabilities on known outcomes, it can."
)
"""What a report has to say beside every number of this module."""

RIDGE = 0.01
"""The weight of the squared scores in `bradley_terry`, the paper's lambda: a normal prior of standard deviation 7.1."""

K = 400.0
"""Elo's step, the paper's."""

DRAWS = 1000
"""Bootstrap draws behind an interval."""

_LOG_ROOT_2_PI = math.log(2 * math.pi) / 2

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Preferences:
    """Comparisons of answers, in the order in which they were asked. Arrays have a value a comparison."""

    first: NDArray[np.intp]
    """The number of the answer that was shown first."""
    second: NDArray[np.intp]
    first_preferred: NDArray[np.bool_]
    answers: int
    """How many answers there are, numbered from 0."""

    @property
    def groups(self) -> int:
        """Groups of answers that no comparison links: scores of different groups cannot be compared."""
        there = np.ones(self.first.size)
        graph = sparse.coo_matrix((there, (self.first, self.second)), shape=(self.answers, self.answers))
        return int(sparse.csgraph.connected_components(graph, directed=False)[0])


# ------------------------------------------------------------------ from preferences to scores


@dataclass(frozen=True, slots=True)
class BradleyTerry:
    """P(first preferred) = logistic(score[first] - score[second] + lean)."""

    score: Floats
    """Log-odds, (answers,); they sum to zero."""
    lean: float
    """Log-odds added for whatever is shown first."""


def bradley_terry(preferences: Preferences, ridge: float = RIDGE) -> BradleyTerry:
    """The scores that maximise the likelihood less `ridge` times the sum of their squares and of the lean's.

    The paper has no lean; where orders are balanced it hardly moves the scores. The penalty keeps what was preferred every
    time finite. Newton's method with step halving. Raises `ValueError` without a positive ridge.
    """
    if ridge <= 0:
        raise ValueError(f"ridge is {ridge}; an answer that is preferred every time needs a positive one")
    n, m = preferences.answers, preferences.first.size
    row = np.arange(m)
    design = sparse.csr_matrix(
        (
            np.concatenate([np.ones(m), -np.ones(m), np.ones(m)]),
            (np.tile(row, 3), np.concatenate([preferences.first, preferences.second, np.full(m, n)])),
        ),
        shape=(m, n + 1),
    )
    sign = np.where(preferences.first_preferred, 1.0, -1.0)

    def loss(scores: Floats) -> float:
        return float(np.logaddexp(0, -sign * (design @ scores)).sum() + ridge * scores @ scores)

    scores, before = np.zeros(n + 1), np.inf
    while before - (now := loss(scores)) > 1e-12 * (1 + now):
        before = now
        chance = special.expit(design @ scores)
        slope = design.T @ (chance - preferences.first_preferred) + 2 * ridge * scores
        curvature = (design.T @ sparse.diags(chance * (1 - chance)) @ design).toarray() + 2 * ridge * np.eye(n + 1)
        step = np.linalg.solve(curvature, slope)
        while loss(scores - step) > now and np.abs(step).max() > 1e-12:
            step /= 2
        scores = scores - step
    return BradleyTerry(scores[:n], float(scores[n]))


def trueskill(
    preferences: Preferences, mu: float = 25.0, sigma: float = 25 / 3, beta: float = 25 / 6, tau: float = 25 / 300
) -> Floats:
    """Each answer's mean skill after one pass in the order of asking (Herbrich, Minka and Graepel 2006, no draws).

    `sigma` is the skill's standard deviation before, `beta` that of a performance, `tau` that of a step between
    comparisons; all on the scale of `mu`. Defaults are the paper's. What was asked last weighs somewhat more.
    """
    mean, variance = np.full(preferences.answers, mu), np.full(preferences.answers, sigma**2)
    for winner, loser in _outcomes(preferences):
        won, lost = variance[winner] + tau**2, variance[loser] + tau**2
        spread = math.sqrt(2 * beta**2 + won + lost)
        t = (mean[winner] - mean[loser]) / spread
        v = math.exp(-t * t / 2 - _LOG_ROOT_2_PI - special.log_ndtr(t))
        w = v * (v + t)
        mean[winner] += won / spread * v
        mean[loser] -= lost / spread * v
        variance[winner] = won * (1 - won / spread**2 * w)
        variance[loser] = lost * (1 - lost / spread**2 * w)
    return mean


def elo(preferences: Preferences, k: float = K) -> Floats:
    """Each answer's Elo rating, from 1000, after one pass in the order of asking.

    For comparison with the paper alone. With its K of 400 a rating is mostly what the last few comparisons left: over
    reorderings of the same comparisons it varies by hundreds of points, and more comparisons help little.
    """
    rating = np.full(preferences.answers, 1000.0)
    for winner, loser in _outcomes(preferences):
        step = k * (1 - 1 / (1 + 10 ** ((rating[loser] - rating[winner]) / 400)))
        rating[winner] += step
        rating[loser] -= step
    return rating


def _outcomes(preferences: Preferences) -> Iterator[tuple[int, int]]:
    """Who won and who lost, in order."""
    winner = np.where(preferences.first_preferred, preferences.first, preferences.second)
    loser = np.where(preferences.first_preferred, preferences.second, preferences.first)
    return zip(winner.tolist(), loser.tolist(), strict=True)


# ------------------------------------------------------------------ how well a score ranks


def selective_auc(score: ArrayLike, correct: ArrayLike) -> float:
    """The area under the accuracy-coverage curve: the mean, over k, of the accuracy of the k answers with the highest scores.

    Answers of equal score come in every order alike, and their accuracies are averaged over these orders. An uninformative
    score gives the accuracy. NaN without answers.
    """
    return float(_selective(_levels(score, correct, None))[0])


def auroc(score: ArrayLike, correct: ArrayLike) -> float:
    """The probability that a right answer has a higher score than a wrong one, ties counted half; NaN where all are alike."""
    return float(_ranked(_levels(score, correct, None))[0])


@dataclass(frozen=True, slots=True)
class _Levels:
    """How many right and wrong answers have each score, the highest first: (draws, scores)."""

    right: Floats
    wrong: Floats


def _levels(score: ArrayLike, correct: ArrayLike, times: Floats | None) -> _Levels:
    """`times` says how often each answer occurs, (draws, answers); None is once."""
    value, right = np.asarray(score, dtype=float), np.asarray(correct, dtype=float)
    if value.shape != right.shape or value.ndim != 1 or np.isnan(value).any() or np.isnan(right).any():
        raise ValueError(
            f"{value.shape} scores and {right.shape} outcomes: flat, of one length and without NaN, please"
        )
    if not value.size:
        return _Levels(np.zeros((1, 1)), np.zeros((1, 1)))
    order = np.argsort(-value, kind="stable")
    starts = np.flatnonzero(np.diff(value[order], prepend=np.inf))
    weight = np.ones((1, value.size)) if times is None else times
    total = np.add.reduceat(weight[:, order], starts, axis=1)
    came = np.add.reduceat((weight * right)[:, order], starts, axis=1)
    return _Levels(came, total - came)


def _selective(levels: _Levels) -> Floats:
    """(draws,). Within a level the expected accuracy of the first k is (C + (k - a) r) / k, with a answers before it, C of
    them right, and a share r of right ones inside; summed over k by harmonic numbers."""
    here = levels.right + levels.wrong
    through = here.cumsum(axis=1)
    before = through - here
    right_before = levels.right.cumsum(axis=1) - levels.right
    share = np.divide(levels.right, here, out=np.zeros_like(here), where=here > 0)
    answers = through[:, -1]
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, int(answers.max()) + 1))])
    ks = harmonic[through.astype(int)] - harmonic[before.astype(int)]
    area = ((right_before - before * share) * ks + levels.right).sum(axis=1)
    return np.divide(area, answers, out=np.full_like(area, np.nan), where=answers > 0)


def _ranked(levels: _Levels) -> Floats:
    """(draws,): the Mann-Whitney share."""
    right, wrong = levels.right.sum(axis=1), levels.wrong.sum(axis=1)
    below = wrong[:, None] - levels.wrong.cumsum(axis=1)
    above = (levels.right * (below + levels.wrong / 2)).sum(axis=1)
    return np.divide(above, right * wrong, out=np.full_like(above, np.nan), where=right * wrong > 0)


# ------------------------------------------------------------------ with intervals, and against one another


@dataclass(frozen=True, slots=True)
class Answered:
    """One agent's answers to one set."""

    question: NDArray[np.intp]
    """The number of the question, the same wherever it is asked."""
    correct: NDArray[np.bool_]
    confidence: Mapping[str, Floats]
    """Measure to how sure the agent is of each answer, on any scale."""


@dataclass(frozen=True, slots=True)
class Discrimination:
    """How well each measure, and each difference between two (`a-b`), ranks right before wrong; n counts questions."""

    selective_auc: Mapping[str, Estimate]
    auroc: Mapping[str, Estimate]


def discrimination(
    answered: Sequence[Answered],
    against: Sequence[tuple[str, str]],
    random: np.random.Generator,
    draws: int = DRAWS,
) -> Discrimination:
    """The mean over agents and sets of each measure's selective AUC and AUROC, all on the same answers.

    Intervals are percentiles of a bootstrap of the questions, drawn alike for all agents and all measures, so that those of
    the differences `against` are paired. Scores are not estimated anew in a draw: the interval is that of other questions
    judged by the same scores.
    """
    count = int(max((of.question.max(initial=-1) for of in answered), default=-1)) + 1
    asked = len({int(question) for of in answered for question in of.question})
    names = list(answered[0].confidence) if answered else []
    once = np.ones((1, count))
    times = np.concatenate([once, *resamples(np.arange(count), draws, random)]) if count else once
    found: list[dict[str, Estimate]] = []
    for area in (_selective, _ranked):
        drawn = {
            name: np.mean([area(_levels(of.confidence[name], of.correct, times[:, of.question])) for of in answered], 0)
            for name in names
        }
        drawn |= {f"{a}-{b}": drawn[a] - drawn[b] for a, b in against if a in drawn and b in drawn}
        found.append({name: _summary(values, asked) for name, values in drawn.items()})
    return Discrimination(*found)


def _summary(values: Floats, n: int) -> Estimate:
    """`values` has the estimate first, then the draws; those in which all answers are right, or wrong, say nothing."""
    drawn = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or drawn.size < 2:
        return made(float(values[0]), n=n)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return made(float(values[0]), float(low), float(high), n=n)


# ------------------------------------------------------------------ a zero, from outcomes


def anchored(
    score: ArrayLike,
    correct: ArrayLike,
    random: np.random.Generator,
    *,
    how: Literal["platt", "isotonic"] = "platt",
    folds: int = 10,
) -> Floats:
    """Each answer's probability of being right, given its score: a map learnt from the outcomes of other answers.

    The answers are dealt into `folds`, and those of each are mapped by what the others teach, so that no answer's own outcome
    is in its probability. `platt` fits two numbers (Platt 1999, his smoothed targets, slope not negative), `isotonic` any
    rising curve, which needs some hundred answers. Only what is anchored can be called calibrated or overconfident. Raises
    `ValueError` with fewer than two answers.
    """
    value, right = np.asarray(score, dtype=float), np.asarray(correct, dtype=float)
    if value.size < 2:
        raise ValueError(f"{value.size} answers cannot teach one another; two are needed at least")
    fold = random.permutation(np.arange(value.size) % min(folds, value.size))
    fit = _platt if how == "platt" else _isotonic
    probability = np.empty_like(value)
    for number in range(fold.max() + 1):
        held = fold == number
        probability[held] = fit(value[~held], right[~held], value[held])
    return probability


def _platt(score: Floats, correct: Floats, at: Floats) -> Floats:
    scale = float(np.std(score)) or 1.0
    x, wanted = (score - score.mean()) / scale, (at - score.mean()) / scale
    came = correct.sum()
    target = np.where(correct == 1, (came + 1) / (came + 2), 1 / (correct.size - came + 2))

    def loss(line: Floats) -> tuple[float, Floats]:
        log_odds = line[0] + line[1] * x
        off = special.expit(log_odds) - target
        return float((np.logaddexp(0, log_odds) - target * log_odds).sum()), np.array([off.sum(), off @ x])

    found = optimize.minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(None, None), (0, None)])
    return special.expit(found.x[0] + found.x[1] * wanted)


def _isotonic(score: Floats, correct: Floats, at: Floats) -> Floats:
    level, place, times = np.unique(score, return_inverse=True, return_counts=True)
    share = np.bincount(place, correct) / times
    return np.interp(at, level, optimize.isotonic_regression(share, weights=times).x)
