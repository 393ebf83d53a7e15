"""The default convention: the debate as unit, intervals everywhere, what is missing counted.

Each number of the beliefs, from the tables of one or several runs. What `arena.stats.published` computes as the study did
stands here under the same name. P-values of tests that are read together (one a model, one a pair of conditions) are
Holm's, and their `test` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.stats import judged, missing, pairs, updating
from arena.stats.beliefs import Beliefs, Tables, beliefs, conditions
from arena.stats.clustered import clustered_mean, two_way_mean
from arena.stats.differences import difference
from arena.stats.estimate import Estimate, made, without_test
from arena.stats.mixed import escalation_per_round
from arena.stats.multiplicity import holm
from arena.stats.record import Record
from arena.stats.record import record as any_record

EVEN = 0.5
THRESHOLDS = (">0.5", ">0.75", ">=0.75")
PULLED = 0.005
"""How near to 0 and 1 a confidence may come before its logit is taken: half a percentage point."""

Floats = NDArray[np.float64]
Seats = NDArray[np.bool_]


def records(
    tables: Tables, *, thresholds: Sequence[str] = THRESHOLDS, noise: updating.Noise | None = None, seed: int = 0
) -> list[Record]:
    """Every statistic that the tables allow.

    `thresholds` are those of mutual overconfidence, like `>0.75` or `>=0.75`; `noise` is the rounding and report noise of
    what is stated, estimated where None; `seed` is that of the bootstrap and of the null bands.
    """
    found = {name: held for name in conditions(tables) if (held := beliefs(tables, name))}
    made_: list[Record] = []
    for name in conditions(tables):
        made_ += missing.records(tables, name)
        if held := found.get(name):
            made_ += _confidence(held)
            made_ += _escalation(held)
            made_ += _pairs(held, thresholds)
            made_ += _updating(held, noise)
        made_ += judged.records(tables, name, held, seed)
    made_ += _between(list(found.values()))
    return made_


def record(statistic: str, estimate: Estimate, **where: Any) -> Record:
    return any_record(statistic, "default", estimate, **where)


# ------------------------------------------------------------------ confidence


def _confidence(held: Beliefs) -> Iterator[Record]:
    for phase in held.phases:
        c = held.at(phase)
        for model, seats in _everybody(held):
            at = _where(held, model, seats) | {"phase": phase}
            yield _counted("confidence", without_test(_mean(held, c, seats)), at, held, seats)
            yield from missing.worst_case(np.where(seats, c, np.nan), int(seats.sum()), at)
    opening = held.phases[0]
    excess = held.at(opening) - EVEN
    yield from _by_model(
        held, "opening_overconfidence", lambda seats: _mean(held, excess, seats, "mean confidence = 0.5"), phase=opening
    )
    yield from _two_way(held, "opening_overconfidence", excess, phase=opening)


def _everybody(held: Beliefs) -> Iterator[tuple[str | None, Seats]]:
    """All seats, then each model's."""
    yield None, held.models >= 0
    for model in held.names:
        yield model, held.of(model)


def _where(held: Beliefs, model: str | None, seats: Seats) -> dict[str, Any]:
    return {"condition": held.condition, "model": model}


def _counted(name: str, estimate: Estimate, where: dict[str, Any], held: Beliefs, seats: Seats) -> Record:
    """The record, with the debates that are not in its n."""
    planned = int(seats.any(axis=1).sum())
    return record(name, estimate, **where, missing=planned - estimate.n)


def _by_model(held: Beliefs, name: str, measure: Callable[[Seats], Estimate], **where: Any) -> Iterator[Record]:
    """A statistic over all seats, and over each model's, those tests corrected for one another."""
    (_, everybody), *each = _everybody(held)
    yield _counted(name, measure(everybody), {"condition": held.condition, **where}, held, everybody)
    for (model, seats), estimate in zip(each, holm([measure(seats) for _, seats in each]), strict=True):
        yield _counted(name, estimate, {"condition": held.condition, "model": model, **where}, held, seats)


def _mean(held: Beliefs, values: Floats, seats: Seats, null: str | None = None) -> Estimate:
    """The mean over seats, (debates, sides), clustered by debate."""
    there = np.isfinite(values) & seats
    if not there.any():
        return made(None, n=0)
    test = None if null is None else f"cluster-robust t by debate, {null}"
    return clustered_mean(values[there], held.debate[there], test=test)


def _two_way(held: Beliefs, name: str, values: Floats, **where: Any) -> Iterator[Record]:
    there = np.isfinite(values) & (held.models >= 0)
    if len(held.names) > 1 and there.any():
        estimate = two_way_mean(values[there], held.debate[there], held.models[there])
        missing_ = len(held.debates) - estimate.n
        contrast = "; ".join(filter(None, [where.pop("contrast", None), "interval by debate and model"]))
        yield record(name, estimate, condition=held.condition, contrast=contrast, missing=missing_, **where)


# ------------------------------------------------------------------ escalation


def _escalation(held: Beliefs) -> Iterator[Record]:
    for before, after in held.transitions:
        contrast = f"{before}->{after}"
        rise = held.at(after) - held.at(before)
        yield from _by_model(
            held, "escalation", lambda seats, rise=rise: _mean(held, rise, seats, "mean rise = 0"), contrast=contrast
        )
        yield from _two_way(held, "escalation", rise, contrast=contrast)
        logits, pulled = _logit_rise(held, before, after)
        null = f"mean rise in log-odds = 0; {pulled} confidences pulled in to {PULLED} or {1 - PULLED}"
        yield from _by_model(
            held, "escalation_logit", lambda seats, v=logits, null=null: _mean(held, v, seats, null), contrast=contrast
        )
    if len(held.phases) > 1:
        estimate = escalation_per_round(held.c, held.models)
        lost = len(held.debates) - estimate.n
        yield record("escalation_per_round", estimate, condition=held.condition, missing=lost)


def _logit_rise(held: Beliefs, before: str, after: str) -> tuple[Floats, int]:
    first, last = held.at(before), held.at(after)
    there = np.isfinite(first) & np.isfinite(last)
    outer = sum(int(((c < PULLED) | (c > 1 - PULLED))[there].sum()) for c in (first, last))
    first, last = (np.clip(c, PULLED, 1 - PULLED) for c in (first, last))
    return np.log(last / (1 - last)) - np.log(first / (1 - first)), outer


# ------------------------------------------------------------------ both sides of a debate


def _pairs(held: Beliefs, thresholds: Sequence[str]) -> Iterator[Record]:
    if len(held.sides) != 2:
        return
    for phase in held.phases:
        c = held.at(phase)
        both = np.isfinite(c).all(axis=1)
        a, b = c[both].T
        where: dict[str, Any] = {
            "condition": held.condition, "phase": phase, "missing": len(held.debates) - int(both.sum()),
        }  # fmt: skip
        for threshold in thresholds:
            inclusive, level = parsed(threshold)
            found = pairs.both_above(a, b, level, inclusive=inclusive)
            yield record("mutual_overconfidence", found, **where, threshold=threshold)
            if where["missing"]:
                yield missing.share_bounds("mutual_overconfidence_worst_case", found, **where, threshold=threshold)
        if a.size:
            yield record("pair_sum", pairs.pair_sum(a, b), **where)
            yield record("dutch_book_loss", pairs.dutch_book_loss(a, b), **where)


def parsed(threshold: str) -> tuple[bool, float]:
    """A threshold like `>0.75` or `>=0.75`: whether it is inclusive, and where it lies. Raises `ValueError`."""
    inclusive = threshold.startswith(">=")
    try:
        level = float(threshold.removeprefix(">=").removeprefix(">"))
    except ValueError:
        level = -1.0
    if not threshold.startswith(">") or not 0 <= level <= 1:
        raise ValueError(f"a threshold is {threshold!r}; it is written >0.75 or >=0.75, between 0 and 1")
    return inclusive, level


# ------------------------------------------------------------------ belief updating


def _updating(held: Beliefs, noise: updating.Noise | None) -> Iterator[Record]:
    if len(held.phases) < 2:
        return
    c = held.c
    everybody = held.models >= 0
    grid = updating.rounding(c)
    where: dict[str, Any] = {"condition": held.condition}
    if grid.unit is not None:
        said = f"{100 * grid.share:.1f} % are multiples"
        yield record("rounding_unit", made(grid.unit, n=grid.n), **where, contrast=said)
    if noise is not None:
        for name, value in (("report", noise.report), ("rounding", noise.rounding)):
            yield record("noise_assumed", made(value, n=0), **where, contrast=name)
    if len(held.phases) > 2:
        variance = updating.report_noise(c)
        yield _counted("report_noise_variance", variance, where, held, everybody)
    measures: dict[tuple[str, str | None], Callable[[Seats], Estimate]] = {
        ("martingale_drift", "mean"): lambda seats: updating.drift(c, seats),
        ("martingale_drift", "slope"): lambda seats: updating.drift_slope(c, seats),
        ("excess_movement", None): lambda seats: updating.movement(c, seats, noise).excess,
        ("excess_movement", "as stated"): lambda seats: updating.movement(c, seats, noise).stated,
        ("movement", None): lambda seats: updating.movement(c, seats, noise).movement,
        ("uncertainty_reduction", None): lambda seats: updating.movement(c, seats, noise).reduction,
        ("revision_autocorrelation", None): lambda seats: updating.autocorrelation(c, seats, noise),
        ("reaction_to_opponent", None): lambda seats: updating.reaction(c, seats),
    }
    for (name, contrast), measure in measures.items():
        if measure(everybody).estimate is not None:
            yield from _by_model(held, name, measure, contrast=contrast)


# ------------------------------------------------------------------ between conditions


def _between(found: Sequence[Beliefs]) -> Iterator[Record]:
    """All pairs of conditions: confidence at the first and the last phase, and escalation between the two."""
    compared: Iterable[tuple[Beliefs, Beliefs]] = list(combinations(found, 2))
    families: dict[tuple[str, str | None], Callable[[Beliefs], Floats]] = {
        ("condition_difference", "opening"): lambda held: _by_debate(held.c[:, :, 0]),
        ("condition_difference", "closing"): lambda held: _by_debate(held.c[:, :, -1]),
        ("escalation_difference", None): lambda held: _by_debate(held.c[:, :, -1] - held.c[:, :, 0]),
    }
    for (name, phase), value in families.items():
        estimates = holm([difference(a, b, value(a), value(b)) for a, b in compared])
        for (a, b), estimate in zip(compared, estimates, strict=True):
            yield record(name, estimate, phase=phase, contrast=f"{a.condition}-{b.condition}")


def _by_debate(values: Floats) -> Floats:
    """The mean of the sides; NaN where one is missing."""
    return values.mean(axis=1)
