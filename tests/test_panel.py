"""The panel's rule: which side the ballots name."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.types import Ballot, Decision
from judges.panel import Rule, decide, panel_rule

PRO, OPP = "proposition", "opposition"


def ballots(pro: list[float], opp: list[float]) -> list[Ballot]:
    """Ballots by the probabilities, in percent, that are stated for either side."""
    said = [(PRO, percent) for percent in pro] + [(OPP, percent) for percent in opp]
    return [Ballot(f"judge/{n}", choice, percent / 100) for n, (choice, percent) in enumerate(said)]


def winner(cast: list[Ballot], rule: Rule = "most_votes", tie: str = "draw", seed: int = 0) -> tuple[str | None, str]:
    decision = decide(cast, seed, rule=rule, tie=tie)
    return decision.winner, decision.how


# ------------------------------------------------------------------ known cases


def test_most_votes_wins_whatever_is_stated() -> None:
    assert decide(ballots([51, 52, 53, 54], [99, 99]), 0, rule="most_votes", tie="draw") == Decision(
        PRO, "most_votes", pytest.approx(2 / 6)
    )


def test_the_larger_sum_wins_whatever_the_votes() -> None:
    assert decide(ballots([51, 52, 53], [90, 91]), 0, rule="larger_sum", tie="draw") == Decision(
        OPP, "larger_sum", pytest.approx((181 - 156) / (181 + 156))
    )


def test_three_to_three_is_a_draw_where_ties_stay() -> None:
    cast = ballots([90, 90, 90], [60, 60, 60])
    assert decide(cast, 0, rule="most_votes", tie="draw") == Decision(None, "tie", 0.0)


def test_three_to_three_goes_to_the_named_side() -> None:
    assert winner(ballots([90, 90, 90], [60, 60, 60]), tie=OPP) == (OPP, "tie")


def test_three_to_three_is_settled_by_lot() -> None:
    cast = ballots([90, 90, 90], [60, 60, 60])
    drawn = Counter(winner(cast, tie="lot", seed=seed) for seed in range(400))
    assert set(drawn) == {(PRO, "tie"), (OPP, "tie")}
    assert 150 < drawn[PRO, "tie"] < 250


@pytest.mark.parametrize("pro", list(itertools.permutations([65, 70, 80])))
def test_215_to_215_is_a_tie_of_sums(pro: tuple[float, ...]) -> None:
    assert winner(ballots(list(pro), [75, 70, 70]), rule="larger_sum") == (None, "tie")


def test_sums_that_differ_by_one_percent_are_no_tie() -> None:
    assert winner(ballots([70, 75, 70], [70, 75, 71]), rule="larger_sum") == (OPP, "larger_sum")


@pytest.mark.parametrize("rule", ["most_votes", "larger_sum"])
@pytest.mark.parametrize("tie", ["draw", "lot", PRO])
def test_nobody_decides_without_ballots(rule: Rule, tie: str) -> None:
    assert decide([], 0, rule=rule, tie=tie) == Decision(None, "none", None)


def test_ballots_that_are_missing_are_not_votes() -> None:
    assert decide(ballots([60], [])[:1], 0, rule="most_votes", tie="draw") == Decision(PRO, "most_votes", 1.0)


def test_a_tie_between_others_does_not_go_to_the_named_option() -> None:
    cast = [Ballot("j", choice, 0.5) for choice in ("a", "b")]
    assert winner(cast, tie="c") == (None, "tie")


def test_a_tie_for_second_place_is_no_tie() -> None:
    cast = [Ballot("j", choice, 0.5) for choice in ("a", "a", "b", "c")]
    assert decide(cast, 0, rule="most_votes", tie="draw") == Decision("a", "most_votes", 0.25)


def test_ballots_that_all_state_zero_are_a_tie_of_sums() -> None:
    assert winner(ballots([0], [0]), rule="larger_sum") == (None, "tie")


def test_an_unknown_rule_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="'loudest'; it can be most_votes or larger_sum"):
        panel_rule("loudest", "draw")


def test_a_rule_in_place_decides_as_the_rule_does() -> None:
    cast = ballots([51, 52, 53], [90, 91])
    assert panel_rule("larger_sum", "draw")(cast, 7) == decide(cast, 7, rule="larger_sum", tie="draw")


# ------------------------------------------------------------------ properties

options = st.sampled_from([PRO, OPP, "neither"])
votes = st.builds(Ballot, st.just("judge"), options, st.integers(0, 100).map(lambda percent: percent / 100))
panels = st.lists(votes, max_size=9)
rules: Any = st.sampled_from(["most_votes", "larger_sum"])
ties = st.sampled_from(["draw", "lot", PRO, OPP])
seeds = st.integers(0, 2**48)


def points(cast: list[Ballot], rule: Rule) -> Counter[str]:
    """Counted in whole percent, so that sums are exact."""
    score: Counter[str] = Counter()
    for ballot in cast:
        score[ballot.choice] += 1 if rule == "most_votes" else round(100 * (ballot.probability or 0))
    return score


@given(panels, rules, ties, seeds)
def test_a_margin_is_a_share_of_what_was_counted(cast: list[Ballot], rule: Rule, tie: str, seed: int) -> None:
    decision = decide(cast, seed, rule=rule, tie=tie)
    if decision.how == "none":
        assert decision.margin is None
    else:
        assert decision.margin is not None
        assert 0 <= decision.margin <= 1


@given(panels, rules, ties, seeds)
def test_a_winner_has_the_highest_score(cast: list[Ballot], rule: Rule, tie: str, seed: int) -> None:
    decision = decide(cast, seed, rule=rule, tie=tie)
    score = points(cast, rule)
    assert decision.winner is None or score[decision.winner] == max(score.values())


@given(panels, rules, ties, seeds)
def test_it_is_a_tie_exactly_when_the_highest_score_is_shared(
    cast: list[Ballot], rule: Rule, tie: str, seed: int
) -> None:
    score = points(cast, rule)
    shared = score.total() > 0 and list(score.values()).count(max(score.values())) > 1
    assert (decide(cast, seed, rule=rule, tie=tie).how == "tie") == shared


@given(panels, rules, ties, seeds, st.data())
def test_the_order_of_the_ballots_does_not_matter(
    cast: list[Ballot], rule: Rule, tie: str, seed: int, data: st.DataObject
) -> None:
    one, other = (decide(said, seed, rule=rule, tie=tie) for said in (cast, data.draw(st.permutations(cast))))
    assert (one.winner, one.how) == (other.winner, other.how)
    assert one.margin == pytest.approx(other.margin)


@given(panels, rules, seeds)
def test_the_lot_is_a_function_of_the_seed(cast: list[Ballot], rule: Rule, seed: int) -> None:
    assert decide(cast, seed, rule=rule, tie="lot") == decide(cast, seed, rule=rule, tie="lot")


def test_the_lot_does_not_depend_on_the_order_of_the_ballots() -> None:
    drawn = {
        winner(ballots(list(pro), [50, 50, 65]), "larger_sum", "lot") for pro in itertools.permutations([50, 55, 60])
    }
    assert len(drawn) == 1
