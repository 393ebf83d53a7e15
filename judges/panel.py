"""A panel's decision: pure functions of the ballots that could be read. A missing ballot is missing, not a vote."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, cast, get_args

from arena.types import Ballot, Decide, Decision

Rule = Literal["most_votes", "larger_sum"]
Tie = str
"""`draw` leaves a tie undecided, `lot` draws from the match's seed; any other word is the option that ties go to."""


def decide(ballots: Sequence[Ballot], seed: int, *, rule: Rule, tie: Tie) -> Decision:
    """Count the ballots.

    `most_votes` counts one a ballot; `larger_sum` adds up the stated probabilities of the ballots for each option (the
    stated rule of arXiv:2505.19184, section 3). The margin is the difference between first and second over the total.
    """
    if not ballots:
        return Decision(None, "none")
    score = _scores(ballots, rule)
    total = sum(score.values())
    best, second = sorted([*score.values(), 0.0], reverse=True)[:2]
    leaders = sorted(option for option, points in score.items() if points == best)
    margin = (best - second) / total if total else 0.0
    if len(leaders) == 1:
        return Decision(leaders[0], rule, margin)
    if tie == "draw":
        return Decision(None, "tie", 0.0)
    if tie == "lot":
        return Decision(random.Random(f"tie:{seed}").choice(leaders), "tie", 0.0)
    return Decision(tie if tie in leaders else None, "tie", 0.0)


def _scores(ballots: Sequence[Ballot], rule: Rule) -> Mapping[str, float]:
    points: dict[str, list[float]] = {}
    for ballot in ballots:
        points.setdefault(ballot.choice, []).append(1.0 if rule == "most_votes" else ballot.probability or 0.0)
    # Summed exactly, and to nine digits, so that a tie is a tie in whatever order the ballots come.
    return {option: round(math.fsum(given), 9) for option, given in points.items()}


def panel_rule(rule: str, tie: str) -> Decide:
    """The rule as a game uses it. Raises `ValueError` for a rule that does not exist."""
    if rule not in get_args(Rule):
        raise ValueError(f"judge.rule is {rule!r}; it can be {' or '.join(get_args(Rule))}")
    return partial(decide, rule=cast(Rule, rule), tie=tie)
