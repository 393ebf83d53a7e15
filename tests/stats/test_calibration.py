"""Calibration: scikit-learn's numbers, the published ones, what must hold of all, and intervals where the truth is known."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from arena.stats.calibration import (
    auroc,
    brier,
    calibration_errors,
    decomposition,
    log_score,
    overconfidence,
    reliability,
)
from arena.stats.estimate import Estimate

Rows = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]


def debated(random: np.random.Generator, debates: int, mean: float = 0.7, informed: float = 0.5) -> Rows:
    """Debates of two sides that state multiples of five percent; exactly one wins, more often the more confident one."""
    stated = np.round(random.normal(mean, 0.12, (debates, 2)).clip(0.05, 0.95) * 20) / 20
    first = random.random(debates) < np.clip(0.5 + informed * (stated[:, 0] - stated[:, 1]), 0, 1)
    return stated.ravel(), np.stack([first, ~first], 1).ravel().astype(float), np.repeat(np.arange(debates), 2)


def calibrated(random: np.random.Generator, debates: int) -> Rows:
    """Debates of two sides whose confidences add up to one and are true."""
    first = random.integers(1, 20, debates) / 20
    won = random.random(debates) < first
    stated = np.stack([first, 1 - first], 1).ravel()
    return stated, np.stack([won, ~won], 1).ravel().astype(float), np.repeat(np.arange(debates), 2)


ROWS = st.lists(
    st.tuples(st.integers(0, 20).map(lambda k: k / 20), st.booleans(), st.integers(0, 5)), min_size=1, max_size=25
)


def columns(rows: list[tuple[float, bool, int]]) -> Rows:
    stated, came, debates = zip(*rows, strict=True)
    return np.array(stated), np.array(came, dtype=float), np.array(debates)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


# ------------------------------------------------------------------ other libraries' numbers


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    p, y, debates = debated(np.random.default_rng(seed), 60)
    assert brier(p, y, debates).estimate == pytest.approx(brier_score_loss(y, p), abs=1e-12)
    assert auroc(p, y, debates).estimate == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert log_score(p, y, debates).score.estimate == pytest.approx(log_loss(y, p), abs=1e-12)
    assert overconfidence(p, y, debates).estimate == pytest.approx(p.mean() - y.mean(), abs=1e-12)
    assert brier(p, y, debates).n == 60


@pytest.mark.parametrize("seed", range(5))
def test_the_decomposition_recalibrates_as_scikit_learn_does(seed: int) -> None:
    p, y, debates = debated(np.random.default_rng(seed), 60)
    parts = decomposition(p, y, debates)
    after = brier_score_loss(y, IsotonicRegression().fit(p, y).predict(p))
    assert parts.miscalibration.estimate == pytest.approx(brier_score_loss(y, p) - after, abs=1e-9)
    assert parts.discrimination.estimate == pytest.approx(np.var(y) - after, abs=1e-9)
    assert parts.uncertainty.estimate == pytest.approx(np.var(y))


@pytest.mark.parametrize("seed", range(5))
def test_bins_of_equal_width_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    p = random.uniform(0.001, 0.999, 200)
    y = (random.random(200) < p).astype(float)
    observed, stated = calibration_curve(y, p, n_bins=10)
    curve = reliability(p, y, np.arange(200))
    assert [point.stated for point in curve] == pytest.approx(list(stated))
    assert [point.observed.estimate for point in curve] == pytest.approx(list(observed))
    weights = np.array([point.observed.n for point in curve]) / 200
    found = calibration_errors(p, y, np.arange(200), random)
    assert found["equal_width"].error.estimate == pytest.approx(float(weights @ np.abs(observed - stated)))
    assert found["maximum"].error.estimate == pytest.approx(float(np.abs(observed - stated).max()))


@pytest.mark.parametrize("seed", range(5))
def test_bins_of_equal_mass_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    p = random.uniform(0.001, 0.999, 200)
    y = (random.random(200) < 0.5).astype(float)
    observed, stated = calibration_curve(y, p, n_bins=10, strategy="quantile")
    found = calibration_errors(p, y, np.arange(200), random)["equal_mass"].error
    assert found.estimate == pytest.approx(float(np.abs(observed - stated).mean()), abs=1e-9)


def test_the_variance_of_the_area_is_obuchowskis() -> None:
    p, y, debates = debated(np.random.default_rng(1), 40)
    won, lost = p[y == 1], p[y == 0]
    beats = (won[:, None] > lost) + 0.5 * (won[:, None] == lost)
    area = beats.mean()
    # One winner and one loser a debate: her formula for paired components.
    ten, one = beats.mean(axis=1) - area, beats.mean(axis=0) - area
    variance = (ten @ ten + one @ one + 2 * ten @ one) / (40 * 39)
    found = auroc(p, y, debates)
    assert found.estimate == pytest.approx(area)
    assert found.statistic == pytest.approx((area - 0.5) / np.sqrt(variance))


# ------------------------------------------------------------------ by hand


def test_by_hand() -> None:
    p, y, debates = [0.9, 0.6, 0.7, 0.8], [1, 0, 0, 1], [0, 0, 1, 1]
    assert brier(p, y, debates).estimate == pytest.approx((0.01 + 0.36 + 0.49 + 0.04) / 4)
    assert auroc(p, y, debates).estimate == 1
    parts = decomposition(p, y, debates, generator())
    assert parts.uncertainty.estimate == parts.discrimination.estimate == pytest.approx(0.25)
    found = calibration_errors(p, y, debates, generator())
    assert found["equal_width"].error.estimate == pytest.approx((0.1 + 0.6 + 0.7 + 0.2) / 4)
    assert found["maximum"].error.estimate == pytest.approx(0.7)
    assert [(point.left, point.right) for point in reliability(p, y, debates)] == [
        (0.6, 0.7),
        (0.7, 0.8),
        (0.8, 0.9),
        (0.9, 1.0),
    ]


@pytest.mark.parametrize("tenth", range(11))
def test_a_bin_holds_its_left_end_and_the_last_one_holds_one(tenth: int) -> None:
    (point,) = reliability([tenth / 10], [1], [0])
    assert point.left == min(tenth, 9) / 10
    (other,) = reliability([1 - (10 - tenth) / 10], [1], [0])
    assert other.left == point.left


def test_a_floored_score_says_how_many_were_floored() -> None:
    found = log_score([0.0, 1.0, 0.999, 0.5], [1, 1, 1, 0], [0, 1, 2, 3])
    assert found.floored == 3
    assert found.score.estimate == pytest.approx(-(np.log(0.005) + 2 * np.log(0.995) + np.log(0.5)) / 4)
    assert log_score([0.0, 0.5], [1, 0], [0, 1], floor=0.05).score.estimate == pytest.approx(
        -(np.log(0.05) + np.log(0.5)) / 2
    )
    with pytest.raises(ValueError, match="floor is 0"):
        log_score([0.5], [1], [0], floor=0)


# ------------------------------------------------------------------ what must hold


@settings(max_examples=60)
@given(ROWS)
def test_everything_is_finite_and_in_its_range(rows: list[tuple[float, bool, int]]) -> None:
    p, y, debates = columns(rows)
    errors = calibration_errors(p, y, debates, generator())
    parts = decomposition(p, y, debates, generator())
    inside: list[Estimate] = [
        brier(p, y, debates), auroc(p, y, debates), parts.miscalibration, parts.discrimination, parts.uncertainty,
        *(found.error for found in errors.values()), *(point.observed for point in reliability(p, y, debates)),
    ]  # fmt: skip
    for estimate in inside:
        for value in (estimate.estimate, estimate.low, estimate.high, estimate.p):
            assert value is None or 0 <= value <= 1
    assert errors["equal_width"].error.estimate <= errors["maximum"].error.estimate + 1e-12  # pyright: ignore
    assert abs(p.mean() - y.mean()) <= errors["equal_width"].error.estimate + 1e-12  # pyright: ignore
    assert abs(p.mean() - y.mean()) <= errors["equal_mass"].error.estimate + 1e-12  # pyright: ignore
    for found in errors.values():
        assert found.null is not None
        assert 0 <= found.null.low <= found.null.high <= 1


@settings(max_examples=60)
@given(ROWS)
def test_the_decomposition_is_exact_and_its_parts_are_not_negative(rows: list[tuple[float, bool, int]]) -> None:
    p, y, debates = columns(rows)
    parts = decomposition(p, y, debates)
    brier_, mis, dis, unc = (
        part.estimate for part in (parts.brier, parts.miscalibration, parts.discrimination, parts.uncertainty)
    )
    assert mis is not None
    assert dis is not None
    assert unc is not None
    assert brier_ == pytest.approx(mis - dis + unc, abs=1e-12)
    assert mis >= 0
    assert dis >= 0


@settings(max_examples=30, phases=(Phase.explicit, Phase.generate))
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[tuple[float, bool, int]], shuffler: object) -> None:
    p, y, debates = columns(rows)
    shuffled = rows.copy()
    shuffler.shuffle(shuffled)  # type: ignore[attr-defined]
    p_, y_, debates_ = columns(shuffled)
    for measure in (brier, auroc, overconfidence):
        assert measure(p, y, debates).estimate == pytest.approx(measure(p_, y_, debates_).estimate, abs=1e-12)
    one, other = calibration_errors(p, y, debates, generator()), calibration_errors(p_, y_, debates_, generator())
    for name, found in one.items():
        assert found.error.estimate == pytest.approx(other[name].error.estimate, abs=1e-12)


@settings(max_examples=40)
@given(ROWS)
def test_the_area_turns_around_with_the_outcomes_and_looks_at_ranks_alone(rows: list[tuple[float, bool, int]]) -> None:
    p, y, debates = columns(rows)
    found, turned, bent = auroc(p, y, debates), auroc(p, 1 - y, debates), auroc(p**3, y, debates)
    assert found == bent
    if found.estimate is None:
        assert turned.estimate is None
    else:
        assert turned.estimate == pytest.approx(1 - found.estimate, abs=1e-12)


def test_one_seed_gives_one_result() -> None:
    p, y, debates = debated(generator(), 60)
    assert calibration_errors(p, y, debates, generator()) == calibration_errors(p, y, debates, generator())
    assert decomposition(p, y, debates, generator()) == decomposition(p, y, debates, generator())


# ------------------------------------------------------------------ what is not there


def test_nothing_gives_nothing() -> None:
    for measure in (brier, auroc, overconfidence):
        assert measure([], [], []) == Estimate(None)
    assert decomposition([], [], [], generator()).miscalibration == Estimate(None)
    assert reliability([], [], []) == ()
    assert all(
        found.error == Estimate(None) and found.null is None
        for found in calibration_errors([], [], [], generator()).values()
    )


def test_one_debate_has_no_interval() -> None:
    for found in (
        brier([0.7, 0.6], [1, 0], [4, 4]),
        calibration_errors([0.7, 0.6], [1, 0], [4, 4], generator())["equal_width"].error,
        decomposition([0.7, 0.6], [1, 0], [4, 4], generator()).miscalibration,
    ):
        assert found.estimate is not None
        assert found.n == 1
        assert found.low is None


def test_one_outcome_has_no_area() -> None:
    assert auroc([0.7, 0.6, 0.9], [1, 1, 1], [0, 1, 2]) == Estimate(None, n=3)


@pytest.mark.parametrize(
    ("p", "y", "said"),
    [
        ([np.nan, 0.5], [1, 0], "1 of 2 probabilities are NaN"),
        ([0.5, 0.5], [1, np.nan], "1 of 2 outcomes are NaN"),
        ([70, 0.5], [1, 0], "1 of 2 probabilities are outside"),
        ([0.7, 0.5], [1, 0.5], "1 of 2 outcomes are neither"),
        ([0.7], [1, 0], "one each is needed"),
    ],
)
def test_what_cannot_be_used_is_named(p: list[float], y: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        brier(p, y, [0, 1])


# ------------------------------------------------------------------ where the truth is known


@pytest.mark.parametrize("rows", [60, 120])
def test_the_null_band_is_what_calibrated_agents_show(rows: int) -> None:
    random = generator()
    p = random.uniform(size=rows)
    shown: list[float] = []
    for _ in range(600):
        y = (random.random(rows) < p).astype(float)
        observed, stated = calibration_curve(y, p, n_bins=10)
        held = np.histogram(p, np.linspace(0, 1, 11))[0]
        shown.append(float(held[held > 0] @ np.abs(observed - stated)) / rows)
    band = calibration_errors(p, np.ones(rows), np.arange(rows), random)["equal_width"].null
    assert band is not None
    assert band.draws == 1000
    assert band.mean == pytest.approx(np.mean(shown), abs=0.004)
    assert (band.low, band.high) == pytest.approx(np.quantile(shown, [0.025, 0.975]), abs=0.012)


def test_with_many_rows_the_band_closes_and_says_that_it_has_fewer_draws() -> None:
    p = np.tile(np.arange(1, 100) / 100, 1000)
    band = calibration_errors(p, np.zeros(p.size), np.arange(p.size) // 2, generator())["equal_width"].null
    assert band is not None
    assert band.draws < 1000
    assert band.high < 0.005


def test_the_band_knows_that_two_sides_cannot_both_win() -> None:
    p, y, debates = np.full(120, 0.5), np.tile([1.0, 0.0], 60), np.repeat(np.arange(60), 2)
    together = calibration_errors(p, y, debates, generator())["equal_width"].null
    apart = calibration_errors(p, y, np.arange(120), generator())["equal_width"].null
    same = calibration_errors(p, y, debates, generator(), sides=np.zeros(120))["equal_width"].null
    assert together is not None
    assert apart is not None
    assert same is not None
    assert together.high == 0
    assert same.mean > 1.2 * apart.mean > 0


def covered(estimates: list[Estimate], truth: float) -> float:
    return float(np.mean([e.low is not None and e.high is not None and e.low <= truth <= e.high for e in estimates]))


def test_intervals_cover_the_truth() -> None:
    random = generator()
    whole = debated(random, 300_000)
    drawn = [debated(random, 60) for _ in range(300)]
    for measure in (brier, overconfidence, auroc, lambda *rows: log_score(*rows).score):
        truth = measure(*whole).estimate
        assert truth is not None
        assert 0.915 <= covered([measure(*rows) for rows in drawn], truth) <= 0.985


def test_the_interval_of_an_error_allows_for_its_bias() -> None:
    random = generator()
    whole = debated(random, 30_000)
    truth = calibration_errors(*whole, random)["equal_width"].error.estimate
    parts = decomposition(*whole)
    assert truth is not None
    drawn = [debated(random, 60) for _ in range(120)]
    assert covered([calibration_errors(*rows, random)["equal_width"].error for rows in drawn], truth) >= 0.9
    apart = [decomposition(*rows, random) for rows in drawn]
    for name in ("miscalibration", "discrimination"):
        exact = getattr(parts, name).estimate
        assert covered([getattr(found, name) for found in apart], exact) >= 0.88


def rejected(replications: int, debates: int = 60) -> Counter[str]:
    """How often each test rejects what is true: confidences are calibrated, or say nothing about the outcome."""
    random = generator()
    count: Counter[str] = Counter()
    for _ in range(replications):
        rows = calibrated(random, debates)
        for name, found in calibration_errors(*rows, random).items():
            count[name] += found.error.p is not None and found.error.p <= 0.05
        # Even odds between two who always sum to one: the mean cannot be off, so it is tested on one side alone.
        one_side = tuple(column[::2] for column in rows)
        count["overconfidence"] += (overconfidence(*one_side).p or 1) < 0.05
        count["auroc"] += (auroc(*debated(random, debates, informed=0.0)).p or 1) < 0.05
    return count


def test_tests_keep_their_size() -> None:
    for name, count in rejected(250).items():
        assert count <= 250 * 0.1, name


@pytest.mark.slow
def test_tests_keep_their_size_over_many_replications() -> None:
    for name, count in rejected(2000).items():
        assert 0.035 <= count / 2000 <= 0.065, name


# ------------------------------------------------------------------ the published debates


@pytest.mark.reference
@pytest.mark.parametrize("rule", ["confsum", "votes"])
@pytest.mark.parametrize("phase", ["opening", "rebuttal", "closing"])
def test_published_debates_have_the_published_numbers(reference: Path, rule: str, phase: str) -> None:
    folder = reference / "two_llms_debate"
    if not folder.exists():
        pytest.skip(f"{folder} is not there")
    with (folder / "published.csv").open(encoding="utf-8") as file:
        expected = {
            row["key"]: float(row["from_data"]) for row in csv.DictReader(file) if row["id"] == f"cal.60_{rule}.{phase}"
        }
    p, y, debates = published(folder, rule, phase)
    assert brier(p, y, debates).estimate == pytest.approx(expected["brier"], abs=1e-9)
    assert overconfidence(p, y, debates).estimate == pytest.approx(expected["overconf"], abs=1e-9)
    found = calibration_errors(p, y, debates, generator())["equal_width"]
    assert found.error.estimate == pytest.approx(expected["ece10"], abs=1e-9)
    # The published confidences are not calibrated, which is more than ten bins make of chance.
    assert found.null is not None
    assert expected["ece10"] > found.null.high


def published(folder: Path, rule: str, phase: str) -> Rows:
    """Bets of a phase and who won: by sums of the judges' confidence, or by votes with ties to the opposition."""
    stated: list[float] = []
    came: list[float] = []
    debates: list[int] = []
    with gzip.open(folder / "debates.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, debate in enumerate(map(json.loads, lines)):
            if debate["condition"] != "cross_model":
                continue
            tally: Counter[str] = Counter()
            for verdict in debate["judgments"]:
                tally[verdict["winner"]] += verdict["confidence"] if rule == "confsum" else 1
            ahead = tally["proposition"] - tally["opposition"]
            for turn in debate["turns"]:
                if turn["speech_type"] == phase:
                    opposition = turn["side"] == "opposition"
                    stated.append(turn["bet"] / 100)
                    came.append(
                        float((-ahead if opposition else ahead) > 0 or (rule == "votes" and opposition and not ahead))
                    )
                    debates.append(number)
    return np.array(stated), np.array(came), np.array(debates)


def test_draws_that_are_just_as_large_count_half() -> None:
    """Of four statements of 0.5 six in sixteen draws hit exactly half: the smallest error there is, and not p = 1."""
    found = calibration_errors(np.full(4, 0.5), np.array([1, 1, 0, 0]), np.arange(4), np.random.default_rng(0))
    assert found["equal_width"].error.estimate == 0
    assert found["equal_width"].error.p == pytest.approx(10 / 16 + 3 / 16, abs=0.05)
