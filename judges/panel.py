"""A panel's decision: pure functions of the ballots that could be read. A missing ballot is missing, not a vote."""

from __future__ import annotations

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
    score = _scores(ballots, rule)
    total = sum(score.values())
    if not total:
        return Decision(None, "none")
    ranked = sorted(score.items(), key=lambda item: (-item[1], item[0]))
    best = ranked[0][1]
    leaders = [option for option, points in ranked if abs(points - best) < 1e-9]
    second = ranked[1][1] if len(ranked) > 1 else 0.0
    margin = (best - second) / total
    if len(leaders) == 1:
        return Decision(leaders[0], rule, margin)
    if tie == "draw":
        return Decision(None, "tie", 0.0)
    if tie == "lot":
        return Decision(random.Random(f"tie:{seed}").choice(leaders), "tie", 0.0)
    return Decision(tie if tie in leaders else None, "tie", 0.0)


def _scores(ballots: Sequence[Ballot], rule: Rule) -> Mapping[str, float]:
    score: dict[str, float] = {}
    for ballot in ballots:
        points = 1.0 if rule == "most_votes" else ballot.probability or 0.0
        score[ballot.choice] = score.get(ballot.choice, 0.0) + points
    return score


def panel_rule(rule: str, tie: str) -> Decide:
    """The rule as a game uses it. Raises `ValueError` for a rule that does not exist."""
    if rule not in get_args(Rule):
        raise ValueError(f"judge.rule is {rule!r}; it can be {' or '.join(get_args(Rule))}")
    return partial(decide, rule=cast(Rule, rule), tie=tie)
