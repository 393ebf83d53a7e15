"""`arena log ls|show|verify`: look into a run's record."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from arena.commands import INCOMPLETE, OK, Commands, Shared, console

if TYPE_CHECKING:
    from arena.run import Run


def add(commands: Commands, shared: Shared) -> None:
    """The grammar of `arena log`."""
    top = commands.add_parser("log", help="look into a run's record")
    log = top.add_subparsers(dest="log", metavar="ls|show|verify", required=True)
    log.add_parser("ls", parents=[shared.recorded, shared.as_json], help="the matches of a run")
    show = log.add_parser("show", parents=[shared.recorded, shared.as_json], help="the transcript of a match")
    show.add_argument("match", metavar="MATCH", help="a match's id, the beginning of one, or its name")
    show.add_argument("--format", choices=["text", "markdown", "html"], default="text")
    log.add_parser(
        "verify",
        parents=[shared.recorded, shared.as_json],
        help="replay every match; prove digests, privacy and tables",
    )
    top.set_defaults(go=_log)


def _log(chosen: argparse.Namespace) -> int:
    from arena import api

    opened = api.open_run(chosen.run)
    return {"ls": _ls, "show": _show, "verify": _verify}[chosen.log](opened, chosen)


def _ls(opened: Run, chosen: argparse.Namespace) -> int:
    reading = opened.read()
    rows: list[dict[str, Any]] = []
    for spec in opened.matches(reading):
        history = reading.history(spec.id)
        ended = history.ended
        begun = bool(history.entries or history.superseded)
        rows.append(
            {
                "match_id": spec.id,
                "name": spec.name,
                "status": "finished" if ended else "unfinished" if begun else "planned",
                "winner": ended["winner"] if ended else None,
                "decision": ended["how"] if ended else None,
                "calls": len(history.entries) + len(history.superseded),
                "in_flight": len(history.in_flight()),
            }
        )
    if chosen.json:
        print(json.dumps(rows))
        return OK
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from arena.inert import inert

    table = Table(box=SIMPLE_HEAD)
    for column in ("match", "name", "status", "winner", "calls"):
        table.add_column(column, justify="right" if column == "calls" else "left")
    for row in rows:
        lost = f" ({row['in_flight']} without an answer)" if row["in_flight"] else ""
        won = row["winner"] or (row["decision"] or "")
        table.add_row(row["match_id"], Text(inert(row["name"])), row["status"], won, f"{row['calls']}{lost}")
    console().print(table)
    return OK


def _show(opened: Run, chosen: argparse.Namespace) -> int:
    from arena.config import ConfigError
    from arena.replay import walk
    from arena.report import transcript

    wanted, reading = chosen.match, opened.read()
    matches = opened.matches(reading)
    found = [spec for spec in matches if wanted in (spec.id, spec.name)] or [
        spec for spec in matches if spec.id.startswith(wanted)
    ]
    if len(found) != 1:
        many = f"{len(found)} matches are called" if found else "no match is called"
        raise ConfigError(f"{many} {wanted!r}; `arena log ls {opened.folder}` lists their ids and names")
    history = reading.history(found[0].id)
    walked, _ = walk(opened.setting.match(found[0]), history)
    played = opened.walked(walked, history)
    if chosen.json:
        print(
            json.dumps([{"kind": p.kind, "heading": p.heading, "text": p.text} for p in transcript.paragraphs(played)])
        )
        return OK
    sys.stdout.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    print(transcript.rendered(played, chosen.format), end="")
    return OK


def _verify(opened: Run, chosen: argparse.Namespace) -> int:
    from dataclasses import asdict

    from arena.inert import inert
    from arena.verify import verify

    verified = verify(opened)
    if chosen.json:
        print(json.dumps(asdict(verified)))
        return OK if not verified.findings else INCOMPLETE
    print(f"{verified.finished} of {verified.matches} matches finished; {verified.calls} recorded calls replayed.")
    print(
        f"{verified.in_flight} tries have no answer and count as spent; {verified.superseded} were asked for again by request."
    )
    if verified.torn:
        print(f"Cut off by a crash and asked again: {', '.join(verified.torn)}.")
    for finding in verified.findings:
        print(inert(f"WRONG  {finding.check}: {finding.place}: {finding.problem}"))
    if verified.findings:
        print(f"{len(verified.findings)} findings.")
        return INCOMPLETE
    print("Every digest fits the prompt that the record makes.")
    print(
        f"Privacy: {verified.views} prompts rebuilt with everything their seat may not hear replaced; all are the same."
    )
    print("The tables are what the ledger says.")
    return OK
