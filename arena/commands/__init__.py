"""The commands, a file a family: their grammar, and what they do. Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OK, INCOMPLETE, BAD, BUDGET, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: every match reached an outcome; some did not; bad arguments or configuration; stopped by a budget;
interrupted."""

Commands = Any
"""argparse's subparsers, whose type is private."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Arguments that several commands take; each is given to `add_parser` as a parent."""

    composed: argparse.ArgumentParser
    recorded: argparse.ArgumentParser
    as_json: argparse.ArgumentParser
    quiet: argparse.ArgumentParser


def shared() -> Shared:
    """The shared arguments, made anew for a command line."""
    composed = argparse.ArgumentParser(add_help=False)
    composed.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="changes to the configuration (Hydra's grammar)"
    )
    composed.add_argument(
        "--config-dir", type=Path, metavar="DIR", help="your own conf folder, searched before ours (default: ./conf)"
    )
    recorded = argparse.ArgumentParser(add_help=False)
    recorded.add_argument("run", type=Path, metavar="RUN", help="a run directory, for instance runs/NAME")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="machine-readable results on standard output")
    quiet = argparse.ArgumentParser(add_help=False)
    quiet.add_argument("--quiet", action="store_true", help="no progress on standard error")
    return Shared(composed, recorded, as_json, quiet)


def with_tables(folders: Sequence[Path]) -> list[Path]:
    """Run directories that have their tables, each named once. Raises `ConfigError`."""
    from arena.settings import ConfigError

    seen: set[Path] = set()
    for folder in folders:
        if not (folder / "tables").is_dir():
            if (folder / "experiment.yaml").exists():
                raise ConfigError(f"{folder} has no tables yet; `arena resume {folder}` makes them")
            raise ConfigError(f"{folder} is no run directory: it has no folder tables/")
        if folder.resolve() in seen:
            raise ConfigError(f"{folder} is named twice")
        seen.add(folder.resolve())
    return list(folders)


def console() -> Any:
    """A console that does not fold what is piped on, so that lines can be searched."""
    from rich.console import Console

    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=240)
