"""The command line; the one place that knows everything. Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from arena.run import Run
    from arena.types import Experiment

OK, INCOMPLETE, BAD, BUDGET, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes: every match reached an outcome; some did not; bad arguments or configuration; stopped by a budget;
interrupted."""

EXAMPLES = """\
examples:
  arena run                                                 simulated debaters, no key needed
  arena run seats.proposition.model=openai/gpt-4o seats.opposition.model=anthropic/claude-sonnet-4-5 topics.limit=3
  arena plan experiment=two_llms_debate/cross_model         what it would cost, calling nothing
  arena resume runs/NAME                                    go on with a run that was stopped
  arena log show runs/NAME MATCH                            read a debate
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
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

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

    run = commands.add_parser(
        "run", parents=[composed, as_json, quiet], help="play an experiment into a new run directory"
    )
    run.add_argument(
        "--from", dest="source", type=Path, metavar="RUN", help="play the experiment of a run directory again"
    )
    run.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="play every combination of comma-separated values, each into its own run directory",
    )
    run.add_argument("-c", "--cfg", choices=["job"], help="print the configuration and stop")

    resume = commands.add_parser("resume", parents=[recorded, as_json, quiet], help="go on with a run that was stopped")
    resume.add_argument(
        "overrides", nargs="*", metavar="limits.KEY=VALUE", help="other limits, prices or providers than it began with"
    )
    resume.add_argument(
        "--retry-failed", action="store_true", help="also ask again what failed for good, and whatever followed from it"
    )

    commands.add_parser(
        "plan", parents=[composed, as_json], help="say what would be played and what it would cost, calling nothing"
    )
    commands.add_parser(
        "rejudge",
        parents=[recorded, composed, as_json, quiet],
        help="judge recorded speeches again, as a new run that pays for ballots alone",
    )

    log = commands.add_parser("log", help="look into a run's record").add_subparsers(
        dest="log", metavar="ls|show|verify", required=True
    )
    log.add_parser("ls", parents=[recorded, as_json], help="the matches of a run")
    show = log.add_parser("show", parents=[recorded, as_json], help="the transcript of a match")
    show.add_argument("match", metavar="MATCH", help="a match's id, the beginning of one, or its name")
    show.add_argument("--format", choices=["text", "markdown", "html"], default="text")
    log.add_parser("verify", parents=[recorded, as_json], help="replay every match; prove digests, privacy and tables")

    doctor = commands.add_parser("doctor", parents=[as_json], help="check this machine, calling nothing")
    doctor.add_argument("--config-dir", type=Path, metavar="DIR")
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
    commands = {
        "run": _run, "resume": _resume, "plan": _plan, "rejudge": _rejudge, "log": _log, "doctor": _doctor,
    }  # fmt: skip
    return _guarded(commands[chosen.command], chosen)


def _guarded(run: Any, chosen: argparse.Namespace) -> int:
    """Run a command; mistakes of the user's become a sentence and an exit code, ours a traceback."""
    from dotenv import load_dotenv

    load_dotenv(Path(".env"))
    from agents.models.errors import ModelError
    from agents.models.registry import ProviderError
    from arena.config import ConfigError
    from arena.ledger import LedgerError
    from arena.replay import Diverged
    from arena.run import RunError
    from arena.wording import WordingError

    try:
        return run(chosen)
    except (ConfigError, RunError, ProviderError, LedgerError, WordingError) as problem:
        return _bad(str(problem))
    except Diverged as problem:
        return _bad(f"Diverged: {problem}")
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


def _bad(message: str) -> int:
    for line in message.splitlines():
        print(f"arena: {line}", file=sys.stderr)
    return BAD


# ------------------------------------------------------------------ run, resume, rejudge


def _run(chosen: argparse.Namespace) -> int:
    from arena import config

    if chosen.source and chosen.multirun:
        raise config.ConfigError("--from plays one experiment again; --multirun composes several: use one of them")
    if not chosen.multirun:
        resolved = _resolved(chosen, chosen.overrides)
        if chosen.cfg:
            return _print_configurations([resolved])
        return _begin(*_ready(resolved, chosen.source), chosen, chosen.source)
    jobs = [_resolved(chosen, job, f"job{n}") for n, job in enumerate(config.multirun(chosen.overrides))]
    if chosen.cfg:
        return _print_configurations(jobs)
    # All are made ready before the first is played: a mistake in the last must not cost the others.
    ready = [_ready(resolved, None) for resolved in jobs]
    worst = OK
    for made in ready:
        code = _begin(*made, chosen, None)
        if code in (INTERRUPTED, BUDGET):
            return code
        worst = max(worst, code)
    return worst


def _resolved(chosen: argparse.Namespace, overrides: Sequence[str], job: str | None = None) -> dict[str, Any]:
    from arena import config

    if chosen.source:
        resolved = config.load(chosen.source, overrides, chosen.config_dir)
        if not any(override.startswith("name=") for override in overrides):
            resolved["name"] = None
    else:
        resolved = config.compose(overrides, chosen.config_dir)
    if job is not None and resolved["name"] is not None:
        resolved["name"] = f"{resolved['name']}-{job}"
    return resolved


def _print_configurations(configurations: Sequence[dict[str, Any]]) -> int:
    import yaml

    print(yaml.safe_dump_all(configurations, sort_keys=False, allow_unicode=True, width=120), end="")
    return OK


def _ready(resolved: dict[str, Any], base: Path | None) -> tuple[Experiment, Any]:
    """The experiment of a configuration and its models, checked; nothing is begun."""
    from arena import config, local
    from arena.match import Setting

    experiment = config.experiment(resolved, base)
    models = local.ready(Setting(experiment))
    for line in experiment.refused:
        print(f"arena: {line}", file=sys.stderr)
    return experiment, models


def _begin(experiment: Experiment, models: Any, chosen: argparse.Namespace, base: Path | None) -> int:
    from datetime import datetime

    from arena import config, run

    runs = Path(experiment.resolved["runs"])
    folder = runs / (experiment.name or run.free_name(runs, experiment, datetime.now()))
    files = config.files(experiment.resolved, base)
    return _play(run.begin(folder, experiment, config.sections(experiment), files), models, chosen)


def _resume(chosen: argparse.Namespace) -> int:
    from arena import api, config, local

    for override in chosen.overrides:
        key = override.partition("=")[0].lstrip("+")
        if not key.startswith(("limits.", "provider.", "prices")) or ".presets" in key or ".scripts" in key:
            raise config.ConfigError(
                f"{override}: a run is resumed as it began; only limits, prices and how providers are reached can "
                f"change. To play something else: arena run --from {chosen.run} {override}"
            )
    opened = api.open_run(chosen.run, chosen.overrides)
    return _play(opened, local.ready(opened.setting), chosen)


def _rejudge(chosen: argparse.Namespace) -> int:
    import tempfile

    from arena import api, config, rejudge

    source = api.open_run(chosen.run)
    for override in chosen.overrides:
        if override.lstrip("+~").partition("=")[0].partition(".")[0] not in rejudge.JUDGING:
            raise config.ConfigError(
                f"{override}: what is judged stays as it was played; {', '.join(rejudge.JUDGING)} can be set"
            )
    composed = config.compose(chosen.overrides, chosen.config_dir)
    with tempfile.TemporaryDirectory() as folder:
        resolved = rejudge.configuration(source, composed, Path(folder) / "given.jsonl")
        return _begin(*_ready(resolved, chosen.run), chosen, chosen.run)


def _play(opened: Run, models: Any, chosen: argparse.Namespace) -> int:
    import asyncio

    from agents.models.errors import ModelError
    from arena import config, local, run

    sections = config.sections(opened.experiment)
    run.check(opened, sections, opened.read())
    stopped_by = "failed"
    try:
        stopped_by = asyncio.run(
            local.play(
                opened, sections, models, retry_failed=getattr(chosen, "retry_failed", False), quiet=chosen.quiet
            )
        )
    except (KeyboardInterrupt, asyncio.CancelledError):
        stopped_by = "interrupted"
    except ModelError as problem:
        run.finish(opened, problem.kind)
        print(f"arena: stopped; what was answered is kept: arena resume {opened.folder}", file=sys.stderr)
        raise
    except Exception:
        with suppress(OSError):
            run.stopped(opened, "failed")
        raise
    tables = run.finish(opened, stopped_by)
    _print_summary(opened, tables, chosen.json)
    if stopped_by == "interrupted":
        print(f"arena: interrupted; go on with: arena resume {opened.folder}", file=sys.stderr)
        return INTERRUPTED
    return OK if (tables["matches"]["status"] == "finished").all() else INCOMPLETE


def _print_summary(opened: Run, tables: dict[str, pd.DataFrame], as_json: bool) -> None:
    from arena.report import summary

    if as_json:
        print(json.dumps({"run": str(opened.folder), **summary.facts(tables, opened.simulated)}))
        return
    from rich.console import Console

    Console(soft_wrap=True).print(summary.rendered(tables, opened.simulated))
    print(opened.folder)


# ------------------------------------------------------------------ plan


def _plan(chosen: argparse.Namespace) -> int:
    from arena import config, local
    from arena.match import Setting
    from arena.plan import SECONDS_A_CALL, TOKENS_A_SECOND, plan
    from arena.progress import clock, money

    experiment = config.experiment(config.compose(chosen.overrides, chosen.config_dir))
    setting = Setting(experiment)
    local.known(setting)
    planned = plan(setting)
    if chosen.json:
        print(json.dumps(planned.plain()))
        return OK
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title="What would be asked of each model", title_justify="left", box=SIMPLE_HEAD)
    for column in ("model", "calls", "tokens in", "tokens out", "cost"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for share in planned.models:
        usd = "no price known" if share.cost_usd is None else money(share.cost_usd, 0)
        table.add_row(Text(share.model), f"{share.calls:,}", f"{share.input_tokens:,}", f"{share.output_tokens:,}", usd)
    agents = ", ".join(f"{name} ({n})" for name, n in planned.agents.items())
    console = Console(soft_wrap=True)
    console.print(
        f"{planned.matches:,} matches on {planned.topics} topics between {agents}", highlight=False, markup=False
    )
    console.print(table)
    unknown = f" plus what {', '.join(planned.unpriced)} cost, which is not known" if planned.unpriced else ""
    console.print(
        f"{planned.calls:,} calls, {planned.input_tokens + planned.output_tokens:,} tokens, "
        f"about {money(planned.cost_usd, 0)}{unknown}, and {clock(planned.seconds)} "
        f"at {experiment.limits.concurrency} calls at once.",
        highlight=False,
        markup=False,
    )
    console.print(
        f"Estimated from speeches of the length of published ones, {TOKENS_A_SECOND:g} tokens a second and "
        f"{SECONDS_A_CALL:g} s a call; hidden reasoning, prompt caches and retries are not foreseen. Nothing was called.",
        highlight=False,
        markup=False,
        style="dim",
    )
    for line in experiment.refused:
        console.print(f"Note: {line}", highlight=False, markup=False)
    return OK


# ------------------------------------------------------------------ log


def _log(chosen: argparse.Namespace) -> int:
    from arena import api

    opened = api.open_run(chosen.run)
    return {"ls": _ls, "show": _show, "verify": _verify}[chosen.log](opened, chosen)


def _ls(opened: Run, chosen: argparse.Namespace) -> int:
    reading = opened.read()
    rows: list[dict[str, Any]] = []
    for spec in opened.experiment.matches:
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

    from arena.report.transcript import inert

    table = Table(box=SIMPLE_HEAD)
    for column in ("match", "name", "status", "winner", "calls"):
        table.add_column(column, justify="right" if column == "calls" else "left")
    for row in rows:
        lost = f" ({row['in_flight']} under way when it was stopped)" if row["in_flight"] else ""
        won = row["winner"] or (row["decision"] or "")
        table.add_row(row["match_id"], Text(inert(row["name"])), row["status"], won, f"{row['calls']}{lost}")
    _wide().print(table)
    return OK


def _wide() -> Any:
    """A console that does not fold what is piped on, so that lines can be searched."""
    from rich.console import Console

    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=240)


def _show(opened: Run, chosen: argparse.Namespace) -> int:
    from arena.config import ConfigError
    from arena.replay import walk
    from arena.report import transcript

    wanted = chosen.match
    found = [spec for spec in opened.experiment.matches if wanted in (spec.id, spec.name)] or [
        spec for spec in opened.experiment.matches if spec.id.startswith(wanted)
    ]
    if len(found) != 1:
        many = f"{len(found)} matches are called" if found else "no match is called"
        raise ConfigError(f"{many} {wanted!r}; `arena log ls {opened.folder}` lists their ids and names")
    history = opened.read().history(found[0].id)
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

    from arena.report.transcript import inert
    from arena.verify import verify

    verified = verify(opened)
    if chosen.json:
        print(json.dumps(asdict(verified)))
        return OK if not verified.findings else INCOMPLETE
    print(f"{verified.finished} of {verified.matches} matches finished; {verified.calls} recorded calls replayed.")
    print(
        f"{verified.in_flight} calls were under way when the run was stopped; {verified.superseded} were asked again by request."
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


# ------------------------------------------------------------------ doctor


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
