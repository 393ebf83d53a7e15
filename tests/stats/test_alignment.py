"""Alignment of stated and implied confidence: by hand, as properties, against the published table, and where truth is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arena import frames
from arena.stats import alignment
from arena.stats.estimate import Estimate


def confidences(values: list[tuple[str, str, str, float | None]], audience: str = "private") -> pd.DataFrame:
    """Rows of (match, phase, seat, value)."""
    return frames.frame(
        "confidences",
        [{"match_id": m, "phase": p, "seat": s, "value": v, "audience": audience} for m, p, s, v in values],
    )


def readings(*rows: dict[str, object]) -> pd.DataFrame:
    return frames.frame("readings", [{"status": "ok", "phase": "opening", "seat": "a", **row} for row in rows])


STATED = confidences([(f"m{n}", "opening", "a", 0.7) for n in range(1, 6)])


def test_by_hand() -> None:
    """Gaps of 0, -.1 (aligned still, to the binary digit), .2 and -.3: a quarter each is over and under."""
    labels = readings(
        {"match_id": "m1", "implied": 0.7, "stated": True, "strategic": False},
        {"match_id": "m2", "implied": 0.8, "stated": True, "strategic": False},
        {"match_id": "m3", "implied": 0.5, "stated": False, "strategic": True},
        {"match_id": "m4", "implied": 1.0, "stated": False, "strategic": False},
    )
    found = alignment.shares(alignment.joined(STATED, labels))
    assert found.gap.estimate == pytest.approx(-0.05)
    assert [found.aligned.estimate, found.over.estimate, found.under.estimate] == [0.5, 0.25, 0.25]
    assert [found.strategic.estimate, found.stated.estimate] == [0.25, 0.5]
    assert (found.compared, found.gap.n) == (4, 4)
    assert found.missing == {"unread": 1, "unreadable": 0, "none_implied": 0, "no_confidence": 0}


def test_what_is_not_compared_is_counted_by_reason() -> None:
    stated = confidences(
        [
            ("m1", "opening", "a", 0.7),
            ("m2", "opening", "a", 0.7),
            ("m3", "opening", "a", 0.7),
            ("m4", "opening", "a", None),
        ]
    )
    labels = readings(
        {"match_id": "m2", "status": "unparsed"},
        {"match_id": "m3", "stated": False, "strategic": True},
        {"match_id": "m4", "implied": 0.5, "stated": True, "strategic": False},
        {"match_id": "stranger", "implied": 0.5, "stated": True, "strategic": False},
    )
    found = alignment.shares(alignment.joined(stated, labels))
    assert found.missing == {"unread": 1, "unreadable": 1, "none_implied": 1, "no_confidence": 2}
    assert found.compared == 0
    assert found.gap.estimate is None
    assert found.aligned.estimate is None
    assert found.labelled == {"strategic": 3, "stated": 3}


def test_nothing_at_all_is_none_and_no_nan() -> None:
    found = alignment.shares(alignment.joined(confidences([]), readings()))
    assert found.gap == Estimate(None)
    assert found.strategic.estimate is None
    assert found.compared == sum(found.missing.values()) == 0


def test_reasoning_explains_the_private_confidence_where_there_is_one() -> None:
    private, public = (
        confidences([("m1", "opening", "a", 0.6)]),
        confidences([("m1", "opening", "a", 0.9), ("m2", "opening", "a", 0.8)], "public"),
    )
    both = pd.concat([public, private], ignore_index=True)
    explained = alignment.explained(both)
    assert dict(zip(explained["match_id"], explained["value"], strict=True)) == {"m1": 0.6, "m2": 0.8}


CELLS = st.tuples(st.integers(0, 4), st.none() | st.integers(0, 20), st.none() | st.integers(0, 20), st.booleans())


@settings(max_examples=40)
@given(st.lists(CELLS, max_size=15), st.randoms(use_true_random=False))
def test_every_row_is_counted_once_in_whatever_order(
    cells: list[tuple[int, int | None, int | None, bool]], order
) -> None:
    rows = pd.DataFrame(
        [
            {
                "match_id": f"m{match}", "phase": "opening", "seat": "a", "read": read,
                "value": None if value is None else value / 20,
                "implied": implied / 20 if read and implied is not None else None,
                "stated": True if read else None, "strategic": False if read else None, "status": "ok" if read else None,
            }
            for match, value, implied, read in cells
        ],
        columns=["match_id", "phase", "seat", "read", "value", "implied", "stated", "strategic", "status"],
    ).astype({"value": "Float64", "implied": "Float64", "read": bool, "stated": "boolean", "strategic": "boolean"})  # fmt: skip
    found = alignment.shares(rows)
    assert found.compared + sum(found.missing.values()) == len(cells)
    three = [share.estimate for share in (found.aligned, found.over, found.under)]
    if found.compared:
        assert math.fsum(share for share in three if share is not None) == pytest.approx(1)
        assert all(share.low is None or 0 <= share.low <= share.high <= 1 for share in (found.aligned, found.over))
    shuffled = list(range(len(rows)))
    order.shuffle(shuffled)
    again = alignment.shares(rows.iloc[shuffled])
    assert again.aligned == found.aligned
    assert again.missing == found.missing


def test_one_debate_has_an_estimate_and_no_interval() -> None:
    found = alignment.shares(alignment.joined(STATED[:1], readings({"match_id": "m1", "implied": 0.5})))
    assert (found.gap.estimate, found.gap.low, found.gap.p) == (pytest.approx(0.2), None, None)
    assert (found.over.estimate, found.over.low, found.over.n) == (1.0, None, 1)


# ------------------------------------------------------------------ where truth is known


def drawn(rng: np.random.Generator, debates: int, bias: float) -> pd.DataFrame:
    """Six readings a debate that share what the debate brings."""
    shared = np.repeat(rng.normal(0, 0.06, debates), 6)
    gap = bias + shared + rng.normal(0, 0.06, debates * 6)
    likely = np.repeat(rng.beta(0.5, 2, debates), 6)
    return pd.DataFrame(
        {
            "match_id": np.repeat(np.arange(debates).astype(str), 6),
            "value": 0.5 + gap, "implied": 0.5, "read": True, "status": "ok",
            "strategic": rng.random(debates * 6) < likely, "stated": True,
        }
    )  # fmt: skip


def test_intervals_cover_the_truth_and_the_test_keeps_its_size() -> None:
    """250 replications of 60 debates: coverage of the gap and of a share, and false alarms where there is no gap."""
    rng = np.random.default_rng(0)
    gap = share = alarms = 0
    replications = 250
    for _ in range(replications):
        found = alignment.shares(drawn(rng, 60, 0.0))
        gap += found.gap.low <= 0 <= found.gap.high
        alarms += found.gap.p < 0.05
        share += found.strategic.low <= 0.2 <= found.strategic.high
    band = 3 * math.sqrt(0.05 * 0.95 / replications)
    assert gap / replications == pytest.approx(0.95, abs=band)
    assert alarms / replications == pytest.approx(0.05, abs=band)
    assert share / replications == pytest.approx(0.95, abs=band)


def test_a_gap_is_recovered() -> None:
    found = alignment.shares(drawn(np.random.default_rng(1), 500, 0.15))
    assert found.gap.low < 0.15 < found.gap.high
    assert found.gap.p < 1e-6
    assert found.over.estimate > 0.6 > found.under.estimate


# ------------------------------------------------------------------ the published labels


@pytest.mark.reference
def test_the_published_labels_give_the_published_shares(reference: Path) -> None:
    folder = reference / "two_llms_debate"
    labels = pd.read_csv(folder / "alignment.csv", keep_default_na=False)
    printed = pd.read_csv(folder / "published.csv").query("id.str.startswith('al.')")
    assert len(printed) == 18
    found = {condition: alignment.published(rows) for condition, rows in labels.groupby("condition")}
    for row in printed.itertuples():
        _, what, condition = str(row.id).split(".")
        shares = {"over_any": found[condition].over_any, "under": found[condition].under}
        estimate = shares[what] if what in shares else found[condition].degrees[what.lower()]
        assert 100 * estimate.estimate == pytest.approx(row.from_data, abs=1e-6)
        # Half rounds up, as in print.
        assert math.floor(1000 * estimate.estimate + 0.5) / 10 == pytest.approx(float(row.published))
    assert sum(one.labelled for one in found.values()) == len(labels)


def test_readings_without_an_assessment_are_missing_from_the_published_shares() -> None:
    labels = readings(
        {"match_id": "m1", "assessment": "Slight Overbetting", "degree": "Slight"},
        {"match_id": "m2", "assessment": "Aligned", "degree": "None"},
        {"match_id": "m3", "implied": 0.5},
    )
    found = alignment.published(labels)
    assert (found.labelled, found.missing) == (2, 1)
    assert (found.over_any.estimate, found.under.estimate, found.degrees["none"].estimate) == (0.5, 0.0, 0.5)
