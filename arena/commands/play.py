"""`arena run`, `arena resume`, `arena rejudge`: whatever plays matches."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arena.commands import BUDGET, INCOMPLETE, INTERRUPTED, OK, Commands, Shared
from arena.inert import inert

if TYPE_CHECKING:
    import pandas as pd

    from arena.run import Run
    from arena.types import Experiment


RESUMED_WITH = (
    "limits.",
    "provider.",
    "prices",
    "budget.",
    "runner",
    "chaos",
    "schedule.stop.matches",
    "schedule.stop.usd",
)
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
    add_spending(run)
    run.set_defaults(go=_run)

    resume = commands.add_parser(
        "resume", parents=[shared.recorded, shared.as_json, shared.quiet], help="go on with a run that was stopped"
    )
    resume.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="another budget, limits, prices, providers or runner than it began with",
    )
    resume.add_argument(
        "--retry-failed", action="store_true", help="also ask again what failed for good, and whatever followed from it"
    )
    add_spending(resume)
    resume.set_defaults(go=_resume)

    rejudge = commands.add_parser(
        "rejudge",
        parents=[shared.recorded, shared.composed, shared.as_json, shared.quiet],
        help="judge recorded speeches again, as a new run that pays for ballots alone",
    )
    add_spending(rejudge)
    rejudge.set_defaults(go=_rejudge)


def add_spending(command: argparse.ArgumentParser) -> None:
    """The options that stand for overrides."""
    command.add_argument(
        "--allow-unpriced",
        action="store_true",
        help="under a budget, play models whose price is not known too, and count nothing for them",
    )
    command.add_argument(
        "--chaos",
        type=float,
        metavar="SHARE",
        help="let this share of the calls go wrong, seeded: 429s, broken connections, garbage",
    )


def spell_out(chosen: argparse.Namespace) -> None:
    """Write options that stand for overrides out as overrides."""
    chosen.overrides += ["budget.allow_unpriced=true"] if chosen.allow_unpriced else []
    chosen.overrides += [f"chaos={chosen.chaos}"] if chosen.chaos is not None else []


def _run(chosen: argparse.Namespace) -> int:
    from arena import config

    spell_out(chosen)

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
    for number, made in enumerate(all_ready, start=1):
        code = begin(*made, chosen, None)
        if code in (INTERRUPTED, BUDGET):
            if left := len(all_ready) - number:
                print(f"arena: {left} of {len(all_ready)} runs were not begun", file=sys.stderr)
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
    from arena import config, driver
    from arena.match import Setting

    experiment = config.experiment(resolved, base)
    models = driver.ready(Setting(experiment))
    for line in experiment.refused:
        print(inert(f"arena: {line}"), file=sys.stderr)
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
    from arena import api, config, driver

    spell_out(chosen)

    for override in chosen.overrides:
        key = override.partition("=")[0].lstrip("+")
        if not key.startswith(RESUMED_WITH) or ".presets" in key or ".scripts" in key:
            raise config.ConfigError(
                f"{override}: a run is resumed as it began; only budget, limits, prices, providers, runner, chaos and after "
                "how many matches or how much money a tournament stops can change. To play something else: "
                f"arena run --from {chosen.run} {override}"
            )
    opened = api.open_run(chosen.run, chosen.overrides)
    if any(override.lstrip("+").startswith("budget") for override in chosen.overrides):
        before = api.open_run(chosen.run)
        if _limits(before) != _limits(opened):
            raise config.ConfigError(
                f"{chosen.run} was begun with other limits on the length of replies (budget.output_tokens, where a budget "
                "bounds money or tokens), and these cannot change under a run. A budget of calls alone can be set, or anew: "
                f"arena run --from {chosen.run} {' '.join(chosen.overrides)}"
            )
    return _play(opened, driver.ready(opened.setting), chosen)


def _limits(opened: Run) -> list[Any]:
    """How long anybody's replies may be."""
    experiment = opened.experiment
    players = (agent for spec in experiment.matches for agent in spec.players.values())
    everybody = (*players, *experiment.agents.values(), *experiment.judging.judges.values())
    return [agent.sampling.max_output_tokens for agent in everybody]


def _rejudge(chosen: argparse.Namespace) -> int:
    import tempfile

    from arena import api, config, rejudge

    spell_out(chosen)
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
    from arena import config, driver, run
    from arena.ledger import Locked

    sections = config.sections(opened.experiment)
    stopped_by = "failed"
    try:
        stopped_by = asyncio.run(
            driver.play(
                opened, sections, models, retry_failed=getattr(chosen, "retry_failed", False), quiet=chosen.quiet
            )
        )
    except (KeyboardInterrupt, asyncio.CancelledError):
        stopped_by = "interrupted"
    except ModelError as problem:
        run.finish(opened, problem.kind)
        print(f"arena: stopped; what was answered is kept: {_again(opened, chosen)}", file=sys.stderr)
        raise
    except (run.RunError, Locked):
        raise  # it was not touched
    except Exception:
        with suppress(OSError):
            run.stopped(opened, "failed")
        raise
    run.finish(opened, stopped_by)
    from arena import reread
    from arena.report import summary

    tables = summary.read(opened.folder)
    if handed := reread.hand_over(opened, tables):
        print(f"arena: {handed}", file=sys.stderr)
    _print_summary(opened, tables, chosen.json)
    if stopped_by == "interrupted":
        print(f"arena: interrupted; go on with: {_again(opened, chosen)}", file=sys.stderr)
        return INTERRUPTED
    if stopped_by == "budget":
        for line in _spent_out(opened):
            print(f"arena: {line}", file=sys.stderr)
        return BUDGET
    if stopped_by == "money":
        print(
            f"arena: the money is spent; go on with more: arena resume {opened.folder} schedule.stop.usd=...",
            file=sys.stderr,
        )
        return BUDGET
    return OK if (tables["matches"]["status"] == "finished").all() else INCOMPLETE


def _again(opened: Run, chosen: argparse.Namespace) -> str:
    """The command that goes on with a run; what was changed when it was resumed has to be said again."""
    changed = chosen.overrides if chosen.command == "resume" else []
    return shlex.join(["arena", "resume", str(opened.folder), *changed])


def _spent_out(opened: Run) -> Iterator[str]:
    """What a budget has left, what it does not pay for, and how to go on with more."""
    from agents.budget import UNITS, Budget, amount, shortfall
    from arena.rehearsal import Foresight
    from arena.tournament import pairs

    reading = opened.read()
    budget = Budget(opened.experiment.budget)
    budget.begin(reading.spent)
    planned = opened.matches(reading)
    finished = {spec.id for spec in planned if reading.is_over(spec.id)}
    begun = set(reading.matches) - finished
    short, lacks = None, "its next call"
    for group in pairs(planned):
        if not finished & {spec.id for spec in group} and not begun & {spec.id for spec in group}:
            needs = Foresight(opened.setting).needs(group)
            if (short := budget.admit([], needs)) is not None:
                what = "mirrored pair" if len(group) > 1 else "match"
                lacks = f"the next {what}, which wants {shortfall(short, needs)}"
            break
    if begun:
        lacks = f"all that was begun: {len(begun):,} matches are half played"
    yield f"the budget does not pay for {lacks}; {len(finished):,} of {len(planned):,} matches are finished"
    for scope in budget.scopes:
        bounds = [(unit, scope.left(unit)) for unit in UNITS]
        left = ", ".join(amount(unit, max(left, 0)) for unit, left in bounds if left is not None)
        yield f"{scope}, {left} left"
    scope = short or budget.scopes[0]
    unit = next(unit for unit in UNITS if getattr(scope.caps, unit) is not None)
    yield f"go on with more: arena resume {opened.folder} {scope.key.format(unit)}"


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
    if share := opened.experiment.chaos:
        console.print(
            Text(
                f"{share:.0%} of the calls were let go wrong on purpose (chaos={share:g}): no data for a study.",
                style="yellow",
            )
        )
    if "rounds" in manifest:
        from arena.tournament import ended

        console.print(Text(inert(ended(manifest["stopped_by"], manifest["rounds"], manifest["standing"]))))
    print(opened.folder)
