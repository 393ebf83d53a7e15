"""`arena stats`: the numbers of a run, each with its interval, n and what is missing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from arena.commands import OK, Commands, Shared, console, with_tables


def add(commands: Commands, shared: Shared) -> None:
    """The grammar of `arena stats`."""
    stats = commands.add_parser(
        "stats",
        parents=[shared.as_json],
        help="confidence, escalation, mutual overconfidence, updating, calibration, judges",
    )
    stats.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories; several are compared")
    stats.add_argument(
        "--convention",
        choices=["default", "published"],
        default="default",
        help="`published` computes as the study did (arXiv:2505.19184), for comparing with it",
    )
    stats.add_argument(
        "--threshold",
        action="append",
        metavar="'>0.75'",
        help="threshold of mutual overconfidence, like '>0.75' or '>=0.66'; may be given several times",
    )
    stats.add_argument(
        "--report-noise",
        type=float,
        metavar="SD",
        help="report noise of stated confidences, in log-odds, instead of estimating noise",
    )
    stats.add_argument(
        "--rounding", type=float, metavar="UNIT", help="unit that confidences are rounded to, with --report-noise"
    )
    stats.add_argument("--seed", type=int, default=0, help="of bootstrap and null bands (default 0)")
    which = stats.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="show all numbers, single models among them")
    which.add_argument("--only", action="append", metavar="NAME", help="these statistics alone, whole; may be repeated")
    stats.set_defaults(go=_stats)


def _stats(chosen: argparse.Namespace) -> int:
    from arena import frames
    from arena.settings import ConfigError
    from arena.stats import ours, published
    from arena.stats.beliefs import NEEDED
    from arena.stats.updating import Noise

    thresholds = chosen.threshold or ours.THRESHOLDS
    try:
        for threshold in thresholds:
            ours.parsed(threshold)
    except ValueError as problem:
        raise ConfigError(f"--threshold: {problem}") from problem
    noise = None
    if chosen.report_noise is not None or chosen.rounding is not None:
        noise = Noise(chosen.report_noise or 0.0, chosen.rounding or 0.0)
        if not 0 <= noise.rounding < 0.5:
            raise ConfigError(
                f"--rounding is {noise.rounding:g}; it is a probability: 0.05 for multiples of five percent"
            )
        if not 0 <= noise.report < 10:
            raise ConfigError(f"--report-noise is {noise.report:g}; it is a standard deviation in log-odds, like 0.15")
    tables = frames.together(with_tables(chosen.runs), NEEDED)
    if chosen.convention == "published":
        found = published.records(tables)
    else:
        found = ours.records(tables, thresholds=thresholds, noise=noise, seed=chosen.seed)
    if chosen.only:
        names = sorted({record.statistic for record in found})
        for name in chosen.only:
            if name not in names:
                raise ConfigError(f"--only {name}: there is no such number here; there are {', '.join(names)}")
        found = [record for record in found if record.statistic in chosen.only]
    if chosen.json:
        print(json.dumps([record.plain() for record in found]))
        return OK
    from arena.report import numbers

    out = console()
    out.print(numbers.rendered(found, whole=bool(chosen.all or chosen.only), tests=out.width >= 130))
    return OK
