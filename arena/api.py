"""The Python way in: compose an experiment, play it, load its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.models.errors import ModelError
from agents.models.registry import Models
from arena import config, driver, run
from arena.match import Setting
from arena.types import Experiment

if TYPE_CHECKING:
    import pandas as pd

    from arena.rate import Standings
    from arena.stats.record import Convention


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one or several runs; with several, each has a column `run` first."""

    matches: pd.DataFrame
    seats: pd.DataFrame
    utterances: pd.DataFrame
    confidences: pd.DataFrame
    verdicts: pd.DataFrame
    calls: pd.DataFrame
    readings: pd.DataFrame
    answers: pd.DataFrame
    preferences: pd.DataFrame


def load(*runs: str | Path) -> Tables:
    """Read the tables of runs. Raises `FileNotFoundError` where a directory is no run or has no tables yet."""
    if not runs:
        raise TypeError("arena.load needs a run directory at least")
    import pandas as pd

    from arena import frames

    loaded = [(Path(folder), frames.read(Path(folder) / "tables")) for folder in runs]
    if len(loaded) == 1:
        return Tables(**loaded[0][1])
    labels = frames.labels([folder for folder, _ in loaded])
    joined: dict[str, pd.DataFrame] = {}
    for name in frames.COLUMNS:
        several = [tables[name].assign(run=label) for label, (_, tables) in zip(labels, loaded, strict=True)]
        table = pd.concat(several, ignore_index=True)
        joined[name] = table[["run", *frames.COLUMNS[name]]].astype({"run": "string"})
    return Tables(**joined)


def statistics(*runs: str | Path, convention: Convention = "default", **how: Any) -> pd.DataFrame:
    """The numbers of one or several runs, a row each, as `arena stats --json` gives them.

    `how` is what `arena.stats.ours.records` takes: `thresholds`, `noise`, `seed`. Raises `FileNotFoundError`.
    """
    import pandas as pd

    from arena import frames
    from arena.stats import ours, published
    from arena.stats.beliefs import NEEDED

    tables = frames.together([Path(folder) for folder in runs], NEEDED)
    found = ours.records(tables, **how) if convention == "default" else published.records(tables)
    return pd.DataFrame([record.plain() for record in found])


def ratings(*runs: str | Path, **how: Any) -> Standings:
    """Who is stronger over one or several runs. `how` is what `arena.rate.rated` takes, and so is what is raised."""
    from arena.rate import rated

    return rated([Path(folder) for folder in runs], **how)


def compose(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Experiment:
    """The experiment that the overrides make, as on the command line. Raises `ConfigError`."""
    return config.experiment(config.compose(overrides, Path(config_dir) if config_dir else None))


async def play(
    experiment: Experiment, folder: str | Path | None = None, models: Models | None = None, *, quiet: bool = True
) -> Path:
    """Play an experiment into a new run directory, `runs/<name>` if none is given, or go on with the one that is there.

    Returns the directory. Raises what `arena run` reports: `ConfigError`, `RunError`, `ProviderError`, `ModelError`.
    """
    sections = config.sections(experiment)
    runs = Path(experiment.resolved["runs"])
    name = experiment.name or run.free_name(runs, experiment, datetime.now())
    target = Path(folder) if folder is not None else runs / name
    if (target / "experiment.yaml").exists():
        opened = open_run(target)
    else:
        opened = run.begin(target, experiment, sections, config.files(experiment.resolved))
    models = models or driver.known(opened.setting)
    try:
        stopped_by = await driver.play(opened, sections, models, quiet=quiet)
    except ModelError as problem:
        run.finish(opened, problem.kind)
        raise
    run.finish(opened, stopped_by)
    from arena import frames, reread

    reread.hand_over(opened, frames.together([target], {"matches": ["status"]}))
    return target


def open_run(folder: Path, overrides: Sequence[str] = ()) -> run.Run:
    """A run directory with its experiment in place. Raises `ConfigError`."""
    return run.Run(folder, Setting(config.experiment(config.load(folder, overrides), folder)))
