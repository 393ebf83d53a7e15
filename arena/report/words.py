"""How the report says numbers: units, intervals, and every statistic's name in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from arena.stats.estimate import Estimate
from arena.stats.record import Record

Unit = Literal["percent", "points", "distance", "stakes", "rating", "plain"]
"""`points` are differences of percentages, with their sign; `distance` has none. `rating` is in rating points."""

MINUS = "\u2212"


@dataclass(frozen=True, slots=True)
class Named:
    """A statistic as a reader meets it."""

    title: str
    unit: Unit
    meaning: str
    """What it is and what it would be if all were well."""


NAMES = {
    "confidence": Named(
        "Stated chance of winning",
        "percent",
        "What debaters said, on average. Since exactly one side wins, it should average 50 %.",
    ),
    "opening_overconfidence": Named(
        "Overconfidence at the opening",
        "points",
        "Stated chance at the opening minus 50 %. None: 0.",
    ),
    "escalation": Named(
        "Escalation",
        "points",
        "Later minus earlier confidence of the same debater. On average 0 for a debater who expects what is coming.",
    ),
    "mutual_overconfidence": Named(
        "Both sides above a threshold",
        "percent",
        "Share of debates in which both sides are surer than the threshold. Above 50 %, both cannot be right.",
    ),
    "pair_sum": Named(
        "Both sides' chances added up, beyond 100 %",
        "points",
        "Exactly one side wins, so the two chances should add up to 100 %, and this be 0.",
    ),
    "dutch_book_loss": Named(
        "Sure loss to a bookmaker",
        "stakes",
        "What someone who bets against both sides at their own odds gains for certain, per stake. None: 0.",
    ),
    "martingale_drift": Named(
        "Foreseeable drift",
        "points",
        "Mean revision from one round to the next. 0 for a rational belief, which cannot foresee its own change.",
    ),
    "excess_movement": Named(
        "Movement beyond what was learnt",
        "plain",
        "Squared revisions minus the uncertainty they removed (Augenblick and Rabin 2021). 0 for a rational belief.",
    ),
    "shading": Named(
        "Public minus private confidence",
        "points",
        "How much surer a debater is in public than in private. Candid: 0.",
    ),
    "overconfidence": Named(
        "Overconfidence", "points", "Stated chance minus how often it came true. Calibrated on average: 0."
    ),
    "escalation_per_round": Named(
        "Escalation a round", "points", "Mean rise of confidence from one round to the next."
    ),
    "escalation_logit": Named(
        "Escalation in log-odds", "plain", "The same in log-odds, where a step near certainty counts for more."
    ),
    "escalation_difference": Named(
        "Difference in escalation", "points", "Escalation in the first condition minus that in the second."
    ),
    "condition_difference": Named(
        "Difference in confidence", "points", "Confidence in the first condition minus that in the second."
    ),
    "public_confidence": Named("Publicly stated chance", "percent", "What debaters said for everyone to hear."),
    "ece_null_band": Named(
        "What the calibrated would show", "distance", "Calibration error of debaters whose stated chances are true."
    ),
    "reliability": Named("Share that won", "percent", "How often debaters won who stated a chance in this range."),
    "judge_ambiguity": Named(
        "Winners another judge would change",
        "percent",
        "Share of debates in which a judge that agrees with the panel nearly as often names another winner. At least that.",
    ),
    "judge_discrepancy": Named(
        "Winners one such judge would change", "percent", "The most that any single one of these judges would change."
    ),
    "judge_alpha": Named("Krippendorff’s alpha", "plain", "Agreement of ballots beyond chance. None: 0; full: 1."),
    "confidence_worst_case": Named(
        "Stated chance, at worst", "percent", "Its mean if each missing one were 0 %, and if each were 100 %."
    ),
    "mutual_overconfidence_worst_case": Named(
        "Both sides above a threshold, at worst", "percent", "The share if no missing debate counted, and if each did."
    ),
    "rounding_unit": Named("Rounding", "distance", "The unit that nearly all stated confidences are multiples of."),
    "cost_usd": Named("Cost, US dollars", "plain", "What calls with a known price cost."),
    "brier": Named(
        "Brier score",
        "plain",
        "Mean squared distance of the stated chance from what happened. 0 is perfect; always saying 50 % gives 0.25.",
    ),
    "log_score": Named(
        "Log score",
        "plain",
        "Mean surprise at what happened, in nats. 0 is perfect; always saying 50 % gives 0.69.",
    ),
    "ece": Named(
        "Calibration error",
        "distance",
        "Mean distance between stated chances and how often they came true. With few debates it is above 0 even for the "
        "calibrated; compare with its null band.",
    ),
    "auroc": Named(
        "Telling winners from losers",
        "plain",
        "Chance that a winner was surer than a loser, or of a right answer than of a wrong one (AUROC). Guessing: 0.5.",
    ),
    "judge_side_share": Named(
        "Ballots for the opposition",
        "percent",
        "Share of a judge's ballots that went to the opposition. A judge without a lean, over balanced debates: 50 %.",
    ),
    "judge_order_effect": Named(
        "What the order does to ballots",
        "points",
        "Share of ballots for the opposition in the order that is named first, minus that in the other. None: 0.",
    ),
    "judge_flip_rate": Named(
        "Ballots that flip with the order",
        "percent",
        "Ballots that name the other side when the same judge reads the same debate in the other order.",
    ),
    "judge_family_effect": Named(
        "For its own family",
        "points",
        "By how much more a judge votes for its own family than other judges do. None: 0.",
    ),
    "judge_length_effect": Named(
        "What length does to ballots",
        "plain",
        "Log-odds for the side that speaks e times as much as the other. None: 0.",
    ),
    "judge_ballots": Named("Ballots of a judge", "plain", "How many were read of those that were planned."),
    "judge_cost_per_ballot": Named("Cost of a ballot, US dollars", "plain", "What a ballot with a known price cost."),
    "judge_panel_agreement": Named(
        "Agreement with the panel", "percent", "How often a ballot names whom most ballots of the other judges name."
    ),
    "judge_agreement": Named(
        "Agreement of judges",
        "plain",
        "How often two ballots about one debate agree, or how far beyond chance.",
    ),
    "answer_accuracy": Named("Right answers", "percent", "Share of the questions that were answered rightly."),
    "answer_overconfidence": Named(
        "Overconfidence in answers", "points", "Stated chance of being right minus the share that was. None: 0."
    ),
    "answer_brier": Named(
        "Brier score of answers",
        "plain",
        "Mean squared distance of a chance of being right from whether the answer was.",
    ),
    "selective_auc": Named(
        "Accuracy where it is surest",
        "plain",
        "Mean accuracy over all numbers of answers kept, the surest first. A measure that says nothing gives the accuracy.",
    ),
    "preference_first_share": Named(
        "Surer of the answer shown first", "percent", "Share of pairs. Without a lean, orders being balanced: 50 %."
    ),
    "preference_flip_rate": Named(
        "Pairs answered otherwise in the other order", "percent", "Share of pairs that were asked in both orders."
    ),
    "alignment": Named(
        "Private reasoning against the stated number",
        "percent",
        "What a reader made of the private reasoning beside each confidence.",
    ),
}
"""By the statistic's name in `arena stats --json`. One that is not here is shown under that name."""


def named(statistic: str) -> Named:
    """What a statistic is called. Every one has a name, if only its own."""
    return NAMES.get(statistic, Named(statistic.replace("_", " ").capitalize(), "plain", ""))


def unit(record: Record) -> Unit:
    """What a record's numbers are in."""
    match record.statistic, record.contrast:
        case "martingale_drift", "slope":
            return "plain"
        case "alignment", "stated-implied":
            return "points"
        case statistic, _:
            return named(statistic).unit


def value(number: float | None, unit: Unit, *, sign: bool | None = None) -> str:
    """A number with its unit; differences carry their sign."""
    if number is None:
        return "\u2013"
    match unit:
        case "percent":
            return f"{_number(100 * number, 1, sign or False)}\u00a0%"
        case "points":
            return f"{_number(100 * number, 1, sign is not False)}\u00a0points"
        case "distance":
            return f"{_number(100 * number, 1, sign or False)}\u00a0points"
        case "stakes":
            return f"{_number(number, 2, sign or False)}\u00a0stakes"
        case "rating":
            return _number(number, 0, sign or False)
        case "plain":
            return _number(number, 3, sign or False)


def interval(record: Record | Estimate, unit: Unit) -> str:
    """`20.1 to 25.7`, in the unit's numbers."""
    if record.low is None or record.high is None:
        return "\u2013"
    scale, digits = {
        "percent": (100, 1),
        "points": (100, 1),
        "distance": (100, 1),
        "stakes": (1, 2),
        "rating": (1, 0),
        "plain": (1, 3),
    }[unit]
    return f"{_number(scale * record.low, digits, False)} to {_number(scale * record.high, digits, False)}"


def rests_on(record: Record | Estimate, unit: Unit, what: str = "debates") -> str:
    """The brackets after a headline number: its interval and n."""
    n = f"{record.n or 0:,} {what if record.n != 1 else what.removesuffix('s')}"
    if record.low is None or record.high is None:
        return f"({n}, {'too few for' if (record.n or 0) < 2 else 'without spread, so without'} an interval)"
    return f"(95\u00a0% interval {interval(record, unit)}; {n})"


def p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def count(n: int, what: str) -> str:
    """`1 debate`, `1,200 debates`."""
    return f"{n:,} {what if n != 1 else what.removesuffix('s')}"


def listed(words: list[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def _number(number: float, digits: int, sign: bool) -> str:
    text = f"{number:+,.{digits}f}" if sign else f"{number:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def whole(number: float) -> str:
    """To the nearest whole number, halves up; what is a half but for the last binary digit is one."""
    return f"{math.floor(round(number, 9) + 0.5)}"


def capital(words: str) -> str:
    return words[:1].upper() + words[1:]
