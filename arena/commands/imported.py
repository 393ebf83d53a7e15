"""`arena import`: debates that others published, as the tables of a run."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.commands import BAD, INCOMPLETE, OK, Commands, Shared

if TYPE_CHECKING:
    import pandas as pd

    from arena.imports import Imported, LeftOut

MOST_SHOWN = 20
"""Things left out that are named on standard error; the manifest names all."""


def add(commands: Commands, shared: Shared) -> None:
    """The grammar of `arena import`."""
    imported = commands.add_parser(
        "import",
        parents=[shared.as_json],
        help="debates that others published, as the tables of a run",
        description="Sources: llms-overconfidence, the data of arXiv:2505.19184 (a clone of the study's repository, its "
        "folder experiments/, one folder of that, or a tar archive of any of these).",
    )
    imported.add_argument("source", metavar="SOURCE", help="whose data they are: llms-overconfidence")
    imported.add_argument("path", type=Path, metavar="PATH", help="a folder, or a tar archive of one")
    imported.add_argument(
        "-o", "--output", type=Path, metavar="RUN", help="the new run directory (default: runs/SOURCE-TIME)"
    )
    imported.add_argument(
        "--labels", type=Path, metavar="CSV", help="labels of private reasoning, in place of those that the source has"
    )
    imported.add_argument("--strict", action="store_true", help="write nothing if anything has to be left out")
    imported.set_defaults(go=_import)


def _import(chosen: argparse.Namespace) -> int:
    from arena import named
    from arena.run import RunError

    name = chosen.source.replace("-", "_")
    try:
        source = named.module("arena.imports", name)
    except LookupError as problem:
        raise RunError(f"{problem} (`arena import SOURCE PATH`)") from problem
    folder = chosen.output or _free(Path("runs"), f"{chosen.source}-{datetime.now():%Y%m%d-%H%M%S}")
    _refuse_taken(folder)
    found: Imported = source.read(chosen.path, chosen.labels)
    _say_left_out(found.left_out)
    if found.tables["matches"].empty or (chosen.strict and found.left_out):
        why = "no debate could be read" if found.tables["matches"].empty else "--strict, and something was left out"
        print(f"arena: {why}; nothing was written", file=sys.stderr)
        return BAD
    known = facts(found)
    _write(folder, found, {"source": name, "path": str(chosen.path.resolve()), "digest": found.digest, **known})
    if chosen.json:
        print(json.dumps({"run": str(folder), "source": name, "digest": found.digest, **known}))
    else:
        _print_summary(known, found.flags)
        print(folder)
    return INCOMPLETE if found.left_out else OK


def facts(found: Imported) -> dict[str, Any]:
    """What was imported, as plain values: counts by condition, flags, what was left out, what cannot be known."""
    tables = found.tables
    # Every flag stands at the utterance that it is about, and at its turn's confidence once more.
    words = Counter(word for flags in tables["utterances"]["flags"].dropna() for word in str(flags).split(","))
    return {
        "conditions": {
            str(condition): _counts(tables, set(matches["match_id"]))
            for condition, matches in tables["matches"].groupby("condition", sort=False)
        },
        "flags": {flag: words[flag] for flag in found.flags if words[flag]},
        "confidences_flagged": int(tables["confidences"]["flags"].notna().sum()),
        "left_out": [{"file": one.file, "why": one.why} for one in found.left_out],
        "notes": list(found.notes),
    }


def _counts(tables: Mapping[str, pd.DataFrame], matches: set[str]) -> dict[str, int]:
    held = {name: table[table["match_id"].isin(matches)] for name, table in tables.items()}
    ballots = held["verdicts"]["status"]
    return {
        "debates": len(held["matches"]),
        "confidences": len(held["confidences"]),
        "confidences_unparsed": int((held["confidences"]["status"] == "unparsed").sum()),
        "ballots": int((ballots == "ok").sum()),
        "ballots_failed": int((ballots == "failed").sum()),
        "readings": len(held["readings"]),
        "calls": int(held["calls"]["calls"].sum()),
    }


# ------------------------------------------------------------------ the run directory


def _free(folder: Path, name: str) -> Path:
    return next(path for path in (folder / f"{name}{more}" for more in ("", *"bcdefghij")) if not path.exists())


def _refuse_taken(folder: Path) -> None:
    from arena.run import RunError

    if folder.exists() or folder.is_symlink():
        raise RunError(f"{folder} exists; give another directory: -o RUN")


def _write(folder: Path, found: Imported, manifest: Mapping[str, Any]) -> None:
    """Make the run directory, whole or not at all. Raises `RunError`."""
    from arena import frames
    from arena.run import RunError, surroundings, write_manifest

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".importing-", dir=folder.parent))
    except OSError as problem:
        raise RunError(f"{folder} cannot be made: {problem}") from problem
    try:
        unfinished.chmod(0o755)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        frames.write(unfinished / "tables", found.tables)
        write_manifest(unfinished, {"imported_at": now, **surroundings(), **manifest})
        _refuse_taken(folder)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


# ------------------------------------------------------------------ what is said


def _say_left_out(left_out: Sequence[LeftOut]) -> None:
    from arena.inert import inert

    for one in left_out[:MOST_SHOWN]:
        print(inert(f"arena: left out {one.file}: {one.why}"), file=sys.stderr)
    if len(left_out) > MOST_SHOWN:
        print(f"arena: left out {len(left_out) - MOST_SHOWN} more; --json and the manifest name them", file=sys.stderr)


def _print_summary(known: Mapping[str, Any], meanings: Mapping[str, str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table(title="What was imported", title_justify="left", box=SIMPLE_HEAD)
    for column in ("condition", "debates", "bets", "ballots", "labels", "calls"):
        table.add_column(column, justify="left" if column == "condition" else "right")
    for condition, counts in known["conditions"].items():
        lost = f" of {counts['ballots'] + counts['ballots_failed']}" if counts["ballots_failed"] else ""
        table.add_row(
            condition, f"{counts['debates']:,}", f"{counts['confidences']:,}", f"{counts['ballots']:,}{lost}",
            f"{counts['readings']:,}", f"{counts['calls']:,}",
        )  # fmt: skip
    console.print(table)
    if known["flags"]:
        table = Table(title="What is known to be wrong with them", title_justify="left", box=SIMPLE_HEAD)
        table.add_column("flag")
        table.add_column("n", justify="right")
        table.add_column("meaning")
        for flag, n in known["flags"].items():
            table.add_row(flag, f"{n:,}", meanings[flag])
        console.print(table)
    for note in known["notes"]:
        console.print(f"Note: {note}", highlight=False, markup=False)
