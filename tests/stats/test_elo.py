"""Elo, as the display shows it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.stats.elo import START, updated

scores = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("def"), st.floats(0, 1)), max_size=30)


def test_a_win_between_equals_moves_half_of_k_and_one_over_a_much_stronger_one_nearly_all() -> None:
    assert updated({}, "a", "b", 1.0, k=32) == {"a": START + 16, "b": START - 16}
    upset = updated({"a": 1000.0, "b": 1400.0}, "a", "b", 1.0, k=32)
    assert upset["a"] == pytest.approx(1000 + 32 * 10 / 11)


@given(scores)
def test_points_only_change_hands(matches: list[tuple[str, str, float]]) -> None:
    ratings: dict[str, float] = {}
    for first, second, score in matches:
        ratings = updated(ratings, first, second, score)
    assert sum(ratings.values()) == pytest.approx(START * len(ratings))
