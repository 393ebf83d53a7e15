"""`arena plan`: what a run would be, calling nothing."""

from __future__ import annotations

import argparse
import json

from arena.commands import OK, Commands, Shared


def add(commands: Commands, shared: Shared) -> None:
    """The grammar of `arena plan`."""
    plan = commands.add_parser(
        "plan",
        parents=[shared.composed, shared.as_json],
        help="say what would be played and what it would cost, calling nothing",
    )
    plan.set_defaults(go=_plan)


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
