"""For tests of the report: run directories made of tables alone, and a page as a browser takes it apart."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from arena import frames
from arena.report import page

SIDES = ("proposition", "opposition")
PHASES = ("opening", "rebuttal", "closing")

HOSTILE = (
    "<script>document.title='taken'</script><img src=x onerror=\"alert(1)\"> $\\frac{1}{2}$ \x1b[31m \u202e & 100 %"
)

Stated = Callable[[int, int, int], float | None]
"""What a side (0 or 1) of a debate states in a phase; None where it states nothing that can be read."""


def run(
    folder: Path,
    stated: Stated = lambda *_: 0.8,
    *,
    debates: int = 6,
    models: tuple[str, ...] = ("vendor/one", "vendor/two"),
    condition: str = "test",
    speech: str = "A speech.",
    topic: str = "A motion.",
    ballots: Callable[[int], str | None] = lambda n: SIDES[n % 2],
    finished: Callable[[int], bool] = lambda _: True,
) -> Path:
    """A run directory made of tables alone, as an import is. `ballots` gives each debate's verdict, None for one that failed."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in frames.COLUMNS}
    for n in range(debates):
        match = {"match_id": f"m{n}", "condition": condition, "topic_id": "t", "topic": topic}
        status = "finished" if finished(n) else "planned"
        rows["matches"].append({**match, "status": status, "winner": ballots(n) if finished(n) else None})
        seated = dict(zip(SIDES, (models[n % len(models)], models[(n + 1) % len(models)]), strict=True))
        for seat, model in {**seated, "judge": "vendor/judge"}.items():
            role = "judge" if seat == "judge" else "debater"
            rows["seats"].append({**match, "seat": seat, "role": role, "agent": model, "model": model})
        if not finished(n):
            continue
        for (depth, phase), (side, (seat, model)) in itertools.product(enumerate(PHASES), enumerate(seated.items())):
            value = stated(n, side, depth)
            said = {**match, "round": depth + 1, "phase": phase, "seat": seat, "agent": model, "model": model}
            for part, audience, text in (("speech", "public", speech), ("reasoning", "private", "I hide this.")):
                heard = {"part": part, "audience": audience, "text": text, "chars": len(text)}
                rows["utterances"].append({**said, **heard, "step": depth, "status": "ok"})
            believed = {"value": value, "status": "unparsed" if value is None else "ok"}
            kind = {"about": "own_side_wins", "audience": "private", "elicitation": "verbalised"}
            rows["confidences"].append({**said, **kind, **believed})
            tokens = {"calls": 1, "input_tokens": 1000, "output_tokens": 500, "status": "ok"}
            rows["calls"].append({**said, **tokens, "step": depth, "slot": side, "call": 0, "attempt": 0})
        ballot = {"choice": ballots(n), "status": "ok" if ballots(n) else "failed"}
        rows["verdicts"].append(
            {**match, "judge": "judge", "model": "vendor/judge", "ballot": 1, "order": "as_spoken", **ballot}
        )
    (folder / "tables").mkdir(parents=True)
    frames.write(folder / "tables", {name: frames.frame(name, some) for name, some in rows.items()})
    return folder


@dataclass
class Read(HTMLParser):
    """A page as a browser takes it apart: its elements, their attributes, and the text between them."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    @property
    def words(self) -> str:
        """The text on one line."""
        return " ".join(self.text.split())


def read(path: Path) -> Read:
    parser = Read()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def report(*runs: Path) -> Read:
    return read(page.write(list(runs), runs[0]).page)
