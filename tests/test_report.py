"""The report: one page that opens from disk, says what was found and what is missing, and in which all model text is inert."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from commands import Arena, played
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from reporting import HOSTILE, SIDES, Read, read, report, run

from arena import frames
from arena.report import drawing, page, words
from arena.report.drawing import short

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


# ------------------------------------------------------------------ what it says


def test_headlines_carry_number_interval_and_n(tmp_path: Path) -> None:
    """A reader who knows nothing gets the finding as a sentence, how sure it is, and what it rests on."""
    told = report(run(tmp_path / "run", lambda n, side, depth: 0.7 + 0.05 * depth + 0.01 * (n % 2), debates=10)).words
    assert "+20.5 points Debaters opened too sure: on average they gave themselves a chance of 70.5 % to win" in told
    assert "+10.0 points By the closing they were surer than they began, at 80.5 %." in told
    assert "10 of 10 debates had both sides above 75 % at the closing. Both cannot win." in told
    assert "100.0 % (95 % interval 72.2 to 100.0; 10 debates)" in told
    assert "50.0 % of the ballots went to the opposition" in told
    assert "Of 10 decided debates it won 5." in told
    assert "10 debates between 2 models on 1 motion; 1 judge decided 10 of them." in told


def test_coherent_debaters_are_not_called_overconfident(tmp_path: Path) -> None:
    told = report(run(tmp_path / "run", lambda n, side, depth: (0.3 + 0.02 * n, 0.7 - 0.02 * n)[side], debates=8)).words
    assert "opened about as sure as they should be" in told
    assert "too sure" not in told
    assert "0 of 8 debates had both sides above 75 % at the closing. 0.0 %" in told
    assert "add up to more than 100 % in 0 of 8 debates" in told


def test_doubtful_debaters_who_lose_heart_are_told_as_such(tmp_path: Path) -> None:
    told = report(run(tmp_path / "run", lambda n, side, depth: 0.4 - 0.05 * depth + 0.01 * (n % 2), debates=10)).words
    assert "Debaters opened too unsure" in told
    assert "By the closing they were less sure than they began" in told
    assert "the sides of a debate cannot rightly all gain" not in told


def test_what_is_missing_is_counted_and_said(tmp_path: Path) -> None:
    folder = run(
        tmp_path / "run",
        lambda n, side, depth: None if (n, side, depth) == (0, 0, 2) else 0.8,
        ballots=lambda n: None if n == 1 else SIDES[n % 2],
        finished=lambda n: n != 5,
    )
    told = report(folder).words
    assert "1 of 6 debates are missing or could not be read: 1 never started." in told
    assert "7 of 36 confidences are missing or could not be read: 1 unparsed and 6 never asked." in told
    assert "2 of 6 ballots are missing or could not be read: 1 failed and 1 never asked." in told
    assert "Missing or not read: 1 of 6 debates, 6 of 36 speeches, 7 of 36 confidences and 2 of 6 ballots" in told


def test_conditions_that_hold_hyphens_are_named_whole(tmp_path: Path) -> None:
    one = run(tmp_path / "one", lambda n, side, depth: 0.5 + 0.05 * depth + 0.01 * n, condition="self-debate")
    two = run(tmp_path / "two", lambda n, side, depth: 0.5 + 0.01 * n * depth, condition="cross-model")
    assert "difference in escalation, self-debate minus cross-model" in report(one, two).words


def test_before_anybody_closed_the_last_phase_is_called_by_its_name(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", lambda n, side, depth: 0.6 + 0.05 * depth + 0.01 * (n % 2))
    tables = frames.read(folder / "tables")
    for name in ("confidences", "utterances"):
        tables[name] = tables[name][tables[name]["phase"] != "closing"]
    frames.write(folder / "tables", tables)
    told = report(folder).words
    assert "By the rebuttal they were surer" in told
    assert "closing" not in told.partition("Figures")[0]


def test_where_nothing_is_missing_that_is_said(tmp_path: Path) -> None:
    told = report(run(tmp_path / "run")).words
    assert "nothing 6 debates, 36 speeches, 36 confidences and 6 ballots are all there." in told


def test_a_figure_without_data_gives_way_to_a_sentence(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", lambda *_: None, ballots=lambda _: None)
    written = page.write([folder], folder)
    told = read(written.page).words
    assert [path.stem for path in written.figures] == ["missing", "cost"]
    assert len(written.absent) == 6
    assert all(" ".join(why.split()) in told for why in written.absent)


def test_a_figure_that_can_no_longer_be_drawn_is_taken_away(tmp_path: Path) -> None:
    full, empty = run(tmp_path / "full"), run(tmp_path / "empty", lambda *_: None)
    page.write([full], tmp_path)
    assert (tmp_path / "figures" / "plane.svg").exists()
    page.write([empty], tmp_path)
    assert not (tmp_path / "figures" / "plane.svg").exists()


def test_a_run_without_a_debate_still_has_a_report(tmp_path: Path) -> None:
    assert "0 debates" in report(run(tmp_path / "run", debates=0)).words


def test_one_debate_is_too_few_for_an_interval(tmp_path: Path) -> None:
    assert "(1 debate, too few for an interval)" in report(run(tmp_path / "run", debates=1)).words


def test_the_debate_to_read_is_whole_and_sets_apart_what_is_private(tmp_path: Path) -> None:
    found = report(run(tmp_path / "run", speech="Word for word."))
    assert found.text.count("Word for word.") == 6
    private = [attrs for tag, attrs in found.tags if tag == "div" and attrs.get("class") == "utterance private"]
    assert len(private) == found.text.count("I hide this.") == 6


# ------------------------------------------------------------------ side by side


def test_two_runs_of_one_condition_stand_side_by_side(tmp_path: Path) -> None:
    """Also where their matches have the same ids, as two runs of one experiment have."""
    first = run(tmp_path / "first", lambda n, *_: 0.6 + 0.01 * n)
    second = run(tmp_path / "second", lambda n, *_: 0.9 - 0.01 * n)
    told = report(first, second).words
    for name, percent in (("test (first)", "62.5 %"), ("test (second)", "87.5 %")):
        assert f"{name} +{float(percent.split()[0]) - 50:.1f} points Debaters opened too sure" in told
        assert percent in told
    assert "12 debates between 2 models" in told
    assert "difference in escalation, test (first) minus test (second)" in told


def test_a_condition_keeps_its_colour_in_every_figure(tmp_path: Path) -> None:
    first = run(tmp_path / "first", condition="alpha", ballots=lambda _: None)
    second = run(tmp_path / "second", condition="beta")
    found = report(first, second)
    legend = {
        (tag_text["style"] or "").removeprefix("background: ")
        for tag, tag_text in found.tags
        if tag == "i" and "series" in (tag_text.get("style") or "")
    }
    assert legend == {"var(--series-1)", "var(--series-2)"}
    judges = (tmp_path / "first" / "figures" / "judges.svg").read_text()
    assert drawing.SERIES[1].light in judges
    assert drawing.SERIES[0].light not in judges


# ------------------------------------------------------------------ hostile text


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    models = (f"vendor/{HOSTILE}", "vendor/</svg></style><script>alert(2)</script>")
    folder = run(
        tmp_path / "run", speech=HOSTILE, topic=HOSTILE, models=models, condition="c</title><script>alert(3)</script>"
    )
    (folder / "manifest.json").write_text(json.dumps({"source": HOSTILE}))
    return folder


def test_model_text_is_text(hostile: Path) -> None:
    found = report(hostile)
    names = [tag for tag, _ in found.tags]
    assert not {"script", "img", "iframe", "object", "embed", "link", "base", "form"} & set(names)
    assert names.count("style") == names.count("title") == 1
    assert not [name for _, attrs in found.tags for name in attrs if name.startswith("on")]
    assert found.text.count("<script>document.title='taken'</script>") >= 7
    assert "\x1b" not in found.text
    assert "\u202e" not in found.text


def test_figures_with_hostile_names_are_well_formed(hostile: Path) -> None:
    for path in page.write([hostile], hostile).figures:
        elements = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert not {"script", "image", "foreignObject", "a"} & elements


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
def test_a_browser_runs_nothing_in_it(hostile: Path, tmp_path: Path) -> None:
    written = page.write([hostile], hostile).page
    assert CHROMIUM
    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-sync",
    ]
    arguments += ["--disable-quic", "--disable-background-networking", "--disable-component-update"]
    shown = subprocess.run(
        [CHROMIUM, *arguments, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", written.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    found = Read()
    found.feed(shown)
    assert not {"script", "img"} & {tag for tag, _ in found.tags}
    assert "taken" not in shown.partition("</title>")[0]
    assert "<script>document.title='taken'</script>" in found.text


# ------------------------------------------------------------------ the page as a file


def test_the_page_asks_nobody_for_anything(tmp_path: Path) -> None:
    found = report(run(tmp_path / "run"))
    policies = [attrs["content"] for tag, attrs in found.tags if tag == "meta" and "http-equiv" in attrs]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    points_at = [
        attrs[name] or "" for _, attrs in found.tags for name in ("src", "href", "xlink:href") if name in attrs
    ]
    assert all(place.startswith("#") for place in points_at)
    assert "url(http" not in (tmp_path / "run" / "report.html").read_text()


def test_figures_follow_the_theme_on_the_page_and_stand_alone_in_their_files(tmp_path: Path) -> None:
    written = page.write([run(tmp_path / "run")], tmp_path)
    shown = written.page.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in shown
    for ink in drawing.PALETTE:
        assert ink.stand_in not in shown
        assert shown.count(f"{ink.variable}: {ink.light}") == shown.count(f"{ink.variable}: {ink.dark}") == 1
    for path in written.figures:
        assert "var(" not in path.read_text()
        assert "#01fe" not in path.read_text()


def test_written_twice_it_is_the_same(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    first, second = (page.write([folder], tmp_path / name) for name in "ab")
    assert first.page.read_bytes() == second.page.read_bytes()
    for one, other in zip(first.figures, second.figures, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_thousand_debates_stay_under_three_megabytes(tmp_path: Path) -> None:
    """Also where no two debates are alike, so that nothing is drawn as one."""
    c = np.random.default_rng(0).beta(6, 2, (1000, 2, 3))
    models = tuple(f"vendor/model-{n}" for n in range(10))
    folder = run(tmp_path / "run", lambda n, side, depth: float(c[n, side, depth]), debates=1000, models=models)
    written = page.write([folder], tmp_path)
    assert written.page.stat().st_size < 3_000_000
    assert sum(path.stat().st_size for path in written.figures) < 3_000_000


def test_many_models_are_drawn_up_to_a_number_that_is_said(tmp_path: Path) -> None:
    models = tuple(f"vendor/model-{n:02}" for n in range(30))
    told = report(run(tmp_path / "run", lambda n, *_: 0.5 + 0.01 * n, debates=30, models=models)).words
    assert "The first 24 of 30 models are drawn." in told
    assert "vendor/model-29" in told


# ------------------------------------------------------------------ the command


def test_the_command_writes_beside_the_tables_and_says_where(arena: Arena, tmp_path: Path) -> None:
    folder = played(tmp_path)
    said = arena("report", folder)
    assert said.code == 0
    assert Path(said.lines[-1]) == folder / "report.html"
    told = read(folder / "report.html").words
    assert "Simulated seats, no model: simulated/" in told
    assert "condition: " in told  # the settings that it was played with
    machine = arena("report", folder, "-o", tmp_path / "elsewhere", "--json")
    wanted = json.loads(machine.out)
    assert Path(wanted["report"]).is_file()
    assert all(Path(path).is_file() for path in wanted["figures"])
    assert (tmp_path / "elsewhere" / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_an_import_says_that_its_settings_are_its_sources(tmp_path: Path) -> None:
    assert "No experiment.yaml: this run was imported" in report(run(tmp_path / "run")).words


def test_a_directory_without_tables_is_refused(arena: Arena, tmp_path: Path) -> None:
    said = arena("report", tmp_path)
    assert said.code == 2
    assert str(tmp_path) in said.err


# ------------------------------------------------------------------ words and names


@given(st.lists(st.text(max_size=60), min_size=1, max_size=12, unique=True))
@settings(max_examples=100, phases=(Phase.explicit, Phase.generate))
def test_names_in_figures_fit_and_stay_apart(names: list[str]) -> None:
    shown = short(names)
    assert set(shown) == set(names)
    assert len(set(shown.values())) == len(names)
    assert all(len(name) <= 24 for name in shown.values())


def test_names_lose_what_all_can_do_without() -> None:
    assert short(["a/one", "b/two:free"]) == {"a/one": "one", "b/two:free": "two"}
    assert short(["a/one", "b/one:free"]) == {"a/one": "one", "b/one:free": "one:free"}
    assert short(["a/one", "b/one"]) == {"a/one": "a/one", "b/one": "b/one"}


@given(st.floats(-2, 2, allow_subnormal=False), st.sampled_from(["percent", "points", "distance", "stakes", "plain"]))
@settings(max_examples=100, phases=(Phase.explicit, Phase.generate))
def test_a_number_that_is_shown_reads_back(number: float, unit: words.Unit) -> None:
    """And a zero has no sign."""
    text = words.value(number, unit).split("\u00a0")[0].replace(words.MINUS, "-")
    scale = 100 if unit in ("percent", "points", "distance") else 1
    assert math.isclose(float(text), scale * number, abs_tol=0.051 if scale == 100 else 0.0051)
    assert text.lstrip("+-") == text or float(text) != 0
