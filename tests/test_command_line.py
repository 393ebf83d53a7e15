"""The command line as a user meets it: what it prints where, what it leaves behind, and its exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from commands import SCRIPT, SMALL, Arena, comparable, files, in_a_shell, played

from arena import frames
from arena.ledger import Ledger, as_written
from arena.testing import serve_in_thread


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test stands in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to be read and not written to."""
    return played(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def mine(finished: Path, here: Path) -> Path:
    """A copy of the finished run, to do things to. It stands in `runs/mine`, so it was moved and renamed, too."""
    shutil.copytree(finished, here / "runs" / "mine")
    return Path("runs/mine")


def assert_same_tables(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    for name in frames.COLUMNS:
        pd.testing.assert_frame_equal(one[name], other[name])


def recorded_calls(run: Path) -> int:
    """Intents in the ledger: calls that were sent."""
    lines = [line for path in (run / "ledger").glob("*.jsonl") for line in path.read_text().splitlines()]
    return sum(json.loads(line)["kind"] == "intent" for line in lines)


# ------------------------------------------------------------------ run


def test_a_run_prints_its_directory_as_the_last_line_of_standard_output(arena: Arena) -> None:
    said = arena("run", *SMALL, "name=mine")
    assert said.code == 0
    assert said.lines[-1] == "runs/mine"


def test_a_run_directory_holds_experiment_manifest_ledger_and_tables(finished: Path) -> None:
    assert set(files(finished)) == {
        "experiment.yaml",
        "manifest.json",
        "ledger/0001.jsonl",
        "ledger/lock",
        *(f"tables/{name}.parquet" for name in frames.COLUMNS),
    }


def test_a_run_leaves_nothing_but_its_directory(arena: Arena, here: Path) -> None:
    """Hydra, for one, would like to make `outputs/`."""
    arena("run", *SMALL, "name=mine")
    assert [path.name for path in here.iterdir()] == ["runs"]
    assert [path.name for path in (here / "runs").iterdir()] == ["mine"]


def test_a_run_without_a_name_gets_its_condition_and_the_time(arena: Arena) -> None:
    said = arena("run", *SMALL, "condition=mine")
    assert re.fullmatch(r"runs/mine-\d{8}-\d{6}", said.lines[-1])


def test_a_summary_shows_confidence_by_phase_who_won_and_that_it_is_simulated(arena: Arena) -> None:
    out = arena("run", *SMALL).out
    assert "Simulated seats, no model: simulated/escalating" in out
    assert re.search(r"agent\W+opening\W+rebuttal\W+closing", out)
    assert re.search(r"agent\W+won\W+lost\W+undecided", out)
    assert "Matches: 2 finished." in out


def test_standard_output_is_for_results_and_standard_error_for_progress(arena: Arena) -> None:
    said = arena("run", *SMALL)
    assert "2/2 matches" in said.err
    assert "in flight" not in said.out


def test_quiet_says_nothing_on_standard_error(arena: Arena) -> None:
    said = arena("run", *SMALL, "--quiet")
    assert (said.code, said.err) == (0, "")


def test_json_is_the_whole_of_standard_output(arena: Arena) -> None:
    facts = json.loads(arena("run", *SMALL, "--json", "name=mine").out)
    assert facts["run"] == "runs/mine"
    assert facts["matches"] == {"finished": 2}
    assert facts["confidences"] == {"ok": 12}
    assert facts["ballots"] == {"ok": 12}
    assert facts["cost_usd"] == 0
    assert all(0 <= phase["mean"] <= 1 for phase in facts["confidence_by_phase"])


def test_cfg_prints_the_configuration_and_plays_nothing(arena: Arena, here: Path) -> None:
    said = arena("run", *SMALL, "--cfg", "job", "seed=7")
    assert yaml.safe_load(said.out)["seed"] == 7
    assert files(here) == {}


def test_overrides_may_stand_on_both_sides_of_an_option(arena: Arena) -> None:
    said = arena("run", "seed=7", "--cfg", "job", "attempts=2")
    assert [yaml.safe_load(said.out)[key] for key in ("seed", "attempts")] == [7, 2]


def test_a_manifest_says_how_and_on_what_it_was_played(finished: Path) -> None:
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["stopped_by"] == "finished"
    assert manifest["started_at"] <= manifest["ended_at"]
    assert manifest["matches"] == 2
    assert manifest["packages"]["debate-arena"] == version("debate-arena")


def test_the_recorded_experiment_is_the_one_that_cfg_prints(arena: Arena, finished: Path) -> None:
    printed = yaml.safe_load(arena("run", *SMALL, "--cfg", "job").out)
    recorded = yaml.safe_load((finished / "experiment.yaml").read_text())
    assert recorded | {"name": None, "runs": "runs"} == printed


def test_a_file_of_topics_goes_into_the_run_directory_so_that_it_can_be_moved(arena: Arena, here: Path) -> None:
    Path("mine.csv").write_text("id,text\na,This house would.\n")
    assert arena("run", *SMALL, "topics=file", "topics.file=mine.csv", "name=mine").code == 0
    Path("mine.csv").unlink()
    shutil.move("runs/mine", "moved")
    assert arena("log", "verify", "moved").code == 0
    assert arena("resume", "moved").lines[-1] == "moved"


# ------------------------------------------------------------------ one seed, one result


def test_the_same_experiment_gives_the_same_tables_in_another_process(finished: Path, here: Path) -> None:
    """Nothing hangs on the order of a set, on `hash()`, or on how many calls are in flight."""
    said = in_a_shell(
        "run",
        *SMALL,
        "limits.concurrency=1",
        "name=mine",
        cwd=here,
        env={"PYTHONHASHSEED": "7", "PYTHONWARNINGS": "error"},
    )
    assert said.code == 0, said.err
    assert_same_tables(comparable(here / "runs" / "mine"), comparable(finished))


def test_another_seed_gives_other_tables(arena: Arena, finished: Path) -> None:
    arena("run", *SMALL, "seed=1", "name=other")
    one, other = comparable(finished)["confidences"]["value"], comparable(Path("runs/other"))["confidences"]["value"]
    assert one.tolist() != other.tolist()


def test_from_plays_the_experiment_of_a_run_again(arena: Arena, finished: Path) -> None:
    said = arena("run", "--from", finished, "name=again", "runs=runs")
    assert said.lines[-1] == "runs/again"
    assert_same_tables(comparable(Path("runs/again")), comparable(finished))


def test_from_takes_a_new_name_where_none_is_given(arena: Arena) -> None:
    arena("run", *SMALL, "name=mine")
    said = arena("run", "--from", "runs/mine")
    assert said.code == 0, said.err
    assert said.lines[-1] != "runs/mine"


def test_from_takes_the_copied_files_of_the_run_along(arena: Arena) -> None:
    Path("mine.csv").write_text("id,text\na,This house would.\n")
    arena("run", *SMALL, "topics=file", "topics.file=mine.csv", "name=mine")
    Path("mine.csv").unlink()
    assert arena("run", "--from", "runs/mine", "name=again").code == 0
    assert_same_tables(comparable(Path("runs/again")), comparable(Path("runs/mine")))


def test_from_with_overrides_plays_the_changed_experiment(arena: Arena, finished: Path) -> None:
    model = "simulated/rational:a/b:free"
    said = arena(
        "run", "--from", finished, "runs=runs", "name=changed", f"seats.proposition.model={model}", "seed=3", "--json"
    )
    assert said.code == 0
    assert model in json.loads(said.out)["simulated"]
    assert yaml.safe_load(Path("runs/changed/experiment.yaml").read_text())["seed"] == 3


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("attempts=x", "attempts"),
        ("seats.proposition.temperature=hot", "seats.proposition.temperature"),
        ("name=../x", "name"),
        ("zork=1", "zork"),
        ("limits.zork=1", "limits.zork"),
    ],
)
def test_from_with_a_bad_override_names_it(arena: Arena, finished: Path, override: str, word: str) -> None:
    said = arena("run", "--from", finished, override)
    assert said.code == 2
    assert word in said.err


@pytest.mark.parametrize("override", ["schedule=self", "+agents.more.model=simulated/rational"])
def test_from_takes_overrides_as_run_does(arena: Arena, finished: Path, override: str) -> None:
    assert arena("run", "--from", finished, "runs=runs", override).code == 0


def test_from_with_an_unknown_key_lists_what_was_allowed(arena: Arena, finished: Path) -> None:
    assert "concurrency" in arena("run", "--from", finished, "limits.zork=1").err


def test_from_takes_other_topics_from_a_file(arena: Arena, finished: Path) -> None:
    Path("mine.csv").write_text("text\nThis house would.\n")
    said = arena("run", "--from", finished, "runs=runs", "name=other", "topics=file", "topics.file=mine.csv")
    assert said.code == 0, said.err


def test_from_what_is_no_run_is_refused(arena: Arena) -> None:
    said = arena("run", "--from", "nowhere")
    assert (said.code, "nowhere is no run directory" in said.err) == (2, True)


# ------------------------------------------------------------------ multirun


@pytest.mark.parametrize("name", [[], ["name=mine"], ["name=one,other"]])
def test_a_multirun_plays_every_job_into_a_directory_of_its_own(arena: Arena, name: list[str]) -> None:
    said = arena("run", "--multirun", *SMALL, "seed=0,1", "--json", *name)
    assert said.code == 0
    runs = [json.loads(line)["run"] for line in said.lines]
    assert len(runs) == len(set(runs)) == (4 if "," in "".join(name) else 2)
    seeds = {yaml.safe_load((Path(run) / "experiment.yaml").read_text())["seed"] for run in runs}
    assert seeds == {0, 1}


def test_a_job_of_a_multirun_is_the_run_that_would_be_played_alone(arena: Arena, finished: Path) -> None:
    arena("run", "-m", *SMALL, "seed=0,1", "name=mine")
    assert_same_tables(comparable(Path("runs/mine-job0")), comparable(finished))


def test_a_multirun_with_a_bad_job_plays_none(arena: Arena, here: Path) -> None:
    assert arena("run", "-m", *SMALL, "attempts=1,0").code == 2
    assert files(here) == {}


def test_cfg_prints_every_job_of_a_multirun(arena: Arena) -> None:
    said = arena("run", "-m", *SMALL, "seed=0,1", "--cfg", "job")
    assert [job["seed"] for job in yaml.safe_load_all(said.out)] == [0, 1]


def test_from_and_multirun_do_not_go_together(arena: Arena, finished: Path) -> None:
    said = arena("run", "-m", "--from", finished, "seed=0,1")
    assert (said.code, "--multirun" in said.err) == (2, True)


# ------------------------------------------------------------------ resume


def test_resume_of_a_finished_run_calls_nothing(arena: Arena, mine: Path) -> None:
    before = recorded_calls(mine)
    said = arena("resume", mine)
    assert (said.code, said.lines[-1]) == (0, str(mine))
    assert recorded_calls(mine) == before == 24


def test_resume_makes_lost_tables_again(arena: Arena, mine: Path, finished: Path) -> None:
    shutil.rmtree(mine / "tables")
    assert arena("resume", mine).code == 0
    assert_same_tables(frames.read(mine / "tables"), frames.read(finished / "tables"))


def test_resume_plays_what_is_missing_and_nothing_else(arena: Arena, mine: Path, finished: Path) -> None:
    ledger = mine / "ledger" / "0001.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:12]))
    lost = sum(row["in_flight"] for row in json.loads(arena("log", "ls", mine, "--json").out))
    before = recorded_calls(mine)
    assert arena("resume", mine).code == 0
    assert (before < 24, recorded_calls(mine)) == (True, 24 + lost)
    stands = comparable(mine)
    stands["calls"] = stands["calls"].query("status == 'ok'").reset_index(drop=True)
    assert_same_tables(stands, comparable(finished))


def test_resume_takes_other_limits(arena: Arena, mine: Path) -> None:
    assert arena("resume", mine, "limits.concurrency=1", "limits.tries=1").code == 0


@pytest.mark.parametrize("override", ["seed=1", "attempts=5", "game.params.rebuttals=2", "topics.limit=2", "zork=1"])
def test_resume_refuses_to_play_something_else(arena: Arena, mine: Path, override: str) -> None:
    before = files(mine)
    said = arena("resume", mine, override)
    assert said.code == 2
    assert f"arena run --from {mine} {override}" in said.err
    assert files(mine) == before


def test_resume_does_not_let_a_simulated_seat_become_another(arena: Arena, mine: Path) -> None:
    assert arena("resume", mine, "provider.simulated.presets.escalating.opening=-9").code == 2


def test_resume_takes_a_price_that_was_missing(arena: Arena, mine: Path) -> None:
    assert arena("resume", mine, "prices={openai/gpt-9.1: {input: 1.0, output: 2.0}}").code == 0


def test_a_run_that_is_being_played_is_refused(arena: Arena, mine: Path) -> None:
    book = Ledger(mine / "ledger")
    try:
        said = arena("resume", mine)
    finally:
        book.close()
    assert (said.code, "another process" in said.err) == (2, True)


# ------------------------------------------------------------------ diverged

Change = Callable[[dict[str, Any]], Any]

CHANGES: dict[str, tuple[Change, str]] = {
    "a prompt": (lambda e: e["game"]["prompts"].update(opening="Begin."), "prompts"),
    "a judge's prompt": (lambda e: e["judge"]["prompts"].update(judge="Judge."), "prompts"),
    "the seed": (lambda e: e.update(seed=1), "matches"),
    "a topic": (lambda e: e["topics"]["questions"][0].update(text="Another."), "matches"),
    "a model": (lambda e: e["agents"]["escalating"].update(model="simulated/rational"), "matches"),
    "a temperature": (lambda e: e["agents"]["escalating"].update(temperature=1.0), "matches"),
    "a parameter": (lambda e: e["game"]["params"].update(told="equal_copy"), "game"),
    "the attempts": (lambda e: e.update(attempts=1), "game"),
    "the ballots": (lambda e: e["judge"].update(ballots=2), "judge"),
    "a judge": (lambda e: e["judge"]["judges"].pop("noisy"), "judge"),
    "the rule": (lambda e: e["judge"].update(rule="larger_sum"), "judge"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_whose_experiment_was_changed_has_diverged_and_says_in_what(
    arena: Arena, mine: Path, change: str
) -> None:
    edit, section = CHANGES[change]
    path = mine / "experiment.yaml"
    experiment = yaml.safe_load(path.read_text())
    edit(experiment)
    path.write_text(yaml.safe_dump(experiment))
    before = files(mine)
    said = arena("resume", mine)
    assert said.code == 2
    assert f"(Diverged): {section} changed" in said.err
    assert "arena run --from runs/mine name=..." in said.err
    assert files(mine) == before


def test_a_run_whose_copied_topics_were_changed_has_diverged(arena: Arena) -> None:
    Path("mine.csv").write_text("text\nOne.\n")
    arena("run", *SMALL, "topics=file", "topics.file=mine.csv", "name=mine")
    Path("runs/mine/topics.csv").write_text("text\nTwo.\n")
    said = arena("resume", "runs/mine")
    assert (said.code, "(Diverged): matches" in said.err) == (2, True)


def test_a_run_with_the_ledger_of_another_experiment_has_diverged(arena: Arena, mine: Path) -> None:
    arena("run", *SMALL, "seed=1", "name=other")
    shutil.rmtree("runs/other/ledger")
    shutil.copytree(mine / "ledger", "runs/other/ledger")
    said = arena("resume", "runs/other")
    assert said.code == 2
    assert "runs/other holds the ledger of another experiment (Diverged): matches" in said.err


def test_a_ledger_that_was_edited_has_diverged_and_names_step_and_seat(arena: Arena, mine: Path) -> None:
    ledger = mine / "ledger" / "0001.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    spoken = next(n for n, line in enumerate(lines) if json.loads(line)["kind"] == "reply")
    record = json.loads(lines[spoken].replace("(Simulated speech", "(Another speech"))
    del record["sum"]
    lines[spoken] = as_written(record).decode()
    ledger.write_text("".join(line for line in lines if json.loads(line)["kind"] != "end"))
    said = arena("resume", mine)
    assert said.code == 2
    assert re.search(r"Diverged: match \w+, step 1, seat (proposition|opposition)", said.err)


@pytest.mark.parametrize("command", [["resume"], ["rejudge"], ["log", "ls"], ["log", "verify"], ["run", "--from"]])
@pytest.mark.parametrize("place", ["nowhere", "."])
def test_what_is_no_run_directory_is_refused_by_every_command(arena: Arena, command: list[str], place: str) -> None:
    said = arena(*command, place)
    assert (said.code, said.out) == (2, "")
    assert f"{place} is no run directory: it has no experiment.yaml" in said.err


@pytest.mark.parametrize("text", ["", "[]", "a: [", "zork: 1\n"])
def test_a_run_directory_whose_experiment_is_none_is_refused(arena: Arena, mine: Path, text: str) -> None:
    (mine / "experiment.yaml").write_text(text)
    said = arena("resume", mine)
    assert (said.code, "Traceback" in said.err) == (2, False)


# ------------------------------------------------------------------ plan


def test_plan_calls_nothing_and_writes_nothing(arena: Arena, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with serve_in_thread() as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        said = arena("plan", *SMALL, "judge=none", "agents.escalating.model=openai/gpt-4o")
        assert served.counts().calls == 0
    assert said.code == 0
    assert files(here) == {}


def test_plan_needs_no_key(arena: Arena) -> None:
    said = arena("plan", "experiment=two_llms_debate/cross_model", "--json")
    assert said.code == 0
    assert json.loads(said.out)["matches"] == 45 * 2 * 6


def test_a_plan_counts_what_a_run_then_does(arena: Arena, finished: Path) -> None:
    planned = json.loads(arena("plan", *SMALL, "--json").out)
    assert planned["matches"] == 2
    assert planned["topics"] == 1
    assert planned["agents"] == {"escalating": 2, "overconfident": 2}
    assert planned["calls"] == recorded_calls(finished)
    assert planned["seconds"] == planned["cost_usd"] == 0


def test_a_plan_names_models_without_a_price_and_prices_the_others(arena: Arena) -> None:
    agents = ("agents.escalating.model=openai/gpt-4o", "agents.overconfident.model=openai/zork")
    planned = json.loads(arena("plan", *SMALL, "judge=none", *agents, "--json").out)
    assert planned["unpriced"] == ["openai/zork"]
    assert planned["cost_usd"] > 0
    assert planned["seconds"] > 0


def test_a_plan_in_words_says_that_nothing_was_called(arena: Arena) -> None:
    out = arena("plan", *SMALL, "judge=none", "agents.escalating.model=openai/zork").out
    assert "2 matches on 1 topics" in out
    assert "no price known" in out
    assert "Nothing was called." in out


def test_plan_and_run_say_what_is_not_sent(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    judge = ("judge=llm", "judge.judges.judge.model=openai/o3-mini", "+judge.judges.judge.temperature=0.5")
    refused = "openai/o3-mini refuses temperature: 0.5 is not sent"
    with serve_in_thread() as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        assert f"Note: {refused}" in arena("plan", *SMALL, *judge).out
        assert f"arena: {refused}" in arena("run", *SMALL, *judge).err


def test_a_plan_prints_any_name(arena: Arena) -> None:
    Path("m.csv").write_text("topic,proposition,opposition\nOne.,simulated/rational:[/a],simulated/rational:[b]\n")
    said = arena("plan", "schedule=explicit", "matches=m.csv")
    assert "simulated/rational:[/a]" in said.out


@pytest.mark.parametrize("model", ["zork/model", "no-slash", "simulated/zork"])
def test_a_plan_refuses_what_could_not_be_played(arena: Arena, model: str) -> None:
    assert arena("plan", *SMALL, f"seats.proposition.model={model}").code == 2


# ------------------------------------------------------------------ rejudge

OTHERS = (
    "judge=panel",
    "+judge.judges={one: {model: simulated/judge:one}, two: {model: simulated/judge:two}}",
    "judge.orders=as_spoken",
)


@pytest.fixture
def judged(arena: Arena, mine: Path) -> Path:
    said = arena("rejudge", mine, *OTHERS, "judge.ballots=2", "name=judged", "--quiet")
    assert (said.code, said.lines[-1]) == (0, "runs/judged")
    return Path("runs/judged")


def test_rejudging_makes_a_new_run_and_leaves_the_old_one_alone(judged: Path, mine: Path, finished: Path) -> None:
    assert files(mine) == files(finished)
    assert judged != mine


def test_rejudging_pays_for_ballots_alone(judged: Path) -> None:
    calls = frames.read(judged / "tables")["calls"]
    assert set(calls["seat"]) == {"one/1", "one/2", "two/1", "two/2"}
    assert len(calls) == recorded_calls(judged) == 2 * 4


def test_rejudging_gives_every_match_every_ballot_of_the_new_judges(judged: Path) -> None:
    verdicts = frames.read(judged / "tables")["verdicts"]
    assert set(verdicts["judge"]) == {"one", "two"}
    assert set(verdicts["model"]) == {"simulated/judge:one", "simulated/judge:two"}
    assert verdicts.groupby(["match_id", "judge"])["ballot"].apply(sorted).tolist() == [[1, 2]] * 4
    assert set(verdicts["status"]) == {"ok"}


def test_rejudged_matches_keep_names_topics_players_and_speeches(judged: Path, finished: Path) -> None:
    old, new = frames.read(finished / "tables"), frames.read(judged / "tables")
    for table, columns in {
        "matches": ["name", "topic_id", "topic", "condition"],
        "utterances": ["phase", "seat", "agent", "part", "text"],
    }.items():
        kept, again = (tables[table] for tables in (old, new))
        if table == "utterances":
            kept, again = (rows[rows["part"] == "speech"] for rows in (kept, again))
        pd.testing.assert_frame_equal(again[columns].reset_index(drop=True), kept[columns].reset_index(drop=True))


def test_nothing_private_is_laid_before_the_new_judges(judged: Path) -> None:
    utterances = frames.read(judged / "tables")["utterances"]
    assert set(utterances["part"]) == {"speech", "rationale", "verdict"}
    assert "private_confidence" not in (judged / "given.jsonl").read_text()


def test_a_rejudged_run_verifies_resumes_and_is_judged_again(arena: Arena, judged: Path) -> None:
    assert arena("log", "verify", judged).code == 0
    assert arena("resume", judged).code == 0
    assert arena("rejudge", judged, "name=thrice").code == 0


def test_rejudging_by_the_same_judges_draws_from_the_same_seed(arena: Arena, mine: Path) -> None:
    arena("rejudge", mine, "name=one")
    arena("rejudge", mine, "name=other")
    assert_same_tables(comparable(Path("runs/one")), comparable(Path("runs/other")))


def test_a_run_without_a_finished_match_is_not_rejudged(arena: Arena, mine: Path) -> None:
    shutil.rmtree(mine / "ledger")
    said = arena("rejudge", mine, "name=judged")
    assert said.code == 2
    assert f"arena resume {mine}" in said.err
    assert not Path("runs/judged").exists()


def test_rejudging_keeps_what_is_known_of_a_match(arena: Arena) -> None:
    """Without it, a mirrored pair cannot be put together again."""
    seat = "seats.proposition={model: simulated/rational, temperature: 0.5, system: Be brief.}"
    arena("run", *SMALL, "~agents.escalating", seat, "schedule.repeats=2", "name=seated")
    arena("rejudge", "runs/seated", *OTHERS, "name=judged")
    old, new = (frames.read(Path("runs") / name / "tables") for name in ("seated", "judged"))
    players = [tables["seats"].query("role != 'judge'")[["temperature", "system"]] for tables in (old, new)]
    matches = [tables["matches"][["mirror_of", "repeat"]] for tables in (old, new)]
    for was, kept in (players, matches):
        assert was.isna().to_numpy().tolist() == kept.isna().to_numpy().tolist()
        assert was.nunique().to_dict() == kept.nunique().to_dict()


@pytest.mark.parametrize(
    "override", ["topics.limit=1", "seats.proposition.model=openai/gpt-4o", "game.params.rebuttals=2", "condition=mine"]
)
def test_rejudging_refuses_what_it_does_not_do(arena: Arena, mine: Path, override: str) -> None:
    assert arena("rejudge", mine, override).code == 2


# ------------------------------------------------------------------ log


def test_log_ls_lists_every_match(arena: Arena, finished: Path) -> None:
    rows = json.loads(arena("log", "ls", finished, "--json").out)
    matches = frames.read(finished / "tables")["matches"]
    assert [row["match_id"] for row in rows] == matches["match_id"].tolist()
    assert [row["name"] for row in rows] == matches["name"].tolist()
    assert [row["winner"] for row in rows] == matches["winner"].tolist()
    assert {row["status"] for row in rows} == {"finished"}
    assert [row["calls"] for row in rows] == [12, 12]


def test_log_ls_for_people_shows_ids_that_log_show_takes(arena: Arena, finished: Path) -> None:
    ids = re.findall(r"^\W+([0-9a-f]{12})\b", arena("log", "ls", finished).out, re.MULTILINE)
    assert len(ids) == 2
    assert all(arena("log", "show", finished, ident).code == 0 for ident in ids)


def test_log_ls_says_which_calls_were_in_flight(arena: Arena, mine: Path) -> None:
    ledger = mine / "ledger" / "0001.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if json.loads(line)["kind"] == "reply")
    ledger.write_text("".join(lines[:first]))
    lost = first - 1
    rows = json.loads(arena("log", "ls", mine, "--json").out)
    assert sum(row["in_flight"] for row in rows) == lost
    assert "without an answer" in arena("log", "ls", mine).out


@pytest.fixture(scope="module")
def match_id(finished: Path) -> str:
    return str(frames.read(finished / "tables")["matches"]["match_id"].iloc[0])


@pytest.mark.parametrize("kind", ["text", "markdown", "html"])
def test_log_show_is_a_transcript_of_everything_that_was_said(
    arena: Arena, finished: Path, match_id: str, kind: str
) -> None:
    said = arena("log", "show", finished, match_id, "--format", kind)
    spoken = frames.read(finished / "tables")["utterances"].query("match_id == @match_id and part == 'speech'")
    assert said.code == 0
    assert len(spoken) == 6
    assert all(text.splitlines()[0] in said.out for text in spoken["text"])


@pytest.mark.parametrize("length", [12, 8, 4])
def test_log_show_takes_the_beginning_of_an_id(arena: Arena, finished: Path, match_id: str, length: int) -> None:
    assert arena("log", "show", finished, match_id[:length]).code == 0


def test_log_show_takes_a_name(arena: Arena, finished: Path) -> None:
    name = frames.read(finished / "tables")["matches"]["name"].iloc[1]
    assert arena("log", "show", finished, name).lines[0] == name


def test_log_show_as_json_is_a_list_of_paragraphs(arena: Arena, finished: Path, match_id: str) -> None:
    paragraphs = json.loads(arena("log", "show", finished, match_id, "--json").out)
    assert {paragraph["kind"] for paragraph in paragraphs} == {"title", "note", "phase", "public", "private"}


def test_log_show_of_an_unknown_match_says_how_to_find_one(arena: Arena, finished: Path) -> None:
    said = arena("log", "show", finished, "zork")
    assert said.code == 2
    assert f"no match is called 'zork'; `arena log ls {finished}`" in said.err


def test_log_show_of_an_ambiguous_match_says_how_many_there_are(arena: Arena) -> None:
    row = "final,One.,rational,escalating\n"
    Path("m.csv").write_text("match,topic,proposition,opposition\n" + 2 * row)
    arena("run", "schedule=explicit", "matches=m.csv", "judge=none", "name=mine")
    said = arena("log", "show", "runs/mine", "final")
    assert (said.code, "2 matches are called 'final'" in said.err) == (2, True)
    assert arena("log", "show", "runs/mine", "").code == 2


def test_log_verify_proves_a_run(arena: Arena, finished: Path) -> None:
    said = arena("log", "verify", finished)
    assert said.code == 0
    assert "2 of 2 matches finished; 24 recorded calls replayed." in said.out
    assert "Privacy: 24 prompts rebuilt" in said.out


def test_log_verify_as_json(arena: Arena, finished: Path) -> None:
    verified = json.loads(arena("log", "verify", finished, "--json").out)
    assert {key: verified[key] for key in ("matches", "finished", "calls", "views", "findings")} == {
        "matches": 2, "finished": 2, "calls": 24, "views": 24, "findings": [],
    }  # fmt: skip


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_log_verify_that_finds_something_has_exit_code_1(arena: Arena, mine: Path, how: list[str]) -> None:
    (mine / "tables" / "verdicts.parquet").unlink()
    said = arena("log", "verify", mine, *how)
    assert (said.code, "tables" in said.out) == (1, True)


@pytest.mark.parametrize("looking", [["ls"], ["show", "MATCH"], ["verify"]])
def test_looking_changes_nothing(arena: Arena, mine: Path, match_id: str, looking: list[str]) -> None:
    before = files(mine)
    command, *match = looking
    assert arena("log", command, mine, *(match_id for _ in match)).code == 0
    assert files(mine) == before


# ------------------------------------------------------------------ doctor


def test_doctor_checks_the_machine_and_writes_nothing(arena: Arena, here: Path) -> None:
    said = arena("doctor")
    assert said.code == 0
    assert {line.split(":")[0][4:] for line in said.lines} >= {"python", "configuration", "provider openai", "disk"}
    assert files(here) == {}


def test_doctor_says_which_key_is_missing_and_never_shows_one(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted")
    checks = {check["name"]: check for check in json.loads(arena("doctor", "--json").out)}
    assert checks["provider openai"]["ok"] is None
    assert "OPENAI_API_KEY" in checks["provider openai"]["said"]
    assert checks["provider anthropic"]["ok"] is True
    assert "sk-planted" not in arena("doctor").out


def test_doctor_reports_a_configuration_that_is_broken(arena: Arena) -> None:
    said = arena("doctor", "--config-dir", "nowhere")
    assert (said.code, "BAD configuration: --config-dir nowhere is not a folder" in said.out) == (2, True)


# ------------------------------------------------------------------ bad input: exit code 2, the place, nothing left behind

KEYS = {
    "openai/gpt-4o": "OPENAI_API_KEY",
    "anthropic/claude-sonnet-4-5": "ANTHROPIC_API_KEY",
    "openrouter/qwen/qwq-32b:free": "OPENROUTER_API_KEY",
}

REFUSED: dict[str, tuple[list[str], list[str]]] = {
    "an unknown option": (["--zork"], ["--zork"]),
    "no override": (["zork"], ["zork"]),
    "an unknown key": (["topics.limt=1"], ["topics.limt", "limit"]),
    "an unknown experiment": (["experiment=zork"], ["experiment=zork", "demo"]),
    "a wrong type": (["attempts=x"], ["attempts", "'x'"]),
    "an unknown provider": (["seats.proposition.model=zork/model"], ["'zork'", "openrouter"]),
    "a model id without a slash": (["seats.proposition.model=gpt-4o"], ["'gpt-4o'", "provider/model"]),
    "a model id without a model": (["seats.proposition.model=openai/"], ["'openai/'", "provider/model"]),
    "an unknown preset": (["seats.proposition.model=simulated/zork"], ["'zork'", "rational"]),
    "topics that are not there": (["topics=file", "topics.file=zork.csv"], ["topics.file=zork.csv", "no such file"]),
    "topics that cannot be read": (["topics=file", "topics.file=bytes.csv"], ["bytes.csv", "cannot be read"]),
    "topics without their column": (["topics=file", "topics.file=zork/columns.csv"], ["columns.csv", "`text`"]),
    "matches without their columns": (
        ["schedule=explicit", "matches=zork/columns.csv"],
        ["columns.csv", "'topic'", "'proposition'"],
    ),
    "a name that is a path": (["name=../x"], ["'../x'"]),
    "a prompt that is no template": (['game.prompts.opening="{{ zork "'], ["'opening'"]),
    "a config-dir that is none": (["--config-dir", "nowhere"], ["nowhere"]),
    "an unknown --cfg": (["--cfg", "zork"], ["zork"]),
    "an ambiguous value": (["seed=0,1"], ["--multirun"]),
}


def _bad_files() -> None:
    Path("bytes.csv").write_bytes(b"text\n\xff\xfe\n")
    Path("zork").mkdir()
    Path("zork/columns.csv").write_text("a,b\n1,2\n")


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_by_name_and_leaves_nothing_behind(arena: Arena, here: Path, case: str) -> None:
    overrides, words = REFUSED[case]
    _bad_files()
    before = files(here)
    said = arena("run", *SMALL, *overrides)
    assert (said.code, said.out) == (2, "")
    assert [word for word in words if word not in said.err] == [], said.err
    assert "Traceback" not in said.err
    assert files(here) == before
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("place", "model"),
    [
        ("seats.proposition.model", "openai/gpt-4o"),
        ("agents.escalating.model", "anthropic/claude-sonnet-4-5"),
        ("judge.judges.fair.model", "openrouter/qwen/qwq-32b:free"),
    ],
)
def test_a_missing_key_is_named_wherever_the_model_sits(arena: Arena, here: Path, model: str, place: str) -> None:
    said = arena("run", *SMALL, f"{place}={model}")
    assert (said.code, KEYS[model] in said.err) == (2, True)
    assert files(here) == {}


def test_an_empty_key_is_a_missing_key(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert "OPENAI_API_KEY" in arena("run", *SMALL, "judge=llm").err


def test_an_existing_name_is_refused_and_resume_is_named(arena: Arena, mine: Path) -> None:
    before = files(mine)
    said = arena("run", *SMALL, "name=mine")
    assert (said.code, f"`arena resume {mine}`" in said.err) == (2, True)
    assert files(mine) == before


def test_a_file_where_the_runs_should_be_is_named(arena: Arena) -> None:
    Path("runs").write_text("")
    said = arena("run", *SMALL)
    assert (said.code, "runs" in said.err, "Traceback" in said.err) == (2, True, False)


def test_a_prompt_that_cannot_be_filled_in_leaves_nothing_behind(arena: Arena, here: Path) -> None:
    assert arena("run", *SMALL, 'game.prompts.opening="{{ zork }}"').code == 2
    assert files(here) == {}


def test_a_condition_does_not_lead_out_of_the_folder_of_runs(arena: Arena, here: Path) -> None:
    said = arena("run", *SMALL, "condition=../out", "runs=inner/runs")
    assert (said.code, "condition" in said.err) == (2, True)
    assert files(here) == {}


def test_no_command_is_answered_with_help(arena: Arena) -> None:
    said = arena()
    assert (said.code, "arena run" in said.out) == (2, True)


def test_an_unknown_command_lists_those_there_are(arena: Arena) -> None:
    said = arena("zork")
    assert said.code == 2
    assert "'rejudge'" in said.err


@pytest.mark.parametrize("arguments", [["log"], ["log", "show"], ["resume"], ["rejudge"], ["log", "show", "run"]])
def test_a_command_that_lacks_something_says_what(arena: Arena, arguments: list[str]) -> None:
    said = arena(*arguments)
    assert (said.code, "required" in said.err) == (2, True)


def test_overrides_are_not_for_commands_that_take_none(arena: Arena, finished: Path) -> None:
    said = arena("log", "ls", finished, "seed=1")
    assert (said.code, "seed=1" in said.err) == (2, True)


# ------------------------------------------------------------------ help, colours, processes


COMMANDS = ("run", "resume", "plan", "rejudge", "reread", "log", "doctor")


def test_help_mentions_every_command(arena: Arena) -> None:
    said = arena("--help")
    assert said.code == 0
    assert all(re.search(rf"^ +{command} ", said.out, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize(
    "command", [["run"], ["resume"], ["plan"], ["rejudge"], ["log"], ["log", "ls"], ["log", "show"], ["log", "verify"]]
)
def test_every_command_has_help(arena: Arena, command: list[str]) -> None:
    said = arena(*command, "--help")
    assert (said.code, said.out.startswith(f"usage: arena {command[0]}")) == (0, True)


def test_version(arena: Arena) -> None:
    assert arena("--version").out.strip() == version("debate-arena")


def test_help_loads_nothing_heavy(here: Path) -> None:
    """So that it answers at once."""
    said = in_a_shell("--help", cwd=here, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert said.code == 0
    loaded = {line.rpartition("|")[2].strip() for line in said.err.splitlines()}
    assert "argparse" in loaded
    assert loaded & {"pandas", "hydra", "pydantic", "openai", "rich", "jinja2", "asyncio"} == set()


def test_a_bad_argument_has_exit_code_2_in_the_shell_too(here: Path) -> None:
    said = in_a_shell("run", "zork=1", cwd=here)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("arena: zork: there is no such key")


COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10\d)(?:;\d+)*m")


@pytest.mark.parametrize("command", [["run", *SMALL, "--quiet"], ["plan", *SMALL]])
def test_no_color_is_respected(arena: Arena, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """Even where a terminal, which `FORCE_COLOR` plays, would show colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in arena(*command).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert not COLOUR.search(arena(*command).out)


def test_a_pipe_gets_no_escape_sequences(arena: Arena) -> None:
    said = arena("run", *SMALL)
    assert "\x1b" not in said.out + said.err


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


def test_progress_on_a_terminal_does_not_reach_a_piped_standard_output(here: Path, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    arguments = [SCRIPT, "run", *SMALL, "name=mine", "provider.simulated.latency_s=0.05"]
    with subprocess.Popen(
        arguments, cwd=here, stdout=subprocess.PIPE, stderr=theirs, text=True, env=os.environ | {"TERM": "xterm"}
    ) as process:
        os.close(theirs)
        out, _ = process.communicate(timeout=60)
        shown = os.read(ours, 65536).decode(errors="replace")
    assert process.returncode == 0
    assert out.splitlines()[-1] == "runs/mine"
    assert "matches" in shown
    assert "\x1b" not in out


def test_ctrl_c_stops_with_exit_code_130_and_says_how_to_go_on(here: Path) -> None:
    arguments = [SCRIPT, "run", *SMALL, "name=mine", "provider.simulated.latency_s=0.15", "limits.concurrency=1"]
    with subprocess.Popen(arguments, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        ledger = here / "runs" / "mine" / "ledger" / "0001.jsonl"
        end = time.monotonic() + 30
        while time.monotonic() < end and not (ledger.exists() and '"reply"' in ledger.read_text()):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "arena resume runs/mine" in err
    assert out.splitlines()[-1] == "runs/mine"
    assert json.loads((here / "runs" / "mine" / "manifest.json").read_text())["stopped_by"] == "interrupted"
    said = in_a_shell("resume", "runs/mine", "provider.simulated.latency_s=0", "--json", cwd=here)
    assert (said.code, json.loads(said.out)["matches"]) == (0, {"finished": 2})


# ------------------------------------------------------------------ keys

PLANTED = "sk-planted-7f3a9c"


def openai(run: str) -> tuple[str, ...]:
    model = "agents.escalating.model=openai/gpt-4o", "agents.overconfident.model=openai/gpt-4o-mini"
    return ("run", *SMALL, *model, "judge=llm", "judge.own_family=true", "--quiet", f"name={run}")


def test_no_file_of_a_run_holds_a_key(arena: Arena, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED)
    with serve_in_thread() as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        said = arena(*openai("mine"))
    assert said.code == 0
    assert PLANTED not in said.out + said.err
    assert [name for name, data in files(here).items() if PLANTED.encode() in data] == []


def test_no_file_holds_a_key_when_every_call_fails(arena: Arena, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(exchange: object) -> str:
        raise LookupError("nobody there")

    monkeypatch.setenv("OPENAI_API_KEY", PLANTED)
    with serve_in_thread(responder=nobody) as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        said = arena(*openai("mine"), "--json")
    facts = json.loads(said.out)
    assert (said.code, facts["matches"], set(facts["calls"])) == (0, {"finished": 2}, {"failed"})
    assert PLANTED not in said.out + said.err
    assert [name for name, data in files(here).items() if PLANTED.encode() in data] == []


def test_a_key_may_stand_in_a_dotenv_file(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    # Set and deleted again, so that what the arena puts into the environment is taken out after the test.
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    with serve_in_thread() as served:
        Path(".env").write_text(f"OPENAI_API_KEY={PLANTED}\nOPENAI_BASE_URL={served.url}\n")
        assert arena(*openai("mine")).code == 0
        assert served.counts().calls == 6 * 2 + 2 * 2
    assert [name for name, data in files(Path("runs")).items() if PLANTED.encode() in data] == []
