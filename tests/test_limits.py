"""Calls wait their turn, are retried within bounds, and stop when a provider will not have us."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import breaker, limits
from agents.limits import Limiter
from agents.models.errors import (
    Authentication,
    ContextTooLong,
    Disconnected,
    ModelError,
    Overloaded,
    QuotaSpent,
    RateLimited,
    TimedOut,
    from_status,
)
from arena.types import Answer, Completion, Failure, Limits, Rate, Rates


def bounds(concurrency: int = 4, per_model: int | None = None, tries: int = 3, total_s: float = 60) -> Limits:
    return Limits(concurrency, per_model, tries, 10, total_s)


@dataclass
class Failing:
    """Fails with these, one a call, then answers; remembers how many were under way at once."""

    problems: list[ModelError] = field(default_factory=list[ModelError])
    takes_s: float = 0.0
    rates: Rates | None = None
    calls: int = 0
    now: int = 0
    peak: int = 0

    async def __call__(self) -> Completion | ModelError:
        self.calls += 1
        self.now += 1
        self.peak = max(self.peak, self.now)
        await asyncio.sleep(self.takes_s)
        self.now -= 1
        return self.problems.pop(0) if self.problems else Completion("yes", rates=self.rates)


def at_once(_: ModelError | None) -> None:
    """Nothing is waited for before a call leaves."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_BACKOFF_S", 0.001)
    monkeypatch.setattr(breaker, "FIRST_COOL_DOWN_S", 0.01)


Leaving = Callable[[ModelError | None], Awaitable[None] | None]


def call(model: Failing, given: Limits, leaving: Leaving = at_once) -> Answer:
    async def one() -> Answer:
        return await Limiter(given).call("test/a", 10, model, leaving)

    return asyncio.run(one())


def test_a_transient_failure_is_tried_again_and_the_tries_are_counted() -> None:
    answer = call(Failing([RateLimited("slow down"), Overloaded("full")]), bounds())
    assert isinstance(answer, Completion)
    assert answer.tries == 3


def test_an_answer_says_when_it_left_and_how_long_it_took() -> None:
    answer = call(Failing(takes_s=0.02), bounds())
    assert isinstance(answer, Completion)
    assert answer.started_at > 0
    assert 0.02 <= answer.latency_s < 10


def test_tries_are_bounded_and_the_last_problem_is_told() -> None:
    model = Failing([Overloaded("full")] * 9)
    answer = call(model, bounds(tries=3))
    assert answer == Failure("overloaded", "full", 3, answer.started_at)
    assert model.calls == 3


def test_a_call_is_not_retried_beyond_its_total_time() -> None:
    model = Failing([RateLimited("wait", retry_after_s=5)] * 2)
    answer = call(model, bounds(tries=10, total_s=5))
    assert isinstance(answer, Failure)
    assert (answer.kind, model.calls) == ("rate_limited", 1)


@pytest.mark.parametrize(
    ("asked_s", "words"), [(60.4, "60 s"), (1800, "30 min"), (7140, "1 h 59 min"), (1e99, "1.16e+94 days")]
)
def test_an_account_that_asks_to_be_left_alone_for_longer_than_a_call_may_take_stops_the_run(
    asked_s: float, words: str
) -> None:
    async def stopped() -> tuple[Answer, BaseException | None, list[Answer], int]:
        limiter, others = Limiter(bounds(concurrency=2)), Failing(takes_s=0.01)
        away = [asyncio.create_task(limiter.call("test/a", 10, others, at_once)) for _ in range(3)]
        await asyncio.sleep(0)
        spent = Failing([from_status(429, "daily", str(asked_s))])
        async with asyncio.timeout(5):
            answer = await limiter.call("test/b", 10, spent, at_once)
            await limiter.drained()
        came = [task.result() for task in away if task.done()]
        for task in away:
            task.cancel()
        await asyncio.gather(*away, return_exceptions=True)
        return answer, limiter.problem, came, others.calls

    answer, problem, came, calls = asyncio.run(stopped())
    assert isinstance(answer, Failure)
    assert isinstance(problem, QuotaSpent)
    assert (answer.kind, answer.message, answer.may_have_cost) == ("quota", problem.message, False)
    assert problem.message == f"test asks to be left alone for {words}, resume then: HTTP 429: daily"
    assert len(came) == calls


def test_a_call_that_may_have_cost_stays_one_however_long_its_account_asks_to_be_left_alone() -> None:
    answer = call(Failing([TimedOut("slow", retry_after_s=7200)]), bounds())
    assert isinstance(answer, Failure)
    assert (answer.kind, answer.may_have_cost) == ("timeout", True)


def test_retry_after_is_honoured() -> None:
    async def timed() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await Limiter(bounds()).call("test/a", 10, Failing([RateLimited("wait", retry_after_s=0.2)]), at_once)
        return loop.time() - begun

    assert asyncio.run(timed()) >= 0.2


def test_what_fails_for_good_is_not_tried_again() -> None:
    model = Failing([ContextTooLong("too long")])
    assert isinstance(call(model, bounds()), Failure)
    assert model.calls == 1


def test_leaving_is_announced_before_every_try_with_what_became_of_the_last() -> None:
    full = Overloaded("full")
    model, announced = Failing([full]), list[tuple[int, ModelError | None]]()
    call(model, bounds(), lambda problem: announced.append((model.calls, problem)))
    assert announced == [(0, None), (1, full)]


def test_a_call_that_must_wait_for_its_caller_leaves_its_place_to_others_and_asks_again() -> None:
    async def waited() -> list[str]:
        limiter, paid, order = Limiter(bounds(concurrency=1)), asyncio.Event(), list[str]()

        def leaving(_: ModelError | None) -> Awaitable[object] | None:
            order.append("asked")
            return None if paid.is_set() else paid.wait()

        async def poor() -> None:
            await limiter.call("test/a", 10, Failing(), leaving)  # pyright: ignore[reportArgumentType]
            order.append("poor")

        async with asyncio.TaskGroup() as group:
            group.create_task(poor())
            await asyncio.sleep(0.01)
            await limiter.call("test/b", 10, Failing(), at_once)
            order.append("rich")
            paid.set()
        return order

    assert asyncio.run(waited()) == ["asked", "rich", "asked", "poor"]


async def many(limiter: Limiter, model: Failing, names: list[str]) -> list[Answer]:
    return await asyncio.gather(*(limiter.call(name, 10, model, at_once) for name in names))


def test_no_more_calls_than_allowed_are_under_way() -> None:
    model = Failing(takes_s=0.005)
    asyncio.run(many(Limiter(bounds(concurrency=3)), model, ["test/a"] * 20))
    assert model.peak == 3


def test_each_model_has_its_own_bound() -> None:
    model = Failing(takes_s=0.005)
    asyncio.run(many(Limiter(bounds(concurrency=10, per_model=2)), model, ["test/a"] * 8 + ["test/b"] * 8))
    assert model.peak == 4


def test_each_account_has_its_own_bound() -> None:
    model = Failing(takes_s=0.005)
    limiter = Limiter(bounds(concurrency=10), {"mine": {"concurrency": 2}})
    asyncio.run(many(limiter, model, ["mine/a"] * 8 + ["mine/b"] * 8))
    assert model.peak == 2


def test_a_call_that_backs_off_leaves_its_place_to_others() -> None:
    async def raced() -> list[str]:
        limiter, order = Limiter(bounds(concurrency=1)), list[str]()

        async def asked(name: str, model: Failing) -> None:
            await limiter.call("test/a", 10, model, at_once)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(asked("late", Failing([RateLimited("wait", retry_after_s=0.1)])))
            group.create_task(asked("early", Failing()))
        return order

    assert asyncio.run(raced()) == ["early", "late"]


def test_who_came_first_goes_first_after_a_retry_too() -> None:
    async def ordered() -> list[int]:
        limiter, order, slow = Limiter(bounds(concurrency=1)), list[int](), Failing(takes_s=0.02)

        async def asked(number: int, model: Failing) -> None:
            await limiter.call("test/a", 10, model, lambda problem: order.append(number))

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(asked(number, Failing([Overloaded("full")]) if number == 1 else slow))
        return order

    assert asyncio.run(ordered()) == [0, 1, 2, 1, 3, 4]


def test_bad_credentials_stop_what_has_not_left_and_let_the_rest_come_in() -> None:
    async def stopped() -> tuple[BaseException | None, int, list[str]]:
        limiter, came = Limiter(bounds(concurrency=2)), list[str]()
        slow, closed, later = Failing(takes_s=0.05), Failing([Authentication("who are you?")]), Failing()

        async def asked(name: str, model: Failing) -> None:
            await limiter.call("test/a", 10, model, at_once)
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


def test_what_is_under_way_and_what_backs_off_is_counted() -> None:
    async def seen() -> tuple[int, int]:
        limiter = Limiter(bounds())
        backing = asyncio.create_task(
            limiter.call("test/a", 10, Failing([RateLimited("wait", retry_after_s=0.1)]), at_once)
        )
        away = asyncio.create_task(limiter.call("test/b", 10, Failing(takes_s=0.1), at_once))
        await asyncio.sleep(0.05)
        known = limiter.backing_off["rate_limited"], limiter.in_flight["test/b"]
        await asyncio.gather(backing, away)
        assert not limiter.backing_off["rate_limited"]
        assert not limiter.in_flight.total()
        return known

    assert asyncio.run(seen()) == (1, 1)


# ------------------------------------------------------------------ accounts that are out of order


DOWN: list[ModelError] = [Disconnected("connection refused")] * 99


def test_an_account_that_is_out_of_order_does_not_hold_up_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_COOL_DOWN_S", 60.0)

    async def go() -> tuple[list[str], list[Answer]]:
        limiter, broken = Limiter(bounds(concurrency=12, tries=99)), Failing(DOWN.copy())
        stuck = [asyncio.create_task(limiter.call("down/a", 10, broken, at_once)) for _ in range(12)]
        while not limiter.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        said, answers = limiter.waiting, await many(limiter, Failing(), ["up/a"] * 30)
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert not limiter._queued  # pyright: ignore[reportPrivateUsage]
        return said, answers

    said, answers = asyncio.run(go())
    assert said == ["down: no reply to 8 calls in a row (connection refused), tries again in 60 s"]
    assert all(isinstance(answer, Completion) for answer in answers)


def test_calls_go_on_when_an_account_is_back() -> None:
    model = Failing(DOWN[:12])
    answers = asyncio.run(many(Limiter(bounds(tries=99)), model, ["test/a"] * 8))
    assert all(isinstance(answer, Completion) for answer in answers)


def test_calls_of_an_account_that_stays_away_fail_in_bounded_time_and_say_why() -> None:
    answers = asyncio.run(many(Limiter(bounds(tries=99, total_s=0.1)), Failing(DOWN.copy()), ["test/a"] * 30))
    given_up = [answer for answer in answers if isinstance(answer, Failure) and answer.kind == "overloaded"]
    assert all(isinstance(answer, Failure) for answer in answers)
    assert given_up
    assert "test: no reply to" in given_up[0].message
    assert "connection refused" in given_up[0].message


@pytest.mark.parametrize(
    ("problem", "kind"), [(TimedOut("slow"), "timeout"), (Overloaded("full"), "overloaded"), (None, "overloaded")]
)
def test_a_call_that_is_given_up_while_its_account_is_away_may_have_cost_what_its_last_try_may(
    problem: ModelError | None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_COOL_DOWN_S", 60.0)

    async def go() -> Answer:
        limiter = Limiter(bounds(concurrency=20, tries=2, total_s=0.05))
        first = [problem] if problem is not None else []
        down = [limiter.call("test/a", 10, Failing(DOWN.copy()), at_once) for _ in range(breaker.IN_A_ROW)]
        call = asyncio.create_task(limiter.call("test/a", 10, Failing(first), at_once)) if first else None
        await asyncio.gather(*down)
        return await (call or limiter.call("test/a", 10, Failing(), at_once))

    answer = asyncio.run(go())
    assert isinstance(answer, Failure)
    assert "test: no reply to" in answer.message
    assert answer.kind == kind


# ------------------------------------------------------------------ what is waited for, in words


@pytest.mark.parametrize(
    ("given", "settings", "words"),
    [
        (bounds(concurrency=2), {}, "4 wait for a place, 2 at once (limits.concurrency)"),
        (bounds(9, per_model=2), {}, "p/m: 4 wait for a place, 2 at once (limits.per_model)"),
        (bounds(9), {"concurrency": 2}, "p: 4 wait for a place, 2 at once"),
        (bounds(9), {"requests_per_minute": 60}, "p: 60 requests a minute reached, 1 s"),
        (bounds(9), {"tokens_per_minute": 600}, "p: 600 tokens a minute reached, 10 s"),
    ],
)
def test_why_calls_wait_is_said(given: Limits, settings: dict[str, Any], words: str) -> None:
    async def said() -> list[str]:
        limiter = Limiter(given, {"p": settings})
        calls = [asyncio.create_task(limiter.call("p/m", 100, Failing(takes_s=9), at_once)) for _ in range(6)]
        await asyncio.sleep(0.02)
        found = limiter.waiting
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert limiter.waiting == []
        return found

    assert asyncio.run(said()) == [words]


def test_why_an_account_takes_fewer_at_once_is_said() -> None:
    async def said() -> str:
        limiter = Limiter(bounds(concurrency=4, tries=1))
        await many(limiter, Failing([from_status(429, "slow down", None)] * 4), ["p/m"] * 4)
        calls = [asyncio.create_task(limiter.call("p/m", 10, Failing(takes_s=9), at_once)) for _ in range(6)]
        await asyncio.sleep(0.02)
        found = limiter.waiting
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return found[0]

    assert asyncio.run(said()).endswith("at once since HTTP 429")


def test_what_headers_say_is_left_is_kept() -> None:
    async def go() -> tuple[int, list[str]]:
        limiter = Limiter(bounds(concurrency=50))
        model = Failing(rates=Rates(requests=Rate(100, 2, 60)))
        await limiter.call("p/m", 10, model, at_once)
        model.takes_s = 9
        calls = [asyncio.create_task(limiter.call("p/m", 10, model, at_once)) for _ in range(20)]
        await asyncio.sleep(0.02)
        sent, said = model.calls, limiter.waiting
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return sent, said

    sent, said = asyncio.run(go())
    assert sent == 3
    assert said == ["p/m: the provider's limit of 100 requests reached, 1 s"]


# ------------------------------------------------------------------ whatever happens


Fate = st.sampled_from(["yes", "429", "503", "400", "raises", "cancelled", "must wait"])


@settings(max_examples=25)
@given(st.lists(st.tuples(Fate, Fate, st.sampled_from(["p/a", "p/b", "q/a"])), min_size=1, max_size=24))
def test_every_call_ends_and_every_place_is_given_back(fates: list[tuple[str, str, str]]) -> None:
    async def go() -> None:
        limiter = Limiter(bounds(concurrency=3, per_model=2, tries=3))
        tasks: list[asyncio.Task[Answer]] = []

        def started(first: str, second: str, model: str) -> asyncio.Task[Answer]:
            pending = [first, second]

            async def send() -> Completion | ModelError:
                assert limiter.in_flight.total() <= 3
                assert max(limiter.in_flight.values()) <= 2
                await asyncio.sleep(0)
                match pending.pop(0) if pending else "yes":
                    case "raises":
                        raise ZeroDivisionError
                    case "cancelled":
                        task.cancel()
                        await asyncio.sleep(9)
                    case "429" | "503" | "400" as status:
                        return from_status(int(status), "no", "0")
                    case _:
                        pass
                return Completion("yes")

            def leaving(_: ModelError | None) -> Awaitable[None] | None:
                if "must wait" in pending:
                    pending.remove("must wait")
                    return asyncio.sleep(0)
                return None

            task = asyncio.create_task(limiter.call(model, 10, send, leaving))
            return task

        tasks = [started(*fate) for fate in fates]
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert not limiter.in_flight.total()
        assert limiter.waiting == []
        assert limiter._places == 0  # pyright: ignore[reportPrivateUsage]
        for model in ("p/a", "p/b", "q/a"):
            assert isinstance(await limiter.call(model, 10, Failing(), at_once), Completion)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(limits, "FIRST_BACKOFF_S", 0.0)
        asyncio.run(go())


@pytest.mark.parametrize("before", [True, False])
def test_a_call_that_is_cancelled_as_its_place_comes_gives_it_to_the_next(before: bool) -> None:
    async def go() -> Answer:
        limiter = Limiter(bounds(concurrency=1))

        async def first() -> None:
            async def send() -> Completion:
                await asyncio.sleep(0.01)
                if before:
                    second.cancel()
                return Completion("yes")

            await limiter.call("p/m", 10, send, at_once)
            second.cancel()

        async with asyncio.TaskGroup() as group, asyncio.timeout(5):
            group.create_task(first())
            second = group.create_task(limiter.call("p/m", 10, Failing(), at_once))
            third = group.create_task(limiter.call("p/m", 10, Failing(), at_once))
            return await third

    assert isinstance(asyncio.run(go()), Completion)


def test_nobody_leaves_for_an_account_that_broke_while_it_waited_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_COOL_DOWN_S", 60.0)

    async def go() -> int:
        limiter, broken = Limiter(bounds(concurrency=30, tries=1)), Failing(DOWN.copy())
        calls = [asyncio.create_task(limiter.call("p/m", 10, broken, at_once)) for _ in range(30)]
        for _ in range(60):  # each round of the loop lets one leave
            await asyncio.sleep(0)
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return broken.calls

    assert asyncio.run(go()) < 15
