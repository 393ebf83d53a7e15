"""A tournament that is decided as it goes: round after round, each on the results before it, until a rule stops it.

What is decided is a record: a tournament that was killed is resumed with the pairings it had. A round is played out before
the next is decided, so that no decision depends on which reply came first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from random import Random
from typing import Any, Literal

import numpy as np

from arena import named
from arena.meetings import Encounter, Field, Goal, Meeting, meetings_of, scored
from arena.types import MatchSpec

StoppedBy = Literal["finished", "matches", "money", "order_known"]
"""All pairings were played, or the rule that held first."""

MOST_LEFT = 10_000
"""Mirrored pairs beyond which two agents are said to show no difference."""

LISTED = 10
"""Agents of an order that a line names."""

Seat = Callable[[Sequence[Meeting]], tuple[MatchSpec, ...]]
"""From all meetings so far to their matches."""


@dataclass(frozen=True, slots=True)
class Stop:
    """When to stop before everything was played."""

    matches: int | None = None
    usd: float | None = None
    match_usd: float | None = None
    """What a match is thought to cost before any was played; known where `usd` is."""
    goal: Goal | None = None
    """What is to be known."""

    @property
    def early(self) -> bool:
        """Whether there is any such rule."""
        return any(rule is not None for rule in (self.matches, self.usd, self.goal))


@dataclass(frozen=True, slots=True)
class Round:
    """What was decided at one time: who meets next, or that it is over."""

    meetings: tuple[Meeting, ...]
    saw: Mapping[str, float | None]
    """Match to what its first seat got: the results that were new or changed since the round before."""
    standing: Mapping[str, Any]
    """What was known of the order; empty where nobody asked."""
    stop: StoppedBy | None = None


@dataclass(frozen=True)
class Tournament:
    """What decisions are made of. All of it stands when a run is begun, but for the rules that stop it."""

    field: Field
    schedule: str
    params: Any
    """The schedule's own."""
    stop: Stop
    seed: int
    seat: Seat

    @property
    def plan(self) -> Sequence[Meeting] | None:
        """All meetings, where they stand from the start; None for a schedule that pairs by results."""
        module: Any = named.module("arena.schedule", self.schedule)
        return None if hasattr(module, "pairings") else module.meetings(self.field)

    @property
    def most(self) -> int:
        """How many matches it can come to, if nothing but their number or the lack of pairings stops it."""
        if self.plan is not None:
            total = len(self.plan)
        else:
            module: Any = named.module("arena.schedule", self.schedule)
            sides = 2 if self.field.mirrored else 1
            total = sides * (module.most(self.field) if hasattr(module, "most") else everything(self.field))
        return total if self.stop.matches is None else min(total, self.stop.matches)

    def propose(self, past: Sequence[Encounter], rounds: Sequence[Round]) -> list[Meeting]:
        """The meetings of the next round; none when all that the schedule knows of were played.

        A schedule that pairs by results is asked; of a fixed plan the next question's meetings are taken.
        """
        if self.plan is None:
            module: Any = named.module("arena.schedule", self.schedule)
            random = Random(f"{self.seed}:round:{len(rounds)}")
            return meetings_of(module.pairings(self.field, past, self.params, self.stop.goal, random), self.field)
        left = self.plan[sum(len(round_.meetings) for round_ in rounds) :]
        return next(
            (list(batch) for _, batch in groupby(left, lambda meeting: (meeting.question.id, meeting.repeat))), []
        )

    def recorded(self, record: Mapping[str, Any]) -> Round:
        """The round that a record holds. Raises `KeyError` for a question that is not the tournament's."""
        return Round(tuple(self.meetings(record["meetings"])), record["saw"], record["standing"], record["stop"])

    def meetings(self, records: Iterable[Mapping[str, Any]]) -> list[Meeting]:
        """The meetings that records hold. Raises `KeyError` for a question that is not the tournament's."""
        known = [meeting.question for meeting in self.plan or ()]
        questions = {question.id: question for question in (*self.field.questions, *known)}
        plain: list[dict[str, Any]] = [{**held, "question": questions[held["question"]]} for held in records]
        return [Meeting(**held) for held in plain]


@dataclass
class Course:
    """A tournament under way: what was decided, what was seen, and what follows."""

    tournament: Tournament
    rounds: list[Round] = field(default_factory=list[Round])
    """Those in which somebody meets."""
    standing: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """As of the last decision."""
    _seen: dict[str, float | None] = field(default_factory=dict[str, "float | None"])

    def __post_init__(self) -> None:
        # A recorded stop holds no meetings; with other rules the tournament may go on after it.
        self.rounds = [round_ for round_ in self.rounds if round_.meetings]
        for round_ in self.rounds:
            self._seen |= round_.saw

    @property
    def matches(self) -> tuple[MatchSpec, ...]:
        """Every match that was decided on, in order."""
        decided = [meeting for round_ in self.rounds for meeting in round_.meetings]
        return self.tournament.seat(decided) if decided else ()

    def decide(self, results: Mapping[str, float | None], spent_usd: float) -> Round:
        """The next round, given what the first seat of each finished match got, and what all calls cost so far."""
        stop = self.tournament.stop
        new = {match: score for match, score in results.items() if self._seen.get(match, -1.0) != score}
        past = [*self.tournament.field.past, *self.encounters(results)]
        standing = stands(past, self.tournament.field, stop.goal) if stop.goal else {}
        proposed: list[Meeting] = []
        why: StoppedBy | None = None
        if standing.get("state") == "known":
            why = "order_known"
        elif (
            stop.matches is not None and len(self.matches) + (2 if self.tournament.field.mirrored else 1) > stop.matches
        ):
            why = "matches"
        elif not (proposed := self.tournament.propose(past, self.rounds)):
            why = "finished"
        if proposed and stop.matches is not None:
            proposed = _at_most(proposed, stop.matches - len(self.matches))
        if proposed and stop.usd is not None:
            price = spent_usd / len(results) if results else stop.match_usd
            affordable = (stop.usd - spent_usd) / price if price else len(proposed)
            proposed = _at_most(proposed, int(affordable + 1e-9))
            why = None if proposed else "money"
        round_ = Round(tuple(proposed), new, standing, why)
        self._seen |= new
        self.standing = standing
        if round_.meetings:
            self.rounds.append(round_)
        return round_

    def encounters(self, results: Mapping[str, float | None]) -> list[Encounter]:
        """The pairings that were played out, in the order in which they were decided."""
        earlier = 1 + max((met.round for met in self.tournament.field.past), default=-1)
        of_round = [number for number, round_ in enumerate(self.rounds, start=earlier) for _ in round_.meetings]
        return encounters(self.matches, results, of_round)


def encounters(
    specs: Sequence[MatchSpec], results: Mapping[str, float | None], of_round: Sequence[int] | None = None
) -> list[Encounter]:
    """What was played out among matches between two, given what the first seat of each got; `of_round` is each match's round."""
    number = dict(zip((spec.id for spec in specs), of_round or [0] * len(specs), strict=True))
    found: list[Encounter] = []
    for pair in pairs(specs):
        if len(pair[0].players) == 2 and all(spec.id in results for spec in pair):
            first, second = pair[0].players.values()
            got = [results[spec.id] for spec in pair]
            score = _mean(got[:1] + [None if other is None else 1 - other for other in got[1:]])
            question = pair[0].question.id
            found.append(Encounter(first.name, second.name, question, pair[0].repeat, score, number[pair[0].id]))
    return found


def everything(field: Field) -> int:
    """Pairings in which everybody meets everybody on every question as often as the field allows."""
    return math.comb(len(field.agents), 2) * len(field.questions) * field.repeats


def pairs(specs: Iterable[MatchSpec]) -> Iterator[tuple[MatchSpec, ...]]:
    """Matches with the mirrored one behind each that has one."""
    waiting: list[MatchSpec] = []
    for spec in specs:
        if waiting and spec.mirror_of != waiting[0].id:
            yield tuple(waiting)
            waiting = []
        waiting.append(spec)
    if waiting:
        yield tuple(waiting)


def share(decision: Mapping[str, Any], seats: Sequence[str]) -> float | None:
    """What the first seat got of a match, in [0, 1], from its end record: the share of what the panel counted; all or
    nothing where the other side forfeited. None when nobody decided."""
    if decision["how"] == "none":
        return None
    if decision["winner"] is None:
        return 0.5
    margin = 1.0 if decision["margin"] is None else decision["margin"]
    return 0.5 + (margin if decision["winner"] == seats[0] else -margin) / 2


# ------------------------------------------------------------------ records


def plain(meeting: Meeting) -> dict[str, Any]:
    """A meeting as a record holds it."""
    return {
        "players": dict(meeting.players), "question": meeting.question.id, "repeat": meeting.repeat, "name": meeting.name,
        "mirror": meeting.mirror, "probability": meeting.probability,
    }  # fmt: skip


def record(decided: Round) -> dict[str, Any]:
    """A round as its record holds it."""
    return {
        "meetings": [plain(meeting) for meeting in decided.meetings], "saw": dict(decided.saw),
        "standing": dict(decided.standing), "stop": decided.stop,
    }  # fmt: skip


# ------------------------------------------------------------------ how it stands


def stands(past: Sequence[Encounter], field: Field, goal: Goal) -> dict[str, Any]:
    """What is known of the order: the favoured answer, the one beside it that is least excluded, the log likelihood ratio against
    that one and what it must reach, and the two-agent comparisons that are open, each with the mirrored pairs between the two
    that it is thought to take (None where they seem equal)."""
    from arena.stats import sequential  # SciPy takes a while to import, and most runs have no order to know

    agents = sorted(field.agents)
    seen = sequential.evidence(*scored(past, agents), len(agents))
    expects = sequential.outlook(seen)
    found = sequential.known(seen, goal.top, goal.level, expects=expects)
    open_ = [(i, j) for i, j in combinations(range(len(agents)), 2) if found.matters[i, j]]
    lacking = found.missing + found.missing.T
    # Each pair adds half of what it tells times the squared difference to the log likelihood ratio.
    told = np.maximum(expects.information * expects.apart**2 / 2, 1e-9)
    left = {pair: float(lacking[pair] / told[pair]) for pair in open_}
    open_ = sorted(left, key=left.__getitem__, reverse=True)
    return {
        "top": goal.top,
        "state": found.state,
        "answer": [agents[place] for place in found.answer],
        "rival": [agents[place] for place in found.rival],
        "log_wealth": round(found.wealth, 4),
        "needed": round(found.needed, 4),
        "open": [[agents[i], agents[j]] for i, j in open_],
        "pairs_left": [math.ceil(left[pair]) if left[pair] < MOST_LEFT else None for pair in open_],
    }


def said(course: Course, match_usd: float) -> str:
    """How a tournament stands, in a line. `match_usd` is what a match has cost so far."""
    goal = course.tournament.stop.goal
    number = f"round {len(course.rounds)}"
    standing = course.standing
    if not standing or goal is None:
        return number
    what = f"top {goal.top}" if goal.top else "order"
    answer = ", ".join(standing["answer"][:LISTED]) + (" ..." if len(standing["answer"]) > LISTED else "")
    if standing["state"] == "known":
        return f"{number}: {what} known: {answer}"
    if standing["state"] == "cycles":
        return f"{number}: {what} undecided, results run in circles; so far {answer}"
    hardest = list(zip(standing["open"], standing["pairs_left"], strict=True))[:2]
    left = ", ".join(f"{a} / {b} ({_pairs(pairs, match_usd)})" for (a, b), pairs in hardest)
    more = len(standing["open"]) - len(hardest)
    return f"{number}: {what} so far {answer}; open: {left}" + (f" and {more} more" if more else "")


def _pairs(pairs: int | None, match_usd: float) -> str:
    if pairs is None:
        return "no difference so far"
    cost = f", ${2 * pairs * match_usd:.2f}" if match_usd else ""
    return f"about {pairs} {'pair' if pairs == 1 else 'pairs'}{cost}"


def ended(by: str, rounds: int, standing: Mapping[str, Any]) -> str:
    """Why a tournament stopped, in a sentence."""
    why = {
        "finished": "all pairings were played",
        "matches": "the number of matches is reached",
        "money": "the money does not pay for another mirrored pair",
        "budget": "the budget is spent",
        "order_known": "the order is known",
    }.get(by, by)
    after = f"Stopped after {rounds} {'round' if rounds == 1 else 'rounds'}"
    if not standing:
        return f"{after}: {why}."
    answer = ", ".join(standing["answer"])
    top = standing.get("top")
    what = "the order is" if top is None else "the best is" if top == 1 else f"the best {top} are"
    if by == "order_known":
        return f"{after}, since {what} known: {answer}."
    circles = ", since results run in circles" if standing["state"] == "cycles" else ""
    return f"{after}: {why}. {what.capitalize()} undecided{circles}; so far: {answer}."


# ------------------------------------------------------------------ helpers


def _at_most(meetings: list[Meeting], matches: int) -> list[Meeting]:
    """The first meetings, so many at most, without tearing a mirrored pair. They keep the probability that they had in the whole
    round: what is cut is the last round's, and cut for want of room and not for who it is."""
    if matches >= len(meetings):
        return meetings
    kept = meetings[: max(matches, 0)]
    return kept[:-1] if kept and meetings[len(kept)].mirror else kept


def _mean(scores: Iterable[float | None]) -> float | None:
    known = list(scores)
    given = [score for score in known if score is not None]
    return sum(given) / len(given) if len(given) == len(known) else None
