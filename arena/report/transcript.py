"""A match to read: what was said in order, what was said in private set apart, what is missing named.

Model text is hostile text: control characters are shown and not sent to the terminal, markup is inert in HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from arena.forms import Chosen, parts
from arena.history import Played
from arena.inert import inert
from arena.types import Utterance

Format = Literal["text", "markdown", "html"]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One thing to print."""

    kind: Literal["title", "note", "phase", "public", "private", "missing"]
    heading: str
    text: str


def paragraphs(played: Played) -> Iterator[Paragraph]:
    """The transcript, format aside."""
    spec = played.spec
    yield Paragraph("title", spec.name, spec.question.text)
    for seat in played.walk.match.seats:
        agent = played.agents[seat.name]
        simulated = " (simulated: no model wrote this)" if agent.model in played.simulated else ""
        yield Paragraph("note", seat.name, f"{agent.model}{simulated}")
    for said in spec.given:
        if said.seat not in played.agents:  # what was put to readers, and not laid on the table
            yield Paragraph("private", f"{said.seat}, {said.phase.replace('_', ' ')}, {said.part}, private", said.text)
    phase = None
    for said, items in zip(played.walk.table.transcript, _items(played), strict=True):
        if said.phase != phase:
            phase = said.phase
            yield Paragraph("phase", phase.replace("_", " ").capitalize(), "")
        yield _paragraph(said, items)
    for entry in played.history.in_flight():
        where = f"step {entry.key.step}, attempt {entry.key.attempt + 1}"
        yield Paragraph("missing", entry.seat, f"a call to {entry.model} never had an answer ({where})")
    outcome = played.walk.outcome
    if outcome is None:
        yield Paragraph("note", "not finished", "the match has no outcome yet")
        return
    decision = outcome.decision
    margin = "" if decision.margin is None else f", margin {decision.margin:.2f}"
    yield Paragraph("note", "outcome", f"{decision.winner or 'nobody'} wins ({decision.how}{margin})")
    for note in outcome.notes:
        yield Paragraph("note", "note", note)


def _items(played: Played) -> list[tuple[str, ...]]:
    """The items of the question that each utterance is about; what was laid on the table before is about none."""
    asked = [ask.items for ask, _ in played.walk.replies for _ in parts(ask.form).forms]
    return [()] * (len(played.walk.table.transcript) - len(asked)) + asked


def _paragraph(said: Utterance, items: tuple[str, ...]) -> Paragraph:
    private = not any(seat != said.seat for seat in said.audience)
    heading = f"{said.seat}, {said.part.replace('_', ' ')}"
    if items:
        heading += f" ({' against '.join(items)})"
    if said.status not in ("ok", "repaired"):
        return Paragraph("missing", heading, f"none ({said.status})")
    if said.status == "repaired":
        heading += " (read at a later attempt)"
    if private and "private" not in said.part:
        heading += ", private"
    return Paragraph("private" if private else "public", heading, _said(said))


def _said(said: Utterance) -> str:
    match said.value:
        case float() as value:
            return f"{100 * value:g} %"
        case Chosen() as chosen:
            return f"{chosen.choice}, with {100 * chosen.probability:g} %"
        case value:
            return str(value)


def rendered(played: Played, format: Format) -> str:
    """The transcript as plain text for a terminal, as Markdown, or as an HTML page."""
    renderer = {"text": _text, "markdown": _markdown, "html": _html}[format]
    return renderer(list(paragraphs(played)))


def _text(transcript: list[Paragraph]) -> str:
    lines: list[str] = []
    for paragraph in transcript:
        heading, text = _unbroken(inert(paragraph.heading)), inert(paragraph.text)
        match paragraph.kind:
            case "title":
                lines += [heading, "=" * len(heading), "", *_barred("", text, "  "), ""]
            case "note":
                lines.append(f"{heading}: {_unbroken(text)}")
            case "phase":
                lines += ["", heading, "-" * len(heading)]
            case "public":
                lines += ["", f"[{heading}]", *_barred("\u2502 ", text)]
            case "private":
                lines += ["", f"    [{heading}]", *_barred("    \u2506 ", text)]
            case "missing":
                lines += ["", f"[{heading}] {_unbroken(text)}"]
    return "\n".join(lines) + "\n"


def _barred(bar: str, text: str, later: str | None = None) -> list[str]:
    """Model text behind a bar on every line, so that nothing in it can pass for a line of ours. `later`: the bar of all
    lines but the first, where it is another."""
    first, *others = text.splitlines() or [""]
    return [f"{bar}{first}", *(f"{bar if later is None else later}{line}" for line in others)]


def _unbroken(text: str) -> str:
    """The text on one line: a name that holds a line break cannot pass for a line of ours either."""
    return " ".join(text.splitlines())


def _markdown(transcript: list[Paragraph]) -> str:
    lines: list[str] = []
    for paragraph in transcript:
        heading, text = _escaped(inert(paragraph.heading)), inert(paragraph.text)
        match paragraph.kind:
            case "title":
                lines += [f"# {heading}", "", _escaped(text), ""]
            case "note":
                lines.append(f"- **{heading}**: {_escaped(text)}")
            case "phase":
                lines += ["", f"## {heading}"]
            case "public":
                lines += ["", f"### {heading}", "", _fenced(text)]
            case "private":
                lines += ["", f"> **{heading}**", ">", *(f"> {line}" for line in _fenced(text).splitlines())]
            case "missing":
                lines += ["", f"*{heading}: {_escaped(text)}*"]
    return "\n".join(lines) + "\n"


def _html(transcript: list[Paragraph]) -> str:
    body: list[str] = []
    for paragraph in transcript:
        heading, text = html.escape(inert(paragraph.heading)), html.escape(inert(paragraph.text))
        match paragraph.kind:
            case "title":
                body.append(f"<h1>{heading}</h1><p class=motion>{text}</p>")
            case "phase":
                body.append(f"<h2>{heading}</h2>")
            case "note":
                body.append(f"<p class=note><b>{heading}</b>: {text}</p>")
            case "missing":
                body.append(f"<p class=missing><b>{heading}</b>: {text}</p>")
            case kind:
                body.append(f"<section class={kind}><h3>{heading}</h3><div>{text}</div></section>")
    before, between, after = _PAGE
    return "".join([before, html.escape(inert(transcript[0].heading)), between, "\n".join(body), after])


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{title}}</title><style>
:root { color-scheme: light dark; --line: #8886; --private: #b8860b22; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) } h3 { font-size: .9rem; margin: 0 0 .3rem }
.motion { font-size: 1.1rem } .note { margin: .2rem 0; font-size: .9rem } .missing { font-style: italic }
section { margin: 1rem 0; padding: .7rem 1rem; border: 1px solid var(--line); border-radius: .4rem }
section div { white-space: pre-wrap; overflow-wrap: anywhere }
.private { background: var(--private); border-style: dashed; margin-left: 2rem }
</style></head><body>
{{body}}
</body></html>
""".replace("{{title}}", "{{body}}").split("{{body}}")


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else c for c in " ".join(text.split()))


def _fenced(text: str) -> str:
    """Model text as a code block that nothing in it can close."""
    longest = max((len(run) for run in _backticks(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _backticks(text: str) -> list[str]:
    return re.findall("`+", text)
