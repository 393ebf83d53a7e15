"""Ratings of runs: what tables come to, what is said of it, and what is refused."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import yaml
from commands import Arena, in_process, played
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console, Group

from arena import frames
from arena.commands.rate import shown
from arena.compared import DECISION, RateError, compared
from arena.rate import rated
from arena.stats.comparisons import Comparisons

PRO, OPP = "proposition", "opposition"
FAST = ("--method", "sandwich")
"""Intervals from a formula, where a test is not about them."""


@dataclass(frozen=True, slots=True)
class Match:
    """A row of the table of matches, and what belongs to it in the others."""

    first: str
    second: str
    ballots: Sequence[tuple[str, str | None]] = ()
    """Judge and choice."""
    topic: str = "T1"
    winner: str | None = None
    decision: str | None = "most_votes"
    status: str = "finished"
    mirrors: int | None = None
    """The number of its counterpart."""
    probability: float = 1.0
    game: str = "debate"
    condition: str = "made"
    motion: str = "A motion."
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further columns of the seats: settings of agents."""


def tables(matches: Sequence[Match]) -> dict[str, pd.DataFrame]:
    """The tables of a run in which these matches were played."""
    ids = [f"{7919 * (number + 1) % 1009:04x}" for number in range(len(matches))]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in frames.COLUMNS}
    for ident, match in zip(ids, matches, strict=True):
        rows["matches"].append(
            {
                "match_id": ident, "game": match.game, "condition": match.condition, "topic_id": match.topic,
                "topic": match.motion, "status": match.status, "decision": match.decision, "winner": match.winner,
                "mirror_of": None if match.mirrors is None else ids[match.mirrors],
                "pairing_probability": match.probability,
            }
        )  # fmt: skip
        for seat, agent in ((PRO, match.first), (OPP, match.second)):
            known = {"match_id": ident, "seat": seat, "role": "debater", "agent": agent, "model": f"lab/{agent}"}
            rows["seats"].append({**known, **match.extra})
        for judge in sorted({judge for judge, _ in match.ballots}):
            rows["seats"].append({"match_id": ident, "seat": f"{judge}/1", "role": "judge", "agent": judge})
        for number, (judge, choice) in enumerate(match.ballots, start=1):
            rows["verdicts"].append(
                {
                    "match_id": ident, "judge": judge, "model": f"lab/{judge}", "ballot": number, "choice": choice,
                    "order": "as_spoken", "status": "ok" if choice else "unparsed",
                }
            )  # fmt: skip
    return {name: frames.frame(name, held) for name, held in rows.items()}


def run(folder: Path, matches: Sequence[Match], settings: Mapping[str, Any] | None = None) -> Path:
    """A run directory with these matches; an imported one unless it has settings."""
    folder.mkdir(parents=True)
    frames.write(folder / "tables", tables(matches))
    if settings is not None:
        (folder / "experiment.yaml").write_text(yaml.safe_dump(dict(settings)))
    return folder


def met(first: str, second: str, wins: int, losses: int, topics: int = 4, **how: Any) -> list[Match]:
    """So many wins of the first agent and so many losses in mirrored seats, each once in either seat, over topics."""
    won = [True] * wins + [False] * losses
    return [
        match
        for number, first_won in enumerate(won)
        for match in (
            Match(first, second, [("j", PRO if first_won else OPP)], topic=f"T{number % topics}", **how),
            Match(second, first, [("j", OPP if first_won else PRO)], topic=f"T{number % topics}", **how),
        )
    ]


def everybody(**how: Any) -> list[Match]:
    """Three agents, the first the strongest."""
    return [*met("ann", "bob", 6, 2, **how), *met("bob", "cat", 5, 3, **how), *met("ann", "cat", 7, 1, **how)]


@pytest.fixture
def arena(capsys: pytest.CaptureFixture[str]) -> Arena:
    return in_process(capsys)


def asked(arena: Arena, *arguments: str | Path) -> dict[str, Any]:
    said = arena("rate", *arguments, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def refused(arena: Arena, *arguments: str | Path) -> str:
    said = arena("rate", *arguments, *FAST)
    assert said.code == 2
    assert not said.out
    return said.err


# ------------------------------------------------------------------ from tables to comparisons


def rows(held: Comparisons) -> list[tuple[str, str, str, float]]:
    """Judge, first and second agent, score."""
    return [
        (held.judges[j], held.agents[a], held.agents[b], s)
        for j, a, b, s in zip(held.judge, held.first, held.second, held.score, strict=True)
    ]


def test_every_ballot_that_was_read_is_a_row() -> None:
    found = compared(tables([Match("a", "b", [("j", PRO), ("k", OPP), ("k", None), ("j", PRO), ("k", PRO)])]))
    assert rows(found.comparisons) == [("j", "a", "b", 1.0)] * 2 + [("k", "a", "b", 0.0), ("k", "a", "b", 1.0)]
    assert found.unreadable == 1
    assert set(found.comparisons.match) == {0}


def test_a_decision_stands_where_no_ballots_are_known() -> None:
    found = compared(tables([Match("a", "b", winner=OPP), Match("a", "b", [("j", PRO)], winner=PRO)]))
    assert sorted(rows(found.comparisons)) == [(DECISION, "a", "b", 0.0), ("j", "a", "b", 1.0)]
    assert found.without_ballots == 1


@pytest.mark.parametrize(
    ("winner", "decision", "score"),
    [(PRO, "most_votes", 1.0), (OPP, "larger_sum", 0.0), (None, "tie", 0.5), (PRO, "tie", 0.5), (OPP, "forfeit", 0.0)],
)
def test_by_decision_a_draw_is_a_tie_and_so_is_a_lot(winner: str | None, decision: str, score: float) -> None:
    match = Match("a", "b", [("j", PRO)], winner=winner, decision=decision)
    found = compared(tables([match]), by="decision")
    assert rows(found.comparisons) == [(DECISION, "a", "b", score)]
    assert found.without_ballots == 0


def test_what_is_missing_is_counted() -> None:
    found = compared(
        tables(
            [
                Match("a", "b", [("j", PRO), ("k", None)]),
                Match("a", "b", [("j", PRO)], status="unfinished", decision=None),
                Match("a", "b", status="planned", decision=None),
                Match("a", "b", [("j", None)], decision="none"),
            ]
        )
    )
    assert (found.planned, found.unfinished, found.undecided, found.missing, found.unreadable) == (4, 2, 1, 3, 2)
    assert len(rows(found.comparisons)) == 1


def test_mirrored_matches_are_a_pair_and_topics_are_groups() -> None:
    ballot = [("j", PRO)]
    found = compared(
        tables(
            [
                Match("a", "b", ballot, topic="T2"),
                Match("b", "a", ballot, topic="T2", mirrors=0),
                Match("a", "b", ballot, topic="T1"),
                Match("b", "a", ballot, topic="T2", probability=0.25),
            ]
        )
    ).comparisons
    by_match = {
        (found.agents[a], t, p): pair
        for a, t, p, pair in zip(found.first, found.topic, found.probability, found.pair, strict=True)
    }
    assert by_match["a", 1, 1.0] == by_match["b", 1, 1.0]
    assert len({by_match["a", 1, 1.0], by_match["a", 0, 1.0], by_match["b", 1, 0.25]}) == 3


def test_matches_with_others_are_left_out() -> None:
    matches = [Match("a", "b", [("j", PRO)]), Match("a", "c", [("j", PRO)]), Match("c", "b", [("j", PRO)])]
    without, only = compared(tables(matches), without=["c"]), compared(tables(matches), only=["a", "b"])
    assert rows(without.comparisons) == rows(only.comparisons) == [("j", "a", "b", 1.0)]
    assert without.comparisons.agents == ("a", "b")
    assert without.planned == 1


def test_the_first_seat_is_the_game_s_first_whatever_comes_first_in_the_tables() -> None:
    held = tables([Match("a", "b", [("j", PRO)])])
    held["seats"] = held["seats"].iloc[::-1]
    found = compared(held)
    assert found.seats == (PRO, OPP)
    assert rows(found.comparisons) == [("j", "a", "b", 1.0)]


AGENTS = st.sampled_from("abcd")
CHOICES = st.sampled_from([PRO, OPP, None])
MATCHES = st.lists(
    st.builds(
        Match, AGENTS, AGENTS, st.lists(st.tuples(st.sampled_from("jkl"), CHOICES), max_size=5).map(tuple),
        topic=st.sampled_from(["T1", "T2", "T3"]), winner=CHOICES,
        decision=st.sampled_from(["most_votes", "tie", "none"]), status=st.sampled_from(["finished", "unfinished"]),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


def one_by_one(matches: Iterable[Match]) -> Counter[tuple[str, str, str, float]]:
    """The verdicts, counted row by row."""
    counted: Counter[tuple[str, str, str, float]] = Counter()
    for match in matches:
        said = [(judge, float(choice == PRO)) for judge, choice in match.ballots if choice]
        if not said and (match.decision == "tie" or match.winner):
            said = [(DECISION, 0.5 if match.decision == "tie" else float(match.winner == PRO))]
        counted.update((judge, match.first, match.second, got) for judge, got in said if match.status == "finished")
    return counted


@settings(max_examples=40)
@given(MATCHES)
def test_verdicts_are_those_that_one_counts_match_by_match(matches: list[Match]) -> None:
    # One that was decided in any case, since tables without a verdict are refused.
    matches = [*matches, Match("a", "b", [("j", PRO)])]
    assert Counter(rows(compared(tables(matches)).comparisons)) == one_by_one(matches)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    held = tables(everybody())
    mixed = {name: table.sample(frac=1, random_state=seed) for name, table in held.items()}
    one, other = compared(held).comparisons, compared(mixed).comparisons
    assert (one.agents, one.judges) == (other.agents, other.judges)
    for name in ("first", "second", "score", "judge", "match", "pair", "topic", "probability"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name


# ------------------------------------------------------------------ ratings


def test_odds_of_three_to_one_are_191_points(arena: Arena, tmp_path: Path) -> None:
    found = asked(arena, run(tmp_path / "two", met("ann", "bob", 6, 2)), *FAST)
    by_name = {row["agent"]: row["rating"] for row in found["agents"]}
    assert by_name["ann"] - by_name["bob"] == pytest.approx(400 * np.log10(3))
    assert by_name["ann"] + by_name["bob"] == pytest.approx(2000)
    assert found["win"]["ann"]["bob"] == pytest.approx(0.75)
    assert found["side"]["estimate"] == pytest.approx(0, abs=1e-6)


def test_json_has_the_promised_fields(arena: Arena, tmp_path: Path) -> None:
    found = asked(arena, run(tmp_path / "run", everybody()), *FAST)
    assert [row["agent"] for row in found["agents"]] == ["ann", "bob", "cat"]
    for row in found["agents"]:
        assert list(row) == ["agent", "rating", "low", "high", "rank_low", "rank_high", "p_best", "n"]
        assert row["low"] < row["rating"] < row["high"]
        assert 1 <= row["rank_low"] <= row["rank_high"] <= 3
        assert row["n"] == 32
    assert found.keys() >= {
        "agents", "side", "judges", "ties", "win", "cycles", "weighted", "scale", "matches", "missing", "method", "clusters",
        "warnings",
    }  # fmt: skip
    assert found["scale"] == {"mean": 1000.0, "points": 400.0, "odds": 10, "level": 0.95}
    assert (found["matches"], found["missing"], found["method"]) == (48, 0, "sandwich")
    assert found["weighted"] is None


def test_one_seed_gives_one_result_and_another_another(arena: Arena, tmp_path: Path) -> None:
    folder = run(tmp_path / "run", everybody())
    one, again, other = (asked(arena, folder, *FAST, "--seed", seed) for seed in ("0", "0", "1"))
    assert one == again
    assert [row["p_best"] for row in one["agents"]] != [row["p_best"] for row in other["agents"]]


def test_small_tournaments_have_bootstrap_intervals(arena: Arena, tmp_path: Path) -> None:
    found = asked(arena, run(tmp_path / "run", everybody()))
    assert found["method"] == "bootstrap"
    assert found["draws"] > 0
    assert all(row["low"] < row["rating"] < row["high"] for row in found["agents"])


def test_a_played_tournament_is_rated(arena: Arena, tmp_path: Path) -> None:
    folder = played(tmp_path, "topics.limit=3", "agents.more.model=simulated/rational")
    found = asked(arena, folder, *FAST)
    assert len(found["agents"]) == 3
    assert [row["judge"] for row in found["judges"]] == ["fair", "leaning", "noisy"]
    assert found["matches"] + found["missing"] == found["planned"] == 18


def lopsided() -> list[Match]:
    """Equals before three judges, of whom one has the opposition win nine times in ten."""
    random = np.random.default_rng(0)
    pairings = list(itertools.permutations(("ann", "bob", "cat"), 2))
    share = {"even": 0.5, "other": 0.5, "leaning": 0.1}
    return [
        Match(
            first, second, [(judge, PRO if random.random() < p else OPP) for judge, p in share.items()], topic=f"T{topic}"
        )
        for first, second in pairings
        for topic in range(12)
    ]  # fmt: skip


def test_one_judge_s_lean_is_said_and_stands_in_the_table(arena: Arena, tmp_path: Path) -> None:
    folder = run(tmp_path / "run", lopsided())
    found = asked(arena, folder, *FAST, "--no-sharpness")
    shares = {row["judge"]: row["share"] for row in found["judges"]}
    assert shares["leaning"]["high"] < 0.4
    assert shares["even"]["low"] < 0.5 < shares["even"]["high"]
    assert found["side"]["low"] < found["side"]["estimate"] < found["side"]["high"] < 0
    said = arena("rate", folder, *FAST, "--no-sharpness").out
    assert "Between equals the opposition wins 6" in said
    assert "mostly by one judge's lean" in said
    assert f"leaning's, before whom the opposition wins {1 - shares['leaning']['estimate']:.0%}" in said


def test_without_judge_effects_judges_are_as_one(arena: Arena, tmp_path: Path) -> None:
    folder = run(tmp_path / "run", lopsided())
    assert asked(arena, folder, *FAST, "--no-judge-effects")["judges"] == []
    assert "one judge's lean" not in arena("rate", folder, *FAST, "--no-judge-effects").out


def test_a_judge_who_always_prefers_one_seat_leaves_the_ratings_alone(arena: Arena, tmp_path: Path) -> None:
    one_sided = [replace(match, ballots=[*match.ballots, ("first", PRO)]) for match in everybody()]
    found = asked(arena, run(tmp_path / "run", one_sided), *FAST)
    bare = asked(arena, run(tmp_path / "bare", everybody()), *FAST)
    for one, other in zip(found["agents"], bare["agents"], strict=True):
        assert one["rating"] == pytest.approx(other["rating"])
    assert arena("rate", tmp_path / "run", *FAST).code == 0


def test_ties_are_decisions_and_ballots_have_none(arena: Arena, tmp_path: Path) -> None:
    drawn = [
        Match("ann", "bob", [("j", PRO), ("j", OPP)], topic=f"T{n}", winner=None, decision="tie") for n in range(4)
    ]
    won = [replace(match, winner=match.ballots[0][1], decision="most_votes") for match in met("ann", "bob", 6, 2)]
    here = run(tmp_path / "run", [*won, *drawn])
    assert asked(arena, here, *FAST, "--by", "decision")["ties"]["estimate"] > 0.1
    assert asked(arena, here, *FAST)["ties"] is None


def test_casting_every_ballot_twice_changes_no_rating(arena: Arena, tmp_path: Path) -> None:
    """The scale is that of a ballot, however many are cast on a match."""
    once = everybody()
    twice = [replace(match, ballots=tuple(match.ballots) * 2) for match in once]
    found = [asked(arena, run(tmp_path / name, of), *FAST)["agents"] for name, of in (("one", once), ("two", twice))]
    for one, two in zip(*found, strict=True):
        assert (one["agent"], one["rating"]) == (two["agent"], pytest.approx(two["rating"], abs=0.01))
        assert one["high"] - one["low"] == pytest.approx(two["high"] - two["low"], rel=0.01)


def test_where_pairings_had_probabilities_the_weighted_fit_stands_beside(arena: Arena, tmp_path: Path) -> None:
    matches = [*met("ann", "bob", 6, 2, probability=0.25), *met("bob", "cat", 5, 3), *met("ann", "cat", 7, 1)]
    folder = run(tmp_path / "run", matches)
    found = asked(arena, folder, *FAST)
    assert found["weighted"]["effective_n"] < found["matches"]
    rating = {row["agent"]: row["rating"] for row in found["agents"]}
    again = {row["agent"]: row["rating"] for row in found["weighted"]["agents"]}
    assert rating.keys() == again.keys()
    assert rating["ann"] != pytest.approx(again["ann"])
    said = arena("rate", folder, *FAST).out
    assert "weighted" in said
    assert "effective" in said or "of equal weight" in said


def test_a_match_against_a_copy_tells_about_seats_alone(arena: Arena, tmp_path: Path) -> None:
    alone = [Match("ann", "ann", [("j", PRO if n % 4 else OPP)], topic=f"T{n % 4}") for n in range(16)]
    found = asked(arena, run(tmp_path / "run", [*everybody(), *alone]), *FAST)
    bare = asked(arena, run(tmp_path / "bare", everybody()), *FAST)
    assert found["side"]["estimate"] > 50 > abs(bare["side"]["estimate"])
    assert {row["agent"]: row["n"] for row in found["agents"]} == {row["agent"]: row["n"] for row in bare["agents"]}
    assert any("16 of 64 matches are of an agent against its copy" in warning for warning in found["warnings"])


def test_what_is_missing_is_said(arena: Arena, tmp_path: Path) -> None:
    more = [Match("ann", "bob", status="planned", decision=None), Match("ann", "bob", [("j", None)], decision="none")]
    folder = run(tmp_path / "run", [*everybody(), *more])
    found = asked(arena, folder, *FAST)
    assert (found["planned"], found["missing"]) == (50, 2)
    said = arena("rate", folder, *FAST).out
    assert "1 of 50 matches have no outcome" in said
    assert "1 of 50 matches were decided by nobody" in said
    assert "1 ballots could not be read" in said


def test_when_results_run_in_circles_the_ranking_is_said_to_mean_little(arena: Arena, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    circle = [
        Match(first, second, [("j", PRO if (random.random() < 0.9) == (first == stronger) else OPP)], topic=f"T{topic}")
        for stronger, weaker in (("ann", "bob"), ("bob", "cat"), ("cat", "ann"))
        for first, second in ((stronger, weaker), (weaker, stronger))
        for topic in range(12)
    ]
    folder = run(tmp_path / "circle", circle)
    assert asked(arena, folder, *FAST)["cycles"]["dominate"] is True
    assert "the ranking means little" in arena("rate", folder, *FAST).out
    assert "means little" not in arena("rate", run(tmp_path / "line", everybody()), *FAST).out


# ------------------------------------------------------------------ on a terminal


def test_the_table_names_everybody_best_first(arena: Arena, tmp_path: Path) -> None:
    said = arena("rate", run(tmp_path / "run", everybody()), *FAST)
    assert said.code == 0
    ranked = [line.split()[1] for line in said.lines if "●" in line]
    assert ranked == ["ann", "bob", "cat"]
    assert "Chance of the row against the column" in said.out
    assert "400 points more are odds ten times as high" in said.out


def test_the_matrix_of_many_is_shown_when_asked(arena: Arena, tmp_path: Path) -> None:
    names = [f"agent{n:02}" for n in range(13)]
    matches = [match for a, b in itertools.pairwise(names) for match in met(a, b, 3, 2)]
    folder = run(tmp_path / "run", matches)
    assert "Chance of the row" not in arena("rate", folder, *FAST).out
    assert "Chance of the row" in arena("rate", folder, *FAST, "--matrix").out


@pytest.mark.parametrize("width", [48, 60, 84, 100, 120, 200])
def test_nothing_is_cut_off_whatever_the_width(tmp_path: Path, width: int) -> None:
    standings = rated([run(tmp_path / "run", lopsided())], method="sandwich")
    out = Console(width=width, file=io.StringIO(), soft_wrap=True)
    out.print(Group(*shown(standings, width, matrix=False)))
    said = cast(io.StringIO, out.file).getvalue()
    assert "…" not in said
    for word in ("ann", "bob", "cat", "even", "other", "leaning", "rating", "ranks", "P(best)", "between equals"):
        assert word in said


def test_names_are_text_whatever_they_hold(arena: Arena, tmp_path: Path) -> None:
    said = arena("rate", run(tmp_path / "run", met("[red]ann[/red]", "bo\x1b[2Jb", 6, 2)), *FAST)
    assert said.code == 0
    assert "[red]ann[/red]" in said.out
    assert "\x1b" not in said.out


# ------------------------------------------------------------------ several runs


def configured(**judge: Any) -> dict[str, Any]:
    """As much of a configuration as matters for whether runs are alike."""
    return {
        "game": {"name": "debate", "params": {"rebuttals": 1}, "prompts": {"opening": "Speak."}},
        "judge": {"judges": {"j": {"model": "lab/j"}}, "tie": "draw", "prompts": {"verdict": "Decide."}, **judge},
        "seed": 0,
    }


def test_several_runs_are_rated_as_one(arena: Arena, tmp_path: Path) -> None:
    whole = asked(arena, run(tmp_path / "whole", everybody()), *FAST)
    matches = everybody()
    runs = [run(tmp_path / name, part) for name, part in (("one", matches[:24]), ("two", matches[24:]))]
    found = asked(arena, *runs, *FAST)
    for one, other in zip(found["agents"], whole["agents"], strict=True):
        assert one == pytest.approx(other)


UNLIKE: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str]] = {
    "topics": ({"motion": "Another motion."}, None, "T0 is another motion"),
    "game": ({"game": "parley"}, None, "game: debate in one; parley in two"),
    "condition": ({"condition": "informed"}, None, "condition: made in one; informed in two"),
    "rule": ({"decision": "larger_sum"}, None, "rule: most_votes in one; larger_sum in two"),
    "judges": ({}, configured(judges={"k": {"model": "lab/k"}}), "judges: j (lab/j) in one; k (lab/k) in two"),
    "tie": ({}, configured(tie="lot"), "judge.tie: draw in one; lot in two"),
    "prompts": (
        {},
        configured(prompts={"verdict": "Decide at once. " * 9}),
        "judge.prompts.verdict: not the same in one and",
    ),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_runs_that_were_not_played_alike_are_refused_unless_asked(arena: Arena, tmp_path: Path, what: str) -> None:
    how, other, sentence = UNLIKE[what]
    runs = [
        run(tmp_path / "one", everybody(), configured() if other else None),
        run(tmp_path / "two", everybody(**how), other),
    ]
    said = refused(arena, *runs)
    assert sentence in said
    assert "--mixed" in said
    assert any(sentence in warning for warning in asked(arena, *runs, *FAST, "--mixed")["warnings"])


def test_other_topics_and_other_judges_are_said(arena: Arena, tmp_path: Path) -> None:
    one = run(tmp_path / "one", everybody())
    two = run(tmp_path / "two", [Match("ann", "bob", [("k", PRO)], topic="T9"), Match("bob", "ann", [("k", PRO)])])
    said = refused(arena, one, two)
    assert "judges: j (lab/j) in one; k (lab/k) in two" in said
    assert "rate them one by one" in said
    assert "T9 in two alone, not in one" in said


def test_what_only_one_run_is_known_to_have_is_no_difference(arena: Arena, tmp_path: Path) -> None:
    runs = [
        run(tmp_path / "old", everybody(), configured()),
        run(tmp_path / "new", everybody(), configured(length_told=False)),
    ]
    assert asked(arena, *runs, *FAST)["matches"] == 96


def test_a_name_that_stands_for_two_models_is_refused_even_when_mixed(arena: Arena, tmp_path: Path) -> None:
    runs = [run(tmp_path / "one", everybody()), run(tmp_path / "two", everybody(extra={"temperature": 0.5}))]
    said = refused(arena, *runs, "--mixed")
    assert "ann: temperature not set in one; temperature 0.5 in two" in said
    assert "--without" in said


def test_a_name_that_is_left_out_confuses_nobody(arena: Arena, tmp_path: Path) -> None:
    one = run(tmp_path / "one", everybody())
    cat = [*met("dan", "cat", 2, 2, extra={"model": "lab/new"})]
    two = run(tmp_path / "two", cat)
    assert "cat: model lab/cat in one; model lab/new in two" in refused(arena, one, two)
    assert len(asked(arena, one, two, *FAST, "--without", "cat", "--without", "dan")["agents"]) == 2


def test_conditions_of_an_imported_run_are_rated_one_at_a_time(arena: Arena, tmp_path: Path) -> None:
    folder = run(tmp_path / "run", [*everybody(), *everybody(condition="informed")])
    said = refused(arena, folder)
    assert "condition: made in run, made; informed in run, informed" in said
    assert "rate them a condition at a time (--condition NAME)" in said
    assert asked(arena, folder, *FAST, "--condition", "informed")["matches"] == 48
    assert "there are made, informed" in refused(arena, folder, "--condition", "inform")


def test_conditions_that_are_left_out_make_no_difference(arena: Arena, tmp_path: Path) -> None:
    one = run(tmp_path / "one", [*everybody(), *everybody(condition="informed")])
    two = run(tmp_path / "two", everybody(condition="informed"))
    assert asked(arena, one, two, *FAST, "--condition", "informed")["matches"] == 96


# ------------------------------------------------------------------ refusals


def test_somebody_who_never_lost_cannot_be_rated(arena: Arena, tmp_path: Path) -> None:
    folder = run(tmp_path / "run", [*everybody(), *met("eve", "ann", 3, 0), *met("eve", "bob", 2, 0)])
    said = refused(arena, folder)
    assert "eve" in said
    assert "eve against cat" in said
    assert "3 agents can be rated among themselves: --without eve" in said
    assert len(asked(arena, folder, *FAST, "--without", "eve")["agents"]) == 3


def test_agents_who_never_met_cannot_be_rated_together(arena: Arena, tmp_path: Path) -> None:
    folder = run(tmp_path / "run", [*everybody(), *met("dan", "eve", 3, 2)])
    said = refused(arena, folder)
    assert "dan, eve" in said
    assert "--without dan --without eve" in said


@pytest.mark.parametrize("option", ["--only", "--without"])
def test_an_agent_who_is_not_there_is_refused_with_the_one_who_is(arena: Arena, tmp_path: Path, option: str) -> None:
    folder = run(tmp_path / "run", everybody())
    assert f"{option} anne: no agent of that name played here; did you mean ann?" in refused(
        arena, folder, option, "anne"
    )
    assert "there are ann, bob, cat" in refused(arena, folder, option, "zz")


def test_a_run_in_which_nothing_was_decided_is_refused(arena: Arena, tmp_path: Path) -> None:
    undecided = run(tmp_path / "run", [Match("ann", "bob", decision="none"), Match("bob", "ann", status="planned")])
    said = refused(arena, undecided)
    assert "of 2 matches 1 are finished, and none has a ballot or a decision" in said
    assert "arena rejudge" in said
    assert "there are no matches" in refused(arena, run(tmp_path / "empty", []))


def test_a_choice_that_is_no_seat_is_refused(arena: Arena, tmp_path: Path) -> None:
    said = refused(arena, run(tmp_path / "run", [Match("ann", "bob", [("j", "both")])]))
    assert "ballots name both; they can name proposition or opposition" in said


def test_a_match_that_lacks_an_agent_is_named() -> None:
    held = tables([Match("ann", "bob", [("j", PRO)]), Match("bob", "ann", [("j", PRO)])])
    held["seats"] = held["seats"].iloc[1:]
    with pytest.raises(RateError, match=r"match 3d6 |match .* has nobody in the seat 'proposition'"):
        compared(held)


def test_a_game_of_three_seats_is_refused() -> None:
    held = tables([Match("ann", "bob", [("j", PRO)])])
    third = held["seats"].iloc[:1].assign(seat="third")
    held["seats"] = pd.concat([held["seats"], third], ignore_index=True)
    with pytest.raises(RateError, match="between two seats; these have opposition, proposition, third"):
        compared(held)


@pytest.mark.parametrize("chance", [0.0, 1.5, -1.0])
def test_a_probability_that_is_none_is_refused(chance: float) -> None:
    with pytest.raises(RateError, match="probability of a pairing must be above 0"):
        compared(tables([Match("ann", "bob", [("j", PRO)], probability=chance)]))


def test_a_mirrored_pair_on_two_topics_is_refused() -> None:
    ballot = [("j", PRO)]
    with pytest.raises(RateError, match="mirrored pair must be on one topic"):
        compared(tables([Match("ann", "bob", ballot), Match("bob", "ann", ballot, topic="T2", mirrors=0)]))


def test_a_seed_is_no_negative_number(arena: Arena, tmp_path: Path) -> None:
    assert "--seed is -1" in refused(arena, run(tmp_path / "run", everybody()), "--seed", "-1")


@pytest.mark.parametrize("text", ["game: [", "just words", "game: {}"])
def test_a_configuration_that_is_none_is_refused(arena: Arena, tmp_path: Path, text: str) -> None:
    one, two = run(tmp_path / "one", everybody()), run(tmp_path / "two", everybody())
    (two / "experiment.yaml").write_text(text)
    assert f"{two / 'experiment.yaml'} is no configuration of a run" in refused(arena, one, two)


def test_agents_who_only_met_their_copies_cannot_be_rated(arena: Arena, tmp_path: Path) -> None:
    alone = [
        Match(name, name, [("j", PRO if n % 3 else OPP)], topic=f"T{n}") for name in ("ann", "bob") for n in range(6)
    ]
    assert "ann" in refused(arena, run(tmp_path / "run", alone))
    assert "--without" not in refused(arena, tmp_path / "run")


def test_a_folder_that_is_no_run_is_refused(arena: Arena, tmp_path: Path) -> None:
    assert "is no run directory" in refused(arena, tmp_path)
    folder = run(tmp_path / "run", everybody())
    assert "is named twice" in refused(arena, folder, folder)


def test_ratings_can_be_had_in_python(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", everybody())
    found = rated([folder], by="ballots", method="sandwich")
    assert [one.agent for one in found.ratings.agents] == ["ann", "bob", "cat"]
