"""`arena report`: a page to read and to send, and its figures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from arena.commands import OK, Commands, Shared, with_tables


def add(commands: Commands, shared: Shared) -> None:
    """The grammar of `arena report`."""
    report = commands.add_parser(
        "report", parents=[shared.as_json], help="write a self-contained report.html and its figures as SVG"
    )
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories; several stand side by side")
    report.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where to write it (default: the first run directory)"
    )
    report.set_defaults(go=_report)


def _report(chosen: argparse.Namespace) -> int:
    from arena.report import page

    folder: Path = chosen.output or chosen.runs[0]
    written = page.write(with_tables(chosen.runs), folder)
    if chosen.json:
        files = [str(path) for path in written.figures]
        print(json.dumps({"report": str(written.page), "figures": files, "absent": written.absent}))
        return OK
    for why in written.absent:
        print(why)
    print(f"{len(written.figures)} figures in {folder / 'figures'}")
    print(written.page)
    return OK
