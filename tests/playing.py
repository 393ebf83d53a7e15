"""For tests of every game: experiments to play, a model that is a function of what it is asked, and tables to compare."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from agents.models.errors import NotFound
from agents.models.registry import Models
from agents.models.simulated import Preset, SimulatedModel
from arena import config, driver, frames, ledger, named, reread, run
from arena.match import Setting
from arena.types import Completion, Experiment, Request

GAMES = named.names("arena.games")

WHEN = ("started_at", "ended_at", "latency_s")
"""Columns that two equal runs need not share."""


@cache
def _composed(*overrides: str) -> dict[str, Any]:
    return config.compose(overrides)


def experiment(game: str, folder: Path, **params: Any) -> Experiment:
    """Two matches of any game between `test/a` and `test/b`, with two judges. `params` are the game's."""
    panel = "reader" if game == "reread" else "panel"
    topics = "questions" if game == "matchup" else "motions"
    resolved = copy.deepcopy(_composed(f"game={game}", f"judge={panel}", f"topics={topics}", "topics.limit=1"))
    if game == "matchup":
        del resolved["topics"]["questions"][0]["items"][3:]
        resolved["game"]["params"] |= {"matchups": 1, "samples": 1}
    resolved["agents"] = {name: {"model": f"test/{name}"} for name in "ab"}
    resolved["judge"]["judges"] = {name: {"model": f"test/{name}"} for name in "xy"}
    resolved["game"]["params"] |= params
    resolved["game"]["prompts"] = resolved["game"]["prompts"] or _composed()["game"]["prompts"]
    resolved["provider"]["test"] = {"api": "scripted"}
    resolved["limits"]["concurrency"] = 4
    resolved["runs"] = str(folder)
    if game == "rejudge":
        resolved["given"] = str(_given(folder))
    if game == "reread":
        resolved = reread.configuration(folder, _reasoning(), resolved, folder)
    return config.experiment(resolved)


def _given(folder: Path) -> Path:
    path = folder / "given.jsonl"
    said = [
        {
            "step": step, "round": step + 1, "phase": phase, "seat": seat, "part": "speech", "audience": [],
            "value": f"{seat} {phase}", "text": f"{seat} {phase}", "shown": "", "status": "ok",
        }
        for step, phase in enumerate(("opening", "closing"))
        for seat in ("proposition", "opposition")
    ]  # fmt: skip
    path.write_text("\n".join(json.dumps({"number": number, "given": said}) for number in range(2)))
    return path


def _reasoning() -> reread.Material:
    rows = [
        {
            "match_id": "recorded", "round": 1, "phase": "opening", "seat": seat, "model": f"test/{seat}",
            "reasoning": f"(Simulated reasoning.) The log-odds stand at {log_odds}.", "name": None,
            "topic_id": "motion", "topic": "This house reads.",
        }
        for seat, log_odds in (("proposition", "+1.00"), ("opposition", "-0.50"))
    ]  # fmt: skip
    return reread.Material(pd.DataFrame(rows), {})


@dataclass
class Seeded:
    """Answers that depend on the request and a nonce; some are malformed, some fail for good. Counts what it answered."""

    nonce: int = 0
    malformed: float = 0.2
    failing: float = 0.05
    answered: Counter[str] = field(default_factory=Counter)
    requests: list[Request] = field(default_factory=list)

    async def complete(self, request: Request) -> Completion:
        draws = random.Random(f"{self.nonce}{request.digest}")
        for _ in range(draws.randrange(5)):
            await asyncio.sleep(0)
        self.requests.append(request)
        self.answered[self.place(request)] += 1
        if draws.random() < self.failing:
            raise NotFound("nobody there")
        if draws.random() < self.malformed:
            return Completion(
                draws.choice(["", "no tags", "<private_confidence>NaN</private_confidence>"]), cost_usd=0.0
            )
        preset = {"it": Preset(opening=draws.gauss(), rounding=5)}
        completion = SimulatedModel(preset).reply(
            Request("test/it", request.messages, request.sampling, request.occasion)
        )
        text = completion.text.replace("(Simulated", f"({self.nonce} {draws.random()} Simulated")
        return Completion(text, usage=completion.usage, model=request.model, cost_usd=0.0)

    @staticmethod
    def place(request: Request) -> str:
        occasion = request.occasion
        return f"{occasion.match_seed} {occasion.ask.step} {occasion.ask.slot} {occasion.attempt}"


def play(experiment: Experiment, folder: Path, model: Any, **how: Any) -> run.Run:
    """Play into a folder, or go on with what is there; the tables are not made."""
    sections = config.sections(experiment)
    if (folder / "experiment.yaml").exists():
        opened = run.Run(folder, Setting(experiment))
    else:
        opened = run.begin(folder, experiment, sections, {})
    models = Models(experiment.providers, 5)
    models.add("test", model)
    asyncio.run(driver.play(opened, sections, models, quiet=True, **how))
    return opened


def tables(opened: run.Run) -> dict[str, pd.DataFrame]:
    """The tables of a run without what may differ between equal runs: times, and calls that stand no more."""
    made = frames.tables(opened.played(opened.read()))
    made["calls"] = made["calls"].query("status not in ('in_flight', 'lost', 'superseded')")
    return {
        name: table.drop(columns=[column for column in WHEN if column in table]).reset_index(drop=True)
        for name, table in made.items()
    }


def assert_same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    """Row by row."""
    for name, table in one.items():
        pd.testing.assert_frame_equal(table, other[name])


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def dies_after(writes: int, torn: float | None) -> Iterator[list[int]]:
    """Let that many ledger records be written; the next is lost, or torn, and so is everything after it."""
    write, count = os.write, [0]

    def failing(file: int, data: bytes) -> int:
        if not data.startswith(b'{"kind"'):
            return write(file, data)
        count[0] += 1
        if count[0] <= writes:
            return write(file, data)
        if count[0] == writes + 1 and torn is not None:
            write(file, data[: int(len(data) * torn)])
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger.os, "write", failing)
        yield count
