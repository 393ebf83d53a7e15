"""The default convention, where somebody judged: calibration against verdicts, the judges, readers, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arena.stats import alignment, calibration, disclosure, judge_records
from arena.stats.beliefs import Beliefs, Tables, beliefs, whole
from arena.stats.clustered import clustered_mean
from arena.stats.estimate import Estimate, bounded, made
from arena.stats.multiplicity import holm
from arena.stats.record import Record
from arena.stats.record import ours as record

Floats = NDArray[np.float64]


def records(tables: Tables, condition: str, held: Beliefs | None, seed: int) -> Iterator[Record]:
    """Disclosure, calibration, judges, alignment and tokens, each where the tables hold what it needs.

    `tables` are those of one condition, as `beliefs.split` makes them.
    """
    if held is not None:
        public = beliefs(tables, condition, "public") if held.audience == "private" else None
        if public is not None:
            yield from _disclosure(held, public)
        yield from _calibration(held, np.random.default_rng(seed))
    yield from judge_records.records(tables, condition, np.random.default_rng(seed))
    yield from _alignment(tables, condition)
    yield from _tokens(tables, condition)


# ------------------------------------------------------------------ private against public


def _disclosure(private: Beliefs, public: Beliefs) -> Iterator[Record]:
    phases = [phase for phase in private.phases if phase in public.phases]
    for phase in phases:
        at = {"condition": private.condition, "phase": phase}
        gap = public.at(phase) - private.at(phase)
        there = whole(gap, private.everybody[0][2])
        if not there.any():
            continue
        hidden, aloud, debate = private.at(phase)[there], public.at(phase)[there], private.debate[there]
        lost = len(private.debates) - len(np.unique(debate))
        yield record("public_confidence", bounded(clustered_mean(aloud, debate)), **at, missing=lost)
        yield record("shading", disclosure.shading(hidden, aloud, debate), **at, missing=lost)
        own = [whole(gap, private.of(model)) for model in private.names]
        shaded = [disclosure.shading(private.at(phase)[s], public.at(phase)[s], private.debate[s]) for s in own]
        for model, estimate in zip(private.names, holm(shaded), strict=True):
            planned = int(private.of(model).any(axis=1).sum())
            yield record("shading", estimate, **at, model=model, missing=planned - estimate.n)
        decided = there.all(axis=1) & np.isfinite(private.won).all(axis=1)
        if gap.shape[1] == 2 and decided.any():
            found = disclosure.predicts_winning(gap[decided], private.won[decided, 0])
            lacking = len(private.debates) - int(decided.sum())
            yield record("shading_predicts_winning", found.slope, **at, contrast="log-odds a unit", missing=lacking)


# ------------------------------------------------------------------ calibration


def _calibration(held: Beliefs, random: np.random.Generator) -> Iterator[Record]:
    for phase in held.phases:
        c = held.at(phase)
        there = whole(c + held.won, held.everybody[0][2])
        if not there.any():
            continue
        p, y, debate = c[there], held.won[there], held.debate[there]
        at: dict[str, Any] = {
            "condition": held.condition, "phase": phase, "missing": len(held.debates) - len(np.unique(debate)),
        }  # fmt: skip
        yield record("overconfidence", calibration.overconfidence(p, y, debate), **at)
        parts = calibration.decomposition(p, y, debate, random)
        yield record("brier", parts.brier, **at)
        for name in ("miscalibration", "discrimination", "uncertainty"):
            yield record(f"brier_{name}", getattr(parts, name), **at)
        logged = calibration.log_score(p, y, debate)
        said = f"{logged.floored} statements moved in to {logged.floor} or {1 - logged.floor}"
        yield record("log_score", logged.score, **at, contrast=said if logged.floored else None)
        yield record("auroc", calibration.auroc(p, y, debate), **at)
        sides = np.broadcast_to(np.arange(c.shape[1]), c.shape)[there] if c.shape[1] == 2 else None
        for name, found in calibration.calibration_errors(p, y, debate, random, sides=sides).items():
            kind = name.replace("_", " ")
            yield record("ece", found.error, **at, contrast=kind)
            if found.null is not None:
                band = made(found.null.mean, found.null.low, found.null.high, n=found.error.n)
                yield record("ece_null_band", band, **at, contrast=kind)
        for bin_ in calibration.reliability(p, y, debate):
            bounds = f"{bin_.left:.1f} to {bin_.right:.1f}, stated {bin_.stated:.3f}"
            yield record("reliability", bin_.observed, **at, contrast=bounds)
        yield from _of_models(held, phase)


def _of_models(held: Beliefs, phase: str) -> Iterator[Record]:
    """Each model's Brier score, and overconfidence with tests that are corrected for one another."""
    found: list[tuple[dict[str, Any], Estimate, Estimate]] = []
    for model, part, seats in held.everybody[1:]:
        c = part.at(phase)
        there = whole(c + part.won, seats)
        if there.any():
            p, y, debate = c[there], part.won[there], part.debate[there]
            lost = len(part.debates) - len(np.unique(debate))
            at: dict[str, Any] = {"condition": held.condition, "phase": phase, "model": model, "missing": lost}
            found.append((at, calibration.brier(p, y, debate), calibration.overconfidence(p, y, debate)))
    for (at, brier, _), excess in zip(found, holm([excess for *_, excess in found]), strict=True):
        yield record("brier", brier, **at)
        yield record("overconfidence", excess, **at)


# ------------------------------------------------------------------ readers


def _alignment(tables: Tables, condition: str) -> Iterator[Record]:
    readings, confidences = tables["readings"], tables["confidences"]
    planned = len(tables["matches"])
    for reader, labels in readings.groupby("reader"):
        found = alignment.shares(alignment.joined(confidences, labels))
        models = list(labels["reader_model"].dropna().unique())
        where: dict[str, Any] = {"condition": condition, "model": str(models[0] if len(models) == 1 else reader)}
        total = found.compared + sum(found.missing.values())
        yield record("readings", made(found.compared, n=total), **where, contrast="compared")
        for reason, count in found.missing.items():
            if count:
                yield record("readings", made(count, n=total), **where, contrast=reason.replace("_", " "))
        shares = {"stated-implied": found.gap, "strategic share": found.strategic, "stated share": found.stated}
        shares |= {name: getattr(found, name) for name in ("aligned", "over", "under")}
        for contrast, estimate in shares.items():
            yield record("alignment", estimate, **where, contrast=contrast, missing=planned - estimate.n)


# ------------------------------------------------------------------ tokens and money


def _tokens(tables: Tables, condition: str) -> Iterator[Record]:
    """Sums over calls by model; n counts the calls that have the number, `missing` those that have none."""
    calls = tables["calls"]
    calls = calls[~calls["status"].isin(("in_flight", "lost"))]
    if calls.empty:
        return
    of_all = [(None, calls)]
    for model, rows in [*of_all, *calls.groupby("model")]:
        made_calls = int(rows["calls"].sum())
        for name in ("input_tokens", "output_tokens", "cost_usd"):
            known = rows[rows[name].notna()]
            n = int(known["calls"].sum())
            total = made(float(known[name].sum()) if n else None, n=n)
            who = None if model is None else str(model)
            yield record(name, total, condition=condition, model=who, missing=made_calls - n)
