"""Tournaments that are decided as they go: what follows from results, what stops them, and what a crash leaves."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from commands import Arena
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from playing import Killed, assert_same, dies_after, tables

import arena
from arena import config, driver, ledger, run
from arena.match import Setting
from arena.meetings import Encounter, Field
from arena.run import Run
from arena.schedule import swiss
from arena.settings import ConfigError
from arena.tournament import pairs
from arena.types import Question
from arena.verify import verify

FIVE = [
    "agents=none",
    *(f"agents.{name}.model=simulated/points_{points}" for name, points in zip("abcde", range(800, 1300, 100), strict=True)),
    "+provider.simulated.presets={"
    + ", ".join(f"points_{points}: {{rating: {points}, rounding: 5}}" for points in range(800, 1300, 100))
    + "}",
    "judge=panel",
    "judge.judges.one.model=simulated/judge",
    "judge.orders=as_spoken",
    "game.params.rebuttals=0",
    "topics.limit=2",
]  # fmt: skip
"""Five simulated debaters 100 points apart, before one simulated judge, on two motions."""


@pytest.fixture
def arena_(request: pytest.FixtureRequest) -> Arena:
    """The command line, under a name that leaves the module's free."""
    return request.getfixturevalue("arena")


def played(folder: Path, *overrides: str) -> Run:
    """Play a tournament of the five, or go on with the one that is there."""
    if (folder / "experiment.yaml").exists():
        resolved = config.load(folder)
        opened = run.Run(folder, Setting(config.experiment(resolved, folder)))
    else:
        experiment = config.experiment(config.compose([*FIVE, *overrides]))
        opened = run.begin(folder, experiment, config.sections(experiment), {})
    models = driver.ready(opened.setting)
    stopped_by = asyncio.run(driver.play(opened, config.sections(opened.experiment), models, quiet=True))
    run.finish(opened, stopped_by)
    return opened


def manifest(opened: Run) -> dict[str, Any]:
    return json.loads((opened.folder / "manifest.json").read_text())


def met(matches: pd.DataFrame, seats: pd.DataFrame) -> list[frozenset[str]]:
    """Who met, a match."""
    players = seats[seats["role"] != "judge"].groupby("match_id", sort=False)["agent"].agg(frozenset)
    return [players[match] for match in matches["match_id"]]


# ------------------------------------------------------------------ schedules


@pytest.mark.parametrize("schedule", ["swiss", "random", "active"])
def test_every_pairing_is_mirrored_and_none_is_played_twice(schedule: str, tmp_path: Path) -> None:
    opened = played(tmp_path / "run", f"schedule={schedule}")
    specs = opened.matches(opened.read())
    both = list(pairs(specs))
    assert all(len(pair) == 2 for pair in both)
    assert all([*one.players.values()] == [*other.players.values()][::-1] for one, other in both)
    assert (
        max(Counter((frozenset(a.name for a in one.players.values()), one.question.id) for one, _ in both).values())
        == 1
    )
    assert verify(opened).findings == ()


@pytest.mark.parametrize("schedule", ["random", "active"])
def test_without_a_rule_everybody_meets_everybody_on_every_motion(schedule: str, tmp_path: Path) -> None:
    opened = played(tmp_path / "run", f"schedule={schedule}")
    assert manifest(opened)["stopped_by"] == "finished"
    assert manifest(opened)["matches"] == 2 * 10 * 2 == opened.experiment.tournament.most


FOUR = Field(dict.fromkeys(("proposition", "opposition"), "abcd"), [Question(name, "") for name in ("1", "2", "3")])


def paired(field: Field, past: list[Encounter], seed: int = 0) -> set[frozenset[str]]:
    """Who meets in the next Swiss round."""
    now = swiss.pairings(field, past, swiss.Params(), None, Random(seed))
    return {frozenset((pairing.first, pairing.second)) for pairing in now}


@given(st.lists(st.floats(0, 1), min_size=30, max_size=30), st.integers(3, 8), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_swiss_has_a_round_a_topic_in_which_nobody_sits_twice_and_byes_are_shared(
    scores: list[float], agents: int, seed: int
) -> None:
    names = "abcdefgh"[:agents]
    field = Field(
        dict.fromkeys(("proposition", "opposition"), names), [Question(str(n), "") for n in range(agents // 2)]
    )
    past: list[Encounter] = []
    byes: Counter[str] = Counter()
    for number in range(agents // 2):
        now = swiss.pairings(field, past, swiss.Params(), None, Random(seed))
        sat = [name for pairing in now for name in (pairing.first, pairing.second)]
        assert len(sat) == len(set(sat)) == agents // 2 * 2
        assert {pairing.question.id for pairing in now} == {str(number)}
        byes.update(set(names) - set(sat))
        past += [Encounter(p.first, p.second, p.question.id, 0, scores.pop(), number) for p in now]
    # So early strangers are never lacking, nor somebody who has had no bye.
    assert len({frozenset((met.first, met.second)) for met in past}) == len(past)
    assert max(byes.values(), default=0) <= 1
    assert swiss.pairings(field, past, swiss.Params(), None, Random(seed)) == []


def test_swiss_pairs_those_who_won_with_those_who_won() -> None:
    past = [Encounter("a", "c", "1", 0, 1.0, 0), Encounter("d", "b", "1", 0, 0.0, 0)]
    assert all(paired(FOUR, past, seed) == {frozenset("ab"), frozenset("cd")} for seed in range(20))


def test_swiss_rather_pairs_strangers_than_neighbours_who_met() -> None:
    past = [Encounter("a", "b", "1", 0, 1.0, 0), Encounter("c", "d", "1", 0, 1.0, 0)]
    past += [Encounter("a", "c", "2", 0, 1.0, 1), Encounter("b", "d", "2", 0, 1.0, 1)]
    assert paired(FOUR, past) == {frozenset("ad"), frozenset("bc")}


SURE = (
    "judge.judges.one.model=simulated/sure",
    "+provider.simulated.presets.sure={discernment: 9, sd_ballot: 0.0}",
)


def test_a_random_pairing_has_the_probability_that_is_written_down(tmp_path: Path) -> None:
    tables = frames_of(
        played(tmp_path / "run", "schedule=random", "schedule.params.pairs=3", "schedule.stop.matches=12")
    )
    assert tables["matches"]["pairing_probability"].tolist() == pytest.approx([3 / 20] * 6 + [3 / 17] * 6)


def frames_of(opened: Run) -> dict[str, pd.DataFrame]:
    return {name: getattr(arena.load(opened.folder), name) for name in ("matches", "seats")}


def test_a_new_agent_meets_all_others_and_nobody_else_plays(arena_: Arena, tmp_path: Path) -> None:
    played(tmp_path / "old", "schedule=round_robin", "topics.limit=2")
    said = arena_(
        "run", "--quiet", "--join", tmp_path / "old", "schedule=ladder", "agents.new.model=simulated/points_1200:new",
        f"runs={tmp_path}", "name=joined",
    )  # fmt: skip
    assert said.code == 0, said.err
    tables = arena.load(tmp_path / "joined")
    who = met(tables.matches, tables.seats)
    assert all("new" in pair for pair in who)
    assert Counter(name for pair in who for name in pair - {"new"}) == dict.fromkeys("abcde", 4)
    assert arena_("log", "verify", tmp_path / "joined").code == 0
    (tmp_path / "joined").rename(tmp_path / "moved")
    assert arena_("resume", "--quiet", tmp_path / "moved").code == 0


def test_who_joins_a_joined_tournament_meets_everybody_and_nobody_is_new_twice(arena_: Arena, tmp_path: Path) -> None:
    played(tmp_path / "old", "schedule=round_robin", "topics.limit=1")
    for before, name in (("old", "one"), ("one", "two")):
        said = arena_(
            "run", "--quiet", "--join", tmp_path / before, "schedule=ladder", f"agents.{name}.model=simulated/points_900:{name}",
            f"runs={tmp_path}", f"name={name}",
        )  # fmt: skip
        assert said.code == 0, said.err
    tables = arena.load(tmp_path / "two")
    assert Counter(met(tables.matches, tables.seats)) == {frozenset({"two", other}): 2 for other in (*"abcde", "one")}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("agents.a.model=simulated/points_1200", "agents.a cannot be changed"),
        ("judge.orders=both", "judge cannot be changed"),
        ("schedule=swiss", "schedule=ladder, not swiss"),
    ],
)
def test_who_joins_plays_by_the_rules_that_were_played(override: str, said: str, arena_: Arena, tmp_path: Path) -> None:
    played(tmp_path / "old", "schedule=random", "schedule.stop.matches=4")
    new = ("schedule=ladder", "agents.new.model=simulated/points_900:new", f"runs={tmp_path}", override)
    refused = arena_("run", "--join", tmp_path / "old", *new)
    assert refused.code == 2
    assert said in refused.err


# ------------------------------------------------------------------ stopping


def test_a_tournament_stops_when_the_best_is_known_and_says_so(tmp_path: Path) -> None:
    rule = ("schedule.stop.top=1", "schedule.repeats=20")
    opened = played(tmp_path / "run", "schedule=active", *rule, *SURE)
    told = manifest(opened)
    assert told["stopped_by"] == "order_known"
    assert told["standing"]["answer"] == ["e"]
    assert told["matches"] < opened.experiment.tournament.most / 4


def test_a_fixed_plan_may_stop_early_too(tmp_path: Path) -> None:
    opened = played(tmp_path / "run", "schedule=round_robin", "schedule.stop.top=1", "schedule.repeats=5", *SURE)
    told = manifest(opened)
    assert told["stopped_by"] == "order_known"
    assert told["matches"] % 20 == 0  # whole rounds of ten mirrored pairings
    assert verify(opened).findings == ()


@pytest.mark.parametrize("schedule", ["round_robin", "swiss", "random", "active"])
@pytest.mark.parametrize("matches", [2, 5, 8])
def test_the_number_of_matches_is_never_exceeded_and_no_pair_is_torn(
    schedule: str, matches: int, tmp_path: Path
) -> None:
    opened = played(tmp_path / "run", f"schedule={schedule}", f"schedule.stop.matches={matches}")
    assert manifest(opened)["matches"] == matches // 2 * 2
    assert manifest(opened)["stopped_by"] == "matches"


def test_money_stops_before_the_next_pair_would_cost_more_than_is_left(arena_: Arena, tmp_path: Path) -> None:
    """Real prices over a loopback endpoint."""
    from arena.testing import serve_in_thread

    with serve_in_thread() as endpoint:
        paid = [
            "agents=none", *(f"agents.{name}.model=lab/{name}" for name in "abc"), "topics.limit=3", "judge=none",
            "game.params.rebuttals=0", f"+provider.lab={{api: openai, base_url: '{endpoint.url}', key_env: null}}",
            "+prices={lab/a: {input: 1, output: 1}, lab/b: {input: 1, output: 1}, lab/c: {input: 1, output: 1}}",
            f"runs={tmp_path}", "schedule=random", "--quiet",
        ]  # fmt: skip
        refused = arena_("run", *paid, "schedule.stop.usd=0.0001")
        assert refused.code == 2
        assert "does not pay for a mirrored pair" in refused.err
        whole = arena_("run", *paid, "name=whole", "--json")
        # Its replies are shorter than published speeches, so that it is thought to cost more than it does.
        half = arena_("run", *paid, "name=half", "--json", "schedule.stop.usd=0.03")
        assert half.code == 3
        assert "schedule.stop.usd" in half.err
        told = json.loads(half.out)
        assert told["stopped_by"] == "money"
        assert 0.02 < told["cost_usd"] <= 0.03 < json.loads(whole.out)["cost_usd"]
        more = arena_("resume", "--quiet", tmp_path / "half", "schedule.stop.usd=1", "--json")
        assert more.code == 0
        assert json.loads(more.out)["matches"] == json.loads(whole.out)["matches"]


def test_more_matches_can_be_allowed_later(arena_: Arena, tmp_path: Path) -> None:
    opened = played(tmp_path / "run", "schedule=random", "schedule.stop.matches=8")
    first = [spec.id for spec in opened.matches(opened.read())]
    assert arena_("resume", "--quiet", opened.folder, "schedule.stop.matches=14").code == 0
    now = [spec.id for spec in opened.matches(opened.read())]
    assert now[:8] == first
    assert len(now) == 14
    assert verify(opened).findings == ()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["schedule=active", "schedule.stop.top=5"], "schedule.stop.top is 5, of 5 agents"),
        (["schedule=active", "schedule.params.unifrom=1"], "unifrom"),
        (["schedule=round_robin", "+schedule.params={pairs: 2}"], "round_robin has no parameters"),
        (["schedule=ladder"], "arena run --join RUN"),
        (["schedule=round_robin", "schedule.stop.matches=1"], "a mirrored pair is two matches"),
        (["schedule=active", "schedule.stop.top=0"], "from 1 on, or all"),
        (
            ["schedule=random", "schedule.stop.usd=5", "agents.e.model=openai/unheard-of"],
            "no price is known for openai/unheard-of",
        ),
        (["schedule=swiss", "schedule.stop.matches=1"], "a mirrored pair is two matches"),
        (["schedule=random", "seats.proposition.model=simulated/rational"], "proposition is filled"),
        (["schedule=self", "schedule.stop.top=1"], "plays against its copy"),
    ],
)
def test_what_cannot_be_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.experiment(config.compose([*FIVE, *overrides]))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["schedule=active", "schedule.stop.top=1", "judge=none"], "nobody judges"),
        (["game=matchup", "topics=questions", "judge=none", "schedule=swiss"], "this game has respondent"),
    ],
)
def test_a_tournament_needs_judges_and_two_seats(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.experiment(config.compose(overrides))


# ------------------------------------------------------------------ one seed, one result


def test_a_seed_gives_a_tournament_and_another_gives_another(tmp_path: Path) -> None:
    overrides = ("schedule=random", "schedule.stop.matches=12")
    one, same = (played(tmp_path / name, *overrides) for name in ("one", "same"))
    assert_same(tables(one), tables(same))
    other = played(tmp_path / "other", *overrides, "seed=1")
    who = [met(loaded["matches"], loaded["seats"]) for loaded in map(frames_of, (one, other))]
    assert who[0] != who[1]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, pd.DataFrame]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return {schedule: tables(played(folder / schedule, *SHORT, f"schedule={schedule}")) for schedule in RESUMED}


RESUMED = ("swiss", "active")
SHORT = ("~agents.e", "schedule.stop.matches=8")


@pytest.mark.parametrize("schedule", RESUMED)
@settings(max_examples=4, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(deaths=st.lists(st.tuples(st.integers(0, 90), st.none() | st.floats(0, 0.999)), min_size=1, max_size=3))
def test_a_killed_tournament_resumes_with_the_same_pairings(
    schedule: str, deaths: list[tuple[int, float | None]], undisturbed: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("killed") / "run"
    for writes, torn in deaths:
        with suppress(Killed), dies_after(writes, torn):
            played(folder, *SHORT, f"schedule={schedule}")
    opened = played(folder, *SHORT, f"schedule={schedule}")
    assert_same(tables(opened), undisturbed[schedule])
    assert verify(opened).findings == ()


def test_the_decisions_are_in_the_ledger_with_the_results_they_saw(tmp_path: Path) -> None:
    opened = played(tmp_path / "run", "schedule=swiss")
    reading = opened.read()
    saw = {match: score for record in reading.rounds for match, score in record["saw"].items()}
    assert set(saw) == {spec.id for spec in opened.matches(reading)}
    assert [bool(record["meetings"]) for record in reading.rounds] == [True, True, False]


@pytest.mark.parametrize(
    ("forged", "said"),
    [
        (lambda record: {"saw": {match: 1 - score for match, score in record["saw"].items()}}, "its end record does not say"),
        (lambda record: {"saw": {"stranger": 1.0, **dict(list(record["saw"].items())[1:])}}, "did not see"),
        (lambda record: {"saw": {**record["saw"], "stranger": 1.0}}, "which it had not decided on"),
        (lambda record: {"standing": {**record["standing"], "answer": ["a"]}}, "says of the order"),
        (lambda record: {"meetings": record["meetings"][2:]}, "does not follow"),
    ],
)  # fmt: skip
def test_verify_finds_a_decision_that_does_not_follow_from_what_it_saw(forged: Any, said: str, tmp_path: Path) -> None:
    opened = played(tmp_path / "run", "schedule=swiss", "schedule.stop.top=1", "~agents.e", *SURE)
    assert verify(opened).findings == ()
    (path,) = opened.ledger.glob("*.jsonl")
    lines = path.read_text().splitlines()
    number = [n for n, line in enumerate(lines) if '"kind":"round"' in line][1]
    record = json.loads(lines[number])
    del record["sum"]
    lines[number] = ledger.as_written(record | forged(record)).decode().rstrip()
    path.write_text("\n".join(lines) + "\n")
    assert any(said in finding.problem for finding in verify(opened).findings)


def test_a_tournament_can_be_judged_again_match_by_match(arena_: Arena, tmp_path: Path) -> None:
    opened = played(tmp_path / "run", "schedule=random", "schedule.stop.matches=8")
    judged = ("judge=panel", "judge.judges.other.model=simulated/noisy_judge", f"runs={tmp_path}", "name=again")
    said = arena_("rejudge", "--quiet", opened.folder, *judged)
    assert said.code == 0, said.err
    again = arena.load(tmp_path / "again")
    first = arena.load(opened.folder)
    assert again.matches["name"].tolist() == first.matches["name"].tolist()
    assert again.matches["pairing_probability"].tolist() == first.matches["pairing_probability"].tolist()
    assert again.matches["mirror_of"].notna().tolist() == [False, True] * 4
    assert set(again.verdicts["judge"]) == {"other"}
    assert arena_("log", "verify", tmp_path / "again").code == 0


def test_a_recorded_pairing_is_used_even_if_the_schedule_would_pair_others_now(tmp_path: Path) -> None:
    """What was decided stands: a new version of a schedule must not change a tournament that is under way."""
    opened = played(tmp_path / "run", "schedule=random", "schedule.stop.matches=4")
    before = opened.matches(opened.read())
    changed = replace(opened.experiment.tournament, seed=99)
    course = run.Run(opened.folder, Setting(replace(opened.experiment, tournament=changed))).course(
        ledger.read(opened.ledger)
    )
    assert course is not None
    assert course.matches == before


def test_a_decision_that_is_damaged_is_named_and_nothing_else_is_blamed(arena_: Arena, tmp_path: Path) -> None:
    opened = played(tmp_path / "run", "schedule=swiss", "schedule.stop.matches=4")
    (path,) = opened.ledger.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'{"kind":"round"', b'{"kind":"rouNd"', 1))
    said = arena_("resume", "--quiet", opened.folder)
    assert said.code == 2
    assert "the ledger is damaged at 0001.jsonl:2" in said.err
