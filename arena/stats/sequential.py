"""When the order is known: a rule that may be asked after every round, whoever meets whom next, and what it would still take.

The unit is the mirrored pair: two agents meet twice on one topic with sides swapped, and its score in [0, 1] is the mean of
what the first of them got, so that what a side, a topic or a judge's leaning is worth cancels. Two e-processes read it. An
e-process is the wealth of one who bets against a hypothesis without foresight; where that is true, it ever reaches
1 / level with probability `level` at most (Ville 1939), however pairs were chosen and however often one looks.

- The **likelihood ratio** decides. It runs, of "i is stronger than j" against "they are equal", strengths averaged over a
  normal prior, in a Bradley-Terry model whose spread is estimated (quasi-likelihood, Laplace). It uses every pair, those
  with others too, and is an e-process as far as that model is right; what it errs is simulated in `experiments/order_is_known`.
- **Bets** may object. 1 + stake (2 score - 1), the stake fixed before the score is known, gains nothing on average where the
  expected score is 1/2 or less; nothing else is assumed (Waudby-Smith and Ramdas 2024, arXiv:2010.09686). Where they
  contradict the answer that strengths give, agents beat each other in cycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_ndtr

PRIOR_SD = 1.0
"""Of a strength, in log-odds: 174 rating points."""
GAP_SD = 0.6
"""Of the difference of two who are not equal, in log-odds (104 points): what the likelihood ratio averages over."""
PRIOR_SPREAD = 0.4
"""The variance of a mirrored pair's score in p (1 - p), before data: two decisions have 0.5, shares of three ballots less."""
PRIOR_PAIRS = 4.0
"""How many even pairs the spread before data counts for."""
PAIRING_SD = 0.07
"""By how much a pairing's expected score may deviate from what strengths say, for the stakes of bets; a probability."""
TRAILING = 1.0
"""What is said to be missing at least, in nats, while the stronger has scored less than half against the weaker."""
MOST_STAKED = 0.95
"""A stake of 1 could lose everything at once."""

Floats = NDArray[np.float64]


# ------------------------------------------------------------------ evidence


@dataclass(frozen=True, slots=True)
class Evidence:
    """What mirrored pairs said so far. Leading axes, where there are some, are replications."""

    wealth: Floats
    """(..., K, K): log wealth of the bets that the row beats the column, in nats."""
    met: Floats
    """(..., K, K): mirrored pairs that the two have played; symmetric."""
    scored: Floats
    """(..., K, K): what the row scored of them."""
    squares: Floats
    """(...): the sum of squared differences between scores and what was expected of them."""
    expected: Floats
    """(...): the sum of what these would be on average, in spreads."""
    strength: Floats
    """(..., K): posterior means before the last round, where the search for the next begins."""


def nothing(agents: int, replications: tuple[int, ...] = ()) -> Evidence:
    """The evidence before the first pair."""
    square, number = np.zeros((*replications, agents, agents)), np.zeros(replications)
    return Evidence(square, square, square, number, number, np.zeros((*replications, agents)))


def evidence(
    first: Sequence[int], second: Sequence[int], score: Sequence[float], rounds: Sequence[int], agents: int
) -> Evidence:
    """The evidence of mirrored pairs that were played in rounds; a value a pair, agents as 0 to `agents` - 1.

    `score` is what `first` got, in [0, 1]. Stakes on a round's pairs know the rounds before it alone, so that the order within a
    round does not matter.
    """
    one, two, got = np.asarray(first, dtype=np.intp), np.asarray(second, dtype=np.intp), np.asarray(score, dtype=float)
    at = np.asarray(rounds, dtype=np.intp)
    so_far = nothing(agents)
    for number in np.unique(at):
        now = at == number
        so_far = more(so_far, one[now], two[now], got[now])
    return so_far


def more(before: Evidence, first: ArrayLike, second: ArrayLike, score: ArrayLike) -> Evidence:
    """The evidence with another round's pairs: agents (n,), scores (..., n). Raises `ValueError` on a score outside [0, 1]."""
    a, b, got = np.asarray(first, dtype=np.intp), np.asarray(second, dtype=np.intp), np.asarray(score, dtype=float)
    if not np.all((got >= 0) & (got <= 1)):
        raise ValueError(f"scores are shares in [0, 1]; found {got[~((got >= 0) & (got <= 1))][0]}")
    seen = outlook(before)
    stake, other = _stake(seen, a, b), _stake(seen, b, a)
    mean = seen.mean[..., a, b]
    once, agents = np.ones_like(got), before.met.shape[-1]
    return Evidence(
        before.wealth + _table(np.log1p(stake * (2 * got - 1)), np.log1p(other * (1 - 2 * got)), a, b, agents),
        before.met + _table(once, once, a, b, agents),
        before.scored + _table(got, 1 - got, a, b, agents),
        before.squares + ((got - mean) ** 2).sum(axis=-1),
        before.expected + (seen.variance[..., a, b] / seen.spread[..., None]).sum(axis=-1),
        seen.strength,
    )


def _table(ours: Floats, theirs: Floats, a: NDArray[np.intp], b: NDArray[np.intp], agents: int) -> Floats:
    """(..., K, K): the sums of `ours` (..., n) in row a and column b, and of `theirs` the other way round."""
    cells = np.zeros((2 * len(a), agents * agents))
    cells[np.arange(2 * len(a)), np.concatenate([a * agents + b, b * agents + a])] = 1.0
    sums = np.concatenate([ours, theirs], axis=-1) @ cells
    return sums.reshape(*sums.shape[:-1], agents, agents)


def _stake(seen: Outlook, a: NDArray[np.intp], b: NDArray[np.intp]) -> Floats:
    """The stake on `a` under which log wealth grows most, nearly (Kelly, second order); 0 where `a` is not expected to win."""
    edge, variance = 2 * seen.mean[..., a, b] - 1, 4 * seen.variance[..., a, b]
    return np.clip(edge / (edge**2 + variance), 0.0, MOST_STAKED)


# ------------------------------------------------------------------ what it lets expect


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected, given the evidence; rows meet columns."""

    strength: Floats
    """(..., K): posterior mean in log-odds."""
    covariance: Floats
    """(..., K, K): of strengths."""
    apart: Floats
    """(..., K, K): posterior mean of the row's strength less the column's."""
    unsure: Floats
    """(..., K, K): posterior variance of that; 0 on the diagonal."""
    mean: Floats
    """(..., K, K): the expected score of the row."""
    variance: Floats
    """(..., K, K): of the score, what is not known of its mean included."""
    spread: Floats
    """(...): the variance of a score about its mean, in p (1 - p)."""
    information: Floats
    """(..., K, K): what a mirrored pair tells about the difference in strength, as a precision."""


def outlook(seen: Evidence) -> Outlook:
    """What the evidence lets expect: Bradley-Terry strengths, and how each pairing deviates from them."""
    # A score of p = 1/2 holds a quarter of p (1 - p).
    spread = (PRIOR_PAIRS / 4 * PRIOR_SPREAD + seen.squares) / (PRIOR_PAIRS / 4 + seen.expected)
    spread = spread[..., None, None]
    strength, covariance = _posterior(seen, spread)
    of_each = np.diagonal(covariance, axis1=-2, axis2=-1)
    apart = strength[..., :, None] - strength[..., None, :]
    unsure = np.maximum(of_each[..., :, None] + of_each[..., None, :] - 2 * covariance, 0.0)
    chance = expit(apart / np.sqrt(1 + np.pi / 8 * unsure))
    noise = spread * chance * (1 - chance)
    learnt = seen.met / (seen.met + noise / PAIRING_SD**2)
    mean = chance + learnt * (seen.scored / np.maximum(seen.met, 1.0) - chance)
    of_mean = (chance * (1 - chance)) ** 2 * unsure + PAIRING_SD**2 * (1 - learnt)
    return Outlook(
        strength, covariance, apart, unsure, mean, noise + of_mean, spread[..., 0, 0], chance * (1 - chance) / spread
    )


def _posterior(seen: Evidence, spread: Floats) -> tuple[Floats, Floats]:
    """Mean and covariance of strengths, by Newton's method; a mirrored pair counts as 1 / spread decisions."""
    agents = seen.met.shape[-1]
    each = np.arange(agents)
    strength = seen.strength
    while True:
        chance = expit(strength[..., :, None] - strength[..., None, :])
        slope = ((seen.scored - seen.met * chance) / spread).sum(axis=-1) - strength / PRIOR_SD**2
        bend = seen.met * chance * (1 - chance) / spread
        curvature = np.eye(agents) / PRIOR_SD**2 - bend
        curvature[..., each, each] += bend.sum(axis=-1)
        # The posterior is concave, but not quadratic two log-odds away.
        step = np.clip(np.linalg.solve(curvature, slope[..., None])[..., 0], -2.0, 2.0)
        strength = strength + step
        if np.abs(step).max(initial=0.0) < 1e-8:
            return strength, np.linalg.inv(curvature)


def log_ratio(expects: Outlook) -> Floats:
    """(..., K, K): the log likelihood ratio, in nats, of "the row is stronger than the column" against "they are equal".

    The posterior of the difference is freed of its prior, which leaves the likelihood: normal about `d` with variance `v`.
    Averaged over a difference from the positive half of a normal distribution with `GAP_SD` and divided by what it is at 0.
    The diagonal is 0.
    """
    agents = expects.strength.shape[-1]
    unsure = expects.unsure + np.eye(agents)
    # Before data the posterior is the prior, and the likelihood flat.
    precision = np.maximum(1 / unsure - 1 / (2 * PRIOR_SD**2), 1e-12)
    # d / v is the difference in posterior precision, since the prior's mean is 0.
    evidence_of = expects.apart / unsure
    variance = 1 / (precision + 1 / GAP_SD**2)
    centre = variance * evidence_of
    ratio = (
        np.log(2)
        + log_ndtr(centre / np.sqrt(variance))
        + 0.5 * np.log(variance / GAP_SD**2)
        + centre**2 / (2 * variance)
    )
    return np.where(np.eye(agents, dtype=bool), 0.0, ratio)


# ------------------------------------------------------------------ is the order known?


@dataclass(frozen=True, slots=True)
class Known:
    """What may be said of the order."""

    state: Literal["known", "undecided", "cycles"]
    """`cycles`: bets contradict the answer that strengths give."""
    answer: tuple[int, ...]
    """The favoured answer, the best so many or all, best first."""
    rival: tuple[int, ...]
    """The answer beside it that is least excluded."""
    wealth: float
    """The log likelihood ratio against the rival, in nats."""
    needed: float
    """What it must reach."""
    missing: Floats
    """(K, K): how much is missing until the row is known to be stronger than the column; 0 where it is or need not be."""

    @property
    def matters(self) -> NDArray[np.bool_]:
        """(K, K), symmetric: the two whose difference is needed and not known."""
        return (self.missing > 0) | (self.missing.T > 0)


def known(seen: Evidence, top: int | None, level: float, *, expects: Outlook | None = None) -> Known:
    """Whether the best `top` agents, or with None the whole order, are known at the level. May be asked after every round.

    The favoured answer is known when each who is in it is known to be stronger than each who is not, or than each below, and
    none has scored less than half against one of these where the two met.
    For `top` each likelihood ratio must reach 1 / level: a wrong answer needs one who is not among the best to leave behind one
    who is. A whole order can be wrong between any two neighbours: (K - 1) / level. It is `cycles` while the bets on the
    pairings that contradict the answer have together reached 1 / level, which a true answer meets with probability `level` at
    most. `expects` is the outlook on `seen`, where it is at hand. Raises `ValueError` where `top` is not 1 to K - 1.
    """
    expects = outlook(seen) if expects is None else expects
    agents = len(expects.strength)
    if top is not None and not 0 < top < agents:
        raise ValueError(f"the best {top} of {agents} agents cannot be asked for; name 1 to {agents - 1}")
    place = np.empty(agents, dtype=int)
    best_first = np.argsort(-expects.strength, kind="stable")
    place[best_first] = np.arange(agents)
    if top is None:
        claimed = place[:, None] < place
    else:
        claimed = (place < top)[:, None] & (place >= top)
    needed = float(np.log((agents - 1 if top is None else 1) / level))
    ratio = np.where(claimed, log_ratio(expects), np.inf)
    missing = np.maximum(needed - ratio, 0.0)
    # Strengths may say so, but nobody would believe it of the two who met; what is missing is to meet again.
    trailing = claimed & (seen.scored < seen.met / 2 - 1e-9)
    missing[trailing] = np.maximum(missing[trailing], TRAILING)
    if seen.wealth.T[claimed].sum() >= np.log(1 / level):
        state = "cycles"
    else:
        state = "undecided" if missing.any() else "known"
    answer = best_first[:top]
    least = float(ratio.min())
    stronger, weaker = np.unravel_index(int(np.argmin(ratio)), ratio.shape)
    swapped = np.where(answer == stronger, weaker, np.where(answer == weaker, stronger, answer))
    return Known(state, tuple(answer.tolist()), tuple(swapped.tolist()), least, needed, missing)


# ------------------------------------------------------------------ what it would take


@dataclass(frozen=True, slots=True)
class Expected:
    """How many mirrored pairs it takes to know which of two agents is stronger."""

    mean: float
    """Where not every replication was decided, at least that."""
    ninety: float
    """By so many it is known in nine cases of ten; infinite where it is not within the most that were tried."""
    decided: float
    """The share of replications in which it was known in time."""
    wrong: float
    """The share of replications in which the weaker one was said to be the stronger."""


def pairs_needed(
    edge: float, sd: float, level: float, *, replications: int = 400, most: int = 1000, seed: int = 0
) -> Expected:
    """By simulating the rule, each replication with scores of its own from a Beta distribution, the two meeting each other alone.

    `edge` is the expected score of the one less 1/2, `sd` the standard deviation of a mirrored pair's score. Raises
    `ValueError` where no scores in [0, 1] have these.
    """
    mean = 0.5 + edge
    concentration = mean * (1 - mean) / sd**2 - 1 if sd > 0 else 0.0
    if not concentration > 0:
        raise ValueError(f"no scores in [0, 1] have a mean of {mean:g} and a standard deviation of {sd:g}")
    rng = np.random.default_rng(seed)
    needed = np.log(1 / level)
    seen = nothing(2, (replications,))
    left = np.arange(replications)
    taken, wrong = np.full(replications, np.inf), 0
    for pairs in range(1, most + 1):
        score = rng.beta(mean * concentration, (1 - mean) * concentration, (len(left), 1))
        seen = more(seen, [0], [1], score)
        ratio = log_ratio(outlook(seen))
        decided = (ratio >= needed).any(axis=(-2, -1))
        wrong += int((ratio[..., 1, 0] >= needed).sum())
        taken[left[decided]] = pairs
        left = left[~decided]
        seen = _of(seen, ~decided)
        if not left.size:
            break
    return Expected(
        float(np.minimum(taken, most).mean()), float(np.quantile(taken, 0.9, method="higher")),
        1 - len(left) / replications, wrong / replications,
    )  # fmt: skip


def _of(seen: Evidence, chosen: NDArray[np.bool_]) -> Evidence:
    """The evidence of some replications."""
    return Evidence(*(getattr(seen, one.name)[chosen] for one in fields(seen)))
