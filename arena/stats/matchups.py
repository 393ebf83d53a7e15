"""The default convention, where questions were answered: how well each measure of confidence tells right answers from wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from arena.stats import calibration, relative
from arena.stats.beliefs import Tables
from arena.stats.clustered import clustered_mean
from arena.stats.estimate import bounded, made
from arena.stats.record import Record
from arena.stats.record import ours as record
from arena.stats.relative import Answered, Preferences

STATED = {
    "verbalised": "direct",
    "self_consistency": "self_consistency",
    "hybrid_self_consistency": "hybrid_self_consistency",
}
"""Elicitation of a recorded confidence to the name of the measure."""

AGGREGATED: dict[str, Callable[[Preferences], NDArray[np.float64]]] = {
    "bradley_terry": lambda preferences: relative.bradley_terry(preferences).score,
    "trueskill": relative.trueskill,
    "elo": relative.elo,
}
"""How preferences become a measure."""


@dataclass(frozen=True, slots=True)
class _Match:
    """One agent's answers to one set, those that every measure has."""

    model: str
    answered: Answered
    questions: int
    """How many were asked."""
    preferences: Preferences | None
    """None where no pair was compared."""


def records(tables: Tables, condition: str, seed: int) -> Iterator[Record]:
    """Accuracy, `selective_auc` and `auroc` of each measure and of the differences to what was stated, Brier scores where a
    probability stands, and how the pairs were answered. `tables` are those of one condition, as `beliefs.split` makes them.

    All are computed on the same answers: those that are marked and for which each measure of the condition has a value.
    `missing` counts questions that were asked, by agent, and are not among them.
    """
    answers = tables["answers"]
    if answers.empty:
        return
    yield from _preferences(tables["preferences"], condition)
    matches = list(_matches(tables))
    models = sorted({match.model for match in matches})
    yield from _of(matches, {"condition": condition}, seed)
    for model in models:
        yield from _of(
            [match for match in matches if match.model == model], {"condition": condition, "model": model}, seed
        )


def _matches(tables: Tables) -> Iterator[_Match]:
    answers = tables["answers"]
    answers = answers[answers["round"] == 1]
    stated = tables["confidences"]
    stated = stated[(stated["about"] == "answer_correct") & (stated["round"] == 1)].assign(
        measure=stated["elicitation"].map(STATED)
    )
    wide = stated.pivot_table(index=["match_id", "topic_id"], columns="measure", values="value", aggfunc="first")
    table = answers.merge(wide.reset_index(), on=["match_id", "topic_id"], how="left")
    measures = [name for name in STATED.values() if name in wide]
    sets: Any = tables["matches"]["topic_id"].reset_index(drop=True)
    named = (
        sets.loc[table["match_id"].to_numpy()].astype(str).to_numpy() + "/" + table["topic_id"].astype(str).to_numpy()
    )
    table["question"] = pd.factorize(named)[0]
    for match, rows in table.groupby("match_id"):
        own = tables["preferences"][tables["preferences"]["match_id"] == match]
        preferences = compared(list(rows["topic_id"]), own)
        scores: dict[str, Any] = {name: rows[name].to_numpy(dtype=float, na_value=np.nan) for name in measures}
        there = rows["correct"].notna().to_numpy() & np.all([np.isfinite(score) for score in scores.values()], axis=0)
        if preferences is not None:
            met = np.isin(np.arange(len(rows)), [preferences.first, preferences.second])
            there &= met
            # Scores of answers that no chain of pairs links mean nothing to one another.
            if preferences.groups - int((~met).sum()) == 1:
                scores |= {name: aggregate(preferences) for name, aggregate in AGGREGATED.items()}
        correct = rows["correct"].fillna(False).to_numpy(dtype=bool)
        kept = Answered(
            rows["question"].to_numpy()[there], correct[there], {name: score[there] for name, score in scores.items()}
        )
        yield _Match(str(rows["model"].iloc[0]), kept, len(rows), preferences)


def compared(questions: Sequence[str], rows: pd.DataFrame) -> Preferences | None:
    """The preferences of one match that could be read, with answers numbered as in `questions`; None where there are none."""
    read = rows[rows["preferred"].notna()]
    if read.empty:
        return None
    place: Any = pd.Index(questions)
    first, second = place.get_indexer(read["first"]), place.get_indexer(read["second"])
    return Preferences(first, second, (read["preferred"] == read["first"]).to_numpy(dtype=bool), len(questions))


def _of(matches: Sequence[_Match], where: dict[str, Any], seed: int) -> Iterator[Record]:
    """Some agents' answers together."""
    asked = sum(match.questions for match in matches)
    used = [match.answered for match in matches if match.answered.question.size]
    missing = asked - sum(of.question.size for of in used)
    if not used:
        yield record("answer_accuracy", made(None, n=0), **where, missing=missing)
        return
    correct, question = np.concatenate([of.correct for of in used]), np.concatenate([of.question for of in used])
    yield record("answer_accuracy", bounded(clustered_mean(correct, question)), **where, missing=missing)
    shared = [name for name in used[0].confidence if all(name in of.confidence for of in used)]
    same = [Answered(of.question, of.correct, {name: of.confidence[name] for name in shared}) for of in used]
    stated = [name for name in shared if name not in AGGREGATED]
    against = [(name, other) for name in shared if name in AGGREGATED for other in stated]
    found = relative.discrimination(same, against, np.random.default_rng(seed))
    for statistic in ("selective_auc", "auroc"):
        for contrast, estimate in getattr(found, statistic).items():
            yield record(statistic, estimate, **where, contrast=contrast, missing=missing)
    yield from _probabilities(same, correct, question, {**where, "missing": missing}, seed)


def _probabilities(
    used: Sequence[Answered],
    correct: NDArray[np.bool_],
    question: NDArray[np.intp],
    where: dict[str, Any],
    seed: int,
) -> Iterator[Record]:
    """What can be called over- or underconfident: what was stated as a probability, and scores that were anchored."""
    chances: dict[str, NDArray[np.float64]] = {}
    if "direct" in used[0].confidence:
        chances["direct"] = np.concatenate([of.confidence["direct"] for of in used])
    for name in ("direct", "bradley_terry"):
        if name in used[0].confidence and all(of.question.size > 1 for of in used):
            random = np.random.default_rng(seed)
            mapped = [relative.anchored(of.confidence[name], of.correct, random) for of in used]
            chances[f"{name}, anchored on outcomes"] = np.concatenate(mapped)
    for contrast, chance in chances.items():
        if contrast == "direct":
            excess = calibration.overconfidence(chance, correct, question)
            test = excess.test and excess.test.replace("by debate", "by question")
            yield record("answer_overconfidence", replace(excess, test=test), **where, contrast=contrast)
        yield record("answer_brier", calibration.brier(chance, correct, question), **where, contrast=contrast)


def _preferences(rows: pd.DataFrame, condition: str) -> Iterator[Record]:
    """How many pairs were answered, how often for what was shown first, and how often another order changed the answer."""
    read = rows[rows["preferred"].notna()]
    if rows.empty:
        return
    lost = len(rows) - len(read)
    yield record("preferences_read", made(len(read), n=len(rows)), condition=condition, missing=lost)
    if read.empty:
        return
    first = (read["preferred"] == read["first"]).to_numpy(dtype=float)
    ends = np.sort(read[["first", "second"]].to_numpy(dtype=str), axis=1)
    pair = pd.factorize(read["match_id"].astype(str) + "\n" + ends[:, 0] + "\n" + ends[:, 1])[0]
    share = bounded(clustered_mean(first, pair))
    yield record("preference_first_share", share, condition=condition, missing=lost)
    answers = read.assign(pair=pair).groupby("pair").agg(n=("preferred", "size"), kinds=("preferred", "nunique"))
    both = answers[answers["n"] > 1]
    if len(both):
        flipped = (both["kinds"] > 1).to_numpy(dtype=float)
        rate = bounded(clustered_mean(flipped, np.arange(len(both))))
        yield record("preference_flip_rate", rate, condition=condition, missing=len(answers) - len(both))
