"""The schedule `active`: known probabilities, nobody twice, no rematch while avoidable, and only what matters at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from arena.meetings import Encounter, Field, Goal, Pairing
from arena.schedule.active import Params, divided, next_round, pairings, weights
from arena.stats.sequential import Evidence, known, log_ratio, more, nothing, outlook
from arena.types import Question


def field(agents: int, questions: int = 8, repeats: int = 1) -> Field:
    names = [f"agent {number:02}" for number in range(agents)]
    return Field(
        {"proposition": names, "opposition": names},
        [Question(f"q{number}", f"Motion {number}") for number in range(questions)],
        repeats=repeats,
    )


def result(pairing: Pairing, number: int, rng: np.random.Generator) -> Encounter:
    """The later name is the weaker agent."""
    apart = int(pairing.second[-2:]) - int(pairing.first[-2:])
    score = rng.binomial(2, expit(0.6 * apart)) / 2
    return Encounter(pairing.first, pairing.second, pairing.question.id, pairing.repeat, score, number)


def tournament(of: Field, rounds: int, params: Params = Params(), goal: Goal | None = None) -> list[list[Pairing]]:  # noqa: B008
    """So many rounds, or all."""
    rng, past, played = np.random.default_rng(0), list[Encounter](), list[list[Pairing]]()
    for number in range(rounds):
        decided = pairings(of, past, params, goal, Random(number))
        if not decided:
            break
        played.append(decided)
        past += [result(pairing, number, rng) for pairing in decided]
    return played


def past_of(played: Sequence[Sequence[Pairing]]) -> list[Encounter]:
    rng = np.random.default_rng(0)
    return [result(pairing, number, rng) for number, decided in enumerate(played) for pairing in decided]


def after(score: dict[tuple[int, int], float], agents: int, times: int) -> Evidence:
    seen = nothing(agents)
    first, second = np.array(list(score)).T
    for _ in range(times):
        seen = more(seen, first, second, list(score.values()))
    return seen


# ------------------------------------------------------------------ rounds


@pytest.mark.parametrize("goal", [None, Goal(1), Goal(None)])
@pytest.mark.parametrize("agents", [2, 5])
def test_nobody_sits_twice_in_a_round_and_no_question_comes_twice_while_it_is_avoidable(
    agents: int, goal: Goal | None
) -> None:
    played = tournament(field(agents, 3, repeats=2), 400, goal=goal)
    met = Counter[tuple[frozenset[str], str]]()
    for decided in played:
        seated = [agent for pairing in decided for agent in (pairing.first, pairing.second)]
        assert len(seated) == len(set(seated))
        for pairing in decided:
            two = frozenset((pairing.first, pairing.second))
            assert pairing.repeat == met[two, pairing.question.id]
            met[two, pairing.question.id] += 1
            times = [met[two, f"q{number}"] for number in range(3)]
            assert max(times) - min(times) <= 1
    assert len(met) == 3 * agents * (agents - 1) // 2
    assert set(met.values()) == {2}


def test_two_agents_have_one_pairing() -> None:
    (pairing,) = pairings(field(2), [], Params(), None, Random(0))
    assert {pairing.first, pairing.second} == {"agent 00", "agent 01"}
    assert pairing.probability == 1


def test_the_first_round_seats_everybody() -> None:
    assert len(pairings(field(10), [], Params(), Goal(3), Random(0))) == 5
    assert len(pairings(field(9), [], Params(), Goal(3), Random(0))) == 4
    assert len(pairings(field(10), [], Params(pairs=2), Goal(3), Random(0))) <= 2


def test_a_round_is_a_function_of_past_and_random() -> None:
    of, past = field(6), past_of(tournament(field(6), 6, goal=Goal(2)))
    same = [pairings(of, past, Params(), Goal(2), Random(3)) for _ in range(2)]
    assert same[0] == same[1]


def test_an_undecided_pairing_was_played() -> None:
    of = field(2, 2)
    lost = Encounter("agent 00", "agent 01", "q0", 0, None, 0)
    assert [one.question.id for one in pairings(of, [lost], Params(), None, Random(0))] == ["q1"]


def test_what_was_played_on_other_questions_closes_nothing() -> None:
    of = field(2, 1)
    before = [Encounter("agent 00", "agent 01", f"another {number}", 0, 1.0, 0) for number in range(5)]
    assert [one.question.id for one in pairings(of, before, Params(), None, Random(0))] == ["q0"]


@given(st.integers(2, 13), st.integers(1, 6), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_a_division_holds_every_open_pairing_once(agents: int, most: int, random: Random) -> None:
    everybody = list(combinations(range(agents), 2))
    open_ = random.sample(everybody, random.randint(1, len(everybody)))
    rounds = divided(open_, agents, most)
    assert sorted(pair for one in rounds for pair in one) == sorted(open_)
    for one in rounds:
        assert len(one) <= most
        assert len({agent for pair in one for agent in pair}) == 2 * len(one)


@pytest.mark.parametrize("agents", [4, 10, 50])
def test_a_division_of_all_pairings_wastes_no_seat(agents: int) -> None:
    rounds = divided(list(combinations(range(agents), 2)), agents, agents // 2)
    assert len(rounds) == agents - 1


# ------------------------------------------------------------------ probabilities


@pytest.mark.parametrize("rounds", [0, 4])
def test_a_pairing_is_as_frequent_as_its_probability_says(rounds: int) -> None:
    of = field(6, 2)
    past = past_of(tournament(of, rounds, goal=Goal(2)))
    params, times = Params(uniform=0.5), 250
    counts, said = Counter[frozenset[str]](), dict[frozenset[str], float]()
    for seed in range(times):
        for pairing in pairings(of, past, params, Goal(2), Random(seed)):
            two = frozenset((pairing.first, pairing.second))
            counts[two] += 1
            assert said.setdefault(two, pairing.probability) == pairing.probability
    for two, probability in said.items():
        error = np.sqrt(probability * (1 - probability) / times)
        assert abs(counts[two] / times - probability) < 4 * error + 1e-9


def test_probabilities_of_a_round_are_what_the_formula_gives() -> None:
    """Four agents: two of six pairings are chosen, and a division has three rounds."""
    seen = after({(0, 1): 0.7, (2, 3): 0.6, (0, 2): 0.8, (1, 3): 0.7}, 4, 2)
    everybody = list(combinations(range(4), 2))
    chosen = next_round(seen, everybody, Params(uniform=0.0), None, Random(0))
    assert set(chosen.values()) == {1.0}
    drawn = [next_round(seen, everybody, Params(uniform=0.3), None, Random(seed)) for seed in range(60)]
    given_ = {pair: probability for one in drawn for pair, probability in one.items()}
    assert len(chosen) == 2
    assert given_ == {pair: pytest.approx(0.7 * (pair in chosen) + 0.3 / 3) for pair in everybody}


def test_every_pairing_has_a_chance_where_a_share_is_uniform() -> None:
    of, past = field(5, 4), past_of(tournament(field(5, 4), 4, goal=Goal(1)))
    seen = {
        frozenset((pairing.first, pairing.second))
        for seed in range(80)
        for pairing in pairings(of, past, Params(uniform=0.9), Goal(1), Random(seed))
    }
    assert len(seen) == 10


# ------------------------------------------------------------------ what a pairing is worth


def test_without_a_goal_the_least_known_difference_tells_most() -> None:
    seen = after({(0, 1): 0.5, (1, 2): 0.5, (2, 3): 0.5}, 4, 3)
    worth = weights(seen, None)
    assert np.allclose(worth, worth.T)
    assert worth[0, 3] == pytest.approx(worth.max())
    assert (worth[~np.eye(4, dtype=bool)].round(9) == worth[0, 3].round(9)).sum() == 2


def test_what_bears_on_nothing_undecided_is_worth_nothing() -> None:
    """Two clusters far from each other, and one agent between who is known to be neither: nothing is left to play for."""
    order = {(i, j): 0.9 for i in range(4) for j in range(i + 1, 4)}
    seen = after(order, 4, 12)
    assert known(seen, 2, 0.05).state == "known"
    assert not weights(seen, Goal(2)).any()
    assert weights(seen, None)[~np.eye(4, dtype=bool)].all()


def test_at_the_end_the_two_who_are_close_are_played() -> None:
    order = {(i, j): 0.95 for i in range(4) for j in range(i + 1, 4)} | {(1, 2): 0.55}
    seen = after(order, 4, 10)
    assert np.argwhere(known(seen, 2, 0.05).missing).tolist() == [[1, 2]]
    chosen = next_round(seen, list(combinations(range(4), 2)), Params(uniform=0.0), Goal(2), Random(0))
    assert set(chosen) == {(1, 2)}


def test_the_worth_is_what_one_more_pair_takes_from_the_variance() -> None:
    """Against the posterior with one more mirrored pair, whose score is as expected."""
    seen = after({(0, 1): 0.6, (1, 2): 0.55, (0, 2): 0.7}, 3, 4)
    expects, found = outlook(seen), known(seen, 1, 0.01)
    precision = np.linalg.inv(expects.covariance)
    apart = np.array([1.0, -1.0, 0.0])
    after_one = np.linalg.inv(precision + expects.information[0, 1] * np.outer(apart, apart))
    brought = 0.0
    for i, j in np.argwhere(found.missing):
        which = np.eye(3)[i] - np.eye(3)[j]
        gap = max(expects.apart[i, j], 0.3)
        more_ = gap**2 / 2 * (1 / (which @ after_one @ which) - 1 / expects.unsure[i, j])
        brought += min(more_, found.missing[i, j])
    assert weights(seen, Goal(1, 0.01))[0, 1] == pytest.approx(brought)


def test_what_is_nearly_known_is_worth_no_more_than_what_is_missing() -> None:
    seen = after({(0, 1): 0.8, (1, 2): 0.9, (0, 2): 0.95}, 3, 8)
    reached = log_ratio(outlook(seen))[0, 1]
    assert weights(seen, Goal(1, float(np.exp(-reached - 0.01))))[0, 1] == pytest.approx(0.01)


def test_a_goal_is_reached_with_fewer_pairs_than_by_information_alone() -> None:
    pairs = [pairs_until_known(goal, Random(5)) for goal in (Goal(2), None)]
    assert pairs[0] < pairs[1]


def pairs_until_known(chosen_for: Goal | None, random: Random) -> int:
    """Over some tournaments of six agents, how many pairs until the best two are known."""
    total = 0
    for seed in range(5):
        rng, seen, everybody = np.random.default_rng(seed), nothing(6), list(combinations(range(6), 2))
        strength = -0.9 * np.arange(6)
        for _ in range(120):
            if known(seen, 2, 0.05).state == "known":
                break
            first, second = np.array(list(next_round(seen, everybody, Params(), chosen_for, random))).T
            seen = more(seen, first, second, rng.binomial(4, expit(strength[first] - strength[second])) / 4)
        total += int(seen.met.sum()) // 2
    return total


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize(("wrong", "said"), [({"uniform": 1.2}, "uniform is 1.2"), ({"pairs": 0}, "pairs is 0")])
def test_parameters_that_mean_nothing_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Params(**wrong)  # pyright: ignore[reportArgumentType]
