"""Calls wait their turn, are retried within bounds, and stop when a provider will not have us."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agents import limits
from agents.limits import Limiter
from agents.models.errors import Authentication, ContextTooLong, ModelError, Overloaded, RateLimited
from arena.forms import Speech
from arena.types import Answer, Ask, Completion, Failure, Limits, Message, Occasion, Request, Sampling

OCCASION = Occasion(0, 0, Ask(0, 0, "s", "debater", 1, "opening", Speech(), "", {}, str), 0)


def request(model: str = "test/a") -> Request:
    return Request(model, (Message("user", "?"),), Sampling(), OCCASION)


def bounds(concurrency: int = 4, per_model: int | None = None, tries: int = 3, total_s: float = 60) -> Limits:
    return Limits(concurrency, per_model, tries, 10, total_s)


@dataclass
class Failing:
    """Raises these, one a call, then answers; remembers how many were under way at once."""

    problems: list[ModelError] = field(default_factory=list[ModelError])
    takes_s: float = 0.0
    calls: int = 0
    now: int = 0
    peak: int = 0

    async def complete(self, request: Request) -> Completion:
        self.calls += 1
        self.now += 1
        self.peak = max(self.peak, self.now)
        await asyncio.sleep(self.takes_s)
        self.now -= 1
        if self.problems:
            raise self.problems.pop(0)
        return Completion("yes")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_BACKOFF_S", 0.001)


def call(model: Failing, given: Limits, leaving: Callable[[], None] = lambda: None) -> Answer:
    return asyncio.run(Limiter(given).call(model, request(), leaving))


def test_a_transient_failure_is_tried_again_and_the_tries_are_counted() -> None:
    answer = call(Failing([RateLimited("slow down"), Overloaded("full")]), bounds())
    assert isinstance(answer, Completion)
    assert answer.tries == 3


def test_tries_are_bounded_and_the_last_problem_is_told() -> None:
    model = Failing([Overloaded("full")] * 9)
    answer = call(model, bounds(tries=3))
    assert answer == Failure("overloaded", "full", 3, answer.started_at)
    assert model.calls == 3


def test_a_call_is_not_retried_beyond_its_total_time() -> None:
    model = Failing([RateLimited("wait", retry_after_s=100)] * 2)
    answer = call(model, bounds(tries=10, total_s=5))
    assert isinstance(answer, Failure)
    assert model.calls == 1


def test_retry_after_is_honoured() -> None:
    async def timed() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await Limiter(bounds()).call(Failing([RateLimited("wait", retry_after_s=0.2)]), request(), lambda: None)
        return loop.time() - begun

    assert asyncio.run(timed()) >= 0.2


def test_what_fails_for_good_is_not_tried_again() -> None:
    model = Failing([ContextTooLong("too long")])
    assert isinstance(call(model, bounds()), Failure)
    assert model.calls == 1


def test_leaving_is_announced_once_before_the_first_try() -> None:
    model, announced = Failing([Overloaded("full")]), list[int]()
    call(model, bounds(), lambda: announced.append(model.calls))
    assert announced == [0]


async def many(limiter: Limiter, model: Failing, names: list[str]) -> None:
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(limiter.call(model, request(name), lambda: None))


def test_no_more_calls_than_allowed_are_under_way() -> None:
    model = Failing(takes_s=0.005)
    asyncio.run(many(Limiter(bounds(concurrency=3)), model, ["test/a"] * 20))
    assert model.peak == 3


def test_each_model_has_its_own_bound() -> None:
    model = Failing(takes_s=0.005)
    asyncio.run(many(Limiter(bounds(concurrency=10, per_model=2)), model, ["test/a"] * 8 + ["test/b"] * 8))
    assert model.peak == 4


def test_a_call_that_backs_off_leaves_its_place_to_others() -> None:
    async def raced() -> list[str]:
        limiter, order = Limiter(bounds(concurrency=1)), list[str]()

        async def asked(name: str, model: Failing) -> None:
            await limiter.call(model, request(name), lambda: None)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(asked("late", Failing([RateLimited("wait", retry_after_s=0.1)])))
            group.create_task(asked("early", Failing()))
        return order

    assert asyncio.run(raced()) == ["early", "late"]


def test_bad_credentials_stop_what_has_not_left_and_let_the_rest_come_in() -> None:
    async def stopped() -> tuple[BaseException | None, int, list[str]]:
        limiter, came = Limiter(bounds(concurrency=2)), list[str]()
        slow, closed, later = Failing(takes_s=0.05), Failing([Authentication("who are you?")]), Failing()

        async def asked(name: str, model: Failing) -> None:
            await limiter.call(model, request(name), lambda: None)
            came.append(name)

        tasks = [
            asyncio.create_task(asked(name, model))
            for name, model in (("slow", slow), ("closed", closed), ("later", later))
        ]
        await limiter.drained()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return limiter.problem, later.calls, came

    problem, calls, came = asyncio.run(stopped())
    assert isinstance(problem, Authentication)
    assert calls == 0
    assert came == ["closed", "slow"]


def test_what_is_waited_for_can_be_seen() -> None:
    async def seen() -> tuple[int, int]:
        limiter = Limiter(bounds())
        backing = asyncio.create_task(
            limiter.call(Failing([RateLimited("wait", retry_after_s=0.1)]), request(), lambda: None)
        )
        away = asyncio.create_task(limiter.call(Failing(takes_s=0.1), request("test/b"), lambda: None))
        await asyncio.sleep(0.05)
        known = limiter.backing_off["rate_limited"], limiter.in_flight["test/b"]
        await asyncio.gather(backing, away)
        assert not limiter.backing_off["rate_limited"]
        assert not limiter.in_flight.total()
        return known

    assert asyncio.run(seen()) == (1, 1)
