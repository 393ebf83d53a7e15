"""When the order is known: known answers by hand, what wealth may not do, and error rates in simulation."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import expit

from arena.stats import sequential
from arena.stats.sequential import (
    GAP_SD,
    PRIOR_SD,
    Evidence,
    Outlook,
    evidence,
    known,
    log_ratio,
    more,
    nothing,
    outlook,
)

scores = st.lists(st.sampled_from([0.0, 1 / 6, 1 / 2, 2 / 3, 1.0]), min_size=1, max_size=12)


def played(results: dict[tuple[int, int], float], agents: int, times: int) -> Evidence:
    """Every pairing that is named, `times` rounds, with the same score each time."""
    seen = nothing(agents)
    first, second = np.array(list(results)).T
    for _ in range(times):
        seen = more(seen, first, second, list(results.values()))
    return seen


def beaten_in_turn(agents: int, score: float = 0.85) -> dict[tuple[int, int], float]:
    """Who has the smaller number wins."""
    return {(i, j): score for i in range(agents) for j in range(i + 1, agents)}


# ------------------------------------------------------------------ known answers


def test_the_first_bets_are_nothing_and_the_second_are_on_who_won() -> None:
    once = more(nothing(3), [0], [1], [1.0])
    assert not once.wealth.any()
    twice = more(once, [0], [1], [1.0])
    assert twice.wealth[0, 1] > 0
    assert twice.wealth[1, 0] == 0


def test_a_bet_pays_its_stake_times_the_edge() -> None:
    once = more(nothing(2), [0], [1], [0.9])
    seen = outlook(once)
    edge, variance = 2 * seen.mean[0, 1] - 1, 4 * seen.variance[0, 1]
    stake = edge / (edge**2 + variance)
    assert 0 < stake < sequential.MOST_STAKED
    lost = more(once, [0], [1], [0.25])
    assert lost.wealth[0, 1] == pytest.approx(np.log(1 - stake / 2))


def test_strengths_are_where_the_posterior_is_highest() -> None:
    seen = played({(0, 1): 0.7, (1, 2): 0.6, (0, 2): 0.9}, 3, 4)
    expects = outlook(seen)
    weight = 1 / expects.spread

    def log_posterior(strength: np.ndarray) -> float:
        chance = expit(strength[:, None] - strength)
        return float(weight * (seen.scored * np.log(chance)).sum() - (strength**2).sum() / 2 / PRIOR_SD**2)

    best = log_posterior(expects.strength)
    for step in np.concatenate([np.eye(3), -np.eye(3)]) * 1e-3:
        assert log_posterior(expects.strength + step) < best


def test_the_likelihood_ratio_is_the_integral_that_it_stands_for() -> None:
    expects = outlook(played({(0, 1): 0.7, (1, 2): 0.6}, 3, 5))
    gap, unsure = expects.apart[0, 1], expects.unsure[0, 1]
    variance = 1 / (1 / unsure - 1 / (2 * PRIOR_SD**2))
    centre = variance * gap / unsure
    likelihood = stats.norm(centre, np.sqrt(variance)).pdf
    over, _ = integrate.quad(lambda d: likelihood(d) * 2 * stats.norm(0, GAP_SD).pdf(d), 0, 10)
    assert log_ratio(expects)[0, 1] == pytest.approx(np.log(over / likelihood(0)), abs=1e-6)


def test_before_data_every_likelihood_ratio_is_one() -> None:
    assert log_ratio(outlook(nothing(4))) == pytest.approx(np.zeros((4, 4)), abs=1e-4)


def test_three_who_beat_each_other_in_turn_are_known_one_after_the_other() -> None:
    few, many = played(beaten_in_turn(3), 3, 1), played(beaten_in_turn(3), 3, 12)
    assert known(few, None, 0.05).state == "undecided"
    assert known(many, None, 0.05).state == "known"
    assert known(many, None, 0.05).answer == (0, 1, 2)
    assert known(many, 1, 0.05).answer == (0,)


def test_the_rival_is_the_answer_with_the_weakest_pairing_swapped() -> None:
    seen = played({(0, 1): 0.8, (1, 2): 0.8, (2, 3): 0.55, (0, 3): 0.9, (1, 3): 0.8, (0, 2): 0.9}, 4, 5)
    assert known(seen, None, 0.05).rival == (0, 1, 3, 2)
    by_border = known(seen, 2, 0.05)
    ratio = log_ratio(outlook(seen))
    assert by_border.rival == (0, 2)
    assert by_border.wealth == pytest.approx(ratio[1, 2])
    assert by_border.needed == pytest.approx(np.log(20))


def test_a_whole_order_pays_for_its_neighbours() -> None:
    assert known(nothing(5), None, 0.05).needed == pytest.approx(np.log(4 / 0.05))


def test_for_the_best_only_the_border_matters() -> None:
    found = known(played(beaten_in_turn(4, 0.6), 4, 1), 2, 0.05)
    assert found.matters.tolist() == [
        [False, False, True, True],
        [False, False, True, True],
        [True, True, False, False],
        [True, True, False, False],
    ]


def test_bets_that_contradict_the_answer_say_cycles() -> None:
    won = np.zeros((3, 3))
    won[2, 0] = 3.1
    steady = played(beaten_in_turn(3), 3, 12)
    against = Evidence(won, steady.met, steady.scored, steady.squares, steady.expected, steady.strength)
    assert known(against, 1, 0.05).state == "cycles"
    assert known(against, 1, 0.04).state == "known"


def test_nobody_is_known_to_be_better_than_one_who_leads_where_the_two_met() -> None:
    """Strong over all others, and yet behind in the pairs of the two: strengths alone would do, people would object."""
    results = {(0, 2): 0.95, (0, 3): 0.95, (0, 4): 0.95, (1, 2): 0.5, (1, 3): 0.5, (1, 4): 0.5}
    strong = played(results, 5, 12)
    behind = more(strong, [0, 0], [1, 1], [0.4, 0.4])
    ahead = more(strong, [0, 0], [1, 1], [0.6, 0.6])
    assert known(ahead, 1, 0.05).state == "known"
    found = known(behind, 1, 0.05)
    assert (found.state, found.answer) == ("undecided", (0,))
    assert found.matters[0, 1]


def test_three_in_a_circle_contradict_every_answer() -> None:
    circle = played({(0, 1): 0.95, (1, 2): 0.95, (2, 0): 0.95}, 3, 60)
    assert known(circle, 1, 0.05).state == "cycles"


@pytest.mark.parametrize("top", [0, 3, -1])
def test_more_than_there_are_cannot_be_the_best(top: int) -> None:
    with pytest.raises(ValueError, match="name 1 to 2"):
        known(nothing(3), top, 0.05)


def test_a_score_that_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found 1\.5"):
        more(nothing(2), [0], [1], [1.5])


# ------------------------------------------------------------------ properties


@given(scores)
@settings(max_examples=40)
def test_order_within_a_round_does_not_matter(got: list[float]) -> None:
    rng = np.random.default_rng(len(got))
    first = rng.integers(0, 4, len(got))
    second = (first + rng.integers(1, 4, len(got))) % 4
    rounds = np.arange(len(got)) // 4
    shuffled = rng.permutation(len(got))
    one = evidence(list(first), list(second), got, list(rounds), 4)
    other = evidence(
        list(first[shuffled]), list(second[shuffled]), list(np.array(got)[shuffled]), list(rounds[shuffled]), 4
    )
    assert one.wealth == pytest.approx(other.wealth, abs=1e-9)
    assert one.scored == pytest.approx(other.scored)


@given(scores)
@settings(max_examples=40)
def test_naming_the_other_agent_first_changes_nothing(got: list[float]) -> None:
    rounds = list(range(len(got)))
    zero, one = [0] * len(got), [1] * len(got)
    ours, theirs = evidence(zero, one, got, rounds, 2), evidence(one, zero, [1 - score for score in got], rounds, 2)
    assert ours.wealth == pytest.approx(theirs.wealth, abs=1e-9)
    assert log_ratio(outlook(ours)) == pytest.approx(log_ratio(outlook(theirs)), abs=1e-6)


@given(scores)
@settings(max_examples=40)
def test_a_better_last_score_never_makes_an_agent_weaker(got: list[float]) -> None:
    rounds, zero, one = list(range(len(got))), [0] * len(got), [1] * len(got)
    worse = outlook(evidence(zero, one, [*got[:-1], 0.0], rounds, 2))
    better = outlook(evidence(zero, one, [*got[:-1], 1.0], rounds, 2))
    assert better.apart[0, 1] >= worse.apart[0, 1] - 1e-9


@given(scores)
@settings(max_examples=40)
def test_a_stricter_level_is_never_reached_sooner(got: list[float]) -> None:
    seen = evidence([0] * len(got), [1] * len(got), got, list(range(len(got))), 3)
    strict, lax = known(seen, 1, 0.01), known(seen, 1, 0.2)
    assert (strict.missing >= lax.missing).all()
    assert strict.answer == lax.answer


def test_replications_are_what_each_is_by_itself() -> None:
    rng = np.random.default_rng(0)
    both, one = nothing(3, (2,)), nothing(3)
    for _ in range(6):
        score = rng.random((2, 2))
        both, one = more(both, [0, 0], [1, 2], score), more(one, [0, 0], [1, 2], score[1])
    assert both.wealth[1] == pytest.approx(one.wealth, abs=1e-9)
    assert log_ratio(outlook(both))[1] == pytest.approx(log_ratio(outlook(one)), abs=1e-6)


# ------------------------------------------------------------------ simulations


def equal(rounds: int, replications: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two equal agents, again and again: log wealth of the bets, and whether a likelihood ratio ever reached 20, a direction
    each; (replications, 2)."""
    seen = nothing(2, (replications,))
    ever = np.zeros((replications, 2), dtype=bool)
    for _ in range(rounds):
        score = rng.binomial(6, rng.beta(4, 4, (replications, 1))) / 6
        seen = more(seen, [0], [1], score)
        ratio = log_ratio(outlook(seen))
        ever |= np.stack([ratio[:, 0, 1], ratio[:, 1, 0]], axis=1) >= np.log(20)
    return np.stack([seen.wealth[:, 0, 1], seen.wealth[:, 1, 0]], axis=1), ever


def test_nobody_gets_rich_betting_on_one_of_two_equals() -> None:
    wealth, _ = equal(15, 3000, np.random.default_rng(0))
    gained = np.exp(wealth)
    error = gained.std() / np.sqrt(gained.size)
    assert gained.mean() < 1 + 3 * error
    # Bets were made: most lost something, and a few won much.
    assert np.median(gained) < 1
    assert gained.max() > 3


def test_two_equals_are_told_apart_no_more_often_than_the_level_says_however_often_one_looks() -> None:
    _, ever = equal(50, 1000, np.random.default_rng(1))
    assert 0.002 < ever.mean() < 0.05


def test_the_best_of_few_are_found_and_seldom_wrongly() -> None:
    """A hundred tournaments of five agents 200 points apart, asked for the best two every fourth round."""
    rng = np.random.default_rng(0)
    strength = -1.15 * np.arange(5)
    seen = nothing(5, (100,))
    answers: dict[int, tuple[int, ...]] = {}
    for number in range(48):
        first, second = rng.permutation(5)[:4].reshape(2, 2)
        seen = more(seen, first, second, rng.binomial(2, expit(strength[first] - strength[second]), (100, 2)) / 2)
        if number % 4 == 3:
            found = [known(one(seen, tournament), 2, 0.05) for tournament in range(100)]
            answers = {n: now.answer for n, now in enumerate(found) if now.state == "known"} | answers
    assert len(answers) > 60
    assert sum(set(answer) != {0, 1} for answer in answers.values()) <= 5


def one(seen: Evidence, replication: int) -> Evidence:
    return Evidence(*(getattr(seen, field.name)[replication] for field in fields(seen)))


# ------------------------------------------------------------------ what it would take


def test_two_who_are_further_apart_are_told_apart_sooner() -> None:
    near = sequential.pairs_needed(0.1, 0.22, 0.05, replications=100, most=400)
    far = sequential.pairs_needed(0.3, 0.22, 0.05, replications=100, most=400)
    assert far.mean < near.mean / 3
    assert far.mean <= far.ninety
    assert far.decided == 1
    assert near.wrong <= 0.05


def test_it_takes_as_many_as_the_rule_itself_takes() -> None:
    """The mean over replications is that of tournaments of two which are played one by one."""
    rng = np.random.default_rng(7)
    mean, concentration = 0.75, 0.75 * 0.25 / 0.22**2 - 1
    taken = []
    for _ in range(60):
        seen, found, pairs = nothing(2), known(nothing(2), 1, 0.05), 0
        while found.state != "known":
            seen = more(seen, [0], [1], rng.beta(mean * concentration, (1 - mean) * concentration, 1))
            found, pairs = known(seen, 1, 0.05), pairs + 1
        taken.append(pairs)
    expected = sequential.pairs_needed(0.25, 0.22, 0.05, replications=400)
    error = np.std(taken) * np.sqrt(1 / 60 + 1 / 400)
    assert abs(np.mean(taken) - expected.mean) < 3 * error


def test_equals_are_not_told_apart_within_the_most_that_are_tried() -> None:
    found = sequential.pairs_needed(0.0, 0.22, 0.05, replications=100, most=40)
    assert found.decided < 0.15
    assert found.ninety == np.inf
    assert found.mean > 35


def test_scores_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mean of 0\.9"):
        sequential.pairs_needed(0.4, 0.4, 0.05)


def test_an_outlook_has_no_side() -> None:
    """What the row expects, the column expects the rest of."""
    expects: Outlook = outlook(played(beaten_in_turn(4, 0.7), 4, 3))
    assert expects.mean + expects.mean.T == pytest.approx(np.ones((4, 4)))
    assert expects.apart == pytest.approx(-expects.apart.T)
