"""`arena plan`: what a run would be, calling nothing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from arena.commands import OK, Commands, Shared

if TYPE_CHECKING:
    from rich.console import Console

    from arena.power import Power
    from arena.separate import Separation
    from arena.types import Experiment

DIFFERENCE = 0.05
"""The difference that one wants to see, in probability, unless another is said."""


def add(commands: Commands, shared: Shared) -> None:
    """The grammar of `arena plan`."""
    plan = commands.add_parser(
        "plan",
        parents=[shared.composed, shared.as_json],
        help="say what would be played and what it would cost, calling nothing",
    )
    plan.add_argument("--power", action="store_true", help="say what difference so many debates can detect, too")
    plan.add_argument(
        "--like",
        metavar="RUN|PRESET",
        help="with --power: a run, or a preset of simulated debaters, whose confidences yours will be like",
    )
    plan.add_argument(
        "--difference",
        type=float,
        metavar="D",
        help="the difference to be seen with --power, in probability (default: 0.05)",
    )
    plan.add_argument(
        "--separate", nargs=2, metavar="AGENT", help="say what it would cost to know which of two agents is stronger"
    )
    plan.add_argument(
        "--points",
        type=float,
        metavar="N",
        help="how far apart the two are, in rating points (default: as in --like RUN, or 100)",
    )
    plan.set_defaults(go=_plan)


def _plan(chosen: argparse.Namespace) -> int:
    from arena import config

    experiment = config.experiment(config.compose(chosen.overrides, chosen.config_dir))
    power = separation = None
    if chosen.separate:
        from arena.separate import separation as separated

        like = Path(chosen.like) if chosen.like else None
        separation = separated(experiment, chosen.separate, chosen.points, like, _level(experiment))
    elif chosen.points is not None:
        raise config.ConfigError("--points says how far two agents are apart: name them with --separate AGENT AGENT")
    if chosen.power or (chosen.like and not chosen.separate) or chosen.difference is not None:
        from arena.power import foreseen

        power = foreseen(experiment, chosen.like, DIFFERENCE if chosen.difference is None else chosen.difference)
    return show(experiment, chosen.json, power, separation)


def _level(experiment: Experiment) -> float:
    """How often the wrong one may be named."""
    return float(experiment.resolved["schedule"].get("stop", {}).get("level", 0.05))


def show(
    experiment: Experiment, as_json: bool, power: Power | None = None, separation: Separation | None = None
) -> int:
    """Print what an experiment would be, and what it could show. Returns the exit code."""
    from arena import driver
    from arena.match import Setting
    from arena.plan import SECONDS_A_CALL, TOKENS_A_SECOND, plan
    from arena.progress import clock, money

    setting = Setting(experiment)
    driver.known(setting)
    planned = plan(setting)
    if as_json:
        more = {"power": power.plain() if power else None, "separation": separation.plain() if separation else None}
        print(json.dumps(planned.plain() | {name: plain for name, plain in more.items() if plain}))
        return OK
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from arena.inert import inert

    table = Table(title="What would be asked of each model", title_justify="left", box=SIMPLE_HEAD)
    for column in ("model", "calls", "tokens in", "tokens out", "cost"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for share in planned.models:
        usd = "no price known" if share.cost_usd is None else money(share.cost_usd, 0)
        table.add_row(
            Text(inert(share.model)), f"{share.calls:,}", f"{share.input_tokens:,}", f"{share.output_tokens:,}", usd
        )
    agents = ", ".join(f"{name} ({n})" for name, n in planned.agents.items())
    between = f" between {agents}" if agents else ""
    console = Console(soft_wrap=True)
    most = "At most " if planned.stops else ""
    console.print(
        inert(f"{most}{planned.matches:,} matches on {planned.topics} topics{between}"), highlight=False, markup=False
    )
    console.print(table)
    unknown = f" plus what {inert(', '.join(planned.unpriced))} cost, which is not known" if planned.unpriced else ""
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
    if planned.paid_for is not None:
        most = (
            f"about {planned.paid_for:,} of them"
            if planned.paid_for < planned.matches
            else "all of them, as far as one can say"
        )
        console.print(f"The budget pays for {most}; arena run stops when it is spent.", highlight=False, markup=False)
    for line in experiment.refused:
        console.print(inert(f"Note: {line}"), highlight=False, markup=False)
    if power:
        _say(power, console)
    if separation:
        console.print(inert(_apart(separation)), highlight=False, markup=False)
    return OK


def _apart(found: Separation) -> str:
    """What it takes to tell two agents apart, in a sentence."""
    from arena.progress import money

    one, other = found.agents
    most = f"in nine cases of ten at most {found.pairs_ninety:,.0f}" if found.pairs_ninety else "often many more"
    about = "about" if found.decided == 1 else "at least"
    unknown = f" plus what {', '.join(found.unpriced)} cost, which is not known" if found.unpriced else ""
    return (
        f"To know which of {one} and {other} is stronger, if they are {abs(found.points):.0f} points apart ({found.source}), "
        f"takes {about} {found.pairs:,.0f} mirrored pairs between the two, {most}: {about} {found.matches:,.0f} matches, "
        f"{money(found.usd, 0)}{unknown}. At most {found.level:.0%} of such answers are wrong."
    )


def _say(power: Power, console: Console) -> None:
    """What can be detected, as a table and in a sentence. In points: hundredths of probability."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    wanted = f"{100 * power.difference:g} points"
    n = f"{power.debates:,}"
    table = Table(
        title=f"Differences in points: what {n} debates detect, and how many {wanted} need "
        f"({power.target:.0%} power, {power.level:.0%} two-sided)",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("", no_wrap=True)
    for column in ("expected", "SD", f"{n}\ndetect", "needed", f"2 × {n}\ndetect", "needed\n2 ×"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in power.rows:
        spread = row.spread
        ends = "" if spread.low is None or spread.high is None else f"\n{100 * spread.low:.1f}–{100 * spread.high:.1f}"
        span = "" if row.needed_low is None else f"\n{row.needed_low:,}–{row.needed_high:,}"
        table.add_row(
            _WORDS[spread.statistic], f"{100 * spread.mean:+.1f}", f"{100 * spread.sd:.1f}{ends}",
            _points(row.detectable), f"{row.needed:,}{span}", _points(row.detectable_between), f"{row.needed_between:,}",
        )  # fmt: skip
    console.print()
    console.print(table)
    rise = next(row for row in power.rows if row.spread.statistic == "escalation")
    chance = "" if rise.power is None else f"; {power.debates:,} are planned and would show it {_chance(rise.power)}"
    console.print(
        f"To see a rise of {wanted} from opening to closing you need {rise.needed:,} debates{chance}. "
        f"To see two conditions differ by {wanted} in their rise you need {rise.needed_between:,} debates in each.",
        highlight=False,
        markup=False,
    )
    ranges = any(row.needed_low is not None for row in power.rows)
    missing = max(row.spread.missing for row in power.rows)
    console.print(
        f"What is expected comes from {power.source}. Tests are t-tests over debates; 2 ×: between two conditions, unpaired. "
        + ("Ranges: with the SD at the ends of its 95 % interval. " if ranges else "")
        + (f"{missing:,} of its debates lack a confidence and are left out. " if missing else "")
        + "Where few models or motions recur, debates tell less than this; pairing conditions by motion tells more.",
        highlight=False,
        markup=False,
        style="dim",
    )


_WORDS = {
    "opening_overconfidence": "opening over 50",
    "escalation": "rise to closing",
    "pair_sum": "closings over 100",
}


def _points(difference: float | None) -> str:
    return "–" if difference is None else f"{100 * difference:.1f}"


def _chance(power: float) -> str:
    return "almost surely" if power > 0.995 else f"with a chance of {power:.0%}"
