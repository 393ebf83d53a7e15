"""From the tables of runs to comparisons: what is a row, what is counted as missing, and what tables cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import OPP, PRO, Match, everybody, tables

from arena.compared import DECISION, RateError, compared
from arena.stats.comparisons import Comparisons


def rows(held: Comparisons) -> list[tuple[str, str, str, float]]:
    """Judge, first and second agent, score."""
    return [
        (held.judges[j], held.agents[a], held.agents[b], s)
        for j, a, b, s in zip(held.judge, held.first, held.second, held.score, strict=True)
    ]


def test_every_ballot_that_was_read_is_a_row() -> None:
    found = compared(tables([Match("a", "b", [("j", PRO), ("k", OPP), ("k", None), ("j", PRO), ("k", PRO)])]))
    assert rows(found.comparisons) == [("j", "a", "b", 1.0)] * 2 + [("k", "a", "b", 0.0), ("k", "a", "b", 1.0)]
    assert found.unreadable == 1
    assert set(found.comparisons.match) == {0}


def test_a_decision_stands_where_no_ballots_are_known() -> None:
    found = compared(tables([Match("a", "b", winner=OPP), Match("a", "b", [("j", PRO)], winner=PRO)]))
    assert sorted(rows(found.comparisons)) == [(DECISION, "a", "b", 0.0), ("j", "a", "b", 1.0)]
    assert found.without_ballots == 1


@pytest.mark.parametrize(
    ("winner", "decision", "score"),
    [(PRO, "most_votes", 1.0), (OPP, "larger_sum", 0.0), (None, "tie", 0.5), (PRO, "tie", 0.5), (OPP, "forfeit", 0.0)],
)
def test_by_decision_a_draw_is_a_tie_and_so_is_a_lot(winner: str | None, decision: str, score: float) -> None:
    match = Match("a", "b", [("j", PRO)], winner=winner, decision=decision)
    found = compared(tables([match]), by="decision")
    assert rows(found.comparisons) == [(DECISION, "a", "b", score)]
    assert found.without_ballots == 0


def test_what_is_missing_is_counted() -> None:
    found = compared(
        tables(
            [
                Match("a", "b", [("j", PRO), ("k", None)]),
                Match("a", "b", [("j", PRO)], status="unfinished", decision=None),
                Match("a", "b", status="planned", decision=None),
                Match("a", "b", [("j", None)], decision="none"),
            ]
        )
    )
    assert (found.planned, found.unfinished, found.undecided, found.missing, found.unreadable) == (4, 2, 1, 3, 2)
    assert len(rows(found.comparisons)) == 1


def test_mirrored_matches_are_a_pair_and_topics_are_groups() -> None:
    ballot = [("j", PRO)]
    found = compared(
        tables(
            [
                Match("a", "b", ballot, topic="T2"),
                Match("b", "a", ballot, topic="T2", mirrors=0),
                Match("a", "b", ballot, topic="T1"),
                Match("b", "a", ballot, topic="T2", probability=0.25),
            ]
        )
    ).comparisons
    by_match = {
        (found.agents[a], t, p): pair
        for a, t, p, pair in zip(found.first, found.topic, found.probability, found.pair, strict=True)
    }
    assert by_match["a", 1, 1.0] == by_match["b", 1, 1.0]
    assert len({by_match["a", 1, 1.0], by_match["a", 0, 1.0], by_match["b", 1, 0.25]}) == 3


def test_matches_with_others_are_left_out() -> None:
    matches = [Match("a", "b", [("j", PRO)]), Match("a", "c", [("j", PRO)]), Match("c", "b", [("j", PRO)])]
    without, only = compared(tables(matches), without=["c"]), compared(tables(matches), only=["a", "b"])
    assert rows(without.comparisons) == rows(only.comparisons) == [("j", "a", "b", 1.0)]
    assert without.comparisons.agents == ("a", "b")
    assert without.planned == 1


def test_the_first_seat_is_the_game_s_first_whatever_comes_first_in_the_tables() -> None:
    held = tables([Match("a", "b", [("j", PRO)])])
    held["seats"] = held["seats"].iloc[::-1]
    found = compared(held)
    assert found.seats == (PRO, OPP)
    assert rows(found.comparisons) == [("j", "a", "b", 1.0)]


AGENTS = st.sampled_from("abcd")
CHOICES = st.sampled_from([PRO, OPP, None])
MATCHES = st.lists(
    st.builds(
        Match, AGENTS, AGENTS, st.lists(st.tuples(st.sampled_from("jkl"), CHOICES), max_size=5).map(tuple),
        topic=st.sampled_from(["T1", "T2", "T3"]), winner=CHOICES,
        decision=st.sampled_from(["most_votes", "tie", "none"]), status=st.sampled_from(["finished", "unfinished"]),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


def one_by_one(matches: Iterable[Match]) -> Counter[tuple[str, str, str, float]]:
    """The verdicts, counted row by row."""
    counted: Counter[tuple[str, str, str, float]] = Counter()
    for match in matches:
        said = [(judge, float(choice == PRO)) for judge, choice in match.ballots if choice]
        if not said and (match.decision == "tie" or match.winner):
            said = [(DECISION, 0.5 if match.decision == "tie" else float(match.winner == PRO))]
        counted.update((judge, match.first, match.second, got) for judge, got in said if match.status == "finished")
    return counted


@settings(max_examples=40)
@given(MATCHES)
def test_verdicts_are_those_that_one_counts_match_by_match(matches: list[Match]) -> None:
    # One that was decided in any case, since tables without a verdict are refused.
    matches = [*matches, Match("a", "b", [("j", PRO)])]
    assert Counter(rows(compared(tables(matches)).comparisons)) == one_by_one(matches)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    held = tables(everybody())
    mixed = {name: table.sample(frac=1, random_state=seed) for name, table in held.items()}
    one, other = compared(held).comparisons, compared(mixed).comparisons
    assert (one.agents, one.judges) == (other.agents, other.judges)
    for name in ("first", "second", "score", "judge", "match", "pair", "topic", "probability"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name


# ------------------------------------------------------------------ tables that cannot be right


def test_a_match_that_lacks_an_agent_is_named() -> None:
    held = tables([Match("ann", "bob", [("j", PRO)]), Match("bob", "ann", [("j", PRO)])])
    held["seats"] = held["seats"].iloc[1:]
    with pytest.raises(RateError, match=r"match 3d6 |match .* has nobody in the seat 'proposition'"):
        compared(held)


def test_a_game_of_three_seats_is_refused() -> None:
    held = tables([Match("ann", "bob", [("j", PRO)])])
    third = held["seats"].iloc[:1].assign(seat="third")
    held["seats"] = pd.concat([held["seats"], third], ignore_index=True)
    with pytest.raises(RateError, match="between two seats; these have opposition, proposition, third"):
        compared(held)


@pytest.mark.parametrize("chance", [0.0, 1.5, -1.0])
def test_a_probability_that_is_none_is_refused(chance: float) -> None:
    with pytest.raises(RateError, match="probability of a pairing must be above 0"):
        compared(tables([Match("ann", "bob", [("j", PRO)], probability=chance)]))


def test_a_mirrored_pair_on_two_topics_is_refused() -> None:
    ballot = [("j", PRO)]
    with pytest.raises(RateError, match="mirrored pair must be on one topic"):
        compared(tables([Match("ann", "bob", ballot), Match("bob", "ann", ballot, topic="T2", mirrors=0)]))
