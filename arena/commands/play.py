"""`arena run`, `arena resume`, `arena rejudge`: whatever plays matches."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.commands import BUDGET, INCOMPLETE, INTERRUPTED, OK, Commands, Shared

if TYPE_CHECKING:
    import pandas as pd

    from arena.run import Run
    from arena.types import Experiment


RESUMED_WITH = ("limits.", "provider.", "prices", "schedule.stop.matches", "schedule.stop.usd")
"""Beginnings of the keys that may change when a run is resumed."""


def add(commands: Commands, shared: Shared) -> None:
    """The grammar of the commands that play."""
    run = commands.add_parser(
        "run",
        parents=[shared.composed, shared.as_json, shared.quiet],
        help="play an experiment into a new run directory",
    )
    run.add_argument(
        "--from", dest="source", type=Path, metavar="RUN", help="play the experiment of a run directory again"
    )
    run.add_argument(
        "--join",
        type=Path,
        metavar="RUN",
        help="play new agents against those of a finished tournament: schedule=ladder agents.NAME.model=...",
    )
    run.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="play every combination of comma-separated values, each into its own run directory",
    )
    run.add_argument("-c", "--cfg", choices=["job"], help="print the configuration and stop")
    run.set_defaults(go=_run)

    resume = commands.add_parser(
        "resume", parents=[shared.recorded, shared.as_json, shared.quiet], help="go on with a run that was stopped"
    )
    resume.add_argument(
        "overrides", nargs="*", metavar="limits.KEY=VALUE", help="other limits, prices or providers than it began with"
    )
    resume.add_argument(
        "--retry-failed", action="store_true", help="also ask again what failed for good, and whatever followed from it"
    )
    resume.set_defaults(go=_resume)

    rejudge = commands.add_parser(
        "rejudge",
        parents=[shared.recorded, shared.composed, shared.as_json, shared.quiet],
        help="judge recorded speeches again, as a new run that pays for ballots alone",
    )
    rejudge.set_defaults(go=_rejudge)


def _run(chosen: argparse.Namespace) -> int:
    from arena import config

    if sum(map(bool, (chosen.source, chosen.join, chosen.multirun))) > 1:
        raise config.ConfigError(
            "--from plays one experiment again, --join adds to one, --multirun composes several: use one of them"
        )
    if chosen.join:
        return _join(chosen)
    if not chosen.multirun:
        resolved = _resolved(chosen, chosen.overrides)
        if chosen.cfg:
            return _print_configurations([resolved])
        return begin(*ready(resolved, chosen.source), chosen, chosen.source)
    jobs = [_resolved(chosen, job, f"job{n}") for n, job in enumerate(config.multirun(chosen.overrides))]
    if chosen.cfg:
        return _print_configurations(jobs)
    # All are made ready before the first is played: a mistake in the last must not cost the others.
    all_ready = [ready(resolved, None) for resolved in jobs]
    worst = OK
    for made in all_ready:
        code = begin(*made, chosen, None)
        if code in (INTERRUPTED, BUDGET):
            return code
        worst = max(worst, code)
    return worst


def _join(chosen: argparse.Namespace) -> int:
    """Play new agents against those of a finished tournament."""
    import tempfile

    from arena import api, config, join

    joined = api.open_run(chosen.join)
    with tempfile.TemporaryDirectory() as folder:
        resolved = config.load(chosen.join, chosen.overrides, chosen.config_dir)
        resolved = join.configuration(joined, resolved, Path(folder) / "joined.jsonl")
        if not any(override.startswith("name=") for override in chosen.overrides):
            resolved["name"] = None
        if chosen.cfg:
            return _print_configurations([resolved])
        return begin(*ready(resolved, chosen.join), chosen, chosen.join)


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


def ready(resolved: dict[str, Any], base: Path | None) -> tuple[Experiment, Any]:
    """The experiment of a configuration and its models, checked; nothing is begun."""
    from arena import config, local
    from arena.match import Setting

    experiment = config.experiment(resolved, base)
    models = local.ready(Setting(experiment))
    for line in experiment.refused:
        print(f"arena: {line}", file=sys.stderr)
    return experiment, models


def begin(experiment: Experiment, models: Any, chosen: argparse.Namespace, base: Path | None) -> int:
    """Play an experiment into a new run directory. Returns the exit code."""
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
        if not key.startswith(RESUMED_WITH) or ".presets" in key or ".scripts" in key:
            raise config.ConfigError(
                f"{override}: a run is resumed as it began; only limits, prices, how providers are reached and after how many "
                "matches or how much money it stops can change. To play something else: "
                f"arena run --from {chosen.run} {override}"
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
        return begin(*ready(resolved, chosen.run), chosen, chosen.run)


def _play(opened: Run, models: Any, chosen: argparse.Namespace) -> int:
    import asyncio

    from agents.models.errors import ModelError
    from arena import config, local, reread, run

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
    if handed := reread.hand_over(opened, tables):
        print(f"arena: {handed}", file=sys.stderr)
    _print_summary(opened, tables, chosen.json)
    if stopped_by == "interrupted":
        print(f"arena: interrupted; go on with: arena resume {opened.folder}", file=sys.stderr)
        return INTERRUPTED
    if stopped_by == "money":
        print(
            f"arena: the money is spent; go on with more: arena resume {opened.folder} schedule.stop.usd=...",
            file=sys.stderr,
        )
        return BUDGET
    return OK if (tables["matches"]["status"] == "finished").all() else INCOMPLETE


def _print_summary(opened: Run, tables: dict[str, pd.DataFrame], as_json: bool) -> None:
    from arena.report import summary

    manifest = json.loads((opened.folder / "manifest.json").read_text(encoding="utf-8"))
    if as_json:
        told = {name: manifest[name] for name in ("stopped_by", "rounds", "standing") if name in manifest}
        print(json.dumps({"run": str(opened.folder), **told, **summary.facts(tables, opened.simulated)}))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    console.print(summary.rendered(tables, opened.simulated))
    if "rounds" in manifest:
        from arena.tournament import ended

        console.print(Text(ended(manifest["stopped_by"], manifest["rounds"], manifest["standing"])))
    print(opened.folder)
