"""The debates that every contender of benchmarks/calling.py plays: six sequential calls, each prompt the debate so far.

Standard library only: contenders that live in another environment import it too.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

MODELS = ("gpt-4o", "gpt-4o-mini")
"""Who speaks first and second in a debate; both have a price, so that a budget can be kept."""

TURNS = 6
PHASES = ("opening", "rebuttal", "closing")
BRIEF = (
    "You take part in a formal debate. " + "Speak to the motion, meet the other side's arguments, and be brief. " * 10
)
INSTRUCTION = "Give your {phase} speech on the motion. " + "Say in tags how sure you are that you will win. " * 8


def speech(chars: int) -> str:
    """What every model of the endpoint says: a speech of so many characters, with all that a debater is asked for."""
    words = "evidence principle cost duty market policy harm benefit burden reform risk "
    spoken = (words * (chars // len(words) + 1))[:chars]
    return (
        f"{spoken}\n<private_reasoning>The case is sound.</private_reasoning>\n"
        "<private_confidence>70</private_confidence>"
    )


def chat(said: Sequence[str]) -> list[dict[str, str]]:
    """What the next speaker is sent after these speeches: what it said is the assistant's, what it heard the user's."""
    turn = len(said)
    messages, heard = [{"role": "system", "content": BRIEF}], ""
    for number in range(turn + 1):
        if number % 2 != turn % 2:
            heard = f"Your opponent said:\n{said[number]}\n\n"
            continue
        messages.append({"role": "user", "content": heard + INSTRUCTION.format(phase=PHASES[number // 2])})
        if number < turn:
            messages.append({"role": "assistant", "content": said[number]})
    return messages


def spent() -> dict[str, float]:
    """What this process has used so far: its CPU seconds, its children's apart, and its peak memory in MB."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_s": own.ru_utime + own.ru_stime,
        "children_cpu_s": children.ru_utime + children.ru_stime,
        "peak_mb": own.ru_maxrss / 1024,
    }


def report(play: Callable[[], Any]) -> None:
    """Play, and print as JSON what start-up and playing took."""
    start = spent()
    began = time.perf_counter()
    play()
    wall_s = time.perf_counter() - began
    print(json.dumps({"start_cpu_s": start["cpu_s"], "wall_s": wall_s, **spent()}))
