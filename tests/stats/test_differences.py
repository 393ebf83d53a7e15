"""Differences between conditions: what pairing buys, and what they fall back on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from arena.stats.beliefs import Beliefs
from arena.stats.differences import difference


def played(condition: str, topics: list[str], models: list[tuple[int, int]], shift: float = 0.0) -> Beliefs:
    """Debates of which nobody has said anything; who sat there on what."""
    count = len(topics)
    return Beliefs(
        condition, "private", np.arange(count, dtype=object), np.array(topics, dtype=object), ("a", "b"), ("opening",),
        np.full((count, 2, 1), 0.5 + shift), np.array(models), ("m0", "m1", "m2"), np.full((count, 2), np.nan),
        np.array([True, True]),
    )  # fmt: skip


TOPICS = [f"T{n % 6}" for n in range(24)]
PAIRS = [(n % 3, (n // 6) % 3) for n in range(24)]


def test_paired_it_is_the_t_test_over_cells() -> None:
    a, b = played("a", TOPICS, PAIRS), played("b", TOPICS, PAIRS)
    rng = np.random.default_rng(0)
    topic = {t: rng.normal(0, 1) for t in set(TOPICS)}
    x, y = (np.array([topic[t] for t in TOPICS]) + rng.normal(0, 0.1, 24) for _ in range(2))
    cells = sorted({(t, *sorted(pair)) for t, pair in zip(TOPICS, PAIRS, strict=True)})
    where = [[(t, *sorted(p)) == cell for t, p in zip(TOPICS, PAIRS, strict=True)] for cell in cells]
    known = stats.ttest_1samp([(x - y)[w].mean() for w in where], 0)
    found = difference(a, b, x, y)
    assert found.n == 48
    assert f"over {len(cells)} topics and pairings" in str(found.test)
    assert found.p == pytest.approx(known.pvalue)


def test_sides_swapped_are_the_same_pairing() -> None:
    a = played("a", TOPICS, PAIRS)
    b = played("b", TOPICS, [(y, x) for x, y in PAIRS])
    x = np.random.default_rng(1).normal(0, 1, 24)
    assert "paired" in str(difference(a, b, x + np.arange(24) * 0.01, x).test)


def test_without_common_cells_it_is_welch_s_test() -> None:
    a, b = played("a", ["T1"] * 20, [(0, 1)] * 20), played("b", ["T2"] * 15, [(1, 2)] * 15)
    rng = np.random.default_rng(2)
    x, y = rng.normal(0.7, 0.1, 20), rng.normal(0.6, 0.2, 15)
    found, known = difference(a, b, x, y), stats.ttest_ind(x, y, equal_var=False)
    assert (found.statistic, found.p) == pytest.approx((known.statistic, known.pvalue))
    assert found.n == 35


def test_it_changes_sign_with_the_order() -> None:
    a, b = played("a", TOPICS, PAIRS), played("b", TOPICS, PAIRS)
    x, y = np.random.default_rng(3).normal(0, 1, (2, 24))
    one, other = difference(a, b, x, y), difference(b, a, y, x)
    assert one.estimate == pytest.approx(-(other.estimate or 0))
    assert one.p == pytest.approx(other.p)


def test_a_missing_debate_is_left_out() -> None:
    a, b = played("a", TOPICS, PAIRS), played("b", TOPICS, PAIRS)
    x, y = np.random.default_rng(4).normal(0, 1, (2, 24))
    x[:12] = np.nan
    whole = difference(played("a", TOPICS[12:], PAIRS[12:]), b, x[12:], y)
    assert difference(a, b, x, y) == whole


def test_no_difference_is_found_as_often_as_the_level_says() -> None:
    a, b = played("a", TOPICS, PAIRS), played("b", TOPICS, PAIRS)
    rng = np.random.default_rng(5)
    found = [difference(a, b, *rng.normal(0, 1, (2, 24))).p for _ in range(800)]
    assert 0.03 < np.mean([p is not None and p < 0.05 for p in found]) < 0.07


@pytest.mark.parametrize("count", [0, 1])
def test_of_too_few_there_is_no_test(count: int) -> None:
    a, b = played("a", ["T1"] * count, [(0, 1)] * count), played("b", ["T2"] * 3, [(0, 1)] * 3)
    assert difference(a, b, np.full(count, 0.5), np.full(3, 0.6)).p is None
