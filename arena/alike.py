"""Whether runs can stand as one: played by the same rules, on the same topics, and under names that mean the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from arena import frames
from arena.compared import RateError

SETTINGS = (
    "model", "system", "temperature", "top_p", "max_output_tokens", "reasoning_effort", "seed",
)  # fmt: skip
"""Columns of the table of seats that say what an agent is."""

BY_THEMSELVES = ("tie", "forfeit", "none")
"""How a match may have ended whatever the panel's rule is."""

LONGEST = 120
"""Letters of a value that a sentence quotes; longer ones just differ."""

# The same as the safe loader, many times faster, where libyaml is at hand.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Part:
    """The matches of one condition of one run, and what is known of how they were played."""

    label: str
    facts: Mapping[str, str]
    """What is not known has no key."""
    topics: Mapping[str, str]
    """Id to motion."""
    agents: Mapping[str, Collection[tuple[str, ...]]]
    """Agent to the settings that it played with, in the order of `SETTINGS`; what was not set is empty."""


def parts(folders: Sequence[Path], conditions: Collection[str] = ()) -> list[Part]:
    """The parts of runs: of these conditions, or of all. Raises `FileNotFoundError` and `RateError`."""
    return [
        part
        for label, folder in zip(frames.labels(folders), folders, strict=True)
        for part in _of(folder, label, conditions)
    ]


def differences(parts: Sequence[Part]) -> list[str]:
    """In what the parts' games, judges, prompts and topics differ, a sentence each. What only one is known to have is none."""
    keys = dict.fromkeys(key for part in parts for key in part.facts)
    return [*(said for key in keys for said in _differing(key, parts)), *_topics(parts)]


def confusions(parts: Sequence[Part], agents: Collection[str]) -> list[str]:
    """Which of the agents' names stand for different models or settings, a sentence each."""
    return [said for agent in agents for said in _confused(agent, [part for part in parts if agent in part.agents])]


# ------------------------------------------------------------------ what is known


def _of(folder: Path, label: str, conditions: Collection[str]) -> Iterator[Part]:
    def read(name: str, *columns: str) -> pd.DataFrame:
        return frames.read_table(folder / "tables", name, columns)

    matches = read("matches", "match_id", "condition", "game", "decision", "topic_id", "topic")
    verdicts = read("verdicts", "match_id", "judge", "model", "order")
    seats = read("seats", "match_id", "role", "agent", *SETTINGS)
    configured = _configured(folder / "experiment.yaml")
    names = list(matches["condition"].unique())
    for condition in names:
        if conditions and not {condition, f"{condition} ({label})"} & set(conditions):
            continue
        played = matches[matches["condition"] == condition]
        ballots = verdicts[verdicts["match_id"].isin(played["match_id"])]
        seated = seats[seats["match_id"].isin(played["match_id"]) & (seats["role"] != "judge")]
        # A run that was played has one condition, whose name is a label; of an imported one it is all that is known.
        known = configured or {"condition": str(condition)}
        told = {key: words for key, words in _of_tables(played, ballots).items() if words}
        topics = played[["topic_id", "topic"]].dropna().drop_duplicates()
        yield Part(
            label if len(names) == 1 else f"{label}, {condition}",
            {**told, **known},
            dict(zip(topics["topic_id"], topics["topic"], strict=True)),
            {str(agent): _settings(rows) for agent, rows in seated.groupby("agent")},
        )


def _of_tables(matches: pd.DataFrame, ballots: pd.DataFrame) -> dict[str, str]:
    judges = ballots[["judge", "model"]].drop_duplicates()
    return {
        "game": ", ".join(sorted(matches["game"].dropna().unique())),
        "rule": ", ".join(sorted(set(matches["decision"].dropna()) - set(BY_THEMSELVES))),
        "judges": _named(judges.itertuples(index=False)),
        "orders": ", ".join(sorted(ballots["order"].dropna().unique())),
    }


def _named(judges: Iterable[tuple[Any, Any]]) -> str:
    """Judges and their models, where these are not their names."""
    return ", ".join(sorted(str(name) if name == model else f"{name} ({model})" for name, model in judges))


def _configured(path: Path) -> dict[str, str]:
    """What a run's configuration says of game and judges, by dotted keys; nothing where the run was imported.

    Raises `RateError` where the file cannot be read.
    """
    if not path.exists():
        return {}
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
        game, judge = dict(settings["game"]), dict(settings["judge"])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as problem:
        raise RateError(f"{path} is no configuration of a run: {problem}") from problem
    # The tables name the game, of every run; they name those judges alone who have judged so far.
    known = {key: value for key, value in _flat({"game": game, "judge": judge}) if key != "game.name"}
    if not judge.get("own_family", True):
        known["families"] = ", ".join(
            sorted(f"{model}: {name}" for model, name in (settings.get("families") or {}).items())
        )
    judges = judge.get("judges") or {}
    return known | {"judges": _named((name, judge.get("model")) for name, judge in judges.items())}


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", "null" if value is None else str(value)


def _settings(rows: pd.DataFrame) -> Collection[tuple[str, ...]]:
    kinds = rows[list(SETTINGS)].drop_duplicates()
    return {tuple("" if pd.isna(value) else str(value) for value in kind) for kind in kinds.itertuples(index=False)}


# ------------------------------------------------------------------ what differs


def _differing(key: str, parts: Sequence[Part]) -> Iterator[str]:
    known = {part.label: part.facts[key] for part in parts if key in part.facts}
    if len(set(known.values())) > 1:
        yield f"{key}: {_told(known)}"


def _told(values: Mapping[str, str]) -> str:
    """Each value, and where it is found."""
    where: dict[str, list[str]] = {}
    for label, value in values.items():
        where.setdefault(value, []).append(label)
    if any(len(value) > LONGEST or "\n" in value for value in where):
        return "not the same in " + " and in ".join(", ".join(labels) for labels in where.values())
    return "; ".join(f"{value} in {', '.join(labels)}" for value, labels in where.items())


def _topics(parts: Sequence[Part]) -> Iterator[str]:
    """What other topics there are than those of the part that has most of them."""
    if not parts:
        return
    most = max(parts, key=lambda part: len(part.topics))
    for part in parts:
        strange = sorted(part.topics.keys() - most.topics.keys())
        if strange:
            more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
            yield f"topics: {', '.join(strange[:3])}{more} in {part.label} alone, not in {most.label}"
        for topic in sorted(part.topics.keys() & most.topics.keys()):
            if part.topics[topic] != most.topics[topic]:
                yield f"topics: {topic} is another motion in {part.label} than in {most.label}"


def _confused(agent: str, parts: Sequence[Part]) -> Iterator[str]:
    kinds = {part.label: part.agents[agent] for part in parts}
    if len({frozenset(kind) for kind in kinds.values()}) > 1:
        columns = [n for n in range(len(SETTINGS)) if len({frozenset(row[n] for row in k) for k in kinds.values()}) > 1]
        told = {
            label: ", ".join(
                f"{SETTINGS[n]} {' or '.join(sorted({row[n] or 'not set' for row in kind}))}" for n in columns
            )
            for label, kind in kinds.items()
        }
        yield f"{agent}: {_told(told)}"
