"""Escalation by a mixed model: confidence over rounds, debates drawn at random, models crossed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from arena.stats.estimate import LEVEL, Estimate, made

Floats = NDArray[np.float64]


def escalation_per_round(c: Floats, models: NDArray[np.intp]) -> Estimate:
    """The rise of a debate's confidence a round, in probability, the models weighing alike.

    `c` is an array (debates, sides, rounds), `models` one (debates, sides) of model numbers. The linear mixed model of the
    mean of the two sides, which allows for whatever correlation they have: an intercept and a slope over rounds that each
    debate draws at random, and crossed, additive, fixed effects of the models that sit in it on both (ten are too few to draw
    a variance from). Where all debates have all rounds, restricted maximum likelihood has a closed form whenever the
    variances it gives are positive (Lange and Laird 1989): the regression of the debates' least-squares slopes on who sat
    there, t with debates - models degrees of freedom. That form is used throughout, so it takes no longer for a hundred
    thousand debates; where a variance would come out negative it is not set to zero, which would hold the test below its level.
    Debates that lack a confidence are left out; n counts those that are in.
    """
    y, held = _whole(c, models)
    debates, rounds = y.shape
    if rounds < 2 or debates < 3:
        return made(None, n=debates)
    time = np.arange(rounds) - (rounds - 1) / 2
    slopes = y @ time / (time @ time)
    fixed = _crossed(held)
    crossed = "models as crossed fixed effects" if fixed.shape[1] > 1 else "one model"
    if debates - fixed.shape[1] < 2 or np.linalg.matrix_rank(fixed) < fixed.shape[1]:
        fixed, crossed = fixed[:, :1], "models left out: their effects cannot be told from one another here"
    inverse = np.linalg.inv(fixed.T @ fixed)
    effects = inverse @ fixed.T @ slopes
    free = debates - fixed.shape[1]
    left = slopes - fixed @ effects
    slope, error = float(effects[0]), float(np.sqrt(left @ left / free * inverse[0, 0]))
    if error < 1e-12:
        return made(slope, n=debates)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, free)) * error
    t = slope / error
    return made(
        slope, slope - half, slope + half, n=debates, statistic=t, p=2 * float(stats.t.sf(abs(t), free)),
        test=f"mixed model (REML, closed form; round by debate, {crossed}), slope = 0",
    )  # fmt: skip


def _whole(c: Floats, models: NDArray[np.intp]) -> tuple[Floats, NDArray[np.intp]]:
    """The mean of the sides, (debates, rounds), of the debates that have everything, and who sat there."""
    there = np.isfinite(c).all(axis=(1, 2))
    return c[there].mean(axis=1), models[there]


def _crossed(models: NDArray[np.intp]) -> Floats:
    """One, and each model's share of the debate's seats but the first's, minus the first's: effects that sum to zero."""
    kinds, held = np.unique(models, return_inverse=True)
    held = held.reshape(models.shape)
    share = np.stack([(held == kind).mean(axis=1) for kind in range(len(kinds))], axis=1)
    return np.column_stack([np.ones(len(models)), share[:, 1:] - share[:, :1]])
