"""The command line; the one place that knows everything. Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from arena.commands import BAD, OK, doctor, imported, log, plan, play, rate, report, reread, shared, stats
from arena.inert import inert
from arena.mistake import Mistake

EXAMPLES = """\
examples:
  arena run                                                 simulated debaters, no key needed
  arena run seats.proposition.model=openai/gpt-4o seats.opposition.model=anthropic/claude-sonnet-4-5 topics.limit=3
  arena plan experiment=two_llms_debate/cross_model         what it would cost, calling nothing
  arena resume runs/NAME                                    go on with a run that was stopped
  arena log show runs/NAME MATCH                            read a debate
  arena stats runs/NAME                                     the numbers
  arena rate runs/NAME                                      who is stronger, side and judges taken out
  arena report runs/NAME                                    a page of findings and figures
"""


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(
        prog="arena",
        description="Debates and games between language models, every confidence recorded.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="store_true", help="print the version and stop")
    commands, arguments = top.add_subparsers(dest="command", metavar="COMMAND"), shared()
    for family in (play, reread, plan, stats, rate, report, log, imported, doctor):
        family.add(commands, arguments)
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(command(sys.argv[1:] if arguments is None else arguments))


def command(arguments: Sequence[str]) -> int:
    """Run a command line. Returns its exit code."""
    top = parser()
    # Overrides may stand on both sides of an option, which argparse alone does not allow.
    chosen, rest = top.parse_known_args(arguments)
    if unknown := [word for word in rest if word.startswith("-") or not hasattr(chosen, "overrides")]:
        top.error(f"unrecognised: {' '.join(unknown)}")
    if rest:
        chosen.overrides += rest
    if chosen.version:
        from importlib.metadata import version

        print(version("debate-arena"))
        return OK
    if chosen.command is None:
        top.print_help()
        return BAD
    return _guarded(chosen)


def _guarded(chosen: argparse.Namespace) -> int:
    """Run a command; mistakes of the user's become a sentence and an exit code, ours a traceback."""
    from dotenv import load_dotenv

    load_dotenv(Path(".env"))
    from agents.models.errors import ModelError
    from arena.replay import Diverged

    try:
        return chosen.go(chosen)
    except Diverged as problem:
        return _bad(f"Diverged: {problem}")
    except Mistake as problem:
        return _bad(str(problem))
    except ModelError as problem:
        return _bad(f"{problem.kind}: {problem.message}")
    except BrokenPipeError:
        # Whoever reads has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except FileNotFoundError as problem:
        return _bad(f"{problem.filename}: there is no such file")
    except PermissionError as problem:
        return _bad(f"{problem.filename}: may not be read or written")
    except OSError as problem:
        # A full disk, a read-only one, a folder where a file should be.
        return _bad(
            f"{problem.filename}: {problem.strerror}" if problem.filename else str(problem) or type(problem).__name__
        )


def _bad(message: str) -> int:
    # What a message quotes may be anybody's text.
    for line in inert(message).splitlines():
        print(f"arena: {line}", file=sys.stderr)
    return BAD
