"""Belief updating: exact identities, what noise cannot touch, and what known processes show."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from agents.models.simulated import Preset
from arena.stats import updating
from arena.stats.mixed import escalation_per_round
from arena.stats.simulate import draw
from arena.stats.updating import Noise

RATIONAL = Preset(evidence=0.6)
NOISY = Preset(evidence=0.6, sd_report=0.3, rounding=5)

debates = arrays(float, st.tuples(st.integers(3, 12), st.just(2), st.integers(3, 5)), elements=st.floats(0, 1))


def rejected(test, process: Preset, replications: int, rounds: int = 3, correlation: float = 0.0) -> float:
    """The share of replications of 60 debates in which a test rejects at 5 %."""
    rng = np.random.default_rng(0)
    each = (test(draw(process, 60, rounds, rng, correlation=correlation)).p for _ in range(replications))
    return sum(p is not None and p < 0.05 for p in each) / replications


# ------------------------------------------------------------------ known answers


def test_drift_is_the_t_test_on_the_debates_mean_revision() -> None:
    c = draw(RATIONAL, 40, 3, np.random.default_rng(0))
    means = np.diff(c, axis=2).mean(axis=(1, 2))
    assert updating.drift(c).p == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


def test_the_slope_is_that_of_least_squares_within_the_round() -> None:
    c = draw(RATIONAL, 40, 3, np.random.default_rng(1))
    known = stats.linregress(c[:, :, 0].ravel(), (c[:, :, 2] - c[:, :, 1]).ravel())
    assert updating.drift_slope(c).estimate == pytest.approx(known.slope)


def test_movement_and_reduction_are_those_of_the_definition() -> None:
    c = np.array([[[0.5, 0.7, 0.9], [0.5, 0.4, 0.2]], [[0.5, 0.5, 0.5], [0.6, 0.6, 0.6]]])
    found = updating.movement(c)
    assert found.movement.estimate == pytest.approx((0.08 + 0.05) / 4)
    assert found.reduction.estimate == pytest.approx(((0.25 - 0.09) + (0.25 - 0.16)) / 4)


def test_rounding_is_the_coarsest_grid() -> None:
    rng = np.random.default_rng(2)
    assert updating.rounding(draw(Preset(evidence=0.6, rounding=5), 50, 3, rng)).unit == 0.05
    assert updating.rounding(draw(Preset(evidence=0.6, rounding=10), 50, 3, rng)).unit == 0.1
    assert updating.rounding(draw(RATIONAL, 50, 3, rng)).unit is None


# ------------------------------------------------------------------ properties


@given(debates)
@settings(max_examples=60, deadline=None)
def test_excess_movement_is_what_the_present_says_about_the_next_revision(c: np.ndarray) -> None:
    """The identity behind Augenblick and Rabin: the sum of (next - now) (1 - 2 now)."""
    move = np.diff(c, axis=2)
    known = (move * (1 - 2 * c[:, :, :-1])).sum(axis=2).mean()
    assert updating.movement(c).stated.estimate == pytest.approx(known, abs=1e-9)


@given(debates)
@settings(max_examples=40, deadline=None)
def test_it_does_not_matter_which_side_is_named_first(c: np.ndarray) -> None:
    other = c[:, ::-1]
    for measure in (updating.drift, updating.drift_slope, updating.autocorrelation, updating.reaction):
        one, two = measure(c).estimate, measure(other).estimate
        assert (one is None) == (two is None)
        if one is not None:
            assert one == pytest.approx(two, abs=1e-6)


@given(debates)
@settings(max_examples=40, deadline=None)
def test_betting_on_the_other_side_of_everything_mirrors_the_drift_and_keeps_the_movement(c: np.ndarray) -> None:
    assert updating.drift(1 - c).estimate == pytest.approx(-(updating.drift(c).estimate or 0.0), abs=1e-9)
    one, two = updating.movement(c).excess.estimate, updating.movement(1 - c).excess.estimate
    assert one == pytest.approx(two, abs=1e-9)


def test_a_missing_confidence_costs_its_own_rows_alone() -> None:
    c = draw(RATIONAL, 40, 3, np.random.default_rng(3))
    holed = c.copy()
    holed[:5, 0, 2] = np.nan
    whole = np.concatenate([c[:5, 1:], np.full((5, 1, 3), np.nan)], axis=1)
    without = updating.drift_slope(np.concatenate([whole, c[5:]])).estimate
    assert updating.drift_slope(holed).estimate == pytest.approx(without)
    assert updating.movement(holed).excess.n == 40


def test_nothing_has_no_drift_and_no_nan() -> None:
    nothing = np.full((5, 2, 3), np.nan)
    assert updating.drift(nothing).estimate is None
    assert updating.movement(nothing).excess.estimate is None
    assert updating.drift_slope(nothing).estimate is None


def test_the_same_confidence_for_ever_moves_nowhere() -> None:
    c = np.full((20, 2, 3), 0.6)
    assert updating.movement(c).movement.estimate == 0
    assert updating.autocorrelation(c).p is None


# ------------------------------------------------------------------ simulation


@pytest.mark.parametrize("process", [RATIONAL, NOISY], ids=["exact", "noisy"])
@pytest.mark.parametrize(
    "test",
    [updating.drift, updating.drift_slope, lambda c: updating.movement(c).excess, updating.reaction],
    ids=["drift", "slope", "excess", "reaction"],
)
def test_rational_debaters_are_rejected_as_often_as_the_level_says(test, process: Preset) -> None:
    assert 0.025 < rejected(test, process, 600, correlation=0.3) < 0.078


def test_the_naive_test_takes_report_noise_for_irrationality() -> None:
    """Which is why its result is labelled an upper bound."""
    assert rejected(lambda c: updating.movement(c).stated, NOISY, 200) > 0.5
    assert rejected(updating.autocorrelation, NOISY, 200) > 0.3
    c = draw(NOISY, 60, 3, np.random.default_rng(4))
    assert "upper bound" in str(updating.movement(c).stated.test)
    assert "upper bound" in str(updating.autocorrelation(c).test)


def test_with_the_noise_given_neither_does() -> None:
    noise = Noise(report=0.3, rounding=0.05)
    assert 0.025 < rejected(lambda c: updating.movement(c, noise=noise).excess, NOISY, 600) < 0.078
    assert 0.025 < rejected(lambda c: updating.autocorrelation(c, noise=noise), NOISY, 600) < 0.078


def test_four_rounds_leave_a_test_of_autocorrelation_that_noise_cannot_touch() -> None:
    assert 0.025 < rejected(updating.autocorrelation, NOISY, 600, rounds=4) < 0.078
    c = draw(NOISY, 60, 4, np.random.default_rng(5))
    assert "upper bound" not in str(updating.autocorrelation(c).test)


def test_two_rounds_leave_an_upper_bound() -> None:
    c = draw(NOISY, 60, 2, np.random.default_rng(6))
    assert "upper bound" in str(updating.drift_slope(c).test)
    assert "upper bound" in str(updating.movement(c).excess.test)


def test_the_noise_that_was_put_in_is_found() -> None:
    """0.3 in log-odds near 0.5 is 0.07 in probability, rounding to fives adds 0.02."""
    c = draw(NOISY, 20_000, 3, np.random.default_rng(7))
    true = float(np.mean(Noise(0.3, 0.05).variance(draw(RATIONAL, 20_000, 3, np.random.default_rng(8))[:, :, 1])))
    assert updating.report_noise(c).estimate == pytest.approx(true, rel=0.1)


def overreacting(size: int, rng: np.random.Generator) -> np.ndarray:
    """Half of each revision is taken back in the next round."""
    move = rng.normal(0, 0.08, (size, 2, 4))
    c = 0.5 + np.cumsum(move, axis=2)
    c[:, :, 1:] -= 0.5 * move[:, :, :-1].cumsum(axis=2)
    return np.clip(c, 0, 1)


def test_who_takes_back_what_it_moved_is_caught() -> None:
    c = overreacting(200, np.random.default_rng(9))
    found = updating.autocorrelation(c, noise=Noise())
    assert updating.movement(c, noise=Noise()).excess.p < 0.001  # pyright: ignore
    assert found.estimate is not None


def test_who_leans_back_to_even_is_caught() -> None:
    rng = np.random.default_rng(10)
    c = np.empty((300, 2, 3))
    c[:, :, 0] = rng.uniform(0.2, 0.8, (300, 2))
    for t in (1, 2):
        c[:, :, t] = 0.5 + 0.7 * (c[:, :, t - 1] - 0.5) + rng.normal(0, 0.03, (300, 2))
    found = updating.drift_slope(c)
    # The slope on the statement before is 0.7 of that on the present: (0.7 - 1) * 0.7.
    assert found.estimate == pytest.approx(-0.21, abs=0.03)
    assert found.p is not None
    assert found.p < 0.001


def test_who_follows_the_opponent_is_caught() -> None:
    rng = np.random.default_rng(11)
    first = rng.normal(0, 0.05, (200, 2))
    second = -0.4 * first[:, ::-1] + rng.normal(0, 0.05, (200, 2))
    c = 0.5 + np.stack([np.zeros((200, 2)), first, first + second], axis=2)
    assert updating.reaction(c).estimate == pytest.approx(-0.4, abs=0.12)


# ------------------------------------------------------------------ the mixed model


def test_it_is_what_statsmodels_finds_by_iteration() -> None:
    """With the same fixed effects and a random intercept and slope a debate."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    rng = np.random.default_rng(12)
    models = np.stack([rng.permutation(4)[:2] for _ in range(60)])
    own = rng.multivariate_normal([0, 0], [[0.01, 0.001], [0.001, 0.002]], 60)
    time = np.arange(3)
    c = 0.5 + own[:, :1, None] + (0.03 + own[:, 1:, None]) * time + 0.01 * models[:, :, None] * time
    c = c + rng.normal(0, 0.02, (60, 2, 3))
    found = escalation_per_round(c, models)
    share = np.stack([(models == k).mean(axis=1) for k in range(4)], axis=1)
    crossed = np.repeat(share[:, 1:] - share[:, :1], 3, axis=0)
    line = np.column_stack([np.ones(180), np.tile(time - 1.0, 60)])
    fixed = np.column_stack([line, crossed, crossed * line[:, 1:]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it takes small variances for none
        known = MixedLM(c.mean(axis=1).ravel(), fixed, np.repeat(np.arange(60), 3), exog_re=line).fit(reml=True)
    assert found.estimate == pytest.approx(known.params[1], abs=1e-5)
    assert found.statistic == pytest.approx(known.tvalues[1], rel=0.01)


def test_where_models_cannot_be_told_apart_it_says_that_they_are_left_out() -> None:
    c = draw(RATIONAL, 40, 3, np.random.default_rng(16))
    always = np.tile([0, 1], (40, 1))
    assert "left out" in str(escalation_per_round(c, always).test)
    assert "crossed fixed effects" in str(escalation_per_round(c, always // (np.arange(40) % 2 + 1)[:, None]).test)


def test_of_one_model_it_is_the_t_test_on_the_debates_slopes() -> None:
    c = draw(RATIONAL, 40, 3, np.random.default_rng(13)) + np.arange(3) * 0.02
    found = escalation_per_round(c, np.zeros((40, 2), dtype=int))
    known = stats.ttest_1samp((c[:, :, 2] - c[:, :, 0]).mean(axis=1) / 2, 0)
    assert (found.statistic, found.p) == pytest.approx((known.statistic, known.pvalue))


def test_models_weigh_alike_however_often_they_play() -> None:
    models = np.array([[0, 0]] * 50 + [[1, 1]] * 10)
    rng = np.random.default_rng(14)
    c = 0.5 + 0.1 * models[:, :, None] * np.arange(3) + rng.normal(0, 0.01, (60, 2, 3))
    assert escalation_per_round(c, models).estimate == pytest.approx(0.05, abs=0.003)


def test_its_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(15)
    hits = 0
    for _ in range(400):
        models = np.stack([rng.permutation(6)[:2] for _ in range(60)])
        steps = rng.normal(0.03, 0.05, (60, 2, 3)) + rng.normal(0, 0.05, (60, 1, 3))
        found = escalation_per_round(0.4 + np.cumsum(steps, axis=2), models)
        hits += found.low is not None and found.high is not None and found.low <= 0.03 <= found.high
    assert 0.92 < hits / 400 < 0.98


def test_rational_debaters_do_not_escalate_by_the_mixed_model() -> None:
    models = np.zeros((60, 2), dtype=int)
    assert 0.025 < rejected(lambda c: escalation_per_round(c, models), NOISY, 600, correlation=0.6) < 0.078


@pytest.mark.parametrize("c", [np.full((10, 2, 3), 0.6), np.full((2, 2, 3), 0.5), np.full((10, 2, 3), np.nan)])
def test_the_mixed_model_of_nothing_is_none_or_a_point(c: np.ndarray) -> None:
    assert escalation_per_round(c, np.zeros(c.shape[:2], dtype=int)).p is None
