"""Who meets whom, on what, from which side."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena import config
from arena.meetings import Field, Meeting, ScheduleError
from arena.schedule import explicit, round_robin
from arena.schedule import self as against_itself
from arena.settings import ConfigError
from arena.types import MatchSpec, Question

SEATS = ("proposition", "opposition")

agents = st.lists(st.sampled_from([f"agent {letter}" for letter in "abcdef"]), min_size=2, max_size=6, unique=True)
questions = st.integers(1, 4).map(lambda n: [Question(f"q{i}", f"Motion {i}.") for i in range(n)])
repeats = st.integers(1, 3)


def field(
    candidates: Sequence[str] | Mapping[str, Sequence[str]],
    on: Sequence[Question] = (Question("q", "Motion."),),
    **how: Any,
) -> Field:
    if not isinstance(candidates, Mapping):
        candidates = dict.fromkeys(SEATS, candidates)
    return Field(candidates, on, **how)


def pair(meeting: Meeting) -> tuple[str, str]:
    return meeting.players["proposition"], meeting.players["opposition"]


def sides(plan: Sequence[Meeting]) -> tuple[Counter[str], Counter[str]]:
    """How often each agent speaks for, and how often against."""
    return Counter(pair(meeting)[0] for meeting in plan), Counter(pair(meeting)[1] for meeting in plan)


# ------------------------------------------------------------------ round robin


@given(agents, questions, repeats, st.booleans())
def test_a_round_robin_has_every_pair_on_every_question_as_often_as_asked(
    agents: list[str], questions: list[Question], repeats: int, mirrored: bool
) -> None:
    plan = round_robin.meetings(field(agents, questions, repeats=repeats, mirrored=mirrored))
    met = Counter((frozenset(pair(meeting)), meeting.question.id, meeting.repeat) for meeting in plan)
    once = 2 if mirrored else 1
    assert met == {
        (frozenset(two), question.id, repeat): once
        for two in combinations(agents, 2)
        for question in questions
        for repeat in range(repeats)
    }


@given(agents, questions, repeats, st.booleans())
def test_a_round_robin_has_as_many_matches_as_the_formula_says(
    agents: list[str], questions: list[Question], repeats: int, mirrored: bool
) -> None:
    n = len(agents)
    plan = round_robin.meetings(field(agents, questions, repeats=repeats, mirrored=mirrored))
    assert len(plan) == n * (n - 1) // 2 * len(questions) * repeats * (2 if mirrored else 1)


@given(agents, questions, repeats, st.booleans())
def test_sides_are_balanced_exactly_when_mirrored(
    agents: list[str], questions: list[Question], repeats: int, mirrored: bool
) -> None:
    proposed, opposed = sides(round_robin.meetings(field(agents, questions, repeats=repeats, mirrored=mirrored)))
    assert (proposed == opposed) is mirrored


@given(agents, questions, repeats)
def test_a_mirror_stands_right_behind_its_counterpart_with_sides_swapped(
    agents: list[str], questions: list[Question], repeats: int
) -> None:
    plan = round_robin.meetings(field(agents, questions, repeats=repeats))
    assert [meeting.mirror for meeting in plan] == [False, True] * (len(plan) // 2)
    for first, second in zip(plan[::2], plan[1::2], strict=True):
        assert pair(second) == pair(first)[::-1]
        assert (second.question, second.repeat) == (first.question, first.repeat)


@given(agents, st.booleans())
def test_nobody_meets_itself_in_a_round_robin(agents: list[str], mirrored: bool) -> None:
    assert all(one != other for one, other in map(pair, round_robin.meetings(field(agents, mirrored=mirrored))))


@given(agents, questions)
def test_a_schedule_is_the_same_every_time(agents: list[str], questions: list[Question]) -> None:
    asked = field(agents, questions)
    assert round_robin.meetings(asked) == round_robin.meetings(asked)


@given(agents, questions, st.booleans())
def test_a_seat_that_the_user_filled_meets_everybody_else(
    agents: list[str], questions: list[Question], mirrored: bool
) -> None:
    filled = field({"proposition": ["guest"], "opposition": agents}, questions, mirrored=mirrored)
    plan = round_robin.meetings(filled)
    assert len(plan) == len(agents) * len(questions) * (2 if mirrored else 1)
    assert all("guest" in pair(meeting) for meeting in plan)
    assert {meeting.players["opposition"] for meeting in plan if not meeting.mirror} == set(agents)


@given(agents)
def test_a_filled_seat_does_not_meet_the_agent_of_its_own_name(agents: list[str]) -> None:
    plan = round_robin.meetings(field({"proposition": agents[:1], "opposition": agents}, mirrored=False))
    assert [pair(meeting) for meeting in plan] == [(agents[0], other) for other in agents[1:]]


def test_two_filled_seats_are_one_pairing() -> None:
    plan = round_robin.meetings(field({"proposition": ["one"], "opposition": ["other"]}))
    assert [pair(meeting) for meeting in plan] == [("one", "other"), ("other", "one")]


def test_the_same_agent_in_both_filled_seats_plays_itself_once() -> None:
    """A swapped copy is the same match."""
    seats = {"proposition": ["one"], "opposition": ["one"]}
    plan = round_robin.meetings(replace(field(seats), filled=list(seats)))
    assert [(pair(meeting), meeting.mirror) for meeting in plan] == [(("one", "one"), False)]


def test_a_round_robin_without_agents_is_refused_and_names_the_other_schedule() -> None:
    with pytest.raises(ScheduleError, match=r"two agents at least.*schedule=self"):
        round_robin.meetings(field([]))


def test_a_filled_seat_needs_somebody_else_to_meet() -> None:
    with pytest.raises(ScheduleError, match="two agents"):
        round_robin.meetings(field({"proposition": ["guest"], "opposition": []}))


# ------------------------------------------------------------------ self


@given(agents, questions, repeats, st.booleans())
def test_self_has_every_agent_against_its_copy_once_a_question_and_repeat(
    agents: list[str], questions: list[Question], repeats: int, mirrored: bool
) -> None:
    plan = against_itself.meetings(field(agents, questions, repeats=repeats, mirrored=mirrored))
    met = Counter((pair(meeting), meeting.question.id, meeting.repeat) for meeting in plan)
    assert met == {
        ((agent, agent), question.id, repeat): 1
        for agent in agents
        for question in questions
        for repeat in range(repeats)
    }


def test_self_with_one_filled_seat_takes_the_agent_that_may_sit_in_both() -> None:
    plan = against_itself.meetings(field({"proposition": ["b"], "opposition": ["a", "b", "c"]}))
    assert [pair(meeting) for meeting in plan] == [("b", "b")]


def test_self_with_different_agents_in_the_seats_is_refused_and_says_who_sits_there() -> None:
    with pytest.raises(ScheduleError, match=r"proposition: one, opposition: other"):
        against_itself.meetings(field({"proposition": ["one"], "opposition": ["other"]}))


# ------------------------------------------------------------------ explicit

Row = dict[str, Any]


def listed(*rows: Row, **how: Any) -> list[Meeting]:
    return explicit.meetings(field(["a", "b"], [Question("known", "A known motion.")], rows=rows, **how))


def row(**cells: Any) -> Row:
    return {"topic": "known", "proposition": "a", "opposition": "b"} | cells


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("ab")), min_size=1, max_size=6), repeats, st.booleans()
)
def test_an_explicit_list_is_played_as_it_stands(pairs: list[tuple[str, str]], repeats: int, mirrored: bool) -> None:
    rows = [row(proposition=one, opposition=other) for one, other in pairs]
    plan = listed(*rows, repeats=repeats, mirrored=mirrored)
    assert [pair(meeting) for meeting in plan] == [two for two in pairs for _ in range(repeats)]
    assert not any(meeting.mirror for meeting in plan)


@pytest.mark.parametrize("topic", ["known", "A known motion."])
def test_a_topic_of_the_configuration_is_meant_by_its_id_or_its_text(topic: str) -> None:
    assert listed(row(topic=topic))[0].question == Question("known", "A known motion.")


def test_any_other_topic_is_a_motion_with_an_id_of_its_own() -> None:
    plan = listed(row(topic="New."), row(topic="Newer."), row(topic="New."))
    assert [meeting.question for meeting in plan] == [
        Question("topic_1", "New."),
        Question("topic_2", "Newer."),
        Question("topic_1", "New."),
    ]


def test_a_match_keeps_the_name_that_the_list_gives_it() -> None:
    assert [meeting.name for meeting in listed(row(match="final"), row(match=""), row())] == ["final", None, None]


@pytest.mark.parametrize("column", ["topic", "proposition", "opposition"])
@pytest.mark.parametrize("cell", ["", "  ", None])
def test_an_empty_cell_is_refused_by_row_and_column(column: str, cell: str | None) -> None:
    with pytest.raises(ScheduleError, match=f"row 2 .* no {column}"):
        listed(row(), row(**{column: cell}))


def test_explicit_without_a_list_says_how_to_give_one() -> None:
    with pytest.raises(ScheduleError, match=r"matches=FILE\.csv"):
        listed()


def test_two_motions_may_not_share_an_id() -> None:
    with pytest.raises(ScheduleError):
        listed(row(topic="New.", topic_id="same"), row(topic="Other.", topic_id="same"))


# ------------------------------------------------------------------ from the configuration to matches


@cache
def _composed() -> dict[str, Any]:
    return config.compose(["topics.limit=2"])


def matches(n_agents: int, **schedule: Any) -> tuple[MatchSpec, ...]:
    resolved = copy.deepcopy(_composed())
    resolved["agents"] = {f"agent {n}": {"model": f"simulated/rational:{n}"} for n in range(n_agents)}
    resolved["schedule"] |= schedule
    return config.experiment(resolved).matches


@settings(max_examples=20)
@given(st.integers(2, 4), repeats, st.sampled_from(["round_robin", "self"]), st.booleans())
def test_every_match_has_an_id_and_a_seed_of_its_own(n: int, repeats: int, name: str, mirrored: bool) -> None:
    specs = matches(n, repeats=repeats, name=name, mirrored=mirrored)
    assert len({spec.id for spec in specs}) == len({spec.seed for spec in specs}) == len(specs)
    assert len({spec.name for spec in specs}) == len(specs)


@settings(max_examples=20)
@given(st.integers(2, 4), repeats)
def test_mirror_of_names_the_match_with_the_same_players_on_the_other_sides(n: int, repeats: int) -> None:
    specs = {spec.id: spec for spec in matches(n, repeats=repeats)}
    mirrors = [spec for spec in specs.values() if spec.mirror_of]
    assert len(mirrors) * 2 == len(specs)
    for spec in mirrors:
        other = specs[str(spec.mirror_of)]
        assert other.mirror_of is None
        assert spec.players["proposition"] == other.players["opposition"]
        assert spec.players["opposition"] == other.players["proposition"]
        assert (spec.question, spec.repeat) == (other.question, other.repeat)


def test_nothing_is_a_mirror_where_nothing_is_mirrored() -> None:
    assert not any(spec.mirror_of for spec in matches(3, mirrored=False))


def test_adding_a_repeat_keeps_the_matches_that_were_there() -> None:
    """So that a longer run can be compared with a shorter one, match by match."""
    assert {spec.id for spec in matches(3, repeats=1)} < {spec.id for spec in matches(3, repeats=2)}


def test_a_round_robin_of_one_agent_is_refused() -> None:
    with pytest.raises(ConfigError, match="two agents"):
        matches(1)
