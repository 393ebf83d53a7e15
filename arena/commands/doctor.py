"""`arena doctor`: check this machine, calling nothing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from arena.commands import BAD, OK, Commands, Shared


def add(commands: Commands, shared: Shared) -> None:
    """The grammar of `arena doctor`."""
    doctor = commands.add_parser("doctor", parents=[shared.as_json], help="check this machine, calling nothing")
    doctor.add_argument("--config-dir", type=Path, metavar="DIR")
    doctor.set_defaults(go=_doctor)


def _doctor(chosen: argparse.Namespace) -> int:
    from arena.doctor import checks

    found = list(checks(chosen.config_dir))
    if chosen.json:
        print(json.dumps([{"name": c.name, "ok": c.ok, "said": c.said} for c in found]))
    else:
        for check in found:
            mark = {True: "ok  ", False: "BAD ", None: "-   "}[check.ok]
            print(f"{mark}{check.name}: {check.said}")
    return BAD if any(check.ok is False for check in found) else OK
