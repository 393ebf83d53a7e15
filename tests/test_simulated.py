"""Simulated seats: what they state follows the published bets, is seeded, and says that it is simulated."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from agents.models.simulated import Preset, SimulatedModel, truth
from arena import config
from arena.forms import Chosen, Confidence, Parts, Reasoning, Speech, Verdict, read
from arena.types import Ask, Form, Malformed, Message, Occasion, Request, Sampling

SIDES = ("proposition", "opposition")
STATED = Parts({"private_confidence": Confidence()})
PHASES = ("opening", "rebuttal", "closing")


@cache
def shipped() -> SimulatedModel:
    """The presets of conf/provider/simulated.yaml."""
    presets = config.compose()["provider"]["simulated"]["presets"]
    return SimulatedModel({name: Preset(**values) for name, values in presets.items()})


def request(
    model: str, match: int = 0, seat: str = SIDES[0], round_: int = 1, form: Form = STATED, run: int = 0, **rest: Any
) -> Request:
    ask = Ask(
        step=rest.get("step", round_ - 1), slot=0, seat=seat, role=rest.get("role", "debater"), round=round_,
        phase=PHASES[round_ - 1], form=form, instruction="", audience={}, again=str,
    )  # fmt: skip
    occasion = Occasion(run, match, ask, rest.get("attempt", 0))
    return Request(f"simulated/{model}", (Message("user", rest.get("prompt", "")),), Sampling(), occasion)


def answer(model: str, *, of: SimulatedModel | None = None, **how: Any) -> Any:
    """The value of the only part that a simulated seat gives."""
    asked = request(model, **how)
    values = read(asked.occasion.ask.form, (of or shipped()).reply(asked))
    assert not isinstance(values, Malformed)
    (value,) = values.values()
    return value


def debates(model: str, n: int) -> np.ndarray:
    """What is stated, in percent: debate, seat, round. `{seat}` and `{debate}` in the model's name make it many models."""

    def stated(debate: int, seat: str, round_: int) -> float:
        name = model.format(seat=seat, debate=debate)
        return 100 * answer(name, match=debate, seat=seat, round_=round_)

    return np.array([[[stated(debate, seat, r) for r in (1, 2, 3)] for seat in SIDES] for debate in range(n)])


MANY = ":{seat} {debate}"
"""Every seat is another model of the preset."""


# ------------------------------------------------------------------ seeded


def test_the_same_request_has_the_same_reply() -> None:
    form = Parts({"speech": Speech(), "why": Reasoning("why"), "private_confidence": Confidence()})
    assert shipped().reply(request("escalating", form=form)) == shipped().reply(request("escalating", form=form))


@pytest.mark.parametrize("how", [{"attempt": 1}, {"prompt": "something else"}, {"step": 7}])
def test_a_statement_does_not_depend_on_what_a_seat_was_sent(how: dict[str, Any]) -> None:
    assert answer("escalating", **how) == answer("escalating")


@pytest.mark.parametrize("how", [{"match": 1}, {"run": 1}, {"seat": SIDES[1]}])
def test_another_match_run_or_seat_is_another_draw(how: dict[str, Any]) -> None:
    fine = SimulatedModel({"p": Preset(sd_model=1.0, sd_seat=1.0)})
    assert answer("p", of=fine, **how) != answer("p", of=fine)


def test_another_name_is_another_draw_of_the_same_preset() -> None:
    fine = SimulatedModel({"p": Preset(sd_model=1.0)})
    assert len({answer(name, of=fine) for name in ("p", "p:a", "p:b", "p:with:colons")}) == 4


def test_both_seats_of_a_model_share_its_liking() -> None:
    fine = SimulatedModel({"p": Preset(sd_model=1.0)})
    assert answer("p", of=fine, seat=SIDES[0]) == answer("p", of=fine, seat=SIDES[1])


def test_both_seats_share_what_is_the_debates() -> None:
    fine = SimulatedModel({"p": Preset(sd_debate=1.0)})
    assert (
        answer("p:a", of=fine, seat=SIDES[0])
        == answer("p:b", of=fine, seat=SIDES[1])
        != answer("p:a", of=fine, match=1)
    )


def test_a_later_round_goes_on_from_the_same_beginning() -> None:
    """Without noise in the report, a round adds to the belief of the round before."""
    fine = SimulatedModel({"p": Preset(opening=0.2, drift=0.5, acceleration=0.2, sd_seat=1.0)})
    odds = [math.log(p / (1 - p)) for p in (answer("p", of=fine, round_=r) for r in (1, 2, 3))]
    assert np.diff(odds) == pytest.approx([0.4, 0.6], abs=1e-4)


def test_shading_moves_what_is_stated_in_public_alone() -> None:
    shy = SimulatedModel({"p": Preset(shading=-1.0)})
    assert answer("p", of=shy, form=Parts({"private_confidence": Confidence()})) == 0.5
    assert answer("p", of=shy, form=Parts({"public_confidence": Confidence()})) == pytest.approx(
        1 / (1 + math.e), abs=1e-6
    )


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(LookupError, match=r"no preset 'bold' for simulated/bold:x; there are a, b"):
        SimulatedModel({"b": Preset(), "a": Preset()}).reply(request("bold:x"))


class Strange:
    """A form of somebody else's."""

    tags = ("strange",)


def test_a_form_that_it_does_not_know_is_named() -> None:
    with pytest.raises(LookupError, match="simulated/rational does not know how to fill in a Strange"):
        shipped().reply(request("rational", form=Parts({"it": Strange()})))  # pyright: ignore[reportArgumentType]


# ------------------------------------------------------------------ the published bets


def test_cross_model_states_what_was_published() -> None:
    """Means and SDs over seats of many models, arXiv:2505.19184 as in SIMULATED.md."""
    stated = debates("cross_model" + MANY, 2000).reshape(-1, 3)
    assert stated.mean(axis=0) == pytest.approx([72.92, 77.67, 83.26], abs=1.5)
    assert stated.std(axis=0, ddof=1) == pytest.approx([7.89, 9.75, 10.06], abs=1.5)


def test_cross_model_states_the_same_over_many_runs() -> None:
    """A seed of the run draws the models anew."""
    stated = [[100 * answer("cross_model", match=7, round_=r, run=run) for r in (1, 2, 3)] for run in range(800)]
    several = [[100 * answer("cross_model", match=7 + run, round_=r, run=run) for r in (1, 2, 3)] for run in range(800)]
    assert np.mean(several, axis=0) == pytest.approx([72.92, 77.67, 83.26], abs=1.5)
    assert np.std(stated, axis=0)[0] > 5


def test_self_debate_states_what_was_published() -> None:
    """Both seats are one model, another in every debate."""
    stated = debates("self_debate:{debate}", 2000).reshape(-1, 3)
    assert stated.mean(axis=0) == pytest.approx([64.08, 69.07, 75.2], abs=2)
    assert stated.std(axis=0, ddof=1) == pytest.approx([15.25, 16.63, 15.39], abs=2)


def test_informed_seats_begin_even_and_drift_up() -> None:
    stated = debates("informed_self" + MANY, 500).reshape(-1, 3)
    assert stated.mean(axis=0) == pytest.approx([50.0, 55.77, 57.08], abs=2)


def test_escalating_seats_grow_surer_and_overconfident_ones_are_sure_at_once() -> None:
    escalating, overconfident = (debates(p + MANY, 400).mean(axis=(0, 1)) for p in ("escalating", "overconfident"))
    assert escalating[2] - escalating[0] > 8
    assert overconfident[0] > 65
    assert abs(overconfident[2] - overconfident[0]) < 3


@pytest.mark.parametrize("preset", ["overconfident", "escalating", "cross_model", "self_debate", "informed_self"])
def test_people_bet_in_fives_and_so_do_they(preset: str) -> None:
    stated = debates(preset, 40)
    assert np.allclose(stated % 5, 0)
    assert stated.min() >= 0
    assert stated.max() <= 100


def test_rounding_is_right_on_average() -> None:
    fine, coarse = (SimulatedModel({"p": Preset(opening=0.3, rounding=unit)}) for unit in (0, 5))
    exact = 100 * answer("p", of=fine)
    stated = np.array([100 * answer("p", of=coarse, match=match) for match in range(2000)])
    assert set(stated.round(6)) == {55.0, 60.0}
    assert stated.mean() == pytest.approx(exact, abs=4 * 2.5 / math.sqrt(2000))


# ------------------------------------------------------------------ rational


@cache
def rational() -> np.ndarray:
    """Beliefs in [0, 1]: debate, seat, round."""
    return debates("rational", 3000) / 100


def within_4_standard_errors(of: np.ndarray) -> bool:
    return bool(abs(of.mean()) < 4 * of.std(ddof=1) / math.sqrt(len(of)))


@pytest.mark.parametrize("seat", [0, 1])
@pytest.mark.parametrize("now", [0, 1])
def test_a_rational_seat_does_not_expect_to_change_its_mind(seat: int, now: int) -> None:
    """A martingale, overall and whatever it believes now."""
    beliefs = rational()[:, seat]
    change, order = beliefs[:, now + 1] - beliefs[:, now], np.argsort(beliefs[:, now], kind="stable")
    assert within_4_standard_errors(change)
    assert all(within_4_standard_errors(change[third]) for third in np.array_split(order, 3))


def test_a_rational_seat_does_change_its_mind() -> None:
    assert np.abs(np.diff(rational(), axis=2)).mean() > 0.05


@pytest.mark.parametrize("seat", [0, 1])
@pytest.mark.parametrize("round_", [0, 1, 2])
def test_rational_beliefs_come_true_as_often_as_they_say(seat: int, round_: int) -> None:
    beliefs = rational()[:, seat, round_]
    wins = np.array([truth(match) == seat for match in range(len(beliefs))])
    order = np.argsort(beliefs, kind="stable")
    assert all(within_4_standard_errors(wins[part] - beliefs[part]) for part in np.array_split(order, 5))


def test_rational_seats_learn_which_side_is_right() -> None:
    wins = np.array([truth(match) == 0 for match in range(3000)])
    gap = [rational()[wins, 0, r].mean() - rational()[~wins, 0, r].mean() for r in range(3)]
    assert 0 < gap[0] < gap[1] < gap[2]


def test_truth_is_a_fair_coin() -> None:
    assert np.mean([truth(match) for match in range(4000)]) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))


# ------------------------------------------------------------------ speeches


@cache
def speeches(n: int = 300) -> list[str]:
    return [answer("cross_model", match=match, form=Speech()) for match in range(n)]


def test_speeches_have_the_length_of_real_ones() -> None:
    lengths = np.array([len(speech) for speech in speeches()])
    assert 4500 < lengths.mean() < 7000
    assert 1000 < lengths.std() < 3000
    assert lengths.min() > 1500
    assert lengths.max() < 14000


def test_every_speech_says_that_it_is_simulated() -> None:
    assert all(s.startswith("(Simulated speech: proposition, opening. No model wrote this.)") for s in speeches())


def test_a_speech_survives_the_search_for_tags() -> None:
    tags = {
        "speech": Speech(),
        "why": Reasoning("private_reasoning"),
        "private_confidence": Confidence("private_confidence"),
    }
    for match in range(50):
        asked = request("cross_model", match=match, form=Parts(tags))
        assert not isinstance(read(Parts(tags), shipped().reply(asked)), Malformed)


def test_reasoning_says_that_it_is_simulated() -> None:
    assert answer("cross_model", form=Reasoning()).startswith("(Simulated reasoning.)")


def test_a_judges_rationale_says_that_it_is_simulated() -> None:
    assert answer("judge", form=Speech(), role="judge", seat="fair/1").startswith("(Simulated judge.)")


def test_a_reply_names_its_model_costs_nothing_and_counts_its_tokens() -> None:
    completion = shipped().reply(request("rational", prompt="x" * 400))
    assert (completion.model, completion.cost_usd, completion.usage.input) == ("simulated/rational", 0.0, 100)
    assert completion.usage.output == len(completion.text) // 4


# ------------------------------------------------------------------ judges

VERDICT = Verdict(SIDES)


@cache
def ballots(preset: str, n: int = 1500) -> list[Chosen]:
    return [answer(preset, match=match, form=VERDICT, role="judge", seat="j/1") for match in range(n)]


def agreement(preset: str) -> float:
    return float(np.mean([b.choice == SIDES[truth(match)] for match, b in enumerate(ballots(preset))]))


def test_a_judge_names_the_right_side_more_often_than_chance() -> None:
    assert 0.75 < agreement("judge") < 0.95


def test_a_noisy_judge_is_right_less_often() -> None:
    assert 0.5 < agreement("noisy_judge") < agreement("judge") - 0.1


def test_a_leaning_judge_leans_against_the_side_named_first() -> None:
    share = {p: np.mean([b.choice == SIDES[0] for b in ballots(p)]) for p in ("judge", "leaning_judge")}
    assert share["judge"] == pytest.approx(0.5, abs=0.06)
    assert share["leaning_judge"] < 0.4


def test_a_judge_holds_its_own_choice_to_be_likelier_than_not() -> None:
    stated = np.array([100 * b.probability for b in ballots("judge")])
    assert stated.min() >= 50
    assert stated.max() <= 100
    assert np.allclose(stated % 5, 0)


def test_a_judge_is_surer_where_it_is_right() -> None:
    right = [b.choice == SIDES[truth(match)] for match, b in enumerate(ballots("judge"))]
    stated = np.array([b.probability for b in ballots("judge")])
    assert stated[right].mean() > stated[~np.array(right)].mean() + 0.05


def test_two_ballots_of_one_judge_are_two_draws() -> None:
    pairs = [
        [answer("judge", match=m, form=VERDICT, role="judge", seat=f"j/{n}").choice for n in (1, 2)] for m in range(200)
    ]
    same = np.mean([one == other for one, other in pairs])
    assert 0.6 < same < 0.9
