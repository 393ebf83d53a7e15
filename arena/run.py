"""A run directory: what it holds, how it is begun, read back, and brought up to date from its ledger."""

from __future__ import annotations

import json
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from arena import ledger
from arena.history import History, Played
from arena.match import Setting
from arena.mistake import Mistake
from arena.replay import Walk, walk
from arena.tournament import Course
from arena.types import Answer, Call, Experiment, MatchSpec
from arena.wording import Wording, digest

# The same as the safe dumper, many times faster, where libyaml is at hand.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class RunError(Mistake):
    """A run directory that is not what it should be. The message says what to do."""


@dataclass(frozen=True)
class Run:
    """A run directory with its experiment in place."""

    folder: Path
    setting: Setting

    @property
    def experiment(self) -> Experiment:
        return self.setting.experiment

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    def read(self) -> ledger.Reading:
        return ledger.read(self.ledger)

    def course(self, reading: ledger.Reading) -> Course | None:
        """What a schedule that waits for results has decided; None where the plan stood from the start."""
        tournament = self.experiment.tournament
        return tournament and Course(tournament, [tournament.recorded(record) for record in reading.rounds])

    def matches(self, reading: ledger.Reading) -> tuple[MatchSpec, ...]:
        """Every match that is planned so far."""
        course = self.course(reading)
        return self.experiment.matches if course is None else course.matches

    def played(self, reading: ledger.Reading) -> Iterator[Played]:
        """Every planned match, walked as far as its record goes. Raises `Diverged`."""
        for spec in self.matches(reading):
            history = reading.history(spec.id)
            walked, _ = walk(self.setting.match(spec), history)
            yield self.walked(walked, history)

    def recorded(self, reading: ledger.Reading) -> Iterator[Played]:
        """Every planned match, as `played` has it but for the words of prompts, which no table holds: a match that has ended is
        walked without them, and without asking whether they are still the recorded ones. Raises `Diverged`."""
        wordless = copy(self.setting)
        wordless.wording = _Wordless({})
        for spec in self.matches(reading):
            history = reading.history(spec.id)
            if not reading.is_over(spec.id):
                walked, _ = walk(self.setting.match(spec), history)
            else:
                walked, _ = walk(wordless.match(spec), _AsItStands(history))
            yield self.walked(walked, history)

    def walked(self, walk: Walk, history: History) -> Played:
        """What tables and transcripts are made of."""
        spec, experiment, agents = walk.match.spec, self.experiment, self.setting.specs(walk.match.spec)
        families = {agent.model: self.setting.family(agent.model) for agent in agents.values()}
        return Played(spec, experiment.condition, experiment.game, walk, history, agents, self.simulated, families)

    @cached_property
    def simulated(self) -> frozenset[str]:
        """The models that are none."""
        return self.setting.simulated


class _Wordless(Wording):
    """Prompts that say nothing."""

    def render(self, name: str, facts: Mapping[str, Any]) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class _AsItStands:
    """The record of a match that has ended: what was answered, whatever was asked."""

    history: History

    def answer(self, call: Call) -> Answer | None:
        entry = self.history.entries.get(call.key)
        self.history.used.add(call.key)
        return entry and entry.answer


def free_name(folder: Path, experiment: Experiment, now: datetime) -> str:
    """A name for a run that has none: its condition and the time, and a number where that is taken."""
    name = f"{experiment.condition}-{now:%Y%m%d-%H%M%S}"
    taken = (f"{name}-{number}" for number in range(2, 1000))
    return name if not (folder / name).exists() else next(free for free in taken if not (folder / free).exists())


def begin(folder: Path, experiment: Experiment, sections: Mapping[str, str], files: Mapping[str, Path]) -> Run:
    """Make a run directory. `files` (key of the configuration to file) are copied into it, so that it can be moved.

    Raises `RunError` if it exists.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as problem:
        raise RunError(
            f"{folder} exists; `arena resume {folder}` goes on with it, or give another name: name=..."
        ) from problem
    except OSError as problem:
        raise RunError(f"{folder} cannot be made: {problem}") from problem
    try:
        _fill(folder, experiment, sections, files)
    except OSError as problem:
        # Half of a run directory could be neither resumed nor begun again under its name.
        shutil.rmtree(folder, ignore_errors=True)
        raise RunError(f"{folder} cannot be written: {problem}") from problem
    return Run(folder, Setting(experiment))


def _fill(folder: Path, experiment: Experiment, sections: Mapping[str, str], files: Mapping[str, Path]) -> None:
    resolved: dict[str, Any] = dict(experiment.resolved) | {"name": folder.name}
    for key, path in files.items():
        copied = f"{key.partition('.')[0]}{path.suffix}"
        shutil.copyfile(path, folder / copied)
        _set(resolved, key, copied)
    text = yaml.dump(resolved, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    write_manifest(folder, _manifest(experiment, sections))


def _set(resolved: dict[str, Any], key: str, value: str) -> None:
    first, _, rest = key.partition(".")
    if rest:
        resolved[first] = dict(resolved[first]) | {rest: value}
    else:
        resolved[first] = value


def finish(run: Run, stopped_by: str) -> None:
    """Bring tables and manifest up to date with the ledger."""
    from arena import frames  # pandas takes a while to import, and playing does not need it

    reading = run.read()
    try:
        frames.stream(run.folder / "tables", run.recorded(reading))
    except OSError as problem:
        raise RunError(
            f"the tables of {run.folder} cannot be written ({problem}); its ledger holds everything: arena resume {run.folder}"
        ) from problem
    known: dict[str, Any] = {"matches": len(run.matches(reading))}
    if reading.rounds:
        known |= {"rounds": sum(bool(record["meetings"]) for record in reading.rounds)}
        known |= {"standing": reading.rounds[-1]["standing"]}
    stopped(run, stopped_by, **known)


def stopped(run: Run, by: str, **known: Any) -> None:
    """Say in the manifest what a run was stopped by, and what else is known now."""
    manifest = json.loads((run.folder / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"ended_at": _now(), "stopped_by": by, **known}
    write_manifest(run.folder, manifest)


def check(run: Run, sections: Mapping[str, str], reading: ledger.Reading) -> None:
    """Raises `RunError` when the ledger was begun with another experiment than the directory now holds."""
    if reading.format < ledger.FORMAT:
        raise RunError(
            f"{run.folder} was begun with an earlier version of arena, whose ledger this one cannot go on with; its tables and its "
            f"report stand. Play it under a new name: arena run --from {run.folder} name=..."
        )
    strangers = set(reading.matches) - {spec.id for spec in run.matches(reading)}
    changed = [name for name, now in sections.items() if (reading.sections or sections).get(name) != now]
    if strangers and reading.damaged and not changed:
        raise RunError(
            f"{run.folder}: the ledger is damaged at {', '.join(reading.damaged[:5])}, where it said which matches were "
            "decided on; what was played is in its tables, and arena log ls shows it"
        )
    if strangers or changed:
        what = " and ".join(changed) or "matches"
        raise RunError(
            f"{run.folder} holds the ledger of another experiment (Diverged): {what} changed since it was begun. "
            f"Put experiment.yaml back as it was, or play the changed one under a new name: "
            f"arena run --from {run.folder} name=..."
        )


# ------------------------------------------------------------------ manifest

PACKAGES = (
    "debate-arena",
    "openai",
    "anthropic",
    "litellm",
    "aiohttp",
    "ray",
    "hydra-core",
    "pydantic",
    "pandas",
    "pyarrow",
    "jinja2",
)


def _manifest(experiment: Experiment, sections: Mapping[str, str]) -> dict[str, Any]:
    return {
        "started_at": _now(),
        "ended_at": None,
        "stopped_by": None,
        **surroundings(),
        "sections": dict(sections),
        "prompts": {name: digest(text) for name, text in experiment.prompts.items()},
        "topics": digest(sorted({(question.id, question.text) for question in experiment.questions})),
        "matches": len(experiment.matches),
    }


def surroundings() -> dict[str, Any]:
    """What a manifest says of the machine and the versions."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "git": _commit(),
    }


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a run directory's manifest, whole or not at all."""
    unfinished = folder / ".manifest.json"
    unfinished.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(folder / "manifest.json")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the arena's own checkout, when it runs from one."""
    here = Path(__file__).parent.parent
    if not (here / ".git").exists():
        return None
    asked: Sequence[str] = ("git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40")
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
