"""The one place where calls wait and are retried: each leaves when its account lets it, within bounded tries and time."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Never

from agents.accounts import FOREVER, Account, Left, span
from agents.models.errors import Authentication, ModelError, QuotaSpent, Transient
from arena.types import Answer, Completion, Failure, Limits

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 60.0

Send = Callable[[], Awaitable[Completion | ModelError]]
"""Sends a request once. It returns a `ModelError` rather than raising it."""

Leaving = Callable[[ModelError | None], Awaitable[None] | None]
"""Told that a try is about to leave, and what became of the one before. What it returns is awaited, and then it is asked again;
with None the try leaves."""


class Limiter:
    """Lets calls through, at most `limits.concurrency` at once, and as many and as fast as the account of each can take.

    An account is a provider of the configuration; `accounts` holds its settings.
    """

    def __init__(self, limits: Limits, accounts: Mapping[str, Mapping[str, Any]] | None = None):
        self._limits = limits
        self._settings = accounts or {}
        self._accounts: dict[str, Account] = {}
        self._lanes: dict[str, _Lane] = {}
        self._queued: dict[str, _Lane] = {}
        """The lanes in which somebody waits."""
        self._arrivals = 0
        self._places = 0
        self._timer: asyncio.TimerHandle | None = None
        self._turns: deque[asyncio.Future[None]] = deque()
        self._turning = False
        self._jitter = random.Random(0)
        self._stopped = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._under_way = 0
        self.in_flight: Counter[str] = Counter()
        """Calls that have left and are not answered, by model."""
        self.backing_off: Counter[str] = Counter()
        """Calls that wait for their next try, by reason."""
        self.problem: BaseException | None = None
        """Why the run was stopped, when a provider would not have us."""

    async def call(self, model: str, tokens: int, send: Send, leaving: Leaving) -> Answer:
        """Have a request sent and return its answer. `tokens` is about how many it will use, prompt and reply.

        `leaving` is called right before every try. Rate limits, overload, timeouts and broken connections are retried with
        backoff, jitter and the provider's Retry-After; whatever fails for good comes back as a `Failure`. Bad credentials
        stop the run, and so does a Retry-After beyond `limits.total_s`: nothing new leaves. A call is given up
        `limits.total_s` after it first could have left.
        """
        lane = self._lanes.get(model) or self._lane(model)
        account, limits = lane.account, self._limits
        tries, begun, started_at, arrival = 0, 0.0, 0.0, 0
        problem: ModelError | None = None
        while True:
            if self._stopped.is_set():
                await never()
            left = self._try(lane, tokens)
            if left is None:
                if not arrival:
                    arrival = self._arrivals = self._arrivals + 1
                left = await self._wait(lane, tokens, arrival, begun)
                if left is None:
                    words = f"{account.name}: {account.outage}; given up after {limits.total_s:g} s"
                    # Where the last try may have cost, that is what the call came to.
                    kind = problem.kind if problem is not None and problem.may_have_cost else "overloaded"
                    return Failure(kind, words, tries, started_at or time.time())
            leaves = False
            try:
                await self.turn()
                if self._stopped.is_set():
                    await never()
                if account.shut(left):
                    continue
                now = time.monotonic()
                if begun and now - begun > limits.total_s:
                    assert problem is not None
                    return Failure(problem.kind, problem.message, tries, started_at)
                pause = leaving(problem)
                leaves = pause is None
            finally:
                if not leaves:
                    account.put_back(left)
                    self._free(lane)
            if pause is not None:
                await pause
                # What the caller waited for is not the account's fault.
                begun += (time.monotonic() - now) if begun else 0.0
                continue
            if not tries:
                begun, started_at = now, time.time()
            tries += 1
            left = left._replace(at=now)
            answer = await self._send(lane, left, send)
            if isinstance(answer, Completion):
                now = time.monotonic()
                return replace(answer, tries=tries, started_at=started_at, latency_s=now - left.at)
            problem = answer
            if (
                isinstance(problem, Transient)
                and not problem.may_have_cost
                and (problem.retry_after_s or 0.0) > limits.total_s
            ):
                # Calls that cannot wait for so long would fail one after the other, until none is left to ask again.
                asked = f"{account.name} asks to be left alone for {span(problem.retry_after_s or 0.0)}, resume then"
                problem = QuotaSpent(f"{asked}: {problem.message}")
            if isinstance(problem, Authentication | QuotaSpent):
                self.problem = problem
                self.stop()
            if not isinstance(problem, Transient) or tries >= limits.tries:
                return Failure(problem.kind, problem.message, tries, started_at)
            wait_s = self._backoff(tries, problem.retry_after_s)
            if time.monotonic() + wait_s - begun > limits.total_s:
                return Failure(problem.kind, problem.message, tries, started_at)
            await self._back_off(problem.kind, wait_s)

    async def turn(self) -> None:
        """Wait for a turn at heavy work: one each round of the event loop, so that replies which have come meanwhile are
        taken in, and recorded, before anybody acts on them or sends more."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._turns.append(turn)
        if not self._turning:
            self._turning = True
            loop.call_soon(self._next_turn)
        await turn

    def stop(self) -> None:
        """Let nothing new leave. Calls under way are still answered."""
        self._stopped.set()

    async def drained(self) -> None:
        """Returns once the limiter was stopped and nothing is under way."""
        await self._stopped.wait()
        await self._idle.wait()

    @property
    def waiting(self) -> list[str]:
        """What is waited for and why, in words."""
        if self._stopped.is_set():
            return []
        now = time.monotonic()
        words = [broken for account in self._accounts.values() if (broken := account.broken(now))]
        full: Counter[str] = Counter()
        of_account: Counter[str] = Counter()
        for lane in self._queued.values():
            if self._places >= self._limits.concurrency:
                full[f"wait for a place, {self._limits.concurrency} at once (limits.concurrency)"] += len(lane.queue)
            elif self._limits.per_model is not None and lane.places >= self._limits.per_model:
                words.append(
                    f"{lane.model}: {len(lane.queue)} wait for a place, {lane.places} at once (limits.per_model)"
                )
            else:
                of_account[lane.account.name] += len(lane.queue)
        words.extend(
            lane.account.why(now, lane.model, lane.queue[0].tokens, waiting)
            for lane in self._queued.values()
            if (waiting := of_account[lane.account.name])
        )
        words.extend(f"{n} {why}" for why, n in full.items())
        return list(dict.fromkeys(filter(None, words)))

    def _lane(self, model: str) -> _Lane:
        name = model.partition("/")[0]
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(name, self._limits.concurrency, self._settings.get(name, {}))
        lane = self._lanes[model] = _Lane(model, account)
        return lane

    def _try(self, lane: _Lane, tokens: int) -> Left | None:
        """A place for a call that need not wait."""
        if lane.queue or self._places >= self._limits.concurrency:
            return None
        now = time.monotonic()
        return None if self._wait_s(lane, now, tokens) else self._take(lane, now, tokens)

    def _wait_s(self, lane: _Lane, now: float, tokens: int) -> float:
        per_model = self._limits.per_model
        if self._places >= self._limits.concurrency or (per_model is not None and lane.places >= per_model):
            return FOREVER
        return lane.account.wait_s(now, lane.model, tokens)

    def _take(self, lane: _Lane, now: float, tokens: int) -> Left:
        self._places += 1
        lane.places += 1
        return lane.account.take(now, lane.model, tokens)

    def _free(self, lane: _Lane) -> None:
        self._places -= 1
        lane.places -= 1
        if self._queued:
            self._admit()

    async def _wait(self, lane: _Lane, tokens: int, arrival: int, begun: float) -> Left | None:
        """Wait in line for a place; None when the account was out of order for too long."""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), tokens, arrival, begun, time.monotonic())
        # Whoever was there before goes first; only those who come back from a retry were.
        at = next((n for n, other in enumerate(lane.queue) if other.arrival > arrival), None) if begun else None
        lane.queue.append(waiter) if at is None else lane.queue.insert(at, waiter)
        self._queued[lane.model] = lane
        self._admit()
        try:
            return await waiter.place
        except asyncio.CancelledError:
            if waiter.place.done() and not waiter.place.cancelled() and (left := waiter.place.result()) is not None:
                lane.account.put_back(left)
                self._free(lane)
            elif waiter in lane.queue:
                lane.queue.remove(waiter)
                if not lane.queue:
                    self._queued.pop(lane.model, None)
            raise

    def _admit(self) -> None:
        """Give places to those who wait, the first to come first, and look again when somebody may leave later."""
        if self._stopped.is_set():
            return
        now = time.monotonic()
        while True:
            ready: _Lane | None = None
            soonest = FOREVER
            for lane in tuple(self._queued.values()):
                if lane.account.breaker.opened_at is not None:
                    soonest = min(soonest, self._give_up(lane, now))
                if not lane.queue:
                    del self._queued[lane.model]
                    continue
                wait_s = self._wait_s(lane, now, lane.queue[0].tokens)
                if wait_s:
                    soonest = min(soonest, wait_s)
                elif ready is None or lane.queue[0].arrival < ready.queue[0].arrival:
                    ready = lane
            if ready is None:
                break
            waiter = ready.queue.popleft()
            if not ready.queue:
                del self._queued[ready.model]
            if not waiter.place.done():  # else it was cancelled just now
                waiter.place.set_result(self._take(ready, now, waiter.tokens))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if soonest < FOREVER:
            self._timer = asyncio.get_running_loop().call_later(soonest + 0.001, self._admit)

    def _give_up(self, lane: _Lane, now: float) -> float:
        """Let those go who have waited for too long because their account is out of order. Returns when the next is due."""
        opened_at = lane.account.breaker.opened_at or now
        soonest = FOREVER
        for waiter in [waiter for waiter in lane.queue if not waiter.place.done()]:
            # Before it broke, they waited for a place, which is no trouble of the account.
            due_s = (waiter.begun or max(waiter.since, opened_at)) + self._limits.total_s - now
            if due_s <= 0:
                lane.queue.remove(waiter)
                waiter.place.set_result(None)
            else:
                soonest = min(soonest, due_s)
        return soonest

    async def _send(self, lane: _Lane, left: Left, send: Send) -> Completion | ModelError:
        model = lane.model
        self.in_flight[model] += 1
        self._under_way += 1
        self._idle.clear()
        try:
            answer = await send()
        except BaseException:
            lane.account.gone()
            raise
        else:
            lane.account.came(time.monotonic(), left, answer)
            return answer
        finally:
            self.in_flight[model] -= 1
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
            self._free(lane)

    def _next_turn(self) -> None:
        turns = self._turns
        while turns:
            turn = turns.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        if turns:
            asyncio.get_running_loop().call_soon(self._next_turn)
        else:
            self._turning = False

    def _backoff(self, tries: int, retry_after_s: float | None) -> float:
        backoff = min(FIRST_BACKOFF_S * 2 ** (tries - 1), LONGEST_BACKOFF_S) * self._jitter.uniform(0.5, 1.5)
        return max(backoff, retry_after_s or 0.0)

    async def _back_off(self, reason: str, wait_s: float) -> None:
        self.backing_off[reason] += 1
        try:
            await asyncio.sleep(wait_s)
        finally:
            self.backing_off[reason] -= 1


class _Waiter:
    """A call that waits for a place."""

    __slots__ = ("arrival", "begun", "place", "since", "tokens")

    def __init__(self, place: asyncio.Future[Left | None], tokens: int, arrival: int, begun: float, since: float):
        self.place = place
        self.tokens = tokens
        self.arrival = arrival
        self.begun = begun
        """When its first try left; 0 before."""
        self.since = since


class _Lane:
    """The calls of one model: those that wait, first come first, and how many are let through."""

    __slots__ = ("account", "model", "places", "queue")

    def __init__(self, model: str, account: Account):
        self.model = model
        self.account = account
        self.places = 0
        self.queue: deque[_Waiter] = deque()


async def never() -> Never:
    """Wait to be cancelled."""
    await asyncio.Event().wait()
    raise AssertionError
