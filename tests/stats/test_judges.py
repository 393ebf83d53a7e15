"""Judges: counts by hand, the krippendorff package's alpha, the published ballots, and intervals where the truth is known."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from arena.stats.estimate import Estimate
from arena.stats.judges import (
    family_effect,
    flip_rate,
    judge_agreement,
    krippendorff_alpha,
    length_effect,
    order_effect,
    panel_agreement,
    self_agreement,
    side_share,
)
from arena.stats.record import ours as record
from arena.stats.report_card import report_card

Ints = NDArray[np.intp]
BALLOTS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 2)), max_size=30)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def cast(random: np.random.Generator, debates: int, ballots: int, share: float, together: float) -> tuple[Ints, Ints]:
    """Choices and debates; two ballots of a debate are the same person's mind with chance `together`."""
    mind = random.random((debates, 1)) < share
    same = random.random((debates, 1)) < together
    own = random.random((debates, ballots)) < share
    return np.where(same, mind, own).ravel().astype(np.intp), np.repeat(np.arange(debates), ballots)


def columns(rows: list[tuple[int, int, int]]) -> tuple[Ints, Ints, Ints]:
    table = np.array(rows, dtype=np.intp).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


# ------------------------------------------------------------------ by hand and by another library


def test_counts_by_hand() -> None:
    choice, debates, judges = [1, 1, 0, 1, 0, 0], [0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 0, 1]
    own, between = self_agreement(choice, debates, judges), judge_agreement(choice, debates, judges)
    assert (own.agreements, own.pairs, own.share.estimate, own.share.n) == (1, 2, 0.5, 2)
    assert (between.agreements, between.pairs, between.share.estimate) == (1, 4, 0.25)
    assert side_share(choice, debates).estimate == 0.5
    assert side_share(choice, debates).n == 2


def test_a_single_ballot_a_debate_gives_wilsons_interval_with_t() -> None:
    found = side_share([1] * 40 + [0] * 20, range(60))
    assert found.statistic == pytest.approx(20 / np.sqrt(60))
    assert (found.low, found.high) == pytest.approx((0.540, 0.776), abs=0.005)


def test_a_debate_counts_once_however_many_agree_in_it() -> None:
    once = side_share([1, 0, 1, 1, 0, 1], range(6))
    often = side_share(np.repeat([1, 0, 1, 1, 0, 1], 7), np.repeat(range(6), 7))
    assert (often.estimate, often.low, often.high, often.p) == pytest.approx(
        (once.estimate, once.low, once.high, once.p)
    )


def test_all_for_one_side_is_not_taken_for_certain() -> None:
    found = side_share([1] * 20, np.repeat(range(10), 2))
    assert found.estimate == found.high == 1
    assert found.low is not None
    assert 0.6 < found.low < 0.8
    assert found.p is not None
    assert found.p < 0.01


@settings(max_examples=80)
@given(BALLOTS)
def test_alpha_is_the_packages(rows: list[tuple[int, int, int]]) -> None:
    choice, debates, _ = columns(rows)
    found = krippendorff_alpha(choice, debates, generator())
    assert found.n == sum(np.sum(debates == debate) >= 2 for debate in np.unique(debates))
    pairable = choice[[np.sum(debates == debate) >= 2 for debate in debates]] if choice.size else choice
    if np.unique(pairable).size < 2:
        assert found.estimate is None
        return
    table = np.full((30, 6), np.nan)
    for debate in range(6):
        mine = choice[debates == debate]
        table[: mine.size, debate] = mine
    expected = krippendorff.alpha(reliability_data=table, level_of_measurement="nominal", value_domain=[0, 1, 2])
    assert found.estimate == pytest.approx(expected, abs=1e-9)
    for end in (found.low, found.high):
        assert end is None or end <= 1


# ------------------------------------------------------------------ both orders of one ballot

TWICE = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 1), st.integers(0, 1)), max_size=12)
"""Ballots by debate and number, and what either reading of each names."""


def readings(rows: list[tuple[int, int, int, int]]) -> tuple[Ints, Ints, Ints, Ints]:
    """Choice, debate, ballot and order, a row a reading; a ballot that is drawn twice counts once."""
    once = {(debate, ballot): names for debate, ballot, *names in rows}
    table = [(name, *where, order) for where, names in once.items() for order, name in enumerate(names)]
    choice, debates, ballots, order = np.array(table, dtype=np.intp).reshape(-1, 4).T
    return choice, debates, ballots, order


def test_flips_by_hand() -> None:
    # Debate 0: ballot 0 flips, ballot 1 does not. Debate 1: ballot 0 flips, ballot 1 was read in one order alone.
    choice, debates = [0, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1]
    found = flip_rate(choice, debates, [0, 0, 1, 1, 0, 0, 1], [0, 1, 0, 1, 0, 1, 0])
    assert (found.flips, found.pairs, found.left_out) == (2, 3, 1)
    assert (found.rate.estimate, found.rate.n) == (pytest.approx(2 / 3), 2)


def test_a_ballot_that_was_read_twice_in_one_order_is_refused() -> None:
    with pytest.raises(ValueError, match="1 ballots were read more than once in one order"):
        flip_rate([0, 1], [0, 0], [0, 0], [1, 1])


def test_who_goes_by_order_alone_flips_always_and_leans_to_no_side() -> None:
    order = np.tile([0, 1], 40)
    debates, first = np.repeat(range(40), 2), order
    found, share = flip_rate(first, debates, np.zeros(80), order), side_share(first, debates)
    assert (found.rate.estimate, found.rate.high, share.estimate) == (1, 1, 0.5)
    assert found.rate.low is not None
    assert found.rate.low > 0.85


@settings(max_examples=60)
@given(TWICE)
def test_flips_are_what_counting_gives_whatever_order_is_called_first(rows: list[tuple[int, int, int, int]]) -> None:
    choice, debates, ballots, order = readings(rows)
    found, other = (flip_rate(choice, debates, ballots, way) for way in (order, 1 - order))
    once = {(debate, ballot): names for debate, ballot, *names in rows}
    assert found.flips == sum(one != two for one, two in once.values())
    assert (found.pairs, found.left_out) == (len(once), 0)
    assert found == other


def test_the_interval_of_the_flip_rate_covers_the_truth() -> None:
    """Three judges on each of 40 debates, whose flips go together within a debate: 95 % intervals cover 92 % at least."""
    random, covered = generator(), 0
    for _ in range(400):
        chance = random.beta(2, 4, size=(40, 1))
        flipped = random.random((40, 3)) < chance
        choice = np.stack([np.zeros_like(flipped), flipped], axis=2).astype(np.intp).ravel()
        debates, ballots = np.repeat(range(40), 6), np.tile(np.repeat(range(3), 2), 40)
        rate = flip_rate(choice, debates, ballots, np.tile([0, 1], 120)).rate
        assert rate.low is not None
        assert rate.high is not None
        covered += rate.low <= 1 / 3 <= rate.high
    assert 0.92 <= covered / 400 <= 0.985


# ------------------------------------------------------------------ the others, and the own family


def test_agreement_with_the_panel_by_hand() -> None:
    # Debate 0: the others say 1, 1, 0 and it says 1. Debate 1: they are divided. Debate 2: they say 0, it says 1 and 0.
    choice, debates = [1, 1, 0, 1, 1, 0, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    own = [False, False, False, True, False, False, True, False, True, True]
    found = panel_agreement(choice, debates, own)
    assert (found.estimate, found.n) == (pytest.approx(2 / 3), 2)


def test_nobody_agrees_with_a_panel_that_is_not_there() -> None:
    assert panel_agreement([1, 0], [0, 1], [True, True]) == Estimate(None)


def test_a_family_effect_is_what_is_beyond_the_side_being_better() -> None:
    # Three debates: all who are of neither family find the side better in the first, worse in the second.
    named, debates = [1, 1, 1, 0, 1, 1, 1], [0, 0, 0, 1, 1, 2, 2]
    kin = [True, False, False, False, True, True, False]
    assert family_effect(named, debates, kin).estimate == pytest.approx((0 + 1 + 0) / 3)


def test_a_debate_without_other_judges_says_nothing_of_family() -> None:
    assert family_effect([1, 1], [0, 1], [True, True]) == Estimate(None)


def test_a_family_effect_is_recovered_whatever_the_sides_are_worth() -> None:
    random = generator()
    worth = random.normal(size=(4000, 1))
    named = random.random((4000, 3)) < expit(worth + np.array([0.8, 0.0, 0.0]))
    found = family_effect(named.ravel(), np.repeat(range(4000), 3), np.tile([True, False, False], 4000))
    truth = float(np.mean(expit(worth + 0.8) - expit(worth)))
    assert found.low is not None
    assert found.high is not None
    assert found.low < truth < found.high
    assert found.high - found.low < 0.05


# ------------------------------------------------------------------ the report card


def test_a_report_card_has_a_row_a_judge_and_holds_what_there_is() -> None:
    share, flips = Estimate(0.75, 0.6, 0.86, n=40), Estimate(0.2, 0.1, 0.35, n=40)
    records = [
        record("judge_side_share", share, condition="c", model="v/one", contrast="opposition"),
        record("judge_side_share", share, condition="c", contrast="opposition"),
        record("judge_flip_rate", flips, condition="c", model="v/two"),
        record("judge_agreement", flips, condition="c", model="v/one", contrast="within"),
        record("brier", share, condition="c", model="v/debater"),
    ]
    one, two = report_card(records)
    assert (one.judge, one.side_share, one.consistency, one.flip_rate) == ("v/one", records[0], records[3], None)
    assert (two.judge, two.flip_rate, two.side_share) == ("v/two", records[2], None)


# ------------------------------------------------------------------ what must hold


@settings(max_examples=60)
@given(BALLOTS)
def test_pairs_within_and_between_judges_are_all_pairs(rows: list[tuple[int, int, int]]) -> None:
    choice, debates, judges = columns(rows)
    own, between = self_agreement(choice, debates, judges), judge_agreement(choice, debates, judges)
    together = [(a, b) for a in rows for b in rows if a is not b and a[1] == b[1]]
    assert own.pairs + between.pairs == len(together) / 2
    assert own.agreements == sum(a[0] == b[0] and a[2] == b[2] for a, b in together) / 2
    assert between.agreements == sum(a[0] == b[0] and a[2] != b[2] for a, b in together) / 2
    for found in (own.share, between.share):
        for value in (found.estimate, found.low, found.high):
            assert value is None or 0 <= value <= 1


@settings(max_examples=60)
@given(BALLOTS)
def test_the_other_sides_share_is_the_rest(rows: list[tuple[int, int, int]]) -> None:
    choice, debates, _ = columns(rows)
    choice = choice % 2
    found, other = side_share(choice, debates), side_share(1 - choice, debates)
    if found.estimate is None:
        assert not rows
        return
    assert other.estimate == pytest.approx(1 - found.estimate)
    assert other.p == pytest.approx(found.p)
    if found.low is not None:
        assert other.high == pytest.approx(1 - found.low)
        assert 0 <= found.low <= found.estimate <= (found.high or 0) <= 1


# ------------------------------------------------------------------ what is not there


def test_nothing_gives_nothing() -> None:
    assert side_share([], []) == Estimate(None)
    assert self_agreement([], [], []).share == Estimate(None)
    assert judge_agreement([0, 1], [0, 0], [3, 3]).share == Estimate(None)
    assert krippendorff_alpha([], [], generator()) == Estimate(None)
    assert krippendorff_alpha([0, 1], [0, 1], generator()) == Estimate(None)
    assert krippendorff_alpha([0, 0, 0, 0], [0, 0, 1, 1], generator()) == Estimate(None, n=2)
    assert krippendorff_alpha([0, 1], [0, 0], generator()).low is None
    assert order_effect([], [], []).difference == Estimate(None)
    assert order_effect([0, 1], [0, 1], [1, 1]).difference == Estimate(None, n=2)
    assert length_effect([], [], [], []).slope == Estimate(None)


def test_what_cannot_be_used_is_named() -> None:
    with pytest.raises(ValueError, match="1 of 2 values of choice are NaN"):
        side_share([0, np.nan], [0, 1])
    with pytest.raises(ValueError, match="1 of 2 choices are neither"):
        side_share([0, 2], [0, 1])
    with pytest.raises(ValueError, match=r"judges has shape \(1,\) for 2 ballots"):
        self_agreement([0, 1], [0, 1], [0])
    with pytest.raises(ValueError, match="order must hold"):
        order_effect([0, 1], [0, 1], [0, 2])
    with pytest.raises(ValueError, match="1 of 2 ballots have a side without text"):
        length_effect([0, 1], [0, 1], [10, 0], [10, 10])


# ------------------------------------------------------------------ order and length


def test_debates_judged_both_ways_are_compared_with_themselves() -> None:
    choice, debates, order = [0, 1, 1, 1, 0, 1, 1], [0, 0, 1, 1, 2, 2, 3], [0, 1, 0, 1, 0, 1, 1]
    found = order_effect(choice, debates, order)
    assert found.paired
    assert found.left_out == 1
    assert found.difference.estimate == pytest.approx(2 / 3)
    assert found.difference.n == 3


def test_debates_judged_one_way_are_compared_with_others() -> None:
    found = order_effect([0, 1, 0, 0, 1, 1, 0, 1], range(8), [0, 0, 0, 0, 1, 1, 1, 1])
    assert not found.paired
    assert found.left_out == 0
    assert found.difference.estimate == pytest.approx(0.5)
    assert found.difference.n == 8


def test_a_few_debates_judged_both_ways_do_not_make_the_others_drop_out() -> None:
    found = order_effect([0, 1, 0, 0, 1, 1], [0, 0, 1, 2, 3, 4], [0, 1, 0, 0, 1, 1])
    assert not found.paired
    assert found.difference.n == 5
    assert found.difference.estimate == 1


@pytest.mark.parametrize("both", [True, False])
def test_the_effect_of_order_is_recovered(both: bool) -> None:
    random, covered, wrong = generator(), 0, 0
    for _ in range(300):
        leaning = random.beta(2, 2, 60)
        if both:
            debates, order = np.repeat(np.arange(60), 2), np.tile([0, 1], 60)
        else:
            debates, order = np.arange(60), np.arange(60) % 2
        for effect in (0.2, 0.0):
            choice = random.random(debates.size) < (0.8 * leaning[debates] + effect * order)
            found = order_effect(choice.astype(int), debates, order)
            assert found.paired == both
            if effect:
                assert found.difference.low is not None
                assert found.difference.high is not None
                covered += found.difference.low <= effect <= found.difference.high
            else:
                wrong += found.difference.p is not None and found.difference.p < 0.05
    assert 0.915 <= covered / 300 <= 0.985
    assert wrong / 300 <= 0.09


def test_the_effect_of_length_is_recovered_in_log_odds_per_log_ratio() -> None:
    random = generator()
    first, second = np.exp(random.normal(8, 0.3, (2, 4000)))
    chance = expit(0.3 + 1.5 * np.log(second / first))
    debates = np.repeat(np.arange(4000), 3)
    choice = (random.random(12_000) < chance[debates]).astype(int)
    found = length_effect(choice, debates, first[debates], second[debates])
    assert found.slope.estimate == pytest.approx(1.5, abs=0.15)
    assert found.intercept.estimate == pytest.approx(0.3, abs=0.06)
    assert found.slope.n == 4000
    turned = length_effect(1 - choice, debates, second[debates], first[debates])
    assert turned.slope.estimate == pytest.approx(found.slope.estimate, abs=1e-6)


def test_a_length_that_separates_gives_no_estimate() -> None:
    found = length_effect([0, 0, 0, 0, 1, 1, 1, 1], range(8), [100] * 8, [50, 60, 70, 80, 120, 130, 140, 150]).slope
    assert found.estimate is None
    assert found.test is not None
    assert "separated" in found.test


# ------------------------------------------------------------------ where the truth is known


def covered(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([e.low is not None and e.high is not None and e.low <= truth <= e.high for e in estimates]))


@pytest.mark.parametrize(("ballots", "share", "together"), [(1, 0.5, 0.0), (2, 0.5, 0.5), (6, 0.7, 0.5), (2, 0.9, 0.5)])
def test_intervals_cover_the_truth(ballots: int, share: float, together: float) -> None:
    random = generator()
    drawn = [cast(random, 60, ballots, share, together) for _ in range(400)]
    assert 0.925 <= covered([side_share(*rows) for rows in drawn], share) <= 0.985
    if ballots == 1:
        return
    # Two ballots of a debate agree if they are one mind, or by chance.
    agree = together + (1 - together) * (share**2 + (1 - share) ** 2)
    alone = np.zeros(60 * ballots, dtype=int)
    assert 0.92 <= covered([self_agreement(*rows, alone).share for rows in drawn], agree) <= 0.99
    alphas = [krippendorff_alpha(*rows, random) for rows in drawn]
    assert 0.9 <= covered(alphas, together) <= 0.985


def size(replications: int, ballots: int, together: float) -> float:
    random = generator()
    found = (side_share(*cast(random, 60, ballots, 0.5, together)).p for _ in range(replications))
    return float(np.mean([p is not None and p < 0.05 for p in found]))


@pytest.mark.parametrize(("ballots", "together"), [(1, 0.0), (2, 0.5), (6, 0.3), (6, 0.9)])
def test_the_test_of_the_side_share_keeps_its_size(ballots: int, together: float) -> None:
    assert size(500, ballots, together) <= 0.085


@pytest.mark.slow
@pytest.mark.parametrize(("ballots", "together"), [(1, 0.0), (2, 0.5), (6, 0.3), (6, 0.9)])
def test_the_test_of_the_side_share_keeps_its_size_over_many_replications(ballots: int, together: float) -> None:
    assert 0.035 <= size(4000, ballots, together) <= 0.065


# ------------------------------------------------------------------ the published ballots


@pytest.fixture
def published(reference: Path) -> tuple[dict[tuple[str, str], float], Any, Any, Any]:
    """The published judge numbers, and the ballots: choice, debate, judge."""
    folder = reference / "two_llms_debate"
    if not folder.exists():
        pytest.skip(f"{folder} is not there")
    with (folder / "published.csv").open(encoding="utf-8") as file:
        numbers = {
            (row["id"], row["key"]): float(row["from_data"])
            for row in csv.DictReader(file)
            if row["id"] in ("ju.intra", "ju.perjudge")
        }
    with gzip.open(folder / "debates.jsonl.gz", "rt", encoding="utf-8") as lines:
        ballots = [
            (verdict["winner"] == "opposition", debate["debate_id"], verdict["judge"])
            for debate in map(json.loads, lines)
            if debate["condition"] == "cross_model"
            for verdict in debate["judgments"]
        ]
    choice, debates, judges = (np.array(column) for column in zip(*ballots, strict=True))
    return numbers, choice.astype(int), debates, judges


@pytest.mark.reference
def test_published_ballots_have_the_published_numbers(published: tuple[Any, Any, Any, Any]) -> None:
    numbers, choice, debates, judges = published
    models = np.unique(judges)
    assert len(models) == 3
    for model in models:
        own = judges == model
        share, of = numbers["ju.perjudge", f"{model}[0]"], numbers["ju.perjudge", f"{model}[1]"]
        assert side_share(choice[own], debates[own]).estimate == pytest.approx(share / of, abs=1e-12)
        found = self_agreement(choice[own], debates[own], judges[own])
        assert found.agreements == numbers["ju.intra", f"{model}[0]"]
        assert found.pairs == found.share.n == numbers["ju.intra", f"{model}[1]"]
