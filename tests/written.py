"""For tests of ratings: matches that are written down, as the tables of a run, and `arena rate` on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from commands import Arena

from arena import frames

PRO, OPP = "proposition", "opposition"
FAST = ("--method", "sandwich")
"""Intervals from a formula, where a test is not about them."""


@dataclass(frozen=True, slots=True)
class Match:
    """A row of the table of matches, and what belongs to it in the others."""

    first: str
    second: str
    ballots: Sequence[tuple[str, str | None]] = ()
    """Judge and choice."""
    topic: str = "T1"
    winner: str | None = None
    decision: str | None = "most_votes"
    status: str = "finished"
    mirrors: int | None = None
    """The number of its counterpart."""
    probability: float = 1.0
    game: str = "debate"
    condition: str = "made"
    motion: str = "A motion."
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further columns of the seats: settings of agents."""


def tables(matches: Sequence[Match]) -> dict[str, pd.DataFrame]:
    """The tables of a run in which these matches were played."""
    ids = [f"{7919 * (number + 1) % 1009:04x}" for number in range(len(matches))]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in frames.COLUMNS}
    for ident, match in zip(ids, matches, strict=True):
        rows["matches"].append(
            {
                "match_id": ident, "game": match.game, "condition": match.condition, "topic_id": match.topic,
                "topic": match.motion, "status": match.status, "decision": match.decision, "winner": match.winner,
                "mirror_of": None if match.mirrors is None else ids[match.mirrors],
                "pairing_probability": match.probability,
            }
        )  # fmt: skip
        for seat, agent in ((PRO, match.first), (OPP, match.second)):
            known = {"match_id": ident, "seat": seat, "role": "debater", "agent": agent, "model": f"lab/{agent}"}
            rows["seats"].append({**known, **match.extra})
        for judge in sorted({judge for judge, _ in match.ballots}):
            rows["seats"].append({"match_id": ident, "seat": f"{judge}/1", "role": "judge", "agent": judge})
        for number, (judge, choice) in enumerate(match.ballots, start=1):
            rows["verdicts"].append(
                {
                    "match_id": ident, "judge": judge, "model": f"lab/{judge}", "ballot": number, "choice": choice,
                    "order": "as_spoken", "status": "ok" if choice else "unparsed",
                }
            )  # fmt: skip
    return {name: frames.frame(name, held) for name, held in rows.items()}


def run(folder: Path, matches: Sequence[Match], settings: Mapping[str, Any] | None = None) -> Path:
    """A run directory with these matches; an imported one unless it has settings."""
    folder.mkdir(parents=True)
    frames.write(folder / "tables", tables(matches))
    if settings is not None:
        (folder / "experiment.yaml").write_text(yaml.safe_dump(dict(settings)))
    return folder


def met(first: str, second: str, wins: int, losses: int, topics: int = 4, **how: Any) -> list[Match]:
    """So many wins of the first agent and so many losses in mirrored seats, each once in either seat, over topics."""
    won = [True] * wins + [False] * losses
    return [
        match
        for number, first_won in enumerate(won)
        for match in (
            Match(first, second, [("j", PRO if first_won else OPP)], topic=f"T{number % topics}", **how),
            Match(second, first, [("j", OPP if first_won else PRO)], topic=f"T{number % topics}", **how),
        )
    ]


def everybody(**how: Any) -> list[Match]:
    """Three agents, the first the strongest."""
    return [*met("ann", "bob", 6, 2, **how), *met("bob", "cat", 5, 3, **how), *met("ann", "cat", 7, 1, **how)]


def asked(arena: Arena, *arguments: str | Path) -> dict[str, Any]:
    said = arena("rate", *arguments, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def refused(arena: Arena, *arguments: str | Path) -> str:
    said = arena("rate", *arguments, *FAST)
    assert said.code == 2
    assert not said.out
    return said.err
