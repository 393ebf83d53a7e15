"""Simulated debaters as arrays: the laws of the simulated seats, and of the published bets that those were fitted to."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from agents.models.simulated import Preset, SimulatedModel
from arena import config
from arena.forms import Confidence, Parts, read
from arena.stats.simulate import beliefs, draw, stated
from arena.types import Ask, Message, Occasion, Request, Sampling

SIDES = ("proposition", "opposition")
STATED = Parts({"private_confidence": Confidence()})
CORRELATIONS = (-0.3, 0.0, 0.3, 0.6)


@cache
def presets() -> dict[str, Preset]:
    shipped = config.compose()["provider"]["simulated"]["presets"]
    return {name: Preset(**values) for name, values in shipped.items()}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def copies(debates: int) -> np.ndarray:
    """Both seats of a debate are one model, another in every debate."""
    return np.repeat(np.arange(debates)[:, None], 2, axis=1)


def seated(preset: str, debates: int, *, copied: bool = False, rounds: int = 3) -> np.ndarray:
    """What the real simulated seats state, asked one by one: debate, seat, round."""
    model = SimulatedModel(presets())

    def value(debate: int, seat: str, round_: int) -> float:
        ask = Ask(round_ - 1, 0, seat, "debater", round_, f"phase {round_}", STATED, "", {}, again=str)
        name = f"simulated/{preset}:{debate}" + ("" if copied else seat)
        request = Request(name, (Message("user", ""),), Sampling(), Occasion(0, debate, ask, 0))
        (stated,) = read(STATED, model.reply(request)).values()  # pyright: ignore
        return stated

    return np.array([[[value(d, seat, r + 1) for r in range(rounds)] for seat in SIDES] for d in range(debates)])


def error(of: np.ndarray) -> np.ndarray:
    """Standard error of the mean over debates."""
    return of.std(axis=0, ddof=1) / math.sqrt(len(of))


# ------------------------------------------------------------------ the same law as the seats that play


@pytest.mark.parametrize(
    ("preset", "copied"),
    [
        ("rational", False),
        ("escalating", False),
        ("overconfident", False),
        ("self_debate", True),
        ("informed_self", True),
    ],
)
def test_it_states_what_simulated_seats_state(preset: str, copied: bool) -> None:
    """Means, SDs and the correlation of the two sides, by round, within four standard errors."""
    n = 1500
    one = seated(preset, n, copied=copied)
    # One truth decides for both seats of a match.
    rational = presets()[preset].evidence is not None
    other = draw(
        presets()[preset], 40 * n, 3, rng(), models=copies(40 * n) if copied else None,
        correlation=None if rational else 0.0,
    )  # fmt: skip
    assert np.all(np.abs(one.mean(axis=0) - other.mean(axis=0)) < 4 * error(one))
    squares, others = (np.square(x - other.mean(axis=0)) for x in (one, other))
    assert np.all(np.abs(squares.mean(axis=0) - others.mean(axis=0)) < 4 * error(squares))
    products, other_products = (np.prod(x - other.mean(axis=0), axis=1) for x in (one, other))
    assert np.all(np.abs(products.mean(axis=0) - other_products.mean(axis=0)) < 4 * error(products))


@pytest.mark.parametrize("preset", ["escalating", "rational"])
def test_more_rounds_go_on_as_simulated_seats_do(preset: str) -> None:
    one, other = seated(preset, 800, rounds=5), draw(presets()[preset], 20_000, 5, rng())
    assert np.all(np.abs(one.mean(axis=0) - other.mean(axis=0)) < 4 * error(one))


PERCENT = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.mark.reference
@pytest.mark.parametrize(("preset", "copied"), [("cross_model", False), ("self_debate", True), ("informed_self", True)])
def test_it_states_what_the_fit_to_the_published_bets_says(preset: str, copied: bool, reference: Path) -> None:
    """Means and SDs in points within 0.3, both above 75 % at closing within 0.015."""
    (row,) = [
        line
        for line in (reference / "two_llms_debate" / "SIMULATED.md").read_text().splitlines()
        if line.startswith(f"| {preset} | [")
    ]
    _, _, means, sds, both, _ = row.split("|")
    n = 60_000
    points = 100 * draw(presets()[preset], n, 3, rng(), models=copies(n) if copied else None)
    assert points.mean(axis=(0, 1)) == pytest.approx(_numbers(means.partition("->")[2]), abs=0.3)
    assert points.std(axis=(0, 1)) == pytest.approx(_numbers(sds.partition("->")[2]), abs=0.3)
    above = (np.round(points[:, :, 2], 6) > 75).all(axis=1).mean()
    assert above == pytest.approx(_numbers(both.partition("/")[2])[0], abs=0.015)


def _numbers(text: str) -> list[float]:
    return [float(number) for number in PERCENT.findall(text)]


# ------------------------------------------------------------------ rational seats


@cache
def rational(correlation: float | None) -> np.ndarray:
    return expit(beliefs(presets()["rational"], 60_000, 3, rng(1), correlation=correlation))


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("now", [0, 1])
def test_a_rational_change_has_mean_zero_given_both_pasts(correlation: float, now: int) -> None:
    """Overall, and in each third by own belief, by the other's, and by the other's last change."""
    held = rational(correlation)
    change = held[:, 0, now + 1] - held[:, 0, now]
    before = np.full(len(held), 0.5) if now == 0 else held[:, 1, now - 1]
    for known in (held[:, 0, now], held[:, 1, now], held[:, 1, now] - before, held[:, :, now].sum(axis=1)):
        for part in np.array_split(np.argsort(known, kind="stable"), 3):
            assert abs(change[part].mean()) < 4 * error(change[part])


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_the_correlation_is_that_of_the_two_sides_changes(correlation: float) -> None:
    change = np.diff(logit(rational(correlation)), axis=2)
    seen = np.corrcoef(change[:, 0, 1], change[:, 1, 1])[0, 1]
    assert seen == pytest.approx(correlation, abs=0.035)


@pytest.mark.parametrize("correlation", [*CORRELATIONS, None])
def test_a_correlation_leaves_each_sides_law_alone(correlation: float | None) -> None:
    one, other = rational(correlation), rational(0.0)
    assert one.mean(axis=0) == pytest.approx(other.mean(axis=0), abs=0.005)
    assert one.std(axis=0) == pytest.approx(other.std(axis=0), abs=0.003)


def test_where_one_truth_decides_the_other_side_tells_more() -> None:
    """So the other's belief foretells a change: real simulated seats do not hear each other's evidence."""
    held = rational(None)
    change = held[:, 0, 2] - held[:, 0, 1]
    assert np.cov(change, held[:, 1, 1])[0, 1] < 0
    assert abs(np.cov(change, held[:, 0, 1])[0, 1]) < 4 * np.std(change) * np.std(held[:, 0, 1]) / math.sqrt(len(held))


def test_rounding_says_the_fives_around_a_belief_and_keeps_its_mean() -> None:
    n = 20_000
    said = stated(replace(presets()["rational"], rounding=5), np.full((n, 2, 1), logit(0.57)), rng())
    assert set(np.unique(said.round(9))) == {0.55, 0.6}
    assert said.mean(axis=(0, 2)) == pytest.approx([0.57, 0.57], abs=4 * 0.025 / math.sqrt(n))


def test_noise_in_the_report_moves_no_belief() -> None:
    """Two statements of one belief differ by the noise alone, in log-odds."""
    noisy = replace(presets()["rational"], sd_report=0.3)
    held = beliefs(noisy, 20_000, 2, rng())
    one, two = (logit(stated(noisy, held, rng(seed))) for seed in (1, 2))
    assert (one - held).std() == pytest.approx(0.3, rel=0.02)
    assert (one - two).std() == pytest.approx(0.3 * math.sqrt(2), rel=0.02)


# ------------------------------------------------------------------ what is shared, and with whom


def test_without_spread_the_log_odds_are_the_presets() -> None:
    process = Preset(opening=0.2, drift=0.5, acceleration=0.2)
    assert beliefs(process, 2, 4, rng()) == pytest.approx(np.broadcast_to([0.2, 0.6, 1.2, 1.8], (2, 2, 4)))


def test_seats_of_one_model_share_its_liking_and_trend() -> None:
    process = Preset(sd_model=1.0, sd_drift=1.0)
    held = beliefs(process, 3, 3, rng(), models=[["a", "b"], ["b", "c"], ["c", "c"]])
    assert np.array_equal(held[0, 1], held[1, 0])
    assert np.array_equal(held[1, 1], held[2, 0])
    assert len({float(model[2]) for model in held.reshape(-1, 3)}) == 3


def test_both_seats_share_what_is_the_debates() -> None:
    held = beliefs(Preset(sd_debate=1.0), 3, 1, rng())
    assert np.array_equal(held[:, 0], held[:, 1])
    assert len(np.unique(held)) == 3


def test_a_pair_seats_two_kinds() -> None:
    said = draw((Preset(opening=2.0), presets()["rational"]), 500, 3, rng())
    assert np.allclose(said[:, 0], expit(2.0))
    assert said[:, 1].std() > 0.1


def test_shading_moves_what_is_said_in_public() -> None:
    process = Preset()
    assert stated(process, np.zeros((1, 2, 1)), rng(), shading=-1.0) == pytest.approx(np.full((1, 2, 1), expit(-1.0)))


@settings(max_examples=40)
@given(
    preset=st.sampled_from(["rational", "escalating", "self_debate"]),
    debates=st.integers(0, 5), rounds=st.integers(1, 5), seed=st.integers(0, 2**32),
    rounding=st.sampled_from([0, 1, 5, 7, 30, 100]), noise=st.floats(0, 5),
)  # fmt: skip
def test_confidences_lie_between_nought_and_one_and_repeat_with_the_seed(
    preset: str, debates: int, rounds: int, seed: int, rounding: float, noise: float
) -> None:
    process = replace(presets()[preset], rounding=rounding, sd_report=noise)
    said = draw(process, debates, rounds, rng(seed))
    assert said.shape == (debates, 2, rounds)
    assert np.all((said >= 0) & (said <= 1))
    assert np.array_equal(said, draw(process, debates, rounds, rng(seed)))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be in \[-1, 1\], not 1.5"):
        draw(presets()["rational"], 3, 3, rng(), correlation=1.5)
    with pytest.raises(ValueError, match="joined by sd_debate"):
        draw(presets()["escalating"], 3, 3, rng(), correlation=0.3)
    with pytest.raises(ValueError, match=r"\(4, 2\); one a debate and seat is needed, \(3, 2\)"):
        draw(presets()["escalating"], 3, 3, rng(), models=np.zeros((4, 2)))
