"""What a run has done and is waiting for: counted while it plays, shown on standard error."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from arena.inert import inert
from arena.stats.elo import updated
from arena.types import Answer, Completion, Errand

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from agents.budget import Budget
    from agents.limits import Limiter

PLAIN_EVERY_S = 10.0
LEADING = 5
"""Agents whose Elo is shown."""


class Crew(Protocol):
    """Whoever plays."""

    @property
    def waiting(self) -> str:
        """What it waits for beside answers, in words; empty where for nothing."""
        ...


@dataclass(slots=True)
class Progress:
    """Counts of a run under way."""

    matches: int = 0
    finished: int = 0
    """Matches that have reached their outcome, in earlier sessions too."""
    resumed: int = 0
    """Of these, in earlier sessions."""
    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    """Calls of models without a known price."""
    stopping: str | None = None
    note: str = ""
    """How the tournament stands."""
    elo: Mapping[str, float] = field(default_factory=dict[str, float])
    """Of whoever has met another, for the display alone."""
    limiter: Limiter | None = None
    budget: Budget | None = None
    crew: Crew | None = None
    begun: float = field(default_factory=time.monotonic)

    def planned(self, matches: int, finished: int) -> None:
        """Take in more matches, some of which were finished in earlier sessions."""
        self.matches += matches
        self.finished += finished
        self.resumed += finished

    def scored(self, agents: Sequence[str], score: float | None) -> None:
        """Take in what the first of the agents got of a match."""
        self.finished += 1
        if score is not None and len(agents) == 2 and agents[0] != agents[1]:
            self.elo = updated(self.elo, agents[0], agents[1], score)

    @property
    def leading(self) -> str:
        """Who leads, in words; empty where fewer than three have met."""
        best = sorted(self.elo, key=lambda name: -self.elo[name])
        more = f" and {len(best) - LEADING} more" if len(best) > LEADING else ""
        told = ", ".join(f"{name} {self.elo[name]:.0f}" for name in best[:LEADING])
        return f"Elo so far: {told}{more}" if len(best) > 2 else ""

    def answered(self, errand: Errand, answer: Answer) -> None:
        self.calls += 1
        if not isinstance(answer, Completion):
            self.failed += 1
            return
        self.input_tokens += answer.usage.input
        self.output_tokens += answer.usage.output
        self.cost_usd += answer.cost_usd or 0.0
        self.unpriced += answer.cost_usd is None

    @property
    def in_flight(self) -> int:
        return self.limiter.in_flight.total() if self.limiter else 0

    @property
    def waiting(self) -> str:
        """What is being waited for, in words."""
        if self.limiter is None:
            return ""
        if self.stopping:
            return f"{self.stopping}; waiting for {self.in_flight} replies under way"
        reasons = [*self.limiter.waiting, *filter(None, [inert(self.crew.waiting) if self.crew else ""])]
        if self.budget and (held := [f"{n} {who}" for who, n in self.budget.waiting.items() if n]):
            reasons.append(f"{' and '.join(held)} wait until what is held of the budget comes free")
        if backing_off := [f"{n} {why.replace('_', ' ')}" for why, n in self.limiter.backing_off.items() if n]:
            reasons = [f"backing off: {', '.join(backing_off)}", *reasons]
        if reasons:
            return "; ".join(reasons)
        slowest = self.limiter.in_flight.most_common(1)
        return f"waiting for {slowest[0][0]}" if slowest and slowest[0][1] else ""

    @property
    def spending(self) -> str:
        """What was spent, and of which budget."""
        spent = money(self.cost_usd, self.unpriced)
        return " · ".join([spent, *map(str, self.budget.scopes if self.budget else ())])

    @property
    def left_s(self) -> float | None:
        """Seconds left, from the pace of this session."""
        done = self.finished - self.resumed
        if not done:
            return None
        return (time.monotonic() - self.begun) / done * (self.matches - self.finished)

    def line(self) -> str:
        """The state in a line."""
        parts = [
            f"{self.finished}/{self.matches} matches",
            f"{self.in_flight} calls in flight",
            f"{self.calls:,} calls",
            f"{self.input_tokens + self.output_tokens:,} tokens",
            self.spending,
        ]
        if self.left_s is not None:
            parts.append(f"{clock(self.left_s)} left")
        if self.failed:
            parts.append(f"{self.failed} failed")
        # Names of models and agents are not ours.
        return inert(" · ".join(filter(None, (*parts, self.waiting, self.note))))


def money(usd: float, unpriced: int) -> str:
    """A sum of money that says when it is not the whole of it."""
    said = f"${usd:.2f}" if usd >= 0.1 or not usd else f"${usd:.4f}"
    return f"{said} + {unpriced:,} calls without a known price" if unpriced else said


def clock(seconds: float) -> str:
    """A duration for people."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


@contextmanager
def shown(progress: Progress, quiet: bool = False) -> Generator[None]:
    """Show a run's progress on standard error while the body runs: live on a terminal, else a line now and then."""
    if quiet:
        yield
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        ticker = asyncio.get_running_loop().create_task(_tick(progress))
        try:
            yield
        finally:
            ticker.cancel()
            print(progress.line(), file=sys.stderr, flush=True)
        return
    with _live(progress, console):
        yield


async def _tick(progress: Progress) -> None:
    while True:
        await asyncio.sleep(PLAIN_EVERY_S)
        print(progress.line(), file=sys.stderr, flush=True)


@contextmanager
def _live(progress: Progress, console: Console) -> Generator[None]:
    from rich.live import Live

    with Live(get_renderable=lambda: _rendered(progress), console=console, refresh_per_second=8, transient=True):
        yield


def _rendered(progress: Progress) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for _ in range(4):
        grid.add_column()
    grid.add_row(
        Text(f"{progress.finished}/{progress.matches} matches", style="bold"),
        ProgressBar(total=max(progress.matches, 1), completed=progress.finished, width=32),
        Text(clock(time.monotonic() - progress.begun), style="dim"),
        Text("" if progress.left_s is None else f"{clock(progress.left_s)} left", style="dim"),
    )
    detail = (
        f"{progress.calls:,} calls, {progress.in_flight} in flight · "
        f"{progress.input_tokens:,} tokens in, {progress.output_tokens:,} out · "
        f"{progress.spending}"
    )
    failed = f" · {progress.failed} failed" if progress.failed else ""
    notes = [Text(inert(line)) for line in (progress.note, progress.leading) if line]
    return Group(grid, Text(detail + failed), *notes, Text(inert(progress.waiting) or " ", style="dim"))
