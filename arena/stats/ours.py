"""The default convention: the debate as unit, intervals everywhere, what is missing counted.

Each number of the beliefs, from the tables of one or several runs. What `arena.stats.published` computes as the study did
stands here under the same name. P-values of tests that are read together (one a model, one a pair of conditions) are
Holm's, and their `test` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.stats import judged, matchups, missing, pairs, updating
from arena.stats.beliefs import Beliefs, Tables, beliefs, split, whole
from arena.stats.clustered import clustered_mean, two_way_mean
from arena.stats.differences import difference
from arena.stats.estimate import Estimate, bounded, made
from arena.stats.mixed import escalation_per_round
from arena.stats.multiplicity import holm
from arena.stats.record import Record
from arena.stats.record import ours as record

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
    made_: list[Record] = []
    found: list[Beliefs] = []
    for name, part in split(tables).items():
        made_ += missing.records(part, name)
        held = beliefs(part, name)
        if held is not None:
            found.append(held)
            made_ += _confidence(held)
            made_ += _escalation(held)
            made_ += _pairs(held, thresholds)
            made_ += _updating(held, noise)
        made_ += judged.records(part, name, held, seed)
        made_ += matchups.records(part, name, seed)
    made_ += _between(found)
    return made_


# ------------------------------------------------------------------ confidence


def _confidence(held: Beliefs) -> Iterator[Record]:
    for phase in held.phases:
        for model, part, seats in held.everybody:
            at: dict[str, Any] = {"condition": held.condition, "model": model, "phase": phase}
            c = part.at(phase)
            estimate = bounded(_mean(part, c, seats))
            yield record("confidence", estimate, **at, missing=len(part.debates) - estimate.n)
            yield from missing.worst_case(np.where(seats, c, np.nan), int(seats.sum()), at)
    opening, even = held.phases[0], 1 / len(held.sides)
    yield from _by_model(
        held,
        "opening_overconfidence",
        lambda part, seats: _mean(part, part.at(opening) - even, seats, f"mean confidence = {even:.3g}"),
        phase=opening,
    )
    yield from _two_way(held, "opening_overconfidence", held.at(opening) - even, phase=opening)


Measure = Callable[[Beliefs, Seats], Estimate]
"""A statistic of some seats of some debates."""


def _by_model(held: Beliefs, name: str, measure: Measure, **where: Any) -> Iterator[Record]:
    """A statistic over all seats, and over each model's, those tests corrected for one another."""
    (_, _, seats), *each = held.everybody
    pooled = measure(held, seats)
    yield record(name, pooled, condition=held.condition, missing=len(held.debates) - pooled.n, **where)
    for (model, part, _), estimate in zip(each, holm([measure(part, seats) for _, part, seats in each]), strict=True):
        lost = len(part.debates) - estimate.n
        yield record(name, estimate, condition=held.condition, model=model, missing=lost, **where)


def _mean(held: Beliefs, values: Floats, seats: Seats, null: str | None = None) -> Estimate:
    """The mean over the seats, (debates, sides), of debates that lack none of them, clustered by debate."""
    there = whole(values, seats)
    if not there.any():
        return made(None, n=0)
    test = None if null is None else f"cluster-robust t by debate, {null}"
    return clustered_mean(values[there], held.debate[there], test=test)


def _two_way(held: Beliefs, name: str, values: Floats, **where: Any) -> Iterator[Record]:
    there = whole(values, held.everybody[0][2])
    if len(held.names) > 1 and there.any():
        estimate = two_way_mean(values[there], held.debate[there], held.models[there])
        lost = len(held.debates) - estimate.n
        contrast = "; ".join(filter(None, [where.pop("contrast", None), "interval by debate and model"]))
        yield record(name, estimate, condition=held.condition, contrast=contrast, missing=lost, **where)


# ------------------------------------------------------------------ escalation


def _escalation(held: Beliefs) -> Iterator[Record]:
    for before, after in held.transitions:
        contrast = f"{before}->{after}"

        def points(part: Beliefs, seats: Seats, before: str = before, after: str = after) -> Estimate:
            return _mean(part, part.at(after) - part.at(before), seats, "mean rise = 0")

        def logits(part: Beliefs, seats: Seats, before: str = before, after: str = after) -> Estimate:
            rise, pulled = _logit_rise(part, before, after)
            said = f"; {pulled} confidences pulled in to {PULLED} or {1 - PULLED}" if pulled else ""
            return _mean(part, rise, seats, f"mean rise in log-odds = 0{said}")

        yield from _by_model(held, "escalation", points, contrast=contrast)
        yield from _two_way(held, "escalation", held.at(after) - held.at(before), contrast=contrast)
        yield from _by_model(held, "escalation_logit", logits, contrast=contrast)
    if len(held.phases) > 1:
        estimate = escalation_per_round(held.c[:, held.asked], held.models[:, held.asked])
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
    if len(held.sides) != 2 or not held.asked.all():
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
    where: dict[str, Any] = {"condition": held.condition}
    grid = updating.rounding(held.c)
    if grid.unit is not None:
        said = f"{100 * grid.share:.1f} % are multiples"
        yield record("rounding_unit", made(grid.unit, n=grid.n), **where, contrast=said)
    if noise is not None:
        for name, value in (("report", noise.report), ("rounding", noise.rounding)):
            yield record("noise_assumed", made(value, n=0), **where, contrast=name)
    everybody = [(model, len(part.debates), _moves(part, seats, noise)) for model, part, seats in held.everybody]
    (_, planned, pooled), *each = everybody
    for name, contrast in pooled:
        found = pooled[name, contrast]
        if found.estimate is None:
            continue
        yield record(name, found, **where, contrast=contrast, missing=planned - found.n)
        for (model, of_model, _), estimate in zip(each, holm([m[name, contrast] for *_, m in each]), strict=True):
            yield record(name, estimate, **where, contrast=contrast, model=model, missing=of_model - estimate.n)


def _moves(held: Beliefs, seats: Seats, noise: updating.Noise | None) -> dict[tuple[str, str | None], Estimate]:
    """What there is about the movement of beliefs, by statistic and contrast; debates that lack a round are left out."""
    rows = whole(held.c.sum(axis=2), seats).any(axis=1)
    c, seats = held.c[rows], seats[rows]
    moved = updating.movement(c, seats, noise)
    found: dict[tuple[str, str | None], Estimate] = {
        ("martingale_drift", "mean"): updating.drift(c, seats),
        ("martingale_drift", "slope"): updating.drift_slope(c, seats),
        ("excess_movement", None): moved.excess,
        ("excess_movement", "as stated"): moved.stated,
        ("movement", None): moved.movement,
        ("uncertainty_reduction", None): moved.reduction,
        ("revision_autocorrelation", None): updating.autocorrelation(c, seats, noise),
        ("reaction_to_opponent", None): updating.reaction(c, seats),
    }
    if c.shape[2] > 2:
        found["report_noise_variance", None] = updating.report_noise(c, seats)
    return found


# ------------------------------------------------------------------ between conditions


def _between(found: Sequence[Beliefs]) -> Iterator[Record]:
    """All pairs of conditions: confidence at the first and the last phase that both have, and the rise between these."""
    families: dict[str, list[tuple[Record, Estimate]]] = {}
    for a, b in combinations(found, 2):
        shared = [phase for phase in a.phases if phase in b.phases]
        for name, ends in _compared(shared):
            estimate = difference(a, b, _by_debate(a, ends), _by_debate(b, ends))
            if estimate.test and a.audience != b.audience:
                estimate = replace(estimate, test=f"{estimate.test}; {a.audience} against {b.audience} confidence")
            at = {"phase": ends[0] if len(ends) == 1 else None, "contrast": f"{a.condition}-{b.condition}"}
            lost = len(a.debates) + len(b.debates) - estimate.n
            families.setdefault(f"{name} {at['phase']}", []).append(
                (record(name, estimate, **at, missing=lost), estimate)
            )
    for family in families.values():
        corrected = holm([estimate for _, estimate in family])
        for (made_, _), estimate in zip(family, corrected, strict=True):
            yield replace(made_, p=estimate.p, test=estimate.test)


def _compared(shared: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is compared between conditions that share these phases: a statistic, and the phase or phases that it is of."""
    for phase in dict.fromkeys([*shared[:1], *shared[-1:]]):
        yield "condition_difference", (phase,)
    if len(shared) > 1:
        yield "escalation_difference", (shared[0], shared[-1])


def _by_debate(held: Beliefs, ends: Sequence[str]) -> Floats:
    """A debate's mean confidence, or its rise between two phases; NaN where a side is missing."""
    c = held.at(ends[-1]) - (held.at(ends[0]) if len(ends) > 1 else 0.0)
    return c[:, held.asked].mean(axis=1)
