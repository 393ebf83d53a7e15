"""Figures as SVG that follows the page: drawn in stand-in colours, which become CSS variables or plain colours.

A figure is one panel or several. The page lays panels out by its width; the file on disk holds them in one picture.
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from arena.inert import inert


class Ink(NamedTuple):
    """A colour in its two themes, and what stands for it while matplotlib draws."""

    stand_in: str
    variable: str
    light: str
    dark: str


INK = Ink("#01fe01", "--ink", "#1d2127", "#e8eaed")
MUTED = Ink("#01fe02", "--muted", "#5c6570", "#a3acb8")
GRID = Ink("#01fe03", "--grid", "#d5dae1", "#3b424c")
GROUND = Ink("#01fe05", "--ground", "#ffffff", "#16191d")
BAND = Ink("#01fe06", "--band", "#dfe3e8", "#30363f")
SHADE = Ink("#01fe04", "--shade", "#f6ded0", "#4a3327")
# Okabe and Ito's colours (2008), which readers with any kind of colour vision tell apart; lighter on dark ground.
SERIES = (
    Ink("#01fe11", "--series-1", "#0072b2", "#56a8e0"),
    Ink("#01fe12", "--series-2", "#d55e00", "#ff8b4a"),
    Ink("#01fe13", "--series-3", "#009e73", "#35c79d"),
    Ink("#01fe14", "--series-4", "#b4588f", "#e39ac6"),
    Ink("#01fe15", "--series-5", "#9a7400", "#e8b93c"),
    Ink("#01fe16", "--series-6", "#3f8fc4", "#a5dcff"),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
"""One a series, so that colour is never the only difference."""

PALETTE = (INK, MUTED, GRID, GROUND, BAND, SHADE, *SERIES)

FONT = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "svg.fonttype": "none",
    "svg.hashsalt": "arena",
    # A dollar sign in a model's name is a dollar sign.
    "text.parse_math": False,
    "font.size": 10.5,
    "axes.linewidth": 0.8,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 5,
    "ytick.major.pad": 4,
    "path.simplify": False,
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure: what it found, what to see in it, and its panels as SVG in stand-in colours."""

    name: str
    title: str
    caption: str
    panels: tuple[str, ...]
    columns: int = 1
    """Panels side by side in the file."""
    keys: tuple[tuple[str, Ink, str], ...] = ()
    """Legend: label, colour, marker."""


def styled() -> AbstractContextManager[None]:
    """Within it figures are drawn alike, whatever the reader's own matplotlibrc says."""
    return matplotlib.style.context(["default", _STYLE])


def series(number: int) -> tuple[Ink, str]:
    """Colour and marker of the n-th series."""
    return SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]


def panel(
    width: float, height: float, margins: tuple[float, float, float, float], title: str = ""
) -> tuple[Figure, Axes]:
    """A figure of one axes in CSS pixels, to be made and drawn within `styled`; `margins` are left, right, top and bottom."""
    left, right, top, bottom = margins
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID.stand_in)
    axes.tick_params(colors=MUTED.stand_in, labelsize=10)
    axes.set_axisbelow(True)
    if title:
        figure.text(
            4 / width,
            1 - 3 / height,
            inert(title),
            ha="left",
            va="top",
            color=INK.stand_in,
            fontsize=11,
            fontweight="bold",
        )
    return figure, axes


def svg(figure: Figure, label: str) -> str:
    """The figure as an `<svg>` element in stand-in colours, small and the same at every drawing."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # What matplotlib's own font lacks, the reader's has.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(<g)\s+id="[^"]*"', r"\1", text)
    text = re.sub(r"(?<=\d\.\d\d)\d+", "", text)
    text = text.replace("'DejaVu Sans', sans-serif", FONT)
    text = re.sub(r">\s+<", "><", text)
    text = re.sub(r"\n+\s*", " ", text)
    head = f'<svg role="img" aria-label="{escape(inert(label))}" xmlns="http://www.w3.org/2000/svg"'
    return re.sub(
        r"<svg\b[^>]*?(viewBox=\"[^\"]*\")[^>]*>",
        rf'{head} xmlns:xlink="http://www.w3.org/1999/xlink" \1>',
        text,
        count=1,
    )


def inline(drawing: str) -> str:
    """For the page: colours are its CSS variables."""
    for ink in PALETTE:
        drawing = drawing.replace(ink.stand_in, f"var({ink.variable},{ink.light})")
    return drawing


def standalone(drawn: Drawn) -> str:
    """For a file: title, legend, panels and caption in one SVG of plain colours, on no ground."""
    sizes = [_size(text) for text in drawn.panels]
    width, height = max(size[0] for size in sizes), max(size[1] for size in sizes)
    columns = min(drawn.columns, len(drawn.panels))
    rows = -(-len(drawn.panels) // columns)
    whole = max(width * columns, 360.0)
    parts: list[str] = []
    y = 8.0
    for line in textwrap.wrap(inert(drawn.title), int(whole / 8.2)):
        y += 17
        parts.append(_text(8, y, line, INK, "bold 14px"))
    for label, ink, _ in drawn.keys:
        y += 17
        parts.append(f'<circle cx="13" cy="{y - 4:g}" r="4.5" fill="{ink.stand_in}"/>')
        parts.append(_text(24, y, inert(label), INK, "11px"))
    y += 12
    for number, text in enumerate(drawn.panels):
        x, down = (number % columns) * width, y + (number // columns) * height
        size = sizes[number]
        parts.append(text.replace("<svg ", f'<svg x="{x:g}" y="{down:g}" width="{size[0]:g}" height="{size[1]:g}" ', 1))
    y += rows * height
    for line in textwrap.wrap(inert(drawn.caption), int(whole / 6.2)):
        y += 14
        parts.append(_text(8, y, line, MUTED, "11px"))
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{whole:g}" height="{y + 10:g}" viewBox="0 0 {whole:g} {y + 10:g}">{"".join(parts)}</svg>\n'
    )
    for ink in PALETTE:
        text = text.replace(ink.stand_in, ink.light)
    return text


def _text(x: float, y: float, words: str, ink: Ink, font: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" style="font: {font} {FONT}" fill="{ink.stand_in}">{escape(words)}</text>'


def _size(drawing: str) -> tuple[float, float]:
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)
    assert found
    return float(found.group(1)), float(found.group(2))


def short(names: Sequence[str], most: int = 22) -> dict[str, str]:
    """Names as they fit into a figure: as little of each as tells them apart, cut where that is still too long."""
    ways: tuple[Callable[[str], str], ...] = (
        lambda name: name.rsplit("/", 1)[-1].split(":", 1)[0],
        lambda name: name.rsplit("/", 1)[-1],
        lambda name: name,
    )
    for way in ways:
        cut = {name: _cut(inert(way(name)), most) for name in names}
        if len(set(cut.values())) == len(cut):
            return cut
    return {name: f"{inert(name)[: most - 5]} ({number})" for number, name in enumerate(dict.fromkeys(names), 1)}


def _cut(word: str, most: int) -> str:
    return word if len(word) <= most else f"{word[: most - 6]}…{word[-5:]}"
