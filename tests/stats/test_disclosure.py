"""Disclosure: shading by hand, as a property, and where how it is made is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from arena.stats.disclosure import predicts_winning, shading
from arena.stats.estimate import Estimate

CONFIDENCES = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(0, 4)), min_size=1, max_size=20)


def test_by_hand() -> None:
    found = shading([0.6, 0.7, 0.5, 0.5], [0.7, 0.9, 0.5, 0.4], [0, 0, 1, 1])
    assert found.estimate == pytest.approx(0.05)
    assert found.n == 2
    assert found.test == "cluster-robust t by debate, public = private"
    assert shading([0.6, 0.7], [0.7, 0.8], [0, 1]) == Estimate(0.1, n=2)


@settings(max_examples=50)
@given(CONFIDENCES)
def test_it_is_the_difference_of_means_and_turns_around(rows: list[tuple[int, int, int]]) -> None:
    private, public, debates = np.array(rows).T
    found, turned = shading(private / 100, public / 100, debates), shading(public / 100, private / 100, debates)
    assert found.estimate == pytest.approx((public - private).mean() / 100, abs=1e-9)
    assert found.estimate == pytest.approx(-turned.estimate, abs=1e-9)  # pyright: ignore[reportOptionalOperand]
    assert found.n == np.unique(debates).size


def test_nothing_gives_nothing() -> None:
    assert shading([], [], []) == Estimate(None)
    assert predicts_winning(np.zeros((0, 2)), []).slope == Estimate(None)
    assert predicts_winning([[0.1, 0.0]], [1]).slope == Estimate(None, n=1)
    assert predicts_winning(np.full((5, 2), 0.1), [1, 0, 1, 0, 1]).slope == Estimate(None, n=5)


def test_what_cannot_be_used_is_named() -> None:
    with pytest.raises(ValueError, match="1 of 2 private confidences are NaN"):
        shading([np.nan, 0.5], [0.5, 0.5], [0, 1])
    with pytest.raises(ValueError, match="1 of 1 public confidences are outside"):
        shading([0.5], [80], [0])
    with pytest.raises(ValueError, match="2 public confidences have 1 private"):
        shading([0.5], [0.5, 0.5], [0])
    with pytest.raises(ValueError, match="both sides"):
        predicts_winning([0.1, 0.2], [1, 0])
    with pytest.raises(ValueError, match="not finite"):
        predicts_winning([[0.1, np.nan]], [1])


def test_separated_shading_has_a_test_and_no_estimate() -> None:
    found = predicts_winning([[0.1 * k, 0.0] for k in range(8)], [0, 0, 0, 0, 1, 1, 1, 1]).slope
    assert found.estimate is None
    assert (
        found.test == "score test over debates, winning unrelated to shading; no estimate, the outcomes are separated"
    )


def played(random: np.random.Generator, debates: int, effect: float, correlation: float = 0.5):
    """Shading of both sides, which hangs together, and who won."""
    common = random.normal(0, np.sqrt(correlation), (debates, 1))
    shaded = np.round(0.05 + 0.1 * (common + random.normal(0, np.sqrt(1 - correlation), (debates, 2))), 2)
    won = random.random(debates) < expit(0.4 + effect * (shaded[:, 0] - shaded[:, 1]))
    return shaded, won.astype(float)


def test_shading_intervals_cover_the_truth() -> None:
    random, covered = np.random.default_rng(0), 0
    for _ in range(400):
        shaded, _ = played(random, 60, 0.0)
        private = np.full(120, 0.4)
        found = shading(private, (0.4 + shaded).clip(0, 1).ravel(), np.repeat(np.arange(60), 2))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.05 <= found.high
    assert 0.925 <= covered / 400 <= 0.98


def test_the_effect_and_the_advantage_of_a_side_are_recovered() -> None:
    found = predicts_winning(*played(np.random.default_rng(0), 20_000, effect=5.0))
    assert found.slope.low is not None
    assert found.slope.high is not None
    assert found.slope.low < 5 < found.slope.high < found.slope.low + 1.5
    assert found.intercept.low is not None
    assert found.intercept.high is not None
    assert found.intercept.low < 0.4 < found.intercept.high


def size(replications: int) -> float:
    random = np.random.default_rng(0)
    found = (predicts_winning(*played(random, 60, 0.0)).slope.p for _ in range(replications))
    return float(np.mean([p is not None and p < 0.05 for p in found]))


def test_the_test_keeps_its_size() -> None:
    assert size(300) <= 0.095


@pytest.mark.slow
def test_the_test_keeps_its_size_over_many_replications() -> None:
    assert 0.035 <= size(2000) <= 0.065
