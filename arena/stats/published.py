"""The statistics of "When Two LLMs Debate, Both Think They'll Win" (arXiv:2505.19184), as the study computed them.

Bets of both sides are pooled as if they were independent, tests are one-sided, nothing is corrected for multiplicity, and no
number has an interval: this is for comparing with the paper. `arena.stats.ours` is what we would publish.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from arena.stats import alignment, calibration, judges
from arena.stats.beliefs import Beliefs, Tables, beliefs, split
from arena.stats.estimate import Estimate, made, outcome
from arena.stats.pairs import both_above
from arena.stats.record import Record
from arena.stats.record import published as record

EVEN = 0.5
ALPHA = 0.05

Floats = NDArray[np.float64]


def records(tables: Tables) -> list[Record]:
    """Every statistic of the study that the tables allow, under the names of the default convention where one exists."""
    made_: list[Record] = []
    found: dict[str, Beliefs] = {}
    for name, part in split(tables).items():
        held = beliefs(part, name)
        if held is not None:
            found[name] = held
            made_ += _confidence(held)
            made_ += _escalation(held)
            made_ += _pairs(held)
            made_ += _debates(held)
            made_ += _jury(part, name, held)
        made_ += _alignment(part, name)
        made_ += _tokens(part, name)
    made_ += _between(found)
    return made_


def _bets(held: Beliefs, phase: str, model: str | None = None) -> Floats:
    """All bets of a phase, both sides pooled. In four-round debates the study dropped bets of zero."""
    c = held.at(phase)
    values = c[np.isfinite(c) if model is None else np.isfinite(c) & held.of(model)]
    return values[values > 0] if _four_rounds(held) else values


def _paired(held: Beliefs, before: str, after: str, model: str | None = None) -> Floats:
    """Differences within debate and side, in order of the debates."""
    first, last = held.at(before), held.at(after)
    there = np.isfinite(first) & np.isfinite(last)
    if _four_rounds(held):
        there &= (first > 0) & (last > 0)
    if model is not None:
        there &= held.of(model)
    # Rounded, so that equal differences of decimal fractions are equal.
    return np.round(last[there] - first[there], 12)


def _four_rounds(held: Beliefs) -> bool:
    return len(held.phases) > 3


# ------------------------------------------------------------------ confidence


def _confidence(held: Beliefs) -> Iterator[Record]:
    for model in (None, *held.names):
        where: dict[str, Any] = {"condition": held.condition, "model": model}
        for phase in held.phases:
            bets = _bets(held, phase, model)
            missing = _planned(held, model) - bets.size
            at = where | {"phase": phase, "missing": missing}
            yield record("confidence", made(_mean(bets), n=bets.size), **at)
            for name, ddof in (("confidence_sd", 1), ("confidence_sd_population", 0)):
                yield record(name, made(_sd(bets, ddof), n=bets.size), **at)
        if _four_rounds(held) and model is None:
            pooled = np.concatenate([_bets(held, phase) for phase in held.phases if phase.startswith("rebuttal")])
            yield record("confidence", made(_mean(pooled), n=pooled.size), **where, contrast="all rebuttals")
        opening = _bets(held, held.phases[0], model)
        at = where | {"phase": held.phases[0], "missing": _planned(held, model) - opening.size}
        for tested in _one_sample(opening):
            yield record("opening_overconfidence", tested, **at)


def _planned(held: Beliefs, model: str | None) -> int:
    return int(held.models.size if model is None else held.of(model).sum())


def _one_sample(values: Floats) -> Iterator[Estimate]:
    mean = _mean(values)
    excess = None if mean is None else mean - EVEN
    t, p = _t(values - EVEN, "greater")
    yield made(excess, n=values.size, test=f"one-sample t, mean > {EVEN}", statistic=t, p=p)
    w, p = _wilcoxon(values - EVEN, "greater")
    yield made(excess, n=values.size, test=f"Wilcoxon signed-rank, > {EVEN}, zeros dropped", statistic=w, p=p)


def _between(found: dict[str, Beliefs]) -> Iterator[Record]:
    """Paired tests between conditions over the mean opening bets of the models that sit in both."""
    compared = (
        ("self_debate", "informed_self", "greater"),
        ("self_debate", "public_bets", "two-sided"),
        ("informed_self", "public_bets", "two-sided"),
    )
    for first, second, alternative in compared:
        standard, other = found.get(first), found.get(second)
        if standard is None or other is None:
            continue
        models = [model for model in standard.names if model in other.names]
        phase = standard.phases[0]
        means = [(_mean(_bets(standard, phase, m)), _mean(_bets(other, phase, m))) for m in models]
        both = np.array([pair for pair in means if None not in pair], dtype=float).reshape(-1, 2)
        difference = both[:, 0] - both[:, 1]
        sided = "one-sided" if alternative == "greater" else "two-sided"
        where = {"contrast": f"{first}-{second}", "phase": phase, "missing": len(models) - len(both)}
        t, p = _t(difference, alternative)
        test = f"paired t over model means, {sided}"
        yield record("condition_difference", made(_mean(difference), n=len(both), test=test, statistic=t, p=p), **where)
        w, p = _wilcoxon(np.round(difference, 12), alternative)
        test = f"Wilcoxon signed-rank over model means, {sided}"
        yield record("condition_difference", made(_mean(difference), n=len(both), test=test, statistic=w, p=p), **where)


# ------------------------------------------------------------------ escalation


def _escalation(held: Beliefs) -> Iterator[Record]:
    for before, after in _transitions(held):
        contrast = f"{before}->{after}"
        significant = 0
        for model in (None, *held.names):
            rises = _paired(held, before, after, model)
            t, p = _t(rises, "greater")
            tested = made(_mean(rises), n=rises.size, test="paired t, later > earlier", statistic=t, p=p)
            significant += model is not None and tested.p is not None and tested.p < ALPHA
            missing = _planned(held, model) - rises.size
            yield record(
                "escalation", tested, condition=held.condition, contrast=contrast, model=model, missing=missing
            )
        counted = made(significant, n=len(held.names))
        yield record("escalation_significant_models", counted, condition=held.condition, contrast=contrast)
    rises = _paired(held, held.phases[0], held.phases[-1])
    if rises.size:
        where = {"condition": held.condition, "missing": held.models.size - rises.size}
        yield record("escalation_per_round", made(_mean(rises / (len(held.phases) - 1)), n=rises.size), **where)
        for name, moved in (("up", rises > 0), ("down", rises < 0), ("same", rises == 0)):
            yield record("escalation_direction", made(_mean(moved), n=rises.size), contrast=name, **where)


def _transitions(held: Beliefs) -> list[tuple[str, str]]:
    """The study's pairs of phases; of two rebuttals it took the first."""
    first = [phase for phase in held.phases if phase in ("opening", "rebuttal", "closing")]
    if len(first) < 3:
        return held.transitions
    return [(first[0], first[1]), (first[1], first[2]), (first[0], first[2])]


# ------------------------------------------------------------------ both sides of a debate


def _pairs(held: Beliefs) -> Iterator[Record]:
    if len(held.sides) != 2:
        return
    closing = held.phases[-1]
    c = held.at(closing)
    c = np.round(c[np.isfinite(c).all(axis=1)], 9)
    where = {"condition": held.condition, "phase": closing, "missing": len(held.debates) - len(c)}
    for inclusive, sign in ((False, ">"), (True, ">=")):
        found = both_above(c[:, 0], c[:, 1], 0.75, inclusive=inclusive)
        share = made(found.estimate, n=found.n)
        yield record("mutual_overconfidence", share, **where, threshold=f"{sign}0.75")
    band = np.digitize(c, [EVEN, 0.75], right=True)
    low, high = band.min(axis=1), band.max(axis=1)
    words = ("low", "medium", "high")
    for i, first in enumerate(words):
        for j, second in enumerate(words[i:], start=i):
            name = f"both_{first}" if i == j else f"{first}_{second}"
            share = made(_mean((low == i) & (high == j)), n=len(c))
            yield record("closing_bands", share, **where, contrast=name)


def _debates(held: Beliefs) -> Iterator[Record]:
    for model in held.names:
        for number, side in enumerate(held.sides):
            count = int(held.of(model)[:, number].sum())
            yield record("debates", made(count, n=count), condition=held.condition, model=model, contrast=side)


# ------------------------------------------------------------------ jury


def _jury(tables: Tables, condition: str, held: Beliefs) -> Iterator[Record]:
    matches, ballots = tables["matches"], tables["verdicts"]
    if ballots.empty or len(held.sides) != 2:
        return
    first, second = held.sides
    where: dict[str, Any] = {"condition": condition}
    read = ballots[ballots["choice"].notna()]
    votes = read.groupby(["match_id", "choice"]).size().unstack(fill_value=0).reindex(columns=[first, second])
    votes = votes.reindex(held.debates).dropna().fillna(0).astype(int)
    dissent = votes.min(axis=1)
    unheard = len(matches) - len(votes)
    for count in range(4):
        share = made(_mean(dissent == count), n=len(dissent))
        yield record("jury_dissent", share, **where, contrast=f"{count} dissenting", missing=unheard)
    topics = matches.set_index("match_id")["topic_id"].reindex(votes.index)
    for topic, parted in (dissent > 0).groupby(topics):
        share = made(_mean(parted.to_numpy()), n=len(parted))
        yield record("jury_split", share, **where, contrast=str(topic))
    for rule, won in _outcomes(held, votes).items():
        share = made(_mean(won[:, 1][np.isfinite(won).all(axis=1)]), n=int(np.isfinite(won).all(axis=1).sum()))
        lacking = int((~np.isfinite(won).all(axis=1)).sum())
        yield record("side_win_share", share, **where, contrast=f"{second} by {rule}", missing=lacking)
        yield from _calibration(held, won, rule)
    for model, cast in read.groupby("model"):
        lost = int((ballots["model"] == model).sum()) - len(cast)
        share = made(_mean(cast["choice"] == second), n=len(cast))
        yield record("judge_side_share", share, **where, model=str(model), contrast=second, missing=lost)
    debate, judge = (pd.factorize(read[column], sort=True)[0] for column in ("match_id", "model"))
    choice = (read["choice"] == second).to_numpy(dtype=int)
    for number, model in enumerate(sorted(set(read["model"]))):
        own = judge == number
        agreed = judges.self_agreement(choice[own], debate[own], judge[own])
        yield record("judge_agreement", _pairs_that_agree(agreed), **where, model=model, contrast="within")
    agreed = judges.judge_agreement(choice, debate, judge)
    yield record("judge_agreement", _pairs_that_agree(agreed), **where, contrast="between")


def _pairs_that_agree(found: judges.Agreement) -> Estimate:
    return made(found.agreements / found.pairs if found.pairs else None, n=found.pairs)


def _outcomes(held: Beliefs, votes: pd.DataFrame) -> dict[str, Floats]:
    """Who won by the rule that the paper states and by the one that its code used, (debates, sides)."""
    by_votes = np.full(held.won.shape, np.nan)
    where = pd.Index(held.debates).get_indexer(votes.index)
    opposition = (votes.iloc[:, 1] >= votes.iloc[:, 0]).to_numpy(dtype=float)
    by_votes[where] = np.column_stack([1 - opposition, opposition])
    return {"larger_sum": held.won, "votes, ties to opposition": by_votes}


def _calibration(held: Beliefs, won: Floats, rule: str) -> Iterator[Record]:
    """Bets against outcomes. A debate that nobody won is lost by both, as in the reference analysis."""
    y = np.where(np.isfinite(won), won, 0.0)
    for phase in held.phases:
        c = held.at(phase)
        there = np.isfinite(c)
        p, hit = c[there], y[there]
        if not p.size:
            continue
        where = {
            "condition": held.condition, "phase": phase, "contrast": rule, "missing": int(there.size - there.sum()),
        }  # fmt: skip
        n = p.size
        yield record("brier", made(_mean((p - hit) ** 2), n=n), **where)
        yield record("ece", made(_ece(p, hit), n=n), **where)
        yield record("overconfidence", made(_mean(p - hit), n=n), **where)
        if np.ptp(p) > 0 and np.ptp(hit) > 0:
            yield record("pearson", made(outcome(stats.pearsonr(p, hit))[0], n=n), **where)
            rho, rho_p = outcome(stats.spearmanr(p, hit))
            tested = made(rho, n=n, test="Spearman, two-sided", statistic=rho, p=rho_p)
            yield record("spearman", tested, **where)


def _ece(p: Floats, hit: Floats) -> float:
    """Ten bins of equal width, weighted by their share of the bets."""
    bins = calibration.reliability(p, hit, np.arange(p.size))
    return sum(b.observed.n * abs(b.stated - (b.observed.estimate or 0.0)) for b in bins) / p.size


# ------------------------------------------------------------------ readings, tokens


def _alignment(tables: Tables, condition: str) -> Iterator[Record]:
    found = alignment.published(tables["readings"])
    if not found.labelled:
        return
    shares = {"over": found.over_any, "under": found.under}
    shares |= {f"degree {degree}": share for degree, share in found.degrees.items()}
    for contrast, share in shares.items():
        at = {"condition": condition, "contrast": contrast, "missing": found.missing}
        yield record("alignment", made(share.estimate, n=share.n), **at)


def _tokens(tables: Tables, condition: str) -> Iterator[Record]:
    calls = tables["calls"]
    calls = calls[~calls["status"].isin(("in_flight", "lost"))]
    judge_seats = set(tables["seats"].loc[tables["seats"]["role"] == "judge", "seat"])
    for who, part in (
        ("debaters", calls[~calls["seat"].isin(judge_seats)]),
        ("judges", calls[calls["seat"].isin(judge_seats)]),
    ):
        if part.empty:
            continue
        n = int(part["calls"].sum())
        for name, column in (("input_tokens", "input_tokens"), ("output_tokens", "output_tokens")):
            yield record(name, made(float(part[column].sum()), n=n), condition=condition, contrast=who)
        priced = part[part["cost_usd"].notna()]
        cost = made(float(priced["cost_usd"].sum()) if len(priced) else None, n=int(priced["calls"].sum()))
        missing = n - int(priced["calls"].sum())
        yield record("cost_usd", cost, condition=condition, contrast=who, missing=missing)


# ------------------------------------------------------------------ scipy, without its complaints


def _mean(values: Any) -> float | None:
    array = np.asarray(values, dtype=float)
    return float(array.mean()) if array.size else None


def _sd(values: Floats, ddof: int) -> float | None:
    return float(values.std(ddof=ddof)) if values.size > ddof else None


def _t(values: Floats, alternative: str) -> tuple[float | None, float | None]:
    """A one-sample t-test against zero; None without spread, which counts as not significant in the study."""
    if values.size < 2 or np.ptp(values) == 0:
        return None, None
    return outcome(stats.ttest_1samp(values, 0.0, alternative=alternative))


def _wilcoxon(differences: Any, alternative: str) -> tuple[float | None, float | None]:
    """The signed-rank test, zeros dropped. Up to 13 values its distribution is enumerated, ties or not; what scipy does for
    small samples with ties has changed between its versions. Without anything but zeros nothing speaks against the null."""
    values = np.round(np.asarray(differences, dtype=float), 12)
    if values.size < 6:
        return None, None
    moved = values[values != 0]
    if not moved.size:
        return 0.0, 1.0
    if values.size > 13:
        return outcome(stats.wilcoxon(values, alternative=alternative))
    ranks = stats.rankdata(np.abs(moved))
    above = float(ranks[moved > 0].sum())
    signs = np.array(list(product((0, 1), repeat=moved.size)))
    sums = signs @ ranks
    upper, lower = float(np.mean(sums >= above - 1e-9)), float(np.mean(sums <= above + 1e-9))
    if alternative == "greater":
        return above, upper
    return min(above, ranks.sum() - above), min(1.0, 2 * min(upper, lower))
