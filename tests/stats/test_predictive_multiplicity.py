"""Predictive multiplicity: a panel by hand, the definition written out plainly, what must hold, and coverage."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from arena.stats.predictive_multiplicity import EPSILONS, Multiplicity, multiplicity

Ints = NDArray[np.intp]
BALLOTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 4)), max_size=40)


def columns(rows: list[tuple[int, int, int]]) -> tuple[Ints, Ints, Ints]:
    table = np.array(rows, dtype=np.intp).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def panel(verdicts: dict[str, str]) -> Multiplicity:
    """One ballot a letter: `1` and `0` name a side, `.` is no ballot; epsilons 0, 0.25 and 0.5."""
    rows = [(int(v), debate, judge) for judge, text in verdicts.items() for debate, v in enumerate(text) if v != "."]
    choice, debates, judges = zip(*rows, strict=True)
    return multiplicity(choice, debates, judges, (0, 0.25, 0.5))


def plainly(
    rows: list[tuple[int, int, int]], epsilon: float
) -> tuple[int | None, set[int], float | None, float | None]:
    """Baseline, set, ambiguity and discrepancy as the definitions say it, one debate after another."""

    def most(votes: list[int]) -> int | None:
        return None if votes.count(0) == votes.count(1) else int(votes.count(1) > votes.count(0))

    judges, debates = sorted({j for *_, j in rows}), sorted({d for _, d, _ in rows})
    word = {(j, d): most([c for c, on, by in rows if (on, by) == (d, j)]) for j in judges for d in debates}
    agreed, n = Counter[int](), Counter[int]()
    for j in judges:
        for d in debates:
            others = most([w for o in judges if o != j and (w := word[o, d]) is not None])
            if word[j, d] is not None and others is not None:
                n[j] += 1
                agreed[j] += word[j, d] == others
    able = [j for j in judges if n[j] and 2 * n[j] >= max(n.values())]
    if not able:
        return None, set(), None, None
    rate = {j: agreed[j] / n[j] for j in able}
    best = min(able, key=lambda j: (-rate[j], -n[j], j))
    inside = {j for j in able if rate[best] - rate[j] <= epsilon + 1e-9}
    both = [
        d for d in debates if word[best, d] is not None and any(word[o, d] is not None for o in judges if o != best)
    ]
    differs = {j: [word[j, d] is not None and word[j, d] != word[best, d] for d in both] for j in inside}
    ambiguity = np.mean([any(differs[j][i] for j in inside) for i in range(len(both))])
    return best, inside, float(ambiguity), float(max(np.mean(of) for of in differs.values()))


# ------------------------------------------------------------------ by hand


def test_a_panel_by_hand() -> None:
    found = panel({"a": "11110000", "b": "11110001", "c": "11110010", "d": "00110000"})
    assert [(a.judge, a.with_panel.estimate) for a in found.agreements] == [
        ("a", 1.0),
        ("b", 0.875),
        ("c", 0.875),
        ("d", 0.75),
    ]
    assert found.baseline == "a"
    alone, three, all_ = found.sets[0], *found.sets[1:]
    assert alone.judges == ("a",)
    assert (alone.ambiguity.estimate, alone.discrepancy.estimate, alone.ambiguity.high) == (0, 0, None)
    assert three.judges == all_.judges == ("a", "b", "c", "d")
    assert (three.ambiguity.estimate, three.discrepancy.estimate, three.ambiguity.n) == (0.5, 0.25, 8)


def test_equally_good_judges_may_each_change_other_debates() -> None:
    found = panel({"a": "1111111111", "b": "0111111111", "c": "1011111111", "d": "1101111111"})
    near = found.sets[1]
    assert near.ambiguity.estimate == pytest.approx(0.3)
    assert near.discrepancy.estimate == pytest.approx(0.1)


def test_ballots_of_one_judge_count_as_their_majority_and_split_ones_as_no_word() -> None:
    choice = [1, 1, 0, 0, 1, 1, 1, 0, 0]
    debates = [0, 0, 0, 1, 1, 0, 1, 0, 1]
    judges = ["a", "a", "a", "a", "a", "b", "b", "c", "c"]
    found = multiplicity(choice, debates, judges, (1,))
    by = {agreement.judge: agreement.with_panel for agreement in found.agreements}
    # On debate 0 judge a names side 1, and b and c cancel out for it; on debate 1 it is split.
    assert (by["a"].estimate, by["a"].n) == (None, 0)
    assert (by["b"].estimate, by["b"].n) == (0, 1)
    assert (by["c"].estimate, by["c"].n) == (0, 2)


def test_seven_tenths_are_a_tenth_below_eight() -> None:
    wrong = [{0, 1}, *({(2 + 3 * k + i) % 10 for i in range(3)} for k in range(6))]
    rows = [(int(debate not in of), debate, judge) for judge, of in enumerate(wrong) for debate in range(10)]
    found = multiplicity(*columns(rows), (0.1,))
    assert [agreement.with_panel.estimate for agreement in found.agreements] == [0.8, *6 * [0.7]]
    assert len(found.sets[0].judges) == 7


def test_a_judge_of_few_debates_is_not_the_best_for_having_agreed_on_these() -> None:
    found = panel({"a": "1111111100", "b": "1111110011", "c": "1111111111", "guest": "1........."})
    assert {agreement.judge: agreement.compared for agreement in found.agreements} == {
        "a": True, "b": True, "c": True, "guest": False,
    }  # fmt: skip
    assert found.baseline == "c"
    assert all("guest" not in near.judges for near in found.sets)


def test_a_judge_contradicts_nobody_where_it_did_not_judge() -> None:
    found = panel({"a": "11111111", "b": "1101....", "c": "....0111"})
    assert found.baseline == "a"
    assert found.sets[-1].ambiguity.n == 8
    assert found.sets[-1].ambiguity.estimate == 0.25


def test_without_two_judges_on_a_debate_there_is_nothing_to_compare() -> None:
    for rows in ([], [(1, 0, 0)], [(1, 0, 0), (0, 1, 1)]):
        found = multiplicity(*columns(rows))
        assert found.baseline is None
        assert found.sets == ()
        assert all(agreement.with_panel.estimate is None for agreement in found.agreements)


# ------------------------------------------------------------------ what must hold


@settings(max_examples=50)
@given(BALLOTS, st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]))
def test_it_is_what_the_definitions_say(rows: list[tuple[int, int, int]], epsilon: float) -> None:
    found = multiplicity(*columns(rows), (epsilon,))
    best, inside, ambiguity, discrepancy = plainly(rows, epsilon)
    assert found.baseline == (None if best is None else str(best))
    assert [set(near.judges) for near in found.sets] == ([] if best is None else [{str(j) for j in inside}])
    assert [near.ambiguity.estimate for near in found.sets] == pytest.approx([] if best is None else [ambiguity])
    assert [near.discrepancy.estimate for near in found.sets] == pytest.approx([] if best is None else [discrepancy])


@settings(max_examples=40)
@given(BALLOTS)
def test_discrepancy_is_below_ambiguity_and_both_rise_with_epsilon(rows: list[tuple[int, int, int]]) -> None:
    sets = multiplicity(*columns(rows), (*EPSILONS, 0.5, 1.0)).sets
    for near in sets:
        assert near.discrepancy.estimate <= near.ambiguity.estimate + 1e-12
        for of in (near.ambiguity, near.discrepancy):
            assert of.low is None or 0 <= of.low <= of.estimate <= of.high <= 1
    for smaller, larger in itertools.pairwise(sets):
        assert set(smaller.judges) <= set(larger.judges)
        assert smaller.ambiguity.estimate <= larger.ambiguity.estimate
        assert smaller.discrepancy.estimate <= larger.discrepancy.estimate


@settings(max_examples=60)
@given(BALLOTS)
def test_the_names_of_sides_and_the_order_of_ballots_do_not_matter(rows: list[tuple[int, int, int]]) -> None:
    found = multiplicity(*columns(rows))
    assert multiplicity(*columns([(1 - c, d, j) for c, d, j in rows])) == found
    assert multiplicity(*columns(rows[::-1])) == found


def test_judges_who_copy_each_other_leave_no_doubt() -> None:
    choice = np.tile(np.random.default_rng(0).integers(0, 2, 30), 4)
    found = multiplicity(choice, np.tile(np.arange(30), 4), np.repeat(np.arange(4), 30))
    assert len(found.sets[0].judges) == 4
    assert found.sets[-1].ambiguity.estimate == found.sets[-1].discrepancy.estimate == 0
    assert 0 < found.sets[-1].ambiguity.high < 0.15


# ------------------------------------------------------------------ in simulation


def test_intervals_hold_the_shares_of_very_many_debates() -> None:
    random = np.random.default_rng(0)
    errors = np.array([0.0, 0.15, 0.15, 0.15, 0.2])
    many = random.random((200_000, errors.size)) < errors
    # The baseline is always right here, so that to differ from it is to err.
    ambiguity, discrepancy = many.any(axis=1).mean(), many.mean(axis=0).max()
    held = {"ambiguity": 0, "discrepancy": 0}
    for _ in range(150):
        wrong = random.random((60, errors.size)) < errors
        right = random.integers(0, 2, (60, 1))
        choice = np.where(wrong, 1 - right, right).ravel()
        found = multiplicity(choice, np.repeat(np.arange(60), 5), np.tile(np.arange(5), 60), (1.0,))
        assert found.baseline == "0"
        (near,) = found.sets
        held["ambiguity"] += near.ambiguity.low <= ambiguity <= near.ambiguity.high
        held["discrepancy"] += near.discrepancy.low <= discrepancy <= near.discrepancy.high
    assert 0.92 <= held["ambiguity"] / 150 <= 0.99
    assert held["discrepancy"] / 150 >= 0.93


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("choice", "debates", "epsilons", "said"),
    [
        ([0, 2], [0, 1], (0.1,), "1 of 2 choices are neither 0 nor 1"),
        ([0.0, np.nan], [0, 1], (0.1,), "1 of 2 choices are neither 0 nor 1"),
        ([0, 1], [0], (0.1,), r"debates has shape \(1,\) for 2 ballots"),
        ([0, 1], [0, 1], (0.1, -0.1), "epsilon must be at least 0, not -0.1"),
    ],
)
def test_bad_input_is_refused(choice: list[float], debates: list[int], epsilons: tuple[float, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        multiplicity(choice, debates, [0, 0], epsilons)
