"""The default convention, where somebody judged: calibration against verdicts, the judges, readers, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from arena.stats import alignment, calibration, disclosure, judges
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
    yield from _judges(tables, condition, np.random.default_rng(seed))
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


# ------------------------------------------------------------------ judges


def _judges(tables: Tables, condition: str, random: np.random.Generator) -> Iterator[Record]:
    seats, ballots = tables["seats"], tables["verdicts"]
    read = ballots[ballots["choice"].notna()]
    if read.empty:
        return
    where: dict[str, Any] = {"condition": condition}
    # Of a match that was not played the judges stand among the seats.
    planned = max(seats.loc[seats["role"] == "judge", "match_id"].nunique(), ballots["match_id"].nunique())
    sides = [str(side) for side in pd.unique(seats.loc[seats["role"] != "judge", "seat"])]
    if len(sides) == 2:
        yield from _leaning(tables, read, sides, planned, where)
    choice, debate = pd.factorize(read["choice"], sort=True)[0], read["match_id"].to_numpy()
    judge, models = pd.factorize(read["model"], sort=True)
    for number, model in enumerate(map(str, models)):
        own = judge == number
        agreed = judges.self_agreement(choice[own], debate[own], judge[own])
        if agreed.pairs:
            lost = planned - agreed.share.n
            yield record("judge_agreement", agreed.share, **where, model=model, contrast="within", missing=lost)
    agreed = judges.judge_agreement(choice, debate, judge)
    if agreed.pairs:
        yield record("judge_agreement", agreed.share, **where, contrast="between", missing=planned - agreed.share.n)
    alpha = judges.krippendorff_alpha(choice, debate, random)
    yield record("judge_alpha", alpha, **where, contrast="all ballots", missing=planned - alpha.n)


def _leaning(
    tables: Tables, read: pd.DataFrame, sides: list[str], planned: int, where: dict[str, Any]
) -> Iterator[Record]:
    """Which side ballots name, and what goes with that. A ballot for neither side is counted and left out."""
    named = read[read["choice"].isin(sides)]
    if neither := len(read) - len(named):
        yield record("ballots", made(neither, n=len(read)), **where, contrast="for neither side")
    if named.empty:
        return
    second = sides[1]
    choice = np.asarray(named["choice"] == second, dtype=int)
    debate = named["match_id"].to_numpy()
    judge, models = pd.factorize(named["model"], sort=True)
    shares = [judges.side_share(choice[judge == number], debate[judge == number]) for number in range(len(models))]
    for model, share in zip(map(str, models), holm(shares), strict=True):
        yield record("judge_side_share", share, **where, model=model, contrast=second, missing=planned - share.n)
    share = judges.side_share(choice, debate)
    yield record("judge_side_share", share, **where, contrast=second, missing=planned - share.n)
    orders = sorted(set(named["order"].dropna()))
    if len(orders) == 2:
        turned = (named["order"] == orders[1]).to_numpy(dtype=int)
        effect = judges.order_effect(choice, debate, turned)
        lost = planned - effect.difference.n
        said = "-".join(reversed(orders))
        yield record("judge_order_effect", effect.difference, **where, contrast=said, missing=lost)
    yield from _length(tables, sides, choice, debate, planned, where)


def _length(
    tables: Tables,
    sides: list[str],
    choice: NDArray[np.int_],
    debate: NDArray[np.intp],
    planned: int,
    where: dict[str, Any],
) -> Iterator[Record]:
    spoken = tables["utterances"]
    spoken = spoken[spoken["part"] == "speech"]
    chars = spoken.groupby(["match_id", "seat"])["chars"].sum().unstack()
    chars = chars.reindex(index=range(len(tables["matches"])), columns=sides).to_numpy(dtype=float, na_value=np.nan)
    first, second = chars[debate].T
    there = np.nan_to_num(first) * np.nan_to_num(second) > 0
    if there.any():
        found = judges.length_effect(choice[there], debate[there], first[there], second[there])
        unit = "log-odds per log ratio of characters"
        yield record("judge_length_effect", found.slope, **where, contrast=unit, missing=planned - found.slope.n)


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
    calls = calls[calls["status"] != "in_flight"]
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
