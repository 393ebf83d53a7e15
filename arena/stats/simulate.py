"""Simulated debaters by the thousand: what `simulated/<preset>` seats would state, as arrays, for power and error rates."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtr

from arena.stats.preset import Preset

Floats = NDArray[np.float64]


Pair = tuple[Preset, Preset]


def draw(
    process: Preset | Pair,
    debates: int,
    rounds: int,
    rng: np.random.Generator,
    *,
    models: ArrayLike | None = None,
    correlation: float | None = 0.0,
) -> Floats:
    """Stated confidences in [0, 1], of shape (debates, 2, rounds): `stated` of the `beliefs` that these arguments give."""
    return stated(process, beliefs(process, debates, rounds, rng, models=models, correlation=correlation), rng)


def beliefs(
    process: Preset | Pair,
    debates: int,
    rounds: int,
    rng: np.random.Generator,
    *,
    models: ArrayLike | None = None,
    correlation: float | None = 0.0,
) -> Floats:
    """Log-odds of winning that the seats hold, of shape (debates, 2, rounds).

    A pair of processes seats two kinds of debaters. `models`, of shape (debates, 2), numbers the model of every seat:
    seats of one model share its liking and its trend; without it every seat is a model of its own.

    A rational seat (`evidence` = e) gets a log-likelihood ratio of +/- e^2 / 2 + e z a round; the sign is that of a
    truth which it holds for as likely as it believes. Drawing that truth anew each round from its belief has the same
    law as fixing it once, and lets `correlation` join the two sides' draws by a Gaussian copula: whatever it is, each
    side is rational about an event of its own, its law is that of the preset, and the mean of its next change in
    probability is zero given both pasts. With `correlation` None one truth decides for both, as between real simulated
    seats: each side's change has mean zero given its own past, but the other side's belief tells more. Raises
    `ValueError` for a correlation beyond [-1, 1], or one that is wanted of seats without evidence.
    """
    pair = _pair(process)
    if correlation is not None and not -1 <= correlation <= 1:
        raise ValueError(f"the correlation of the two sides' evidence must be in [-1, 1], not {correlation:g}")
    if correlation and any(seat.evidence is None for seat in pair):
        raise ValueError(f"a correlation of {correlation:g} joins the evidence of two rational seats; without evidence "
                         "sides are joined by sd_debate and by sharing a model")  # fmt: skip
    shape = (debates, 2)
    ids = np.arange(debates * 2).reshape(shape) if models is None else _ids(models, shape)
    liking, trend = rng.standard_normal((2, ids.max(initial=-1) + 1))
    debate = rng.standard_normal(debates)
    steps = _joined(rng, (debates, rounds), correlation or 0.0)
    truths = _truths(rng, (debates, rounds), correlation)
    held = np.empty((debates, 2, rounds))
    for side, seat in enumerate(pair):
        if seat.evidence is None:
            start = seat.opening + seat.sd_model * liking[ids[:, side]] + seat.sd_debate * debate
            pace = seat.drift * _pace(seat.acceleration, rounds) + (seat.sd_drift * trend[ids[:, side]])[:, None]
            # The opening's draw is the seat's own; those of later rounds are the steps'.
            change = np.concatenate(
                [seat.sd_seat * steps[:, side, :1], pace + seat.sd_step * steps[:, side, 1:]], axis=1
            )
            held[:, side] = start[:, None] + np.cumsum(change, axis=1)
        else:
            held[:, side] = _rational(seat.evidence, truths[:, side], steps[:, side])
    return held


def stated(process: Preset | Pair, log_odds: Floats, rng: np.random.Generator, *, shading: float = 0.0) -> Floats:
    """Confidences in [0, 1] that seats of these log-odds state, with their report noise and stochastic rounding.

    `shading` is added in log-odds, for what is stated in public. Draws are anew at each call: two statements of the
    same beliefs differ in noise and rounding.
    """
    pair = _pair(process)
    noise = np.array([[seat.sd_report] for seat in pair])
    confidence = expit(log_odds + shading + noise * rng.standard_normal(log_odds.shape))
    draws = rng.random(log_odds.shape)
    for side, seat in enumerate(pair):
        if seat.rounding:
            units = 100 * confidence[:, side] / seat.rounding
            confidence[:, side] = seat.rounding * (np.floor(units) + (draws[:, side] < units % 1)) / 100
    # A unit that does not divide 100 could be rounded beyond it.
    return np.minimum(confidence, 1.0)


def _rational(evidence: float, truths: Floats, steps: Floats) -> Floats:
    """Log-odds by round, given a uniform draw and a standard normal one a round."""
    held, log_odds = np.empty_like(steps), np.zeros(len(steps))
    for t in range(steps.shape[1]):
        sign = np.where(truths[:, t] < expit(log_odds), 1, -1)
        log_odds = log_odds + sign * evidence**2 / 2 + evidence * steps[:, t]
        held[:, t] = log_odds
    return held


def _truths(rng: np.random.Generator, shape: tuple[int, int], correlation: float | None) -> Floats:
    """Uniform draws, of shape (debates, 2, rounds); a side's truth is what it believes where its draw is below."""
    if correlation is not None:
        return ndtr(_joined(rng, shape, correlation))
    right = rng.random(shape[0]) < 0.5
    # Zero lies below every belief and one above: a truth that stays, and is the other side's falsehood.
    return np.broadcast_to(np.where(np.stack([right, ~right], axis=1), 0.0, 1.0)[:, :, None], (shape[0], 2, shape[1]))


def _joined(rng: np.random.Generator, shape: tuple[int, int], correlation: float) -> Floats:
    """Standard normal draws of shape (debates, 2, rounds) whose two sides correlate."""
    a, b = rng.standard_normal((2, *shape))
    return np.stack([a, correlation * a + math.sqrt(1 - correlation**2) * b], axis=1)


def _pace(acceleration: float, rounds: int) -> Floats:
    """The share of the drift by which each round after the opening goes up."""
    return np.array([1 - acceleration if t == 1 else 1 + acceleration for t in range(1, rounds)])


def _pair(process: Preset | Pair) -> Pair:
    return process if isinstance(process, tuple) else (process, process)


def _ids(models: ArrayLike, shape: tuple[int, int]) -> NDArray[np.intp]:
    given = np.asarray(models)
    if given.shape != shape:
        raise ValueError(f"models are numbered for {given.shape}; one a debate and seat is needed, {shape}")
    return np.unique(given, return_inverse=True)[1].reshape(shape)
