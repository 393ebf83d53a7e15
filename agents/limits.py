"""How many calls at once, and what happens to one that fails: the one place where calls wait and are retried."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from typing import Never

from agents.models.errors import Authentication, ModelError, Transient
from arena.types import Answer, Completion, Failure, Limits, Model, Request

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 60.0


class Limiter:
    """Lets calls through, at most `limits.concurrency` at once, and each within bounded tries and time."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._all = asyncio.Semaphore(limits.concurrency)
        per_model = limits.per_model or limits.concurrency
        self._each: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(per_model))
        self._turn = asyncio.Lock()
        self._jitter = random.Random(0)
        self._stopped = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_flight: Counter[str] = Counter()
        """Calls that have left and are not answered, by model."""
        self.backing_off: Counter[str] = Counter()
        """Calls that wait for their next try, by reason."""
        self.problem: BaseException | None = None
        """Why the run was stopped, when a provider would not have us."""

    async def call(self, model: Model, request: Request, leaving: Callable[[], None]) -> Answer:
        """Send a request and return its answer. `leaving` is called once, right before it leaves for the first time.

        Rate limits, overload, timeouts and broken connections are retried with backoff, jitter and the provider's
        Retry-After; whatever fails for good comes back as a `Failure`. Bad credentials stop the run: nothing new
        leaves.
        """
        begun, tries, started_at = time.monotonic(), 0, time.time()
        while True:
            async with AsyncExitStack() as turn:
                await turn.enter_async_context(self._each[request.model])
                await turn.enter_async_context(self._all)
                await self.turn()
                if self._stopped.is_set():
                    await never()
                if tries == 0:
                    begun, started_at = time.monotonic(), time.time()
                    leaving()
                tries += 1
                answer = await self._send(model, request)
            match answer:
                case Completion():
                    return replace(answer, tries=tries, started_at=started_at)
                case Authentication() as problem:
                    self.problem = problem
                    self.stop()
                    return Failure(problem.kind, problem.message, tries, started_at)
                case Transient() as problem:
                    wait_s = self._backoff(tries, problem.retry_after_s)
                    if tries >= self._limits.tries or time.monotonic() + wait_s - begun > self._limits.total_s:
                        return Failure(problem.kind, problem.message, tries, started_at)
                    await self._wait(problem.kind, wait_s)
                case problem:
                    return Failure(problem.kind, problem.message, tries, started_at)

    async def _send(self, model: Model, request: Request) -> Completion | ModelError:
        sent = time.monotonic()
        try:
            with self._under_way(request.model):
                completion = await model.complete(request)
        except ModelError as problem:
            return problem
        return replace(completion, latency_s=time.monotonic() - sent)

    async def turn(self) -> None:
        """Wait for a turn at heavy work: one each round of the event loop, so that replies which have come meanwhile are
        taken in, and recorded, before anybody acts on them or sends more."""
        async with self._turn:
            await asyncio.sleep(0)

    def stop(self) -> None:
        """Let nothing new leave. Calls under way are still answered."""
        self._stopped.set()

    async def drained(self) -> None:
        """Returns once the limiter was stopped and nothing is under way."""
        await self._stopped.wait()
        await self._idle.wait()

    def _backoff(self, tries: int, retry_after_s: float | None) -> float:
        backoff = min(FIRST_BACKOFF_S * 2 ** (tries - 1), LONGEST_BACKOFF_S) * self._jitter.uniform(0.5, 1.5)
        return max(backoff, retry_after_s or 0.0)

    async def _wait(self, reason: str, wait_s: float) -> None:
        self.backing_off[reason] += 1
        try:
            await asyncio.sleep(wait_s)
        finally:
            self.backing_off[reason] -= 1

    @contextmanager
    def _under_way(self, model: str) -> Generator[None]:
        self.in_flight[model] += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.in_flight[model] -= 1
            if not self.in_flight.total():
                self._idle.set()


async def never() -> Never:
    """Wait to be cancelled."""
    await asyncio.Event().wait()
    raise AssertionError
