"""What a run could show before it is paid for: the plan keeps its word, whatever it is made from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Arena, in_process, played

import arena as arena_
from agents.models.simulated import Preset
from arena import config, frames
from arena.power import Basis, Power, Spread, foreseen, planned, simulated
from arena.settings import ConfigError
from arena.stats.clustered import clustered_mean
from arena.stats.pairs import pair_sum
from arena.stats.power import power
from arena.stats.simulate import draw

PAIR = ("agents=none", "agents.a.model=simulated/escalating:a", "agents.b.model=simulated/escalating:b", "judge=none")


@pytest.fixture
def arena(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Arena:
    monkeypatch.chdir(tmp_path)
    return in_process(capsys)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 debates of many models that escalate, to be read and not written to."""
    agents = [f"agents.m{n}.model=simulated/escalating:{n}" for n in range(6)]
    return played(
        tmp_path_factory.mktemp("runs"), "~agents.overconfident", "~agents.escalating", *agents, "topics.limit=2"
    )


def preset(name: str) -> Preset:
    return Preset(**config.compose()["provider"]["simulated"]["presets"][name])


def row(of: Power, statistic: str) -> Any:
    (found,) = (one for one in of.rows if one.spread.statistic == statistic)
    return found


def spread(of: Basis, statistic: str) -> Spread:
    (found,) = (one for one in of.spreads if one.statistic == statistic)
    return found


# ------------------------------------------------------------------ simulation keeps what the plan says


WEAK = replace(preset("escalating"), drift=0.12, acceleration=0.0)
"""Rises by some three points."""


def rejected(debates: int, replications: int, statistic: str, process: Preset = WEAK, shift: float = 0.0) -> float:
    """How often the statistic's own test finds something in so many simulated debates."""
    rng = np.random.default_rng(7)

    def p(c: np.ndarray) -> float:
        if statistic == "pair_sum":
            found = pair_sum(c[:, 0, -1] - shift / 2, c[:, 1, -1] - shift / 2).p
        else:
            rise = c[:, :, -1] - c[:, :, 0]
            found = clustered_mean(rise.ravel(), np.repeat(np.arange(debates), 2)).p
        # Rounded values may show no spread at all, and are no test then.
        return 1.0 if found is None else found

    return float(np.mean([p(draw(process, debates, 3, rng)) < 0.05 for _ in range(replications)]))


def seated(process: Preset) -> tuple[Power, float]:
    """What is foreseen for such debaters, and the rise that they show."""
    fields = {name: getattr(process, name) for name in Preset.__dataclass_fields__}
    written = [f"+provider.simulated.presets.mine.{name}={value}" for name, value in fields.items() if value]
    experiment = arena_.compose(
        ["agents=none", "agents.a.model=simulated/mine:a", "agents.b.model=simulated/mine:b", *written]
    )
    rise = spread(simulated(experiment), "escalation").mean
    return foreseen(experiment, None, rise), rise


def test_the_debates_that_a_plan_names_detect_the_rise_four_times_in_five() -> None:
    plan, rise = seated(WEAK)
    assert 0.02 < rise < 0.05
    n = row(plan, "escalation").needed
    assert rejected(n, 800, "escalation") == pytest.approx(0.8, abs=0.045)


@pytest.mark.slow
def test_power_rises_with_debates_as_the_plan_says() -> None:
    """5,000 replications a number: a Monte Carlo error of 0.006; some 0.005 because rises are not quite normal."""
    plan, rise = seated(WEAK)
    escalation = row(plan, "escalation")
    for n in (10, 20, escalation.needed, 60, 90):
        said = power(rise, escalation.spread.sd, n)
        assert rejected(n, 5000, "escalation") == pytest.approx(said, abs=0.023)


@pytest.mark.slow
def test_escalating_debaters_are_detected_as_often_as_the_plan_says() -> None:
    """The shipped preset rises by ten points, which very few debates show."""
    plan, rise = seated(preset("escalating"))
    escalation = row(plan, "escalation")
    for n in (3, 4, escalation.needed, 12):
        said = power(rise, escalation.spread.sd, n)
        assert rejected(n, 4000, "escalation", preset("escalating")) == pytest.approx(said, abs=0.05)


@pytest.mark.slow
def test_the_pair_sum_is_detected_as_often_as_the_plan_says() -> None:
    """A pair sum that is five points off what is tested against."""
    pair = row(seated(WEAK)[0], "pair_sum")
    shown = pair.spread.mean
    plan = planned(Basis("", (pair.spread,)), 60, 0.05)
    n = plan.rows[0].needed
    assert rejected(n, 3000, "pair_sum", shift=shown - 0.05) == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
def test_the_experiment_gives_the_same_whatever_the_number_of_processes() -> None:
    """`experiments/size_and_power`: one seed, one result."""
    script = Path(__file__).parents[1] / "experiments" / "size_and_power" / "simulate.py"

    def rates(processes: int) -> list[dict[str, Any]]:
        arguments = ["--replications", "20", "--debates", "30", "--processes", str(processes), "--json"]
        done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, timeout=300)
        assert "100 % of" in done.stderr
        return json.loads(done.stdout)

    one = rates(1)
    assert one == rates(2)
    assert {rate["replications"] for rate in one} == {20}


# ------------------------------------------------------------------ from simulated debaters


def test_simulated_seats_are_like_themselves() -> None:
    basis = simulated(arena_.compose([*PAIR]))
    assert basis.source == "debaters simulated as escalating (80)"
    c = draw(preset("escalating"), 60_000, 3, np.random.default_rng(3))
    values = {
        "opening_overconfidence": c[:, :, 0].mean(axis=1) - 0.5,
        "escalation": (c[:, :, 2] - c[:, :, 0]).mean(axis=1),
        "pair_sum": c[:, :, 2].sum(axis=1) - 1,
    }
    for name, value in values.items():
        assert spread(basis, name).mean == pytest.approx(value.mean(), abs=0.005)
        assert spread(basis, name).sd == pytest.approx(value.std(), rel=0.03)


@pytest.mark.parametrize(("experiment", "like"), [("cross_model", "cross_model"), ("self_debate", "self_debate")])
def test_other_models_are_like_the_published_ones(experiment: str, like: str) -> None:
    basis = simulated(arena_.compose([f"experiment=two_llms_debate/{experiment}", "topics.limit=1"]))
    assert basis.source.startswith(f"debaters simulated as {like} (")


def test_a_preset_may_be_named() -> None:
    experiment = arena_.compose(["experiment=two_llms_debate/cross_model", "topics.limit=1"])
    assert simulated(experiment, "informed_self").source == "debaters simulated as informed_self (90)"
    assert spread(simulated(experiment, "informed_self"), "opening_overconfidence").mean == pytest.approx(0, abs=0.01)


def test_copies_of_one_model_differ_less_within_a_debate() -> None:
    """What a model likes is shared by both its seats, so the pair sum varies more."""
    liking = ["+provider.simulated.presets.mine.sd_model=0.5", "agents=none", "agents.a.model=simulated/mine:a"]
    alike = simulated(arena_.compose([*liking, "schedule=self"]))
    apart = simulated(arena_.compose([*liking, "agents.b.model=simulated/mine:b"]))
    ratio = spread(alike, "pair_sum").sd / spread(apart, "pair_sum").sd
    assert ratio == pytest.approx(np.sqrt(2), rel=0.03)


def test_more_rounds_rise_higher() -> None:
    rises = [
        spread(simulated(arena_.compose([*PAIR, f"game.params.rebuttals={n}"])), "escalation").mean for n in (0, 1, 2)
    ]
    assert rises[0] < rises[1] < rises[2]


def test_a_plan_is_the_same_again() -> None:
    experiment = arena_.compose([*PAIR])
    assert foreseen(experiment, None, 0.05) == foreseen(experiment, None, 0.05)


def test_more_debates_detect_less_and_need_as_many() -> None:
    few, many = (foreseen(arena_.compose([*PAIR, f"topics.limit={n}"]), None, 0.05) for n in (2, 20))
    assert (few.debates, many.debates) == (4, 40)
    for one, other in zip(few.rows, many.rows, strict=True):
        assert other.detectable < one.detectable < one.detectable_between
        assert other.power > one.power > one.power_between
        assert other.needed == one.needed < one.needed_between


@pytest.mark.parametrize("conditions", ["needed", "needed_between"])
def test_what_is_detectable_needs_the_planned_debates(conditions: str) -> None:
    plan = foreseen(arena_.compose([*PAIR]), None, 0.05)
    for one in plan.rows:
        smallest = one.detectable if conditions == "needed" else one.detectable_between
        again = planned(Basis("", (one.spread,)), plan.debates, smallest * 1.000001).rows[0]
        assert getattr(again, conditions) == plan.debates


def test_a_single_debate_tests_nothing() -> None:
    one = planned(simulated(arena_.compose([*PAIR])), 1, 0.05).rows[0]
    assert (one.detectable, one.power, one.detectable_between) == (None, None, None)
    assert one.needed > 1


@pytest.mark.parametrize(
    ("overrides", "like", "difference", "message"),
    [
        ((), "zork", 0.05, "zork is no run directory and no preset of simulated debaters; presets are cross_model,"),
        ((), None, 5.0, "0.05 is five points"),
        ((), None, 0.0, "between 0 and 1"),
        (("game.params.private_confidence=off",), None, 0.05, "nobody is asked how sure it is"),
    ],
)
def test_what_cannot_be_foreseen_is_said(
    overrides: tuple[str, ...], like: str, difference: float, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        foreseen(arena_.compose([*PAIR, *overrides]), like, difference)


# ------------------------------------------------------------------ from a run


def test_a_run_gives_its_own_means_and_spreads(run: Path) -> None:
    plan = foreseen(arena_.compose([*PAIR]), str(run), 0.05)
    c = arena_.load(run).confidences
    values = c[c["audience"] == "private"].pivot_table("value", ["match_id", "seat"], "phase").astype(float)
    rise = (values["closing"] - values["opening"]).groupby("match_id").mean()
    escalation = row(plan, "escalation")
    assert escalation.spread.debates == len(rise) == 60
    assert escalation.spread.mean == pytest.approx(rise.mean())
    assert escalation.spread.sd == pytest.approx(rise.std())
    assert escalation.spread.low < escalation.spread.sd < escalation.spread.high
    assert escalation.needed_low <= escalation.needed <= escalation.needed_high
    assert plan.source == f"the debates of {run}"
    assert plan.debates == 80


def changed(run: Path, to: Path, table: str, change: Any) -> Path:
    shutil.copytree(run, to)
    tables = frames.read(to / "tables")
    frames.write(to / "tables", tables | {table: change(tables[table].copy())})
    return to


def test_debates_that_lack_a_confidence_are_counted(run: Path, tmp_path: Path, arena: Arena) -> None:
    def drop(c: Any) -> Any:
        first = c["match_id"].unique()[:3]
        c.loc[c["match_id"].isin(first) & (c["phase"] == "closing") & (c["seat"] == "opposition"), "value"] = None
        return c

    lacking = changed(run, tmp_path / "lacking", "confidences", drop)
    plan = foreseen(arena_.compose([*PAIR]), str(lacking), 0.05)
    missing = {one.spread.statistic: (one.spread.debates, one.spread.missing) for one in plan.rows}
    assert missing == {"opening_overconfidence": (60, 0), "escalation": (57, 3), "pair_sum": (57, 3)}
    assert "3 of its debates lack a confidence and are left out." in arena("plan", "--power", "--like", lacking).out


def test_conditions_that_differ_do_not_make_debates_differ(run: Path, tmp_path: Path) -> None:
    """Half of the debates get another condition and twenty points more: the spread within stays what it was."""
    half = set(frames.read_table(run / "tables", "matches")["match_id"][::2])

    def other(table: Any) -> Any:
        table.loc[table["match_id"].isin(half), "condition"] = "other"
        if "value" in table:
            table["value"] = 0.4 * table["value"] + 0.4 * table["match_id"].isin(half).astype(float)
        return table

    both = changed(run, tmp_path / "one", "matches", other)
    both = changed(both, tmp_path / "two", "confidences", other)
    before, after = (foreseen(arena_.compose([*PAIR]), str(one), 0.05) for one in (run, both))
    assert row(after, "pair_sum").spread.sd == pytest.approx(0.4 * row(before, "pair_sum").spread.sd, rel=0.1)


def test_a_run_without_closings_says_what_it_lacks(run: Path, tmp_path: Path) -> None:
    short = changed(run, tmp_path / "short", "confidences", lambda c: c[c["phase"] != "closing"])
    with pytest.raises(
        ConfigError, match="no two debates of one condition with confidences of both sides at opening and"
    ):
        foreseen(arena_.compose([*PAIR]), str(short), 0.05)


# ------------------------------------------------------------------ the command


def test_the_command_says_in_a_sentence_how_many_debates_a_rise_needs(arena: Arena) -> None:
    said = arena("plan", "--power", *PAIR, "--difference", "0.02")
    plan = foreseen(arena_.compose([*PAIR]), None, 0.02)
    assert (
        f"To see a rise of 2 points from opening to closing you need {row(plan, 'escalation').needed} debates"
        in said.out
    )
    assert "debaters simulated as escalating (80)" in said.out
    assert "Nothing was called." in said.out


def test_the_table_fits_a_small_terminal(arena: Arena, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in ([], ["--like", run]):
        table = arena("plan", "--power", *PAIR, *arguments).out.partition("Differences in points")[2]
        assert "…" not in table


def test_the_command_gives_the_same_to_machines(arena: Arena) -> None:
    given = json.loads(arena("plan", "--power", "--like", "self_debate", *PAIR, "--json").out)
    assert given["matches"] == given["power"]["debates"] == 80
    plan = foreseen(arena_.compose([*PAIR]), "self_debate", 0.05)
    assert given["power"] == json.loads(json.dumps(plan.plain()))
    assert {one["statistic"] for one in given["power"]["rows"]} == {"opening_overconfidence", "escalation", "pair_sum"}


def test_without_power_a_plan_says_nothing_of_it(arena: Arena) -> None:
    assert "power" not in json.loads(arena("plan", *PAIR, "--json").out)
    assert "Differences" not in arena("plan", *PAIR).out


def test_a_mistake_is_a_sentence_and_exit_code_2(arena: Arena) -> None:
    said = arena("plan", "--power", "--like", "runs/nothing", *PAIR)
    assert said.code == 2
    assert "runs/nothing is no run directory and no preset" in said.err
