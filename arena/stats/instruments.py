"""Judges as noisy instruments: what verdicts say about the candidates, when nobody knows how often each judge is wrong.

A judge j finds for a candidate k with the chance p = FPR_j + (TPR_j - FPR_j) s_k, where s_k is the candidate's true share,
TPR_j how often the judge says yes where that is right, and FPR_j where it is not (arXiv:2505.21972, two levels). Counts
alone tell s only up to a line of each judge's own, so that the order of candidates rests on two suppositions, and their
levels on the priors besides:

- judges are monotone: TPR > FPR, which the prior holds for certain;
- they are constant: no judge likes one candidate better than its share deserves. `Prior.effect` relaxes that.

Verdicts are taken as independent given the shares. Judges who read the same debates share their luck, which makes the
intervals somewhat short; that judges err together, for all candidates alike or for one, no counts can show.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import emcee
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special, stats

from arena.stats.comparisons import Comparisons
from arena.stats.estimate import LEVEL, Estimate, made
from arena.stats.pairs import share

CONCENTRATIONS = (0.5, 1.0, 2.0)
"""Strengths of the prior on judges that `sensitivity` compares."""
EFFECTS = (0.0, 0.3, 0.6)
"""Scales of the effects of judge and candidate that it compares."""

FALSE_POSITIVE = (2.0, 4.0)
"""The beta prior of FPR at concentration 1: mean a third."""
GAIN = (4.0, 2.0)
"""That of (TPR - FPR) / (1 - FPR): mean two thirds. The mean TPR is then 0.78."""

BLOCK = 250
MOST_STEPS = 6000
"""Steps of the walkers, taken in blocks until they have converged, at most so many; the first quarter is dropped."""
LENGTHS = 20
"""Autocorrelation times of a walker that are kept, by four dozen walkers or more."""
R_HAT = 1.1
"""What the potential scale reduction over halves of walkers' paths must stay below (Gelman and Rubin 1992)."""

LIMIT, CELLS = 10.0, 2001
"""The log-odds of a yes are tabulated from -LIMIT to LIMIT at so many places."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Verdicts:
    """How often each judge found for each candidate. Raises `ValueError` where counts do not fit or nothing is there."""

    judges: tuple[str, ...]
    candidates: tuple[str, ...]
    yes: Floats
    """Of shape (judges, candidates); a tie is half a yes."""
    n: Floats
    """Verdicts behind each; 0 where a judge saw nothing of a candidate. Need not be whole."""

    def __post_init__(self) -> None:
        shape = (len(self.judges), len(self.candidates))
        if self.yes.shape != shape or self.n.shape != shape:
            raise ValueError(
                f"`yes` {self.yes.shape} and `n` {self.n.shape} must be of shape {shape}: judges, candidates"
            )
        if not ((self.yes >= 0) & (self.yes <= self.n) & np.isfinite(self.n)).all():
            raise ValueError("every count of `yes` must be between 0 and `n`, and finite")
        for kind, names, axis in (("judge", self.judges, 1), ("candidate", self.candidates, 0)):
            if empty := [name for name, n in zip(names, self.n.sum(axis), strict=True) if not n]:
                raise ValueError(f"no verdicts of the {kind} {empty[0]}; leave out who was not there")


@dataclass(frozen=True, slots=True)
class Prior:
    """What is held of judges before they are heard; shares of candidates are Beta(1, 1), every value alike.

    FPR ~ Beta(2c, 4c) and TPR = FPR + (1 - FPR) g with g ~ Beta(4c, 2c), where c is the concentration.
    """

    concentration: float = 1.0
    effect: float = 0.3
    """The scale of the normal effect of each judge and candidate on the log-odds of a yes.

    At shares of 0 and 1 it is an effect on the logit of FPR and TPR; between, effects on these two move the log-odds by less
    than their own scale, so that nothing is understated.
    """

    def __post_init__(self) -> None:
        if not (self.concentration > 0 and self.effect >= 0):
            raise ValueError(f"a prior needs a concentration above 0 and an effect of at least 0, not {self}")


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge's posterior: means with credible intervals; n counts its verdicts."""

    name: str
    true_positive: Estimate
    false_positive: Estimate
    informedness: Estimate
    """TPR - FPR (Youden 1950): what the judge adds to a coin."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate's posterior."""

    name: str
    true_share: Estimate
    """Of verdicts that should be for it: mean and credible interval; n counts verdicts."""
    observed: Estimate
    """The plain share of its verdicts, with the interval that holds if judges never err."""
    rank_low: int
    rank_high: int
    """The best and the worst rank that the credible interval holds; 1 is first."""
    p_best: float


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the draws were made, and whether to trust them."""

    steps: int
    """Of each walker, the first quarter included."""
    walkers: int
    autocorrelation: float
    """In steps, the longest of the judges' parameters' (Goodman and Weare 2010)."""
    r_hat: float
    """The worst of the judges' parameters'."""
    warning: str | None
    """Says what has not converged; None where all has."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """What verdicts say under one prior."""

    prior: Prior
    judges: tuple[Judge, ...]
    candidates: tuple[Candidate, ...]
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Span:
    """What a candidate's place is under every prior of the grid."""

    name: str
    rank_low: int
    rank_high: int
    """The widest: from the best rank that any prior's interval holds to the worst."""
    p_best_low: float
    p_best_high: float


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The same verdicts under a grid of priors: what differs between them, the verdicts do not decide."""

    posteriors: tuple[Posterior, ...]
    spans: tuple[Span, ...]
    leaders: tuple[str, ...]
    """Who is likeliest to be best under one prior or another; a single name says that priors do not matter for that."""


def from_comparisons(comparisons: Comparisons) -> Verdicts:
    """The counts of a tournament: a judge's verdict on a match is yes for the winner and no for the other, a tie half each. Where a
    judge cast several ballots on a match, each is a part of its one verdict.

    An agent's true share is then the share of its matches that it should win, so that all should have met alike, as in a
    round-robin. Every verdict stands in two candidates' counts, which hold one number less than there are agents: counts
    are multiplied by (K - 1) / K, with which differences of K agents who all met have the spread that they have.
    """
    judges, agents = len(comparisons.judges), len(comparisons.agents)
    yes, n = np.zeros((judges, agents)), np.zeros((judges, agents))
    # An agent against its copy says nothing about its share.
    comparisons = comparisons.only(comparisons.first != comparisons.second)
    own = comparisons.match * judges + comparisons.judge
    part = 1 / np.bincount(own)[own]
    for seat, score in ((comparisons.first, comparisons.score), (comparisons.second, 1 - comparisons.score)):
        np.add.at(yes, (comparisons.judge, seat), part * score)
        np.add.at(n, (comparisons.judge, seat), part)
    once = (agents - 1) / agents
    return Verdicts(comparisons.judges, comparisons.agents, yes * once, n * once)


def posterior(verdicts: Verdicts, random: np.random.Generator, prior: Prior = Prior()) -> Posterior:
    """What the verdicts say about candidates and judges: credible intervals of shares, ranks and error rates.

    Given the judges, candidates are independent, and each share is integrated over a grid; only the judges' rates are
    sampled, by emcee's ensemble (Foreman-Mackey et al. 2013). Shares are then drawn from their grids. One seed, one result.
    """
    model = _Model(verdicts, prior)
    theta, sampling = _sample(model.log_posterior, model.starts, 2 * len(verdicts.judges), random)
    false, true = _rates(theta)
    shares = np.concatenate([model.shares(part, random) for part in np.array_split(theta, max(1, len(theta) // 250))])
    return Posterior(prior, _judges(verdicts, false, true), _candidates(verdicts, shares), sampling)


def sensitivity(
    verdicts: Verdicts,
    random: np.random.Generator,
    concentrations: Sequence[float] = CONCENTRATIONS,
    effects: Sequence[float] = EFFECTS,
) -> Sensitivity:
    """The posterior under every prior of a grid, and between what bounds each candidate's rank and P(best) lie in it."""
    priors = [Prior(concentration, effect) for concentration, effect in itertools.product(concentrations, effects)]
    found = tuple(posterior(verdicts, own, prior) for own, prior in zip(random.spawn(len(priors)), priors, strict=True))
    spans: list[Span] = []
    for name, *places in zip(verdicts.candidates, *(one.candidates for one in found), strict=True):
        best = [place.p_best for place in places]
        lowest, highest = min(place.rank_low for place in places), max(place.rank_high for place in places)
        spans.append(Span(name, lowest, highest, min(best), max(best)))
    leaders = dict.fromkeys(max(one.candidates, key=lambda candidate: candidate.p_best).name for one in found)
    return Sensitivity(found, tuple(spans), tuple(leaders))


def unidentified(levels: int, gold: bool) -> str | None:
    """A warning where a verdict scale does not tell the order of candidates; None where it can.

    With two levels every monotone judge keeps the order. With three or more, judges who all deserve trust (a better
    answer never makes a lower verdict likelier, the right verdict is the likeliest) can give the same verdicts for
    candidates in either order, whatever their number (arXiv:2505.21972); verdicts on answers of known worth, `gold`, tell how
    the judge uses its scale. Raises `ValueError` for a scale of less than two levels.
    """
    if levels < 2:
        raise ValueError(f"a verdict scale has at least two levels, not {levels}")
    if levels == 2 or gold:
        return None
    return (
        f"the ranking is not identified: on a scale of {levels} levels the same verdicts can come from candidates in either "
        "order, however many verdicts there are; judge some answers of known worth too, or ask for one of two"
    )


# ------------------------------------------------------------------ the model


class _Model:
    """The posterior of the judges' rates with the shares integrated out, on tables that are made once."""

    def __init__(self, verdicts: Verdicts, prior: Prior) -> None:
        self.prior = prior
        self.table = _table(verdicts, prior.effect)
        # Fine enough for the candidate of whom there are the most verdicts.
        count = max(64, int(3 * np.sqrt(verdicts.n.sum(axis=0).max())))
        self.grid = (np.arange(count) + 0.5) / count

    def starts(self, count: int, random: np.random.Generator) -> Floats:
        """Places for walkers: the likeliest of many draws from the prior, of shape (count, parameters)."""
        judges = len(self.table)
        c = self.prior.concentration
        rates = [random.beta(c * a, c * b, (20 * count, judges)) for a, b in (FALSE_POSITIVE, GAIN)]
        drawn = np.concatenate(rates, axis=1)
        theta = special.logit(drawn)
        return theta[np.argsort(self.log_posterior(theta))[-count:]]

    def log_posterior(self, theta: Floats) -> Floats:
        """Of rows of judges' parameters: the logits of FPR, then those of the gain."""
        a, b = self.prior.concentration * np.repeat(np.array([FALSE_POSITIVE, GAIN]), theta.shape[1] // 2, axis=0).T
        held = a * special.log_expit(theta) + b * special.log_expit(-theta)
        likelihood = self.likelihood(theta)
        most = likelihood.max(axis=1, keepdims=True)
        inside = np.log(np.exp(likelihood - most).sum(axis=1)) + most[:, 0]
        return held.sum(axis=1) + inside.sum(axis=1)

    def likelihood(self, theta: Floats) -> Floats:
        """The log-likelihood of each share of the grid for each candidate: (rows, grid, candidates)."""
        false, true = _rates(theta)
        p = false[:, :, None] + (true - false)[:, :, None] * self.grid
        place = np.clip((special.logit(p) + LIMIT) * ((CELLS - 1) / (2 * LIMIT)), 0, CELLS - 1.000001)
        below = place.astype(np.intp)
        part = (place - below)[..., None]
        total = np.zeros((len(theta), self.grid.size, self.table.shape[2]))
        for j, of_judge in enumerate(self.table):
            low, high = of_judge.take(below[:, j], axis=0), of_judge.take(below[:, j] + 1, axis=0)
            high -= low
            high *= part[:, j]
            total += low
            total += high
        return total

    def shares(self, theta: Floats, random: np.random.Generator) -> Floats:
        """A draw of every candidate's share for each row of judges' parameters: (rows, candidates)."""
        likelihood = self.likelihood(theta)
        mass = np.exp(likelihood - likelihood.max(axis=1, keepdims=True)).cumsum(axis=1)
        wanted = random.random((len(theta), 1, mass.shape[2])) * mass[:, -1:]
        chosen = (mass < wanted).sum(axis=1)
        return (chosen + random.random(chosen.shape)) / self.grid.size


def _table(verdicts: Verdicts, effect: float) -> Floats:
    """The log-likelihood of a judge's verdicts on a candidate at each tabulated log-odds of a yes: (judges, places, candidates).

    The effect of judge and candidate is integrated out, whatever the counts.
    """
    log_odds = np.linspace(-LIMIT, LIMIT, CELLS)[None, :, None]
    yes, n = verdicts.yes[:, None, :], verdicts.n[:, None, :]
    table = yes * special.log_expit(log_odds) + (n - yes) * special.log_expit(-log_odds)
    table -= table.max(axis=1, keepdims=True)
    if not effect:
        return table
    steps = effect * (CELLS - 1) / (2 * LIMIT)
    smoothed, least = (
        ndimage.gaussian_filter1d(of, steps, axis=1, mode="nearest", truncate=6.0) for of in (np.exp(table), table)
    )
    # The mean of logs is a lower bound, and what is left where the mean itself underflows.
    return np.log(smoothed, out=least, where=smoothed > 1e-290)


def _rates(theta: Floats) -> tuple[Floats, Floats]:
    """FPR and TPR, each of shape (rows, judges)."""
    false, gain = np.split(special.expit(theta), 2, axis=1)
    return false, false + (1 - false) * gain


# ------------------------------------------------------------------ sampling


def _sample(
    log_posterior: Callable[[Floats], Floats],
    starts: Callable[[int, np.random.Generator], Floats],
    parameters: int,
    random: np.random.Generator,
) -> tuple[Floats, Sampling]:
    """Draws of the parameters, (draws, parameters), from walkers that run until they have converged or for too long."""
    walkers = max(6 * parameters, 48)
    moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
    sampler = emcee.EnsembleSampler(walkers, parameters, log_posterior, moves=moves, vectorize=True)
    # emcee takes numpy's older generator; seeding that from ours keeps one seed for everything.
    seeded = np.random.RandomState(int(random.integers(2**32))).get_state()
    state = emcee.State(starts(walkers, random), random_state=seeded)
    while True:
        state = sampler.run_mcmc(state, BLOCK)
        chain = np.asarray(sampler.get_chain(discard=sampler.iteration // 4))
        length = float(emcee.autocorr.integrated_time(chain, quiet=True, tol=0).max())
        r_hat = _r_hat(chain)
        converged = len(chain) >= LENGTHS * length and r_hat < R_HAT
        if converged or sampler.iteration >= MOST_STEPS:
            break
    warning = (
        None
        if converged
        else (
            f"the sampler has not converged: {len(chain)} steps kept at an autocorrelation time of {length:.0f} (at least "
            f"{LENGTHS} times that are wanted), R-hat {r_hat:.3f} (below {R_HAT}); intervals are rough"
        )
    )
    kept = chain[:: max(1, int(length / 2))].reshape(-1, parameters)
    return kept, Sampling(sampler.iteration, walkers, length, r_hat, warning)


def _r_hat(chain: Floats) -> float:
    """The worst potential scale reduction, each half of a walker's path a chain: `chain` is (steps, walkers, parameters)."""
    half = len(chain) // 2
    halves = np.concatenate([chain[:half], chain[half : 2 * half]], axis=1)
    within, between = halves.var(axis=0, ddof=1).mean(axis=0), halves.mean(axis=0).var(axis=0, ddof=1)
    return float(np.sqrt(1 + between / within).max())


# ------------------------------------------------------------------ what is said


def _judges(verdicts: Verdicts, false: Floats, true: Floats) -> tuple[Judge, ...]:
    counts = verdicts.n.sum(axis=1)
    return tuple(
        Judge(name, *(_credible(drawn, counts[j]) for drawn in (true[:, j], false[:, j], true[:, j] - false[:, j])))
        for j, name in enumerate(verdicts.judges)
    )


def _candidates(verdicts: Verdicts, shares: Floats) -> tuple[Candidate, ...]:
    ranks = stats.rankdata(-shares, axis=1)
    low, high = np.quantile(ranks, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, method="inverted_cdf").astype(int)
    yes, n = verdicts.yes.sum(axis=0), verdicts.n.sum(axis=0)
    return tuple(
        Candidate(
            name, _credible(shares[:, k], n[k]), share(round(yes[k]), round(n[k])),
            int(low[k]), int(high[k]), float((ranks[:, k] == 1).mean()),
        )
        for k, name in enumerate(verdicts.candidates)
    )  # fmt: skip


def _credible(drawn: Floats, n: float) -> Estimate:
    """The mean and the equal-tailed credible interval."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return made(float(drawn.mean()), float(low), float(high), n=round(n))
