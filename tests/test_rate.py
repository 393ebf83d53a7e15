"""Ratings of a run: what is said of it, on a terminal and for machines, and what is refused."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from commands import Arena, played
from rich.console import Console, Group
from written import FAST, OPP, PRO, Match, asked, everybody, met, refused, run

from arena.commands.rate import shown
from arena.rate import rated

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


def test_a_seed_is_no_negative_number(arena: Arena, tmp_path: Path) -> None:
    assert "--seed is -1" in refused(arena, run(tmp_path / "run", everybody()), "--seed", "-1")


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
