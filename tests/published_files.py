"""For tests of imports: files of the published study's layout, in words of ours."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

from arena.imports import Imported
from arena.imports.llms_overconfidence import CONDITIONS

SIDES = ("proposition", "opposition")
PHASES = ("opening", "rebuttal", "closing")
WORDS = "A speech in our own words, for tests, that is long enough to be none of the stubs. " * 5
THOUGHTS = "Private reasoning in our own words, for tests, that is long enough to be no placeholder and not short. " * 2


def tokens(calls: int, failed: int = 0) -> dict[str, int]:
    return {
        "successful_calls": calls,
        "failed_calls": failed,
        "successful_completion_tokens": 100 * calls,
        "successful_prompt_tokens": 1000 * calls,
        "successful_total_tokens": 1100 * calls,
        "failed_completion_tokens": 0,
        "failed_prompt_tokens": 0,
        "failed_total_tokens": 0,
    }


def debate(
    kind: str = "private_bet", models: tuple[str, str] = ("lab/one", "lab/two:free"), motion: str = "We would test."
) -> dict[str, Any]:
    """A debate as the study's program writes it. Bets rise from 60 by ones in the order of speaking."""
    phases = ("opening", "rebuttal_1", "rebuttal_2", "closing") if kind == "private_self_bet" else PHASES
    turns = [(side, phase) for phase in phases for side in SIDES]
    made: dict[str, Any] = {
        "motion": {"topic_description": motion},
        "debate_type": kind,
        "path_to_store": "somewhere/else.json",
        "proposition_model": models[0],
        "opposition_model": models[1],
        "prompts": {"first_speech_prompt": "Speak."},
        "debator_bets": [
            {"side": side, "speech_type": phase, "amount": 60 + n, "thoughts": f"{THOUGHTS}{n}"}
            for n, (side, phase) in enumerate(turns)
        ],
    }
    for side in SIDES:
        made[f"{side}_output"] = {"side": side, "speeches": {phase: f"{WORDS}{side} {phase}" for phase in phases}}
    if kind != "private_self_bet":  # the script of the longest debates counts nothing
        made |= {"judge_models": [], "judge_results": [], "judge_token_counts": {}}
        made["debator_token_counts"] = {model: tokens(6 // len(set(models))) for model in dict.fromkeys(models)}
    return made


def ballot(judge: str, winner: str, confidence: int) -> dict[str, Any]:
    logic = f"<winnerName>{winner.capitalize()}</winnerName> <confidence>{confidence}</confidence> since it is a test"
    return {"model": judge, "winner": winner, "confidence": confidence, "logic": logic}


def judged(*ballots: dict[str, Any], **different: Any) -> dict[str, Any]:
    calls = Counter(cast["model"] for cast in ballots)
    counts = {model: tokens(n) for model, n in calls.items()}
    return debate(**different) | {"judge_results": list(ballots), "judge_token_counts": counts}


def put(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def clone(folder: Path) -> Path:
    """A clone with one debate of each condition."""
    for n, kind in enumerate(CONDITIONS):
        models = ("lab/one", "lab/two:free") if kind == "private_bet" else ("lab/one", "lab/one")
        put(folder / "experiments", f"folder_{n}/debate_{n}_2025031{n}_101500.json", debate(kind, models))
    put(folder, "config_data/topic_list.json", ["no debate, and no business of ours"])
    put(folder, "experiments/log_files/self.log", b"no debate either")
    put(folder, ".git/x.json", b"{")
    return folder


def packed(folder: Path, archive: Path, mode: str = "w:gz") -> Path:
    with tarfile.open(archive, mode) as tar:  # pyright: ignore
        tar.add(folder, arcname=folder.name)
    return archive


def whys(found: Imported) -> dict[str, str]:
    return {one.file: one.why for one in found.left_out}
