"""A run from its first match to its last: bounded, resumable, and stopped without losing a reply."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from agents.budget import Budget, Scope
from agents.limits import Limiter
from agents.models.registry import Models
from arena import ledger, local, tournament
from arena.cluster import Cluster
from arena.desk import Desk
from arena.local import Crew, Local
from arena.match import Setting
from arena.progress import Progress, shown
from arena.rehearsal import Foresight
from arena.run import Run, check
from arena.types import MatchSpec


def known(setting: Setting) -> Models:
    """The models of an experiment, not yet connected. Raises `ProviderError` if one of them does not exist."""
    names = setting.experiment.models
    models = local.models(setting.experiment, names)
    for name in names:
        models.known(name)
    return models


def ready(setting: Setting) -> Models:
    """The models of an experiment. Raises `ProviderError` if one of them cannot be called, before anything is played."""
    models = known(setting)
    if setting.experiment.runner.kind == "local" or setting.experiment.runner.keys == "driver":
        for name in setting.experiment.models:
            models.model(name)
    return models


async def play(
    run: Run,
    sections: Mapping[str, str],
    models: Models,
    *,
    retry_failed: bool = False,
    quiet: bool = False,
) -> str:
    """Play what is unfinished in a run. Returns what it was stopped by: `finished`, `interrupted`, `budget`, or the rule that
    stopped the tournament.

    Raises the provider's `Authentication` or `QuotaSpent` when it would not have us, `LedgerError`, `RunError`, `ClusterError` and
    `Diverged`; calls under way are answered and recorded first.
    """
    book = ledger.Ledger(run.ledger)
    try:
        reading = run.read()
        check(run, sections, reading)
        if reading.damaged:
            print(_damaged(reading), file=sys.stderr)
        book.begin(sections)
        if retry_failed:
            for history in reading.histories():
                if history.open_again():
                    book.retry(history.match)
            reading = run.read()
        limiter = Limiter(run.experiment.limits, run.experiment.providers)
        budget = Budget(run.experiment.budget)
        budget.begin(reading.spent)
        progress = Progress(limiter=limiter, budget=budget)
        desk = Desk(run.experiment, limiter, budget, book, progress.answered)
        crew = progress.crew = _crew(run, models, desk)
        try:
            with shown(progress, quiet):
                return await _Session(run, reading, book, desk, crew, progress).play()
        finally:
            await crew.close()
    finally:
        book.close()
        await models.close()


def _damaged(reading: ledger.Reading) -> str:
    places = ", ".join(reading.damaged[:5]) + (" ..." if len(reading.damaged) > 5 else "")
    return f"arena: {len(reading.damaged)} damaged records in the ledger ({places}); what stood there is asked again"


def _crew(run: Run, models: Models, desk: Desk) -> Crew:
    """Who plays the matches. Raises `ClusterError`."""
    if run.experiment.runner.kind == "local":
        return Local(run.setting, models, desk)
    return Cluster(run.experiment, run.experiment.runner, desk.ask)


@dataclass
class _Session:
    """A run being played."""

    run: Run
    reading: ledger.Reading
    book: ledger.Ledger
    desk: Desk
    crew: Crew
    progress: Progress
    scores: dict[str, float | None] = field(default_factory=dict[str, "float | None"])
    """What the first seat of each finished match got, where a schedule waits for results."""

    async def play(self) -> str:
        course = self.run.course(self.reading)
        if course is None:
            return await self._out(self.run.experiment.matches)
        self._score(course.matches)
        stopped_by = await self._out(course.matches)
        while stopped_by == "finished":
            spent = self.reading.spent_usd + self.progress.cost_usd
            decided = course.decide(self.scores, spent)
            self.book.round(tournament.record(decided))
            self.progress.note = tournament.said(course, spent / max(len(self.scores), 1))
            if decided.stop:
                return decided.stop
            round_ = course.matches[-len(decided.meetings) :]
            self._score(round_)
            stopped_by = await self._out(round_)
        return stopped_by

    def _score(self, specs: Sequence[MatchSpec]) -> None:
        for spec in specs:
            if (ended := self.reading.ended(spec.id)) is not None:
                self.scores[spec.id] = tournament.share(ended, tuple(spec.players))

    async def _out(self, specs: Sequence[MatchSpec]) -> str:
        """Play matches out, those that are unfinished. Returns what it was stopped by."""
        owed = {spec.id for spec in specs if not self.reading.is_over(spec.id)}
        self.progress.planned(len(specs), len(specs) - len(owed))
        queue = _Queue(self.run.setting, specs, owed, self.reading.matches, self.desk)

        async def player() -> None:
            while (spec := await queue.next()) is not None:
                ended = await self.crew.play(spec, self.reading.history(spec.id))
                self.desk.ended(spec.id, ended)
                queue.ended()
                self.scores[spec.id] = score = tournament.share(ended, tuple(spec.players))
                self.progress.scored([agent.name for agent in spec.players.values()], score)

        players = min(self.run.experiment.limits.concurrency, len(owed))
        return await _until_done(player, players, self.desk, self.book, self.progress)


class _Queue:
    """Matches to be played, in order. A mirrored pair is begun together, and only when the budget has what it needs."""

    def __init__(
        self, setting: Setting, specs: Sequence[MatchSpec], owed: Collection[str], begun: Collection[str], desk: Desk
    ):
        self._foresight, self._desk = Foresight(setting), desk
        groups = [(any(spec.id in begun for spec in pair), pair) for pair in tournament.pairs(specs)]
        # What was begun is played out first: the design stays balanced wherever the money ends.
        groups.sort(key=lambda group: not group[0])
        self._groups = deque(
            (going, here) for going, pair in groups if (here := [spec for spec in pair if spec.id in owed])
        )
        self._next: deque[MatchSpec] = deque()
        self._running = 0
        self._changed = asyncio.Event()

    async def next(self) -> MatchSpec | None:
        """The next match, once it may be begun; None when there is none, or none that may."""
        while not self._next:
            if not self._groups or self._desk.spent_out is not None:
                return None
            short = self._admit(*self._groups[0])
            if short is None:
                self._next += self._groups.popleft()[1]
            elif self._running:
                with self._desk.budget.waited_for("matches"):
                    self._changed.clear()
                    await self._changed.wait()
            else:
                self._desk.spent_out = short
        self._running += 1
        return self._next.popleft()

    def ended(self) -> None:
        """A match has ended, and what was set aside for it is free."""
        self._running -= 1
        self._changed.set()

    def _admit(self, begun: bool, group: Sequence[MatchSpec]) -> Scope | None:
        budget = self._desk.budget
        if not budget.rules.any:
            return None
        return budget.admit([spec.id for spec in group], self._foresight.needs(group), begun=begun)


async def _until_done(
    player: Callable[[], Coroutine[None, None, None]],
    players: int,
    desk: Desk,
    book: ledger.Ledger,
    progress: Progress,
) -> str:
    """Let the players play. Whatever stops them early (Ctrl-C, a provider that refuses us, a bug), nothing new leaves,
    and what is under way is awaited before they are cancelled."""
    limiter = desk.limiter
    playing = [asyncio.create_task(player()) for _ in range(players)]
    for task in playing:
        task.add_done_callback(lambda done: limiter.stop() if _failed(done) else None)
    everything = asyncio.gather(*playing, return_exceptions=True)
    drained = asyncio.create_task(limiter.drained())
    syncing = asyncio.create_task(_sync(book))
    try:
        with _interruptible(limiter, progress):
            await asyncio.wait({everything, drained}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (*playing, drained, syncing):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await everything
    for task in playing:
        if (problem := _failed(task)) is not None:
            raise problem
    if limiter.problem is not None:
        raise limiter.problem
    if progress.finished == progress.matches:
        return "finished"
    return "budget" if desk.spent_out is not None and not progress.stopping else "interrupted"


def _failed(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def _sync(book: ledger.Ledger) -> None:
    while True:
        await asyncio.sleep(ledger.SYNC_EVERY_S)
        await asyncio.to_thread(book.sync)


@contextmanager
def _interruptible(limiter: Limiter, progress: Progress) -> Generator[None]:
    """The first Ctrl-C lets nothing new leave and waits for what is under way; the second does not wait."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None

    def interrupted() -> None:
        if progress.stopping is None:
            progress.stopping = "stopping (Ctrl-C again to stop at once)"
            limiter.stop()
        else:
            this.cancel()

    try:
        loop.add_signal_handler(signal.SIGINT, interrupted)
    except (NotImplementedError, RuntimeError, ValueError):
        # Not in the main thread: whoever runs us there stops us by cancelling.
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
