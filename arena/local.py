"""Many matches in this process: bounded, resumable, and stopped without losing a reply."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress

from agents.limits import Limiter
from agents.models.registry import Models
from arena import ledger, match, tournament
from arena.history import History
from arena.progress import Progress, shown
from arena.run import Run
from arena.types import MatchSpec


def known(setting: match.Setting) -> Models:
    """The models of an experiment, not yet connected. Raises `ProviderError` if one of them does not exist."""
    experiment = setting.experiment
    models = Models(experiment.providers, experiment.limits.timeout_s)
    for name in _names(setting):
        models.known(name)
    return models


def _names(setting: match.Setting) -> list[str]:
    experiment = setting.experiment
    specs = (setting.specs(spec).values() for spec in experiment.matches)
    return sorted({agent.model for agents in (*specs, experiment.agents.values()) for agent in agents})


def ready(setting: match.Setting) -> Models:
    """The models of an experiment. Raises `ProviderError` if one of them cannot be called, before anything is played."""
    models = known(setting)
    for name in _names(setting):
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
    """Play what is unfinished in a run. Returns what it was stopped by: `finished`, `interrupted`, or the rule that stopped
    the tournament.

    Raises the provider's `Authentication` when it would not have us, `LedgerError`, and `Diverged`; calls under way are
    answered and recorded first.
    """
    experiment = run.experiment
    book = ledger.Ledger(run.ledger)
    try:
        reading = run.read()
        book.begin(sections)
        limiter = Limiter(experiment.limits)
        progress = Progress(limiter=limiter)
        caller = match.Caller(experiment, models, limiter, book, progress.answered)
        scores: dict[str, float | None] = {}
        """What the first seat of each finished match got."""

        async def out(specs: Sequence[MatchSpec]) -> str:
            """Play matches out, those that are unfinished."""
            owed = [spec for spec in specs if _owed(reading.history(spec.id), book, retry_failed)]
            progress.planned(len(specs), len(specs) - len(owed))
            for spec in specs:
                if (ended := reading.history(spec.id).ended) is not None:
                    scores[spec.id] = tournament.share(ended, tuple(spec.players))
            queue = iter(owed)

            async def player() -> None:
                for spec in queue:
                    outcome = await match.play(run.setting.match(spec), reading.history(spec.id), caller, book)
                    scores[spec.id] = tournament.share(outcome, tuple(spec.players))
                    progress.scored([agent.name for agent in spec.players.values()], scores[spec.id])

            players = min(experiment.limits.concurrency, len(owed))
            return await _until_done(player, players, limiter, book, progress)

        with shown(progress, quiet):
            course = run.course(reading)
            if course is None:
                return await out(experiment.matches)
            stopped_by = await out(course.matches)
            while stopped_by == "finished":
                spent = reading.spent_usd + progress.cost_usd
                decided = course.decide(scores, spent)
                book.round(tournament.record(decided))
                progress.note = tournament.said(course, spent / max(len(scores), 1))
                if decided.stop:
                    return decided.stop
                stopped_by = await out(course.matches[-len(decided.meetings) :])
            return stopped_by
    finally:
        book.close()
        await models.close()


def _owed(history: History, book: ledger.Ledger, retry_failed: bool) -> bool:
    if retry_failed and history.open_again():
        book.retry(history.match)
    return history.ended is None


async def _until_done(
    player: Callable[[], Coroutine[None, None, None]],
    players: int,
    limiter: Limiter,
    book: ledger.Ledger,
    progress: Progress,
) -> str:
    """Let the players play. Whatever stops them early (Ctrl-C, a provider that refuses us, a bug), nothing new leaves,
    and what is under way is awaited before they are cancelled."""
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
    return "finished" if progress.finished == progress.matches else "interrupted"


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
