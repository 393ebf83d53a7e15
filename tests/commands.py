"""For tests of the command line: run it in this process or in one of its own, and read what it said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from arena import frames
from arena.main import command

SMALL = ("topics.limit=1", "~agents.rational")
"""Overrides for the smallest tournament: a pair of simulated debaters, on one motion, on both sides."""

SCRIPT = Path(sys.executable).parent / "arena"

NOT_THE_SAME = ("started_at", "ended_at", "latency_s")
"""Columns in which two equal runs may differ."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command line gave."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Arena = Callable[..., Said]
"""`arena("run", "topics.limit=1")`."""


def in_process(capsys: pytest.CaptureFixture[str]) -> Arena:
    def run(*arguments: str | Path) -> Said:
        capsys.readouterr()
        try:
            code = command([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


def in_a_shell(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Said:
    done = subprocess.run(
        [SCRIPT, *arguments], cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, timeout=60
    )
    return Said(done.returncode, done.stdout, done.stderr)


def played(folder: Path, *overrides: str, name: str = "played") -> Path:
    """A small finished run below the folder. Simulated, unless the overrides seat others."""
    arguments = ["run", "--quiet", f"runs={folder}", f"name={name}", *SMALL, *overrides]
    assert command(arguments) == 0
    return folder / name


def comparable(run: Path) -> dict[str, pd.DataFrame]:
    """A run's tables without what two equal runs may differ in."""
    return {
        name: table.drop(columns=[column for column in NOT_THE_SAME if column in table])
        for name, table in frames.read(run / "tables").items()
    }


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
