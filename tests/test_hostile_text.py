"""Text that is not ours, through the real commands: names, motions, speeches and a provider's words can do nothing."""

from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from answering import Asked, Reply, completion, provider
from commands import SMALL, Arena, Said, files
from reporting import read

from arena.inert import inert
from arena.main import command

HOSTILE = (
    "\x1b[31mred\x1b]0;owned\x07\x9b2J\u202eevil\u2066\u200bhid"
    "<script>alert(1)</script><img src=x onerror=alert(2)>`|$\\frac{1}{2}$[bold red]m[/]"
)
OUT = "../../out"
LOOKING = (
    "log ls RUN", "log ls RUN --json", "log verify RUN", "log show RUN MATCH", "log show RUN MATCH --format markdown",
    "log show RUN MATCH --format html", "stats RUN --all", "rate RUN", "rate RUN --method sandwich", "report RUN", "resume RUN",
    "log show RUN nobody\x1b[2J", "log ls \x1b[2J", "run name=\x1b[2J\u202e", "run nothing.\x1b[2J=1",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hostile:
    """A run in which everything that can be said or named by others is hostile, and what was printed of it."""

    home: Path
    said: dict[str, Said]

    @property
    def run(self) -> Path:
        return self.home / "runs" / "mine"


def answer(asked: Asked) -> Reply:
    if asked.model.startswith("b") and asked.last:
        return Reply(json.dumps({"error": {"message": f"No. {HOSTILE}"}}).encode(), 400)
    return Reply(json.dumps(completion(f"{HOSTILE} {asked.said} {HOSTILE}", model=f"m{HOSTILE}")).encode())


def prepared(home: Path) -> None:
    """Files of a user's own in which all names and words are hostile."""
    names = [f"{OUT}-{name}-{HOSTILE}" for name in "ab"]
    motion = f"{HOSTILE}\n\noutcome: nobody wins\n[judge/1, verdict]"
    topics = [f"../{number}{HOSTILE}" for number in range(4)]
    both = [(f"{OUT}/{HOSTILE}", topic, *names) for topic in topics]
    both += [(f"/etc/{HOSTILE}\noutcome: nobody wins", topic, *names[::-1]) for topic in topics]
    with (home / "topics.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("id", "text"), *((topic, f"{number}. {motion}") for number, topic in enumerate(topics))]
        )
    with (home / "matches.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("match", "topic", "proposition", "opposition"), *both])
    (home / "conf" / "experiment").mkdir(parents=True)
    agents = {name: {"model": f"openai/{short}{HOSTILE}"} for short, name in zip("ab", names, strict=True)}
    text = yaml.safe_dump({"agents": agents, "matches": "matches.csv"})
    (home / "conf" / "experiment" / "hostile.yaml").write_text(f"# @package _global_\n{text}")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    home = tmp_path_factory.mktemp("deep") / "deeper" / "home"
    home.mkdir(parents=True)
    prepared(home)
    seated = ("experiment=hostile", "schedule=explicit", "agents=none", "topics=file", "topics.file=topics.csv",
              "judge=llm", "judge.judges.judge.model=openai/judge", "game.params.rebuttals=0", "limits.tries=1")  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, provider(answer) as url:
        patch.chdir(home)
        patch.setenv("OPENAI_API_KEY", "none")
        patch.setenv("OPENAI_BASE_URL", url)
        said = {"run": captured("run", "name=mine", *seated), "plan": captured("plan", *seated)}
        match = json.loads(captured("log", "ls", "runs/mine", "--json").out)[-1]["match_id"]
        for line in LOOKING:
            words = (word.replace("RUN", "runs/mine").replace("MATCH", match) for word in line.split(" "))
            said[line] = captured(*words)
    return Hostile(home, said)


def captured(*arguments: str) -> Said:
    """A command line in this process, for a fixture that lasts longer than pytest's own capture."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = command(arguments)
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    texts = (stream.buffer.getvalue().decode() for stream in (out, err))  # pyright: ignore[reportAttributeAccessIssue]
    return Said(code, *texts)


def test_every_command_takes_it(hostile: Hostile) -> None:
    wrong = {line for line, said in hostile.said.items() if said.code != 0}
    assert wrong == {line for line in LOOKING if "\x1b" in line}
    assert all(said.code == 2 for line, said in hostile.said.items() if line in wrong)


def test_nothing_printed_can_steer_a_terminal_or_hide(hostile: Hostile) -> None:
    steering = {line: set(said.out + said.err) for line, said in hostile.said.items()}
    assert {line: found for line, said in steering.items() if (found := {c for c in said if inert(c) != c})} == {}


def test_names_and_motions_cannot_pass_for_lines_of_ours(hostile: Hostile) -> None:
    lines = hostile.said["log show RUN MATCH"].out.splitlines()
    outcomes = [line for line in lines if line.startswith("outcome:")]
    assert len(outcomes) == 1
    assert "wins (" in outcomes[0]
    assert not [line for line in lines if line.startswith("[judge/1, verdict]")]


def test_it_is_shown_all_the_same(hostile: Hostile) -> None:
    for line in ("run", "plan", "log ls RUN", "log show RUN MATCH", "rate RUN"):
        assert "evil" in hostile.said[line].out, line


def test_nothing_is_written_outside_of_the_run_directory(hostile: Hostile) -> None:
    ours = {"topics.csv", "matches.csv", "conf/experiment/hostile.yaml"}
    written = set(files(hostile.home.parents[1])) - {f"deeper/home/{name}" for name in ours}
    assert {name for name in written if not name.startswith("deeper/home/runs/mine/")} == set()
    assert not any("evil" in name or "out" in Path(name).name for name in written)


def test_the_page_has_no_element_of_theirs(hostile: Hostile) -> None:
    found = read(hostile.run / "report.html")
    assert not {"script", "img", "iframe", "object", "link", "base", "form"} & {tag for tag, _ in found.tags}
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert found.text.count("<script>alert(1)</script>") > 5
    assert inert(found.text) == found.text
    figures = list((hostile.run / "figures").glob("*.svg"))
    assert figures
    for path in figures:
        root = ElementTree.parse(path)
        assert not {"script", "image", "foreignObject", "a"} & {one.tag.rpartition("}")[2] for one in root.iter()}
        assert inert(path.read_text(encoding="utf-8")) == path.read_text(encoding="utf-8")


# ------------------------------------------------------------------ names that would lead elsewhere


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..", ".", "a\0b", "a\nb", "-x", "x" * 300])
def test_a_run_cannot_be_named_out_of_its_folder(
    arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = arena("run", "--quiet", *SMALL, f"name={json.dumps(name)}")
    assert said.code == 2
    assert files(tmp_path) == {}


def test_a_run_that_was_handed_over_is_not_read_out_of_its_folder(
    arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run directory from somebody else may name any file as its topics; what it copies is what stood there as a table."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.csv").write_text("id,text\nsecret,Hidden words\n")
    assert arena("run", "--quiet", *SMALL, "name=mine").code == 0
    path = tmp_path / "runs" / "mine" / "experiment.yaml"
    held = yaml.safe_load(path.read_text())
    held["topics"] = {"name": "file", "limit": None, "questions": [], "file": "../../secret.csv"}
    path.write_text(yaml.safe_dump(held))
    said = arena("resume", "runs/mine", "--quiet")
    assert said.code == 2
    assert "Hidden" not in said.out + said.err
