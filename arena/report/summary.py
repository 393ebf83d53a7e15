"""A run in a few lines: confidence by phase, who won, what is missing, what it cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from arena import frames
from arena.inert import inert
from arena.progress import money

MOST_AGENTS = 12
"""Agents that get a row of their own; the tables hold all."""

NEEDED: dict[str, list[str]] = {
    "matches": ["match_id", "status", "decision", "winner"],
    "seats": ["match_id", "seat", "role", "agent", "model"],
    "confidences": ["round", "phase", "agent", "about", "audience", "elicitation", "value", "status"],
    "verdicts": ["status"],
    "calls": ["input_tokens", "output_tokens", "cost_usd", "most_usd", "finish", "status"],
    "readings": ["status"],
    "answers": ["round", "answer", "correct", "status"],
    "preferences": ["status"],
}
"""The columns that a summary is made of, by table; no text is among them but what questions were answered."""

Tables = Mapping[str, pd.DataFrame]


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """What a run's summary is made of. Raises `FileNotFoundError`."""
    return frames.together([folder], NEEDED)


def facts(tables: Tables, simulated: Collection[str]) -> dict[str, Any]:
    """The summary as plain values. `simulated` names the models that are none."""
    matches, calls = tables["matches"], tables["calls"]
    spent = calls[~calls["status"].isin(("in_flight", "lost"))]
    models = set(tables["seats"]["model"])
    return {
        "matches": _counts(matches["status"]),
        "decisions": _counts(matches.loc[matches["status"] == "finished", "decision"]),
        "winners": _counts(matches["winner"].dropna()),
        "confidences": _counts(tables["confidences"]["status"]),
        "ballots": _counts(tables["verdicts"]["status"]),
        "readings": _counts(tables["readings"]["status"]),
        "answers": _counts(_marked(tables["answers"])),
        "preferences": _counts(tables["preferences"]["status"]),
        "calls": _counts(calls["status"]),
        "tokens": {"input": int(spent["input_tokens"].sum()), "output": int(spent["output_tokens"].sum())},
        "cost_usd": float(spent["cost_usd"].sum()),
        "unanswered_usd_at_most": float(calls.loc[calls["status"].isin(("in_flight", "lost")), "most_usd"].sum()),
        "failures": _counts(calls.loc[calls["status"] == "failed", "finish"]),
        "unpriced_calls": int((spent["cost_usd"].isna() & spent["input_tokens"].notna()).sum()),
        "simulated": sorted(models & set(simulated)),
        "confidence_by_phase": [
            {str(key): _plain(value) for key, value in row.items()} for row in by_phase(tables).to_dict("records")
        ],
    }


def _marked(answers: pd.DataFrame) -> pd.Series[Any]:
    """Whether each question's answer is right, samples aside; why not known where it is not."""
    first = answers[answers["round"] == 1]
    marks = first["correct"].map({True: "right", False: "wrong"}).astype("string")
    return marks.fillna(first["status"].where(first["answer"].isna(), "without a key"))


def by_phase(tables: Tables) -> pd.DataFrame:
    """Mean and n of the confidences that were read, by agent, audience and phase; probabilities in [0, 1]."""
    grouped = _stated(tables).groupby(["audience", "agent", "round", "phase"], sort=True)["value"]
    return grouped.agg(mean="mean", n="count").reset_index()


def _stated(tables: Tables) -> pd.DataFrame:
    """The confidences that were read; not those that were made of several answers."""
    confidences = tables["confidences"]
    return confidences[confidences["value"].notna() & (confidences["elicitation"] == "verbalised")]


def rendered(tables: Tables, simulated: Collection[str]) -> RenderableType:
    """The summary for a terminal."""
    known = facts(tables, simulated)
    parts: list[RenderableType] = []
    if known["simulated"]:
        parts.append(Text(inert(f"Simulated seats, no model: {', '.join(known['simulated'])}"), style="yellow"))
    parts += [_confidence_table(tables, audience) for audience in _audiences(tables)]
    players = tables["seats"].query("role != 'judge'")
    if players["match_id"].duplicated().any():
        parts.append(_wins_table(tables))
    parts += [Text(inert(line)) for line in _sentences(known)]
    return Group(*parts)


def _audiences(tables: Tables) -> list[str]:
    return sorted(set(tables["confidences"]["audience"]))


def _confidence_table(tables: Tables, audience: str) -> Table:
    means = by_phase(tables)
    means = means[means["audience"] == audience].sort_values("round")
    phases = list(dict.fromkeys(means["phase"]))
    every = _stated(tables).query("audience == @audience")
    of = "being right" if (every["about"] == "answer_correct").all() else "winning"
    table = Table(
        title=f"{audience.capitalize()} confidence of {of}, mean in percent (n)",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("agent")
    for phase in phases:
        table.add_column(Text(inert(phase.replace("_", " "))), justify="right")
    grouped = list(means.groupby("agent"))
    for agent, rows in grouped[:MOST_AGENTS]:
        cells = {row["phase"]: f"{100 * row['mean']:.1f} ({row['n']})" for _, row in rows.iterrows()}
        table.add_row(Text(inert(str(agent))), *(cells.get(phase, "-") for phase in phases))
    _more(table, len(grouped))
    table.add_section()
    together = [every.loc[every["phase"] == phase, "value"] for phase in phases]
    table.add_row("all", *(f"{100 * values.mean():.1f} ({len(values)})" for values in together), style="bold")
    return table


def _wins_table(tables: Tables) -> Table:
    seats = tables["seats"].query("role != 'judge'")
    matches = tables["matches"]
    merged = seats.merge(matches[["match_id", "status", "winner"]], on="match_id", suffixes=("", "_match"))
    done = merged[merged["status"] == "finished"]
    table = Table(title="Who won", title_justify="left", box=SIMPLE_HEAD)
    for column in ("agent", "won", "lost", "undecided"):
        table.add_column(column, justify="left" if column == "agent" else "right")
    grouped = list(done.groupby("agent"))
    for agent, rows in grouped[:MOST_AGENTS]:
        decided = rows["winner"].notna()
        won = int((rows["winner"] == rows["seat"]).fillna(False).sum())
        table.add_row(Text(inert(str(agent))), str(won), str(int(decided.sum()) - won), str(int((~decided).sum())))
    _more(table, len(grouped))
    table.add_section()
    for seat, rows in done.groupby("seat", sort=False):
        decided = rows["winner"].notna()
        won = int((rows["winner"] == rows["seat"]).fillna(False).sum())
        table.add_row(
            Text(inert(f"as {seat}")), str(won), str(int(decided.sum()) - won), str(int((~decided).sum())), style="dim"
        )
    return table


def _more(table: Table, agents: int) -> None:
    if agents > MOST_AGENTS:
        table.add_row(f"... and {agents - MOST_AGENTS} more", *("" for _ in table.columns[1:]), style="dim")


def _sentences(known: Mapping[str, Any]) -> list[str]:
    return [
        f"Matches: {_listed(known['matches'])}. Confidences: {_listed(known['confidences'])}. "
        f"Ballots: {_listed(known['ballots'])}." + _readings(known["readings"]) + _answers(known),
        f"Calls: {_listed(known['calls'])}; {known['tokens']['input']:,} tokens in, "
        f"{known['tokens']['output']:,} out; {money(known['cost_usd'], known['unpriced_calls'])}"
        f"{_lost(known['unanswered_usd_at_most'])}.",
        *_failures(known["failures"]),
    ]


def _readings(counts: Mapping[str, int]) -> str:
    return f" Readings of reasoning: {_listed(counts)}." if counts else ""


def _answers(known: Mapping[str, Any]) -> str:
    if not known["answers"]:
        return ""
    return f" Answers: {_listed(known['answers'])}. Pairs of answers: {_listed(known['preferences'])}."


def _lost(usd: float) -> str:
    return f", and up to {money(usd, 0)} for calls whose reply never came" if usd else ""


def _failures(kinds: Mapping[str, int]) -> list[str]:
    if not kinds:
        return []
    return [f"Calls that failed for good: {_listed(kinds)}. To ask them again: arena resume RUN --retry-failed"]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items()) or "none"


def _counts(column: pd.Series[Any]) -> dict[str, int]:
    return {str(name): int(n) for name, n in column.value_counts().items()}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
