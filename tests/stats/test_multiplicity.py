"""Holm's correction: as statsmodels computes it, in the order that came in, estimates untouched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from arena.stats.estimate import Estimate, made
from arena.stats.multiplicity import holm

p_values = st.lists(st.floats(0, 1), min_size=2, max_size=12)


def with_p(p: float | None) -> Estimate:
    return made(0.1, 0.0, 0.2, n=10, test="a test", statistic=1.0, p=p)


@settings(max_examples=15)  # statsmodels has the whole heap swept at each call
@given(p_values)
def test_it_is_what_statsmodels_gives(p: list[float]) -> None:
    assert [e.p for e in holm([with_p(one) for one in p])] == pytest.approx(list(multipletests(p, method="holm")[1]))


@given(p_values)
def test_no_test_gets_surer(p: list[float]) -> None:
    assert all((after.p or 0) >= before - 1e-12 for before, after in zip(p, holm([with_p(x) for x in p]), strict=True))


def test_what_was_not_tested_does_not_count_and_stays() -> None:
    found = holm([with_p(0.01), with_p(None), with_p(0.02)])
    assert [e.p for e in found] == [0.02, None, 0.02]
    assert [e.test for e in found] == ["a test; Holm over 2", None, "a test; Holm over 2"]


def test_of_one_test_there_is_nothing_to_correct() -> None:
    assert holm([with_p(0.03)]) == [with_p(0.03)]


def test_the_chance_of_any_false_one_stays_at_the_level() -> None:
    rng = np.random.default_rng(0)
    any_ = [min(e.p or 1 for e in holm([with_p(p) for p in rng.random(10)])) < 0.05 for _ in range(2000)]
    assert 0.035 < np.mean(any_) < 0.065
