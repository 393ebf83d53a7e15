"""What a run found, in sentences for a reader who knows nothing of it: each with its number, its interval and its n."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from arena.report.figures import losses
from arena.report.gathered import Gathered
from arena.report.words import count, listed, rests_on, value
from arena.stats.beliefs import Beliefs
from arena.stats.record import Record, find
from arena.stats.relative import NO_ZERO


@dataclass(frozen=True, slots=True)
class Said:
    """A finding."""

    number: str
    """Its number alone, to be set large."""
    sentence: str
    basis: str
    """Its interval and n."""


@dataclass(frozen=True, slots=True)
class Card:
    """The findings of one condition, or on one matter."""

    title: str
    said: tuple[Said, ...]


def about(gathered: Gathered) -> str:
    """What was played, in a sentence."""
    matches, seats = gathered.tables["matches"], gathered.tables["seats"]
    judge = seats["role"] == "judge"
    judges = int(seats.loc[judge, "model"].nunique())
    finished = int((matches["status"] == "finished").sum())
    ruled = int(matches["winner"].notna().sum())
    decided = f"; {count(judges, 'judges')} decided {ruled:,} of them" if judges else ""
    planned = f" ({len(matches) - finished:,} more were planned)" if finished < len(matches) else ""
    return (
        f"{count(finished, 'debates')}{planned} between {count(int(seats.loc[~judge, 'model'].nunique()), 'models')} "
        f"on {count(int(matches['topic_id'].nunique()), 'motions')}{decided}."
    )


def cards(gathered: Gathered, records: Sequence[Record]) -> list[Card]:
    """The findings that the records allow: a card a condition, one of differences, one of what is missing."""
    made = [
        Card(name, tuple(_findings(gathered, gathered.believed[name], _of(records, name))))
        for name in gathered.conditions
        if name in gathered.believed
    ]
    made += [
        Card(name, (*_leaning(gathered, name, _of(records, name)), *_answered(_of(records, name))))
        for name in gathered.conditions
        if name not in gathered.believed
    ]
    made.append(Card("Between conditions", tuple(_differences(gathered.conditions, records))))
    made.append(Card("What is missing", tuple(_missing(gathered))))
    return [card for card in made if card.said]


Of = Callable[..., Record | None]
"""`of("pair_sum", phase="closing")`: a record of a condition, single models aside."""


def _of(records: Sequence[Record], condition: str) -> Of:
    def of(statistic: str, **where: str | None) -> Record | None:
        return find(records, statistic=statistic, condition=condition, model=None, **where)

    return of


def _findings(gathered: Gathered, held: Beliefs, of: Of) -> Iterator[Said]:
    first, last = held.phases[0], held.phases[-1]
    opening = of("opening_overconfidence", contrast=None)
    if opening and opening.estimate is not None:
        how = {1: "too sure", -1: "too unsure", 0: "about as sure as they should be"}[_side(opening, 0)]
        even = 1 / len(held.sides)
        stated = value(even + opening.estimate, "percent")
        yield Said(
            value(opening.estimate, "points"),
            f"Debaters opened {how}: on average they gave themselves a chance of {stated} to win. Exactly one side wins, so "
            f"over all sides it should average {value(even, 'percent')}.",
            rests_on(opening, "points"),
        )
    rise, ended = of("escalation", contrast=f"{first}->{last}"), of("confidence", phase=last, contrast=None)
    if rise and rise.estimate is not None:
        how = {1: "surer than", -1: "less sure than", 0: "about as sure as"}[_side(rise, 0)]
        at = f", at {value(ended.estimate, 'percent')}" if ended else ""
        moral = " On average, the sides of a debate cannot rightly all gain." if _side(rise, 0) == 1 else ""
        text = f"By the {_phase(last)} they were {how} they began{at}.{moral}"
        yield Said(value(rise.estimate, "points"), text, rests_on(rise, "points"))
    both = of("mutual_overconfidence", phase=last, threshold=">0.75")
    if both and both.estimate is not None and both.n:
        yield Said(
            f"{round(both.estimate * both.n):,} of {both.n:,}",
            f"debates had both sides above 75\u00a0% at the {_phase(last)}."
            + (" Both cannot win." if both.estimate else ""),
            f"{value(both.estimate, 'percent')} {rests_on(both, 'percent')}",
        )
    if loss := of("dutch_book_loss", phase=last):
        yield Said(
            value(loss.estimate, "stakes"),
            "is what a bookmaker who takes both sides’ bets at their own odds is sure to win from a debate, on average, where "
            "each bet is for one stake.",
            rests_on(loss, "stakes"),
        )
    shading = of("shading", phase=last)
    if shading and shading.estimate is not None:
        how = {1: "more than", -1: "less than", 0: "about what"}[_side(shading, 0)]
        yield Said(
            value(shading.estimate, "points"),
            f"In public they claimed {how} they said in private, at the {_phase(last)}.",
            rests_on(shading, "points"),
        )
    if len(held.sides) == 2 and (brier := of("brier", phase=last)) and brier.estimate is not None:
        how = {1: "worse than", -1: "better than", 0: "about as good as"}[_side(brier, 0.25)]
        yield Said(
            value(brier.estimate, "plain"),
            f"is the mean squared error of their chances against the verdicts (Brier score): {how} always saying 50\u00a0%, "
            "which gives 0.25. 0 is perfect.",
            rests_on(brier, "plain"),
        )
    yield from _leaning(gathered, held.condition, of)


def _leaning(gathered: Gathered, condition: str, of: Of) -> Iterator[Said]:
    share = of("judge_side_share")
    if share is None:
        return
    matches = gathered.tables["matches"]
    winners = matches.loc[matches["condition"] == condition, "winner"].dropna()
    won = int((winners == share.contrast).sum())
    ruled = f" Of {count(len(winners), 'decided debates')} it won {won:,}." if len(winners) else ""
    yield Said(
        value(share.estimate, "percent"),
        f"of the ballots went to the {share.contrast}; judges without a lean give 50\u00a0% over balanced debates.{ruled}",
        rests_on(share, "percent"),
    )


def _answered(of: Of) -> Iterator[Said]:
    """Questions with answers: how sure respondents said they were, and what pairs of answers told beyond that."""
    excess, accuracy = of("answer_overconfidence"), of("answer_accuracy")
    if excess and accuracy:
        how = {1: "too sure", -1: "too unsure", 0: "about as sure as they should be"}[_side(excess, 0)]
        right = value(accuracy.estimate, "percent")
        yield Said(
            value(excess.estimate, "points"),
            f"Respondents were {how} of their answers, of which {right} were right.",
            rests_on(excess, "points", "questions"),
        )
    paired, stated = of("auroc", contrast="bradley_terry"), of("auroc", contrast="direct")
    gain = of("auroc", contrast="bradley_terry-direct")
    if paired and stated and gain:
        how = {1: "better than", -1: "worse than", 0: "about as well as"}[_side(gain, 0)]
        yield Said(
            value(gain.estimate, "points"),
            f"Asked of which of two answers they were surer, they told right answers from wrong ones {how} by the number that "
            f"they stated (AUROC {value(paired.estimate, 'plain')} against {value(stated.estimate, 'plain')}). {NO_ZERO}",
            rests_on(gain, "points", "questions"),
        )


def _phase(name: str) -> str:
    return name.replace("_", " ")


def _differences(names: Sequence[str], records: Sequence[Record]) -> Iterator[Said]:
    pairs = {f"{a}-{b}": f"{a} minus {b}" for a, b in combinations(names, 2)}
    for record in records:
        if record.statistic == "escalation_difference" and record.estimate is not None and record.contrast:
            paired = ", paired by motion and pairing" if (record.test or "").startswith("paired") else ""
            left = (
                f"; {count(record.missing, 'debates')} without a counterpart or a confidence left out"
                if record.missing
                else ""
            )
            yield Said(
                value(record.estimate, "points"),
                f"difference in escalation, {pairs.get(record.contrast, record.contrast)}{paired}{left}.",
                rests_on(record, "points"),
            )


def _missing(gathered: Gathered) -> Iterator[Said]:
    kinds = losses(gathered.tables)
    if kinds and not any(lost.total for lost in kinds):
        yield Said("nothing", f"{listed([count(lost.planned, lost.kind) for lost in kinds])} are all there.", "")
    for lost in kinds:
        if not lost.total:
            continue
        reasons = listed([f"{n:,} {reason.replace('_', ' ')}" for reason, n in lost.missing.items()])
        typed = lost.kind == "confidences" and gathered.typed
        kept = (
            " Where it says so, the source gives a value that its own program could not read; it is used."
            if typed
            else ""
        )
        yield Said(
            f"{lost.total:,} of {lost.planned:,}",
            f"{lost.kind} are missing or could not be read: {reasons}.{kept}",
            "Nothing was guessed in place of what is missing.",
        )


def _side(record: Record, null: float) -> int:
    """1 where the interval lies above the null value, -1 below, 0 where it holds it.

    Where there is no interval the estimate stands for it; the sentence's basis says that there is none.
    """
    if record.low is None or record.high is None:
        return 0 if record.estimate is None else int(np.sign(round(record.estimate - null, 9)))
    return 1 if record.low > null else -1 if record.high < null else 0
