"""Power of t-tests over debates: another library's numbers, what must hold of them, and what simulation rejects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from arena.stats.power import detectable, needed, power

DEBATES = st.integers(2, 5000)
EFFECTS = st.floats(0.01, 3)


@pytest.mark.parametrize("debates", [2, 5, 20, 60, 200])
@pytest.mark.parametrize("effect", [0.0, 0.05, 0.3, 0.8])
def test_it_is_the_power_that_statsmodels_gives(debates: int, effect: float) -> None:
    one = TTestPower().power(effect, debates, 0.05)
    two = TTestIndPower().power(effect, debates, 0.05)
    assert power(effect * 0.2, 0.2, debates) == pytest.approx(one, abs=1e-9)
    assert power(effect * 0.2, 0.2, debates, conditions=2) == pytest.approx(two, abs=1e-9)


@pytest.mark.parametrize("conditions", [1, 2])
def test_where_statsmodels_has_no_number_it_is_sure(conditions: int) -> None:
    assert power(3.0, 1.0, 60, conditions=conditions) == 1.0
    assert power(0.1, 0.0, 2, conditions=conditions) == 1.0


@settings(max_examples=60)
@given(debates=DEBATES, effect=EFFECTS, conditions=st.sampled_from([1, 2]))
def test_power_rises_with_debates_and_with_the_difference(debates: int, effect: float, conditions: int) -> None:
    here = power(effect, 1.0, debates, conditions=conditions)
    assert 0.05 <= here <= 1
    assert power(effect, 1.0, debates + 5, conditions=conditions) >= here - 1e-12
    assert power(effect * 1.1, 1.0, debates, conditions=conditions) >= here - 1e-12
    assert power(effect, 1.0, debates) >= power(effect, 1.0, debates, conditions=2) - 1e-12 or debates < 5


@settings(max_examples=40)
@given(difference=st.floats(0.005, 0.5), sd=st.floats(0.01, 0.4), conditions=st.sampled_from([1, 2]))
def test_the_debates_needed_are_the_fewest_that_detect_it(difference: float, sd: float, conditions: int) -> None:
    n = needed(difference, sd, conditions=conditions)
    assert power(difference, sd, n, conditions=conditions) >= 0.8
    assert n == 2 or power(difference, sd, n - 1, conditions=conditions) < 0.8


@settings(max_examples=40)
@given(debates=DEBATES, sd=st.floats(0.001, 0.5), conditions=st.sampled_from([1, 2]))
def test_what_is_detectable_is_detected_with_the_power_that_is_wanted(debates: int, sd: float, conditions: int) -> None:
    assert power(detectable(sd, debates, conditions=conditions), sd, debates, conditions=conditions) == pytest.approx(
        0.8
    )


@pytest.mark.parametrize("conditions", [1, 2])
def test_tests_of_simulated_debates_reject_as_often_as_it_says(conditions: int) -> None:
    rng, n, repeats = np.random.default_rng(0), 12, 20_000
    a = rng.normal(0.05, 0.07, (repeats, n))
    if conditions == 1:
        p = stats.ttest_1samp(a, 0.0, axis=1).pvalue
    else:
        p = stats.ttest_ind(a, rng.normal(0.0, 0.07, (repeats, n)), axis=1).pvalue
    assert np.mean(p < 0.05) == pytest.approx(power(0.05, 0.07, n, conditions=conditions), abs=0.012)


def test_a_textbook_number() -> None:
    """Cohen (1988): a medium effect of 0.5 needs 64 each of two groups; 34 of one."""
    assert needed(0.5, 1.0, conditions=2) == 64
    assert needed(0.5, 1.0) == 34


def test_no_number_of_debates_detects_nothing() -> None:
    with pytest.raises(ValueError, match="difference of zero"):
        needed(0.0, 0.1)


def test_one_debate_tests_nothing() -> None:
    with pytest.raises(ValueError, match="two of them at least, not 1"):
        power(0.1, 0.1, 1)
    with pytest.raises(ValueError, match="two of them at least, not 1"):
        detectable(0.1, 1)
