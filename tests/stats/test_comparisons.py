"""Who can be rated at all, and what runs in circles: known graphs, Hodge's identities, and noise that is no cycle."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from comparing import compared, played
from hypothesis import given
from hypothesis import strategies as st

from arena.stats import cycles as cycle_parts
from arena.stats.comparisons import GraphError, require_one_order
from arena.stats.cycles import Cycles, cycles, edges
from arena.stats.davidson import Fit, cells, fit
from arena.stats.ratings import rate

Match = tuple[str, str, float]


# ------------------------------------------------------------------ rows


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("score", [0.7, 0.0], "score must be 1, 0.5 or 0"),
        ("score", [1.0], "one value a row"),
        ("first", [0, 9], "`first` must number 2 names"),
        ("judge", [-1, 0], "`judge` must number 1 names"),
        ("probability", [0.0, 1.0], "above 0 and at most 1"),
        ("probability", [np.nan, 1.0], "above 0 and at most 1"),
        ("topic", [0, 1], "must be on one topic"),
    ],
)
def test_rows_that_cannot_be_are_refused(field: str, value: Sequence[float], said: str) -> None:
    rows = compared([("a", "b", 1), ("b", "a", 1)], pair=[0, 0], topic=[0, 0])
    with pytest.raises(ValueError, match=said):
        replace(rows, **{field: np.array(value)})


def test_no_rows_are_refused() -> None:
    rows = compared([("a", "b", 1)])
    with pytest.raises(ValueError, match="no comparisons"):
        rows.only(np.array([False]))


# ------------------------------------------------------------------ the graph


def refusal(matches: Sequence[Match]) -> GraphError:
    with pytest.raises(GraphError) as raised:
        require_one_order(compared(matches))
    return raised.value


def test_groups_that_never_met_are_named_with_a_match_that_would_tie_them() -> None:
    found = refusal([("a", "b", 1), ("b", "a", 1), ("c", "d", 0.5)])
    assert found.groups == (("a", "b"), ("c", "d"))
    assert "2 groups that never met" in str(found)
    assert "a against c" in str(found)


def test_an_agent_who_met_only_itself_is_a_group_of_its_own() -> None:
    assert refusal([("a", "b", 0.5), ("c", "c", 1)]).groups == (("a", "b"), ("c",))


def test_who_never_lost_is_named_with_what_is_missing() -> None:
    found = refusal([("a", "b", 1), ("b", "c", 1), ("c", "b", 1), ("c", "a", 0)])
    assert found.groups == (("a",),)
    assert "a never lost to or tied with one of b, c: a win or tie of one of b, c over a is needed" in str(found)


def test_who_never_won_is_named_with_what_is_missing() -> None:
    found = refusal([("a", "b", 1), ("b", "a", 1), ("a", "c", 1), ("c", "b", 0)])
    assert "c never beat or tied with one of a, b: a win or tie of c over one of a, b is needed" in str(found)


def test_a_chain_names_both_its_ends() -> None:
    assert refusal([("a", "b", 1), ("b", "c", 1)]).groups == (("a",), ("c",))


def test_a_tie_ties_both_ways() -> None:
    require_one_order(compared([("a", "b", 1), ("a", "b", 0.5)]))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=14)
)
def test_what_is_refused_is_what_networkx_calls_not_strongly_connected(rows: list[tuple[int, int, float]]) -> None:
    names = "abcde"
    matches = [(names[i], names[j], score) for i, j, score in rows]
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(sorted({name for i, j, _ in matches for name in (i, j)}))
    for first, second, score in matches:
        graph.add_edges_from(([(first, second)] if score else []) + ([(second, first)] if score < 1 else []))
    expected = nullcontext() if nx.is_strongly_connected(graph) else pytest.raises(GraphError)
    with expected:
        require_one_order(compared(matches))


# ------------------------------------------------------------------ Hodge


def fitted(matches: Sequence[Match]) -> Fit:
    c = compared(matches)
    met = cells(c.first, c.second, c.judge, c.score, len(c.agents), 1)
    return fit(met, met.counts(), sharp=False)


def of(matches: Sequence[Match], topics: int) -> Cycles:
    """The matches again on every topic, in both seats."""
    mirrored = [(second, first, 1 - score) for first, second, score in matches]
    rows = compared([*matches, *mirrored] * topics, topic=np.repeat(np.arange(topics), 2 * len(matches)))
    return rate(rows, np.random.default_rng(0), method="sandwich").cycles


def test_rock_paper_scissors_is_all_cyclic() -> None:
    found = of([("rock", "scissors", 1), ("scissors", "paper", 1), ("paper", "rock", 1)], topics=6)
    assert found.cyclic.estimate == pytest.approx(1)
    assert found.dominate


def test_an_order_that_holds_everywhere_is_not_cyclic() -> None:
    # Shares of wins whose log-odds add up along a chain: 2 : 1, 2 : 1 and so 4 : 1.
    matches = [*[("a", "b", 1.0)] * 10, *[("a", "b", 0.0)] * 5, *[("b", "c", 1.0)] * 10, *[("b", "c", 0.0)] * 5,
               *[("a", "c", 1.0)] * 12, *[("a", "c", 0.0)] * 3]  # fmt: skip
    found = of(matches, topics=6)
    assert found.cyclic.estimate == pytest.approx(0, abs=1e-9)
    assert found.transitive.estimate == pytest.approx(1)
    assert not found.dominate


def test_the_gradient_of_the_flow_is_the_ratings_and_the_rest_has_no_divergence() -> None:
    rng = np.random.default_rng(4)
    at = fitted(played(rng, np.linspace(-1, 1, 5), matches=200))
    graph = edges(at)
    network: nx.Graph[int] = nx.Graph()
    network.add_weighted_edges_from(zip(graph.low.tolist(), graph.high.tolist(), graph.weight.tolist(), strict=True))
    laplacian = nx.laplacian_matrix(network, nodelist=range(5)).toarray()
    divergence = np.zeros(5)
    np.add.at(divergence, graph.low, graph.weight * graph.flow)
    np.add.at(divergence, graph.high, -graph.weight * graph.flow)
    potential = np.linalg.pinv(laplacian) @ divergence
    assert potential == pytest.approx(at.at.strength, abs=1e-8)


def test_on_one_topic_noise_cannot_be_told_from_cycles() -> None:
    at = fitted(played(np.random.default_rng(0), np.zeros(3), matches=30))
    found = cycles(at, np.ones(30), np.zeros(30, dtype=int))
    assert (found.cyclic.estimate, found.transitive.estimate, found.left_out) == (None, None, 3)
    assert not found.dominate


def test_noise_is_not_taken_for_cycles() -> None:
    """Two verdicts of each pair a topic, on six topics: raw, a third of the variation looks cyclic."""
    rng = np.random.default_rng(7)
    found: list[float] = []
    for _ in range(40):
        rows = compared(
            played(rng, np.linspace(-0.8, 0.8, 6), matches=180, every_pair=True), topic=np.repeat(np.arange(6), 30)
        )
        found.append(rate(rows, rng, method="sandwich", draws=20).cycles.cyclic.estimate or 0.0)
    assert np.mean(found) < 0.12


def test_what_the_fit_takes_from_noise_is_given_back() -> None:
    """Six agents' ratings take five degrees of freedom; without them the cyclic energy of an order would be -5, not 0."""
    rng = np.random.default_rng(10)
    found: list[float] = []
    for _ in range(100):
        at = fitted(played(rng, np.linspace(-0.8, 0.8, 6), matches=180, every_pair=True))
        met = cycle_parts._met(at, np.ones(180), np.repeat(np.arange(6), 30))
        found.append(cycle_parts._energy(met, at.at.strength)[1])
    assert abs(np.mean(found)) < 2


def test_where_most_pairs_met_on_one_topic_the_others_show_no_cycles_either() -> None:
    rng = np.random.default_rng(9)
    raised = 0
    for _ in range(8):
        matches = played(rng, rng.normal(0, 0.8, 40), matches=1000)
        rows = compared(
            [*matches, *((j, i, 1 - score) for i, j, score in matches)], topic=np.tile(np.arange(1000) % 20, 2)
        )
        found = rate(rows, rng, method="sandwich", draws=20).cycles
        assert found.left_out > 200
        raised += (found.cyclic.low or 0.0) > 0
    assert raised <= 1


def test_half_an_order_and_half_a_cycle_is_found_as_such() -> None:
    """Log-odds of 0.5 a step along an order of three and of 0.5 sqrt(2) around their cycle: the same energy."""
    rng = np.random.default_rng(8)
    odds = {"ab": 0.5 + 0.5 * np.sqrt(2), "bc": 0.5 + 0.5 * np.sqrt(2), "ac": 1 - 0.5 * np.sqrt(2)}
    shares: list[float] = []
    held = 0
    for _ in range(20):
        matches: list[Match] = []
        for (one, other), log_odds in odds.items():
            won = rng.random(400) < 1 / (1 + np.exp(-log_odds))
            matches += [(one, other, float(w)) for w in won[::2]] + [(other, one, float(not w)) for w in won[1::2]]
        found = rate(compared(matches, topic=np.arange(1200) % 20), rng, method="sandwich", draws=20).cycles.cyclic
        shares.append(found.estimate or 0.0)
        held += (found.low or 0.0) <= 0.5 <= (found.high or 1.0)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    assert held >= 17
