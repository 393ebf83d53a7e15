"""Runs as a report reads them: their tables as one, the settings they were played with, and a debate of each to read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from arena import frames
from arena.stats.beliefs import NEEDED, Beliefs, beliefs, conditions
from arena.types import READ

COLUMNS = NEEDED | {
    "matches": [*NEEDED["matches"], "topic"],
    "seats": [*NEEDED["seats"], "agent"],
    "calls": [*NEEDED["calls"], "cached_tokens"],
    "utterances": [*NEEDED["utterances"], "phase", "audience", "status"],
}
"""Columns that are read; long texts are not among them."""


@dataclass(frozen=True, slots=True)
class Source:
    """One run directory."""

    folder: Path
    label: str
    conditions: tuple[str, ...]
    """By the names that the report gives them."""
    manifest: Mapping[str, Any]
    """Empty where there is none."""
    experiment: str | None
    """The text of experiment.yaml; None where a run was imported."""
    providers: Mapping[str, Mapping[str, Any]]
    """Whom models were asked of, as experiment.yaml has it; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a report is about."""

    sources: tuple[Source, ...]
    tables: Mapping[str, pd.DataFrame]
    """All runs' tables as if they were one's."""
    conditions: tuple[str, ...]
    """In the order in which they are shown."""
    believed: Mapping[str, Beliefs]
    """Of each condition that has confidences."""

    @property
    def typed(self) -> int:
        """Confidences that have a value though they could not be read: some imports have them."""
        confidences = self.tables["confidences"]
        return int((confidences["value"].notna() & ~confidences["status"].isin(READ)).sum())


@dataclass(frozen=True, slots=True)
class Example:
    """A debate to read."""

    condition: str
    match_id: str
    topic: str
    seats: tuple[tuple[str, str], ...]
    """Seat and model."""
    said: tuple[Mapping[str, Any], ...]
    """Rows of the table `utterances`, in order."""


def gather(folders: Sequence[Path]) -> Gathered:
    """Read runs. Raises `FileNotFoundError` where a table is missing."""
    tables = frames.together(folders, COLUMNS)
    names = conditions(tables)
    matches = tables["matches"]
    labels = frames.labels(folders)
    sources: list[Source] = []
    for folder, label in zip(folders, labels, strict=True):
        own = matches if len(folders) == 1 else matches[matches["match_id"].str.startswith(f"{label}/")]
        held = tuple(name for name in names if name in set(own["condition"]))
        sources.append(Source(folder, label, held, *_settings(folder)))
    believed = {name: held for name in names if (held := beliefs(tables, name))}
    return Gathered(tuple(sources), tables, tuple(names), believed)


def _settings(folder: Path) -> tuple[Mapping[str, Any], str | None, Mapping[str, Mapping[str, Any]]]:
    manifest, path = folder / "manifest.json", folder / "experiment.yaml"
    experiment = path.read_text(encoding="utf-8") if path.is_file() else None
    return _manifest(manifest) if manifest.is_file() else {}, experiment, _providers(experiment or "")


def _manifest(path: Path) -> Mapping[str, Any]:
    """What a manifest says; that it cannot be read, where it cannot."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        return {"unreadable": f"{path.name}: {problem}"}


def _providers(experiment: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        providers: dict[str, Any] = yaml.safe_load(experiment)["provider"]
        return {name: held for name, held in providers.items() if isinstance(held, dict)}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        return {}  # the page shows the file as it is


# ------------------------------------------------------------------ one debate to read


def typical(gathered: Gathered) -> list[Example]:
    """For each condition the debate whose last confidences add up to the median, with all that was said in it."""
    return [
        _example(gathered, source, condition, match_id)
        for source in gathered.sources
        for condition in source.conditions
        if condition in gathered.believed and (match_id := _median(gathered.believed[condition]))
    ]


def _median(held: Beliefs) -> str | None:
    total = held.c[:, :, -1].sum(axis=1)
    there = np.flatnonzero(np.isfinite(total))
    if not there.size:
        return None
    away = np.abs(total[there] - np.median(total[there])).round(9)
    return min(zip(away, held.debates[there], strict=True))[1]


def _example(gathered: Gathered, source: Source, condition: str, match_id: str) -> Example:
    tables = gathered.tables
    match = tables["matches"].set_index("match_id").loc[match_id]
    seats = tables["seats"][tables["seats"]["match_id"] == match_id]
    own = match_id.removeprefix(f"{source.label}/") if len(gathered.sources) > 1 else match_id
    said = pd.read_parquet(source.folder / "tables" / "utterances.parquet", filters=[("match_id", "==", own)])
    return Example(
        condition,
        own,
        str(match["topic"]),
        tuple(zip(seats["seat"].astype(str), seats["model"].astype(str), strict=True)),
        tuple(said.sort_values("step", kind="stable").to_dict("records")),  # pyright: ignore
    )
