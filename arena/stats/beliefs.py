"""From tables to arrays: what each side of each debate believed in each round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Tables = Mapping[str, pd.DataFrame]

NEEDED: dict[str, list[str]] = {
    "matches": ["match_id", "condition", "topic_id", "status", "winner"],
    "seats": ["match_id", "seat", "role", "model", "family"],
    "confidences": [
        "match_id", "condition", "topic_id", "round", "phase", "seat", "about", "audience", "elicitation", "value", "status",
        "flags",
    ],
    "verdicts": ["match_id", "judge", "model", "ballot", "choice", "probability", "order", "status"],
    "utterances": ["match_id", "seat", "part", "chars"],
    "answers": ["match_id", "topic_id", "round", "model", "correct", "status"],
    "preferences": ["match_id", "first", "second", "preferred", "status"],
    "calls": ["match_id", "calls", "seat", "model", "input_tokens", "output_tokens", "cost_usd", "status"],
    "readings": [
        "match_id", "round", "phase", "seat", "model", "reader", "reader_model", "ballot", "implied", "stated", "strategic",
        "assessment", "degree", "status",
    ],
}  # fmt: skip
"""The columns that statistics are made of, by table; no speech, reasoning or raw reply is among them."""


@dataclass(frozen=True)
class Beliefs:
    """The confidences of one condition that one audience heard, in order of debate, side and round.

    Every planned debate has its row, played or not, so that what is missing can be counted.
    """

    condition: str
    audience: str
    """`private` or `public`."""
    debates: NDArray[np.object_]
    """Match ids, or what `split` made of them."""
    topics: NDArray[np.object_]
    """Topic ids, one a debate."""
    sides: tuple[str, ...]
    phases: tuple[str, ...]
    c: NDArray[np.float64]
    """Confidences in [0, 1], (debates, sides, rounds); NaN where there is none."""
    models: NDArray[np.intp]
    """Who sits there, (debates, sides), as an index of `names`; -1 for nobody."""
    names: tuple[str, ...]
    won: NDArray[np.float64]
    """1, 0 or NaN where nobody won, (debates, sides)."""
    asked: NDArray[np.bool_]
    """(sides,): whether a confidence was ever asked of a side."""

    @cached_property
    def debate(self) -> NDArray[np.intp]:
        """The number of the debate, (debates, sides)."""
        return np.broadcast_to(np.arange(len(self.debates))[:, None], self.models.shape)

    @cached_property
    def everybody(self) -> list[tuple[str | None, Beliefs, NDArray[np.bool_]]]:
        """None with all debates and all seats; then each model with the debates it sits in and its seats there."""
        parts = ((model, self.only(model)) for model in self.names)
        return [
            (None, self, (self.models >= 0) & self.asked),
            *((model, part, part.of(model)) for model, part in parts if len(part.debates)),
        ]

    def only(self, model: str) -> Beliefs:
        """The debates in which a model sits where it is asked; the other seats of these are still there."""
        rows = self.of(model).any(axis=1)
        arrays = {name: getattr(self, name)[rows] for name in ("debates", "topics", "c", "models", "won")}
        return replace(self, **arrays)

    def of(self, model: str) -> NDArray[np.bool_]:
        """The seats of a model that are asked for a confidence, (debates, sides)."""
        return (self.models == self.names.index(model)) & self.asked

    def at(self, phase: str) -> NDArray[np.float64]:
        """The confidences of a phase, (debates, sides)."""
        return self.c[:, :, self.phases.index(phase)]

    @property
    def transitions(self) -> list[tuple[str, str]]:
        """Phases whose confidences are compared: neighbours, and first with last."""
        pairs = list(zip(self.phases, self.phases[1:], strict=False))
        return pairs if len(pairs) < 2 else [*pairs, (self.phases[0], self.phases[-1])]


def whole(values: NDArray[np.float64], seats: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The seats, (debates, sides), of the debates in which none of them lacks its value.

    A debate of which one side is missing would weigh the other side alone, so it is left out and counted as missing.
    """
    return seats & (np.isfinite(values) | ~seats).all(axis=1, keepdims=True)


def conditions(tables: Tables) -> list[str]:
    """The conditions of the tables, in order of their first match."""
    return [str(name) for name in pd.unique(tables["matches"]["condition"])]


def split(tables: Tables) -> dict[str, dict[str, pd.DataFrame]]:
    """The tables of each condition, their match ids replaced by the numbers of the debates: the rows of `Beliefs`."""
    matches = tables["matches"]
    which, kinds = pd.factorize(matches["condition"])
    within = matches.groupby("condition", sort=False).cumcount().to_numpy()
    of_match = {name: _place(matches["match_id"], table["match_id"]) for name, table in tables.items()}
    return {
        str(condition): {
            name: table[mine].assign(match_id=within[of_match[name][mine]])
            for name, table in tables.items()
            for mine in [np.append(which, -1)[of_match[name]] == number]
        }
        for number, condition in enumerate(kinds)
    }


def beliefs(tables: Tables, condition: str, audience: str | None = None) -> Beliefs | None:
    """The confidences of a condition that its sides win. `audience` None takes the private ones where there are any, else
    the public. None where there are none."""
    confidences = tables["confidences"]
    chosen = confidences[
        (confidences["condition"] == condition)
        & (confidences["about"] == "own_side_wins")
        & (confidences["elicitation"] == "verbalised")
    ]
    if audience is None:
        audience = "private" if (chosen["audience"] == "private").any() else "public"
    chosen = chosen[chosen["audience"] == audience]
    if chosen.empty:
        return None
    matches = tables["matches"]
    matches = matches[matches["condition"] == condition]
    debate: Any = pd.Index(matches["match_id"])
    seats = tables["seats"]
    seats = seats[(seats["role"] != "judge") & seats["match_id"].isin(debate)]
    sides = tuple(str(side) for side in pd.unique(seats["seat"]))
    # The last round of each, so that debates of fewer rounds do not put their closing before the others' last rebuttal.
    order = chosen.groupby("phase", sort=False)["round"].max().sort_values(kind="stable")
    phases = tuple(str(phase) for phase in order.index)
    c = np.full((len(debate), len(sides), len(phases)), np.nan)
    where = np.stack(
        [_place(debate, chosen["match_id"]), _place(sides, chosen["seat"]), _place(phases, chosen["phase"])]
    )
    known = (where >= 0).all(axis=0)
    row, column, phase = where[:, known]
    c[row, column, phase] = chosen["value"].to_numpy(dtype=float, na_value=np.nan)[known]
    asked = np.isin(np.arange(len(sides)), column)
    # In alphabetical order, so that what stands first does not depend on which match ended first.
    names = tuple(sorted(str(name) for name in pd.unique(seats["model"])))
    models = np.full((len(debate), len(sides)), -1)
    models[_place(debate, seats["match_id"]), _place(sides, seats["seat"])] = _place(names, seats["model"])
    winner = _place(sides, matches["winner"].fillna(""))
    won = np.where(winner[:, None] < 0, np.nan, winner[:, None] == np.arange(len(sides)))
    topics = matches["topic_id"].to_numpy(dtype=object)
    ids = matches["match_id"].to_numpy(dtype=object)
    return Beliefs(condition, audience, ids, topics, sides, phases, c, models, names, won, asked)


def _place(among: Any, column: Any) -> NDArray[np.intp]:
    """Where each value of a column stands among others; -1 where it does not."""
    codes, kinds = pd.factorize(column)
    place: Any = pd.Index(among).get_indexer(pd.Index(kinds))
    # A value that is missing has the code -1, and finds the last place.
    return np.append(place, -1)[codes]
