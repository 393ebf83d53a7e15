"""What an account lets through: its controllers against simulated servers, in virtual time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise
from random import Random
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import breaker, pace
from agents.accounts import FOREVER, Account
from agents.breaker import Breaker
from agents.congestion import Congestion
from agents.models.errors import (
    Authentication,
    Disconnected,
    ModelError,
    Overloaded,
    RateLimited,
    Unreachable,
    from_status,
)
from agents.pace import Allowance, Allowances, Quota, Taken
from arena.types import Completion, Rate, Rates, Usage

# ------------------------------------------------------------------ simulated servers


class Server(Protocol):
    def done(self, now: float, busy: int, model: str, tokens: int) -> float | None:
        """When a call that arrives now is answered; None where it is refused."""
        ...


@dataclass
class Refusing:
    """Answers `capacity` calls at once and refuses all others."""

    capacity: int
    latency_s: float = 1.0

    def done(self, now: float, busy: int, model: str, tokens: int) -> float | None:
        return now + self.latency_s if busy < self.capacity else None


@dataclass
class Queueing:
    """Works on `slots` calls at once; all others wait inside, unseen. A call takes a while, and longer for more tokens."""

    slots: int
    begin_s: float = 0.2
    token_s: float = 0.002
    factor: dict[str, float] = field(default_factory=dict[str, float])
    free_at: list[float] = field(default_factory=list[float])

    def done(self, now: float, busy: int, model: str, tokens: int) -> float | None:
        start = now if len(self.free_at) < self.slots else max(now, heapq.heappop(self.free_at))
        end = start + (self.begin_s + self.token_s * tokens) * self.factor.get(model, 1.0)
        heapq.heappush(self.free_at, end)
        return end


@dataclass
class Steady:
    """Answers any number of calls, each in a time of its own that does not depend on the others."""

    jitter: float = 0.0
    token_s: float = 0.0
    slower: float = 1.0
    drawn: Random = field(default_factory=lambda: Random(1))

    def done(self, now: float, busy: int, model: str, tokens: int) -> float | None:
        return now + (0.2 + self.token_s * tokens) * self.slower * self.drawn.lognormvariate(0, self.jitter)


Draw = Callable[[Random], tuple[str, int]]


def alike(_: Random) -> tuple[str, int]:
    return "m", 100


def mixed(drawn: Random) -> tuple[str, int]:
    """Short verdicts of a slow judge among long speeches of a fast debater."""
    return ("judge", drawn.randint(5, 20)) if drawn.random() < 0.3 else ("debater", drawn.randint(200, 2000))


@dataclass
class Course:
    """A controller that is kept busy: whenever it lets something through, there is something."""

    control: Congestion
    draw: Draw = alike
    now: float = 0.0
    answered: int = 0
    refused: int = 0
    busy: int = 0
    lowest: float = FOREVER
    drawn: Random = field(default_factory=lambda: Random(0))
    under_way: list[tuple[float, int, float, str, int, bool]] = field(default_factory=list)  # pyright: ignore

    def run(self, server: Server, seconds: float, most: int = 10**9) -> Course:
        """Go on with this server for a while. Returns itself, counted anew."""
        self.answered = self.refused = 0
        self.lowest, until, number = FOREVER, self.now + seconds, count()
        while self.now < until:
            while len(self.under_way) < min(self.control.at_once, most):
                model, tokens = self.draw(self.drawn)
                end = server.done(self.now, self.busy, model, tokens)
                self.busy += end is not None
                heapq.heappush(
                    self.under_way, (end or self.now + 0.05, next(number), self.now, model, tokens, end is not None)
                )
            in_flight = len(self.under_way)
            self.now, _, left, model, tokens, taken = heapq.heappop(self.under_way)
            if taken:
                self.busy -= 1
                self.answered += 1
                self.control.answered(self.now, left, in_flight, model, self.now - left, tokens)
            else:
                self.refused += 1
                self.control.refused(self.now, left, in_flight)
            self.lowest = min(self.lowest, self.control.limit)
        return self


# ------------------------------------------------------------------ how many at once


def test_it_begins_at_32_or_the_ceiling() -> None:
    assert (Congestion(500).at_once, Congestion(8).at_once) == (32, 8)


def test_it_reaches_the_ceiling_in_a_few_round_trips_where_nothing_pushes_back() -> None:
    assert Course(Congestion(512)).run(Steady(), 1.2).control.at_once == 512


@pytest.mark.parametrize("capacity", [1, 3, 20, 100])
def test_a_hidden_limit_is_found_and_used(capacity: int) -> None:
    course = Course(Congestion(512)).run(Refusing(capacity), 60).run(Refusing(capacity), 300)
    assert course.answered >= 0.85 * capacity * 300
    assert course.refused <= max(0.06 * course.answered, 150)


def test_a_burst_of_refusals_is_one() -> None:
    control = Congestion(32)
    for at in range(20):
        control.refused(1.0 + at / 1000, 0.5, 32 - at)
    assert control.at_once >= 16


def test_what_left_before_a_cut_says_nothing_of_it() -> None:
    control = Congestion(32)
    for _ in range(8):
        control.refused(1.0, 0.5, 32)
    cut = control.limit
    for _ in range(100):
        control.refused(1.1, 0.9, 32)
    assert cut < 32
    assert control.limit == cut


def test_when_the_limit_rises_so_do_we() -> None:
    course = Course(Congestion(512)).run(Refusing(10), 120)
    assert course.control.at_once <= 12
    assert course.run(Refusing(200), 60).control.at_once >= 150


def test_it_recovers_from_a_server_that_refused_everything() -> None:
    course = Course(Congestion(64)).run(Refusing(0), 60)
    assert course.control.at_once == 1
    assert course.run(Refusing(64), 60).control.at_once >= 60


@pytest.mark.parametrize("jitter", [0.5, 0.7])
def test_it_recovers_from_one_at_a_time_where_replies_take_very_unlike_times(jitter: float) -> None:
    server = Steady(jitter)
    course = Course(Congestion(64)).run(server, 20).run(Refusing(0), 60)
    assert course.control.at_once == 1
    assert course.run(server, 300).control.at_once >= 32


@pytest.mark.parametrize("slots", [4, 16, 100])
def test_a_queue_that_nobody_tells_of_stays_short_and_the_server_busy(slots: int) -> None:
    server = Queueing(slots)
    course = Course(Congestion(400)).run(server, 120)
    course.run(server, 240)
    assert course.answered >= 0.97 * slots * 240 / 0.4
    assert course.control.limit <= 3 * slots + 4


def test_a_slow_judge_among_fast_debaters_is_no_queue() -> None:
    course = Course(Congestion(64), mixed).run(Queueing(1000, factor={"judge": 9.0}), 200)
    assert course.run(Queueing(1000, factor={"judge": 9.0}), 200).lowest == 64


def test_a_queue_is_seen_among_unlike_calls_too() -> None:
    server = Queueing(8, factor={"judge": 5.0})
    course = Course(Congestion(256), mixed).run(server, 600)
    assert 8 <= course.run(server, 600).control.limit <= 40


@pytest.mark.parametrize("jitter", [0.0, 0.3, 0.7])
def test_a_server_that_does_not_depend_on_us_is_used_whole(jitter: float) -> None:
    server = Steady(jitter, token_s=0.001)
    course = Course(Congestion(64), mixed).run(server, 60).run(server, 300)
    free = Course(Fixed(64), mixed).run(Steady(jitter, token_s=0.001), 300)
    assert course.answered >= 0.93 * free.answered


def test_a_server_that_became_slow_for_its_own_reasons_is_used_whole_again() -> None:
    course = Course(Congestion(64)).run(Steady(), 60).run(Steady(slower=5), 60)
    assert course.run(Steady(slower=5), 60).control.at_once == 64


def test_few_calls_do_not_raise_a_limit_that_they_do_not_use() -> None:
    assert Course(Congestion(512)).run(Steady(), 60, most=5).control.at_once == 32


class Fixed(Congestion):
    """The same number at once, whatever happens."""

    def answered(self, now: float, left: float, in_flight: int, model: str, latency_s: float, tokens: int) -> None:
        self.limit = float(self.ceiling)


Outcome = st.tuples(st.booleans(), st.floats(0, 100), st.floats(0, 5), st.integers(0, 9999), st.sampled_from("ab"))


@given(st.integers(1, 600), st.lists(Outcome, max_size=300))
def test_the_limit_stays_between_one_and_the_ceiling(ceiling: int, outcomes: list[tuple[bool, float, float, int, str]]):
    control, now = Congestion(ceiling), 0.0
    for refused, latency_s, later_s, tokens, model in outcomes:
        now += later_s
        if refused:
            control.refused(now, now - latency_s, control.at_once)
        else:
            control.answered(now, now - latency_s, control.at_once, model, latency_s, tokens)
        assert 1 <= control.limit <= ceiling


# ------------------------------------------------------------------ how much in a minute


@given(st.floats(1, 5000), st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_no_minute_has_more_requests_than_it_may(per_minute: float, idle: list[float]) -> None:
    quota, now = Quota(per_minute), 1000.0
    leaves: deque[float] = deque()
    for pause in idle:
        now += pause if pause > 20 else 0.0
        now += quota.wait_s(now)
        quota.take(now, 1)
        leaves.append(now)
        while leaves[0] <= now - 60 + 1e-6:
            leaves.popleft()
        assert len(leaves) <= max(1, per_minute) + 1


def test_the_whole_of_a_minute_is_used() -> None:
    quota, now, leaves = Quota(600), 0.5, 0
    while now < 600:
        quota.take(now, 1)
        leaves += 1
        now += max(quota.wait_s(now), 0.01)
    assert leaves >= 0.98 * 6000


def test_tokens_that_were_not_used_are_there_for_others() -> None:
    quota = Quota(6000)
    quota.take(1.0, 3000)
    assert quota.wait_s(1.0) == pytest.approx(30, rel=0.02)
    quota.correct(-2900)
    assert quota.wait_s(1.0) == pytest.approx(0.75, rel=0.1)


def granted(rates: Rates, model: str = "p/m") -> Account:
    account = Account("p", 64, {})
    left = account.take(100.0, model, 10)
    account.came(101.0, left, Completion("yes", rates=rates))
    return account


def test_what_is_left_is_kept_and_what_comes_back_is_waited_for() -> None:
    account = granted(Rates(requests=Rate(60, 1, 59.0)))
    assert account.wait_s(101.0, "p/m", 10) == 0
    account.take(101.0, "p/m", 10)
    assert account.wait_s(101.0, "p/m", 10) == pytest.approx(0, abs=1e-6)  # one has come in while the first was away
    account.take(101.0, "p/m", 10)
    assert account.wait_s(101.0, "p/m", 10) == pytest.approx(1.0, rel=0.01)
    assert account.wait_s(102.1, "p/m", 10) == 0


def test_a_model_that_has_used_up_its_limit_does_not_hold_up_another() -> None:
    account = granted(Rates(tokens=Rate(1000, 0, 30.0)), "p/spent")
    assert account.wait_s(101.0, "p/spent", 500) > 10
    assert account.wait_s(101.0, "p/other", 500) == 0
    assert "1,000 tokens" in account.why(101.0, "p/spent", 500, 1)


def test_what_did_not_leave_after_all_is_there_for_others() -> None:
    told = Rates(Rate(60, 2, 59.0), Rate(1000, 900, 60.0), Rate(800, 700, 60.0), Rate(200, 190, 60.0))
    account = granted(told)
    away = account.take(101.0, "p/m", 10)
    for _ in range(50):
        account.put_back(account.take(101.0, "p/m", 400))
    assert account.wait_s(101.0, "p/m", 400) == 0
    account.came(101.1, away, Completion("yes", rates=told))
    assert account.wait_s(101.1, "p/m", 400) == 0


def test_headers_let_all_through_that_a_server_takes() -> None:
    """A server with a bucket of 60 that fills by one a second: none is refused, and none of it is wasted."""
    allowance, there, at, now, refused, answered = Allowances(), 60.0, 0.0, 0.0, 0, 0
    under_way: list[tuple[float, float, Taken, Rate]] = []
    while now < 600:
        if under_way and under_way[0][0] <= now:
            _, left, taken, rate = heapq.heappop(under_way)
            allowance.learn(now, left, taken, Rates(requests=rate))
            answered += 1
        if len(under_way) < 20 and not allowance.wait(now, 1)[0]:
            there, at = min(60.0, there + now - at), now
            refused += there < 1
            there -= there >= 1
            heapq.heappush(under_way, (now + 5, now, allowance.take(now, 1), Rate(60, there, 60 - there)))
        now += 0.05
    assert refused <= 6
    assert answered >= 600


NUMBERS = st.floats(0, allow_nan=False, allow_infinity=False)


@given(NUMBERS, NUMBERS, NUMBERS, st.integers(1, 10**7))
def test_no_header_holds_back_for_more_than_a_minute(limit: float, remaining: float, reset: float, tokens: int) -> None:
    rate = Rate(limit, remaining, reset)
    account = granted(Rates(rate, rate, rate, rate))
    for _ in range(3):
        wait_s = account.wait_s(101.0, "p/m", tokens)
        assert 0 <= wait_s <= pace.LONGEST_S
        assert account.wait_s(101.0 + wait_s + 1e-3, "p/m", tokens) <= pace.LONGEST_S
        account.take(101.0, "p/m", tokens)
    assert account.wait_s(101.0 + pace.LONGEST_S, "p/m", tokens) == 0


def test_an_allowance_of_which_nothing_is_used_holds_nothing_back() -> None:
    allowance = Allowance()
    allowance.learn(1.0, 0.0, 0.0, Rate(10, 10, 0))
    assert allowance.wait_s(1.0, 5) == 0


# ------------------------------------------------------------------ the breaker


def failing(times: int, account: Account, problem: ModelError, now: float = 0.0) -> None:
    for _ in range(times):
        account.came(now, account.take(now, "p/m", 10), problem)


DOWN = from_status(503, "no healthy upstream", None)


@pytest.mark.parametrize(
    "problem",
    [DOWN, Disconnected("reset"), Unreachable("no such name"), from_status(504, "too slow", None), Overloaded("full")],
)
def test_it_opens_after_failures_in_a_row_and_says_so(problem: ModelError) -> None:
    account = Account("p", 64, {})
    failing(breaker.IN_A_ROW - 1, account, problem)
    assert not account.broken(0.0)
    failing(1, account, problem)
    assert account.wait_s(0.0, "p/m", 10) == breaker.FIRST_COOL_DOWN_S
    assert account.broken(0.0) == f"p: no reply to 8 calls in a row ({problem.message}), tries again in 2 s"


@pytest.mark.parametrize("answer", [Completion("yes"), RateLimited("slow down"), Authentication("who?")])
def test_whoever_answers_is_there(answer: Completion | ModelError) -> None:
    account = Account("p", 64, {})
    failing(breaker.IN_A_ROW - 1, account, Disconnected("reset"))
    account.came(0.0, account.take(0.0, "p/m", 10), answer)
    failing(breaker.IN_A_ROW - 1, account, Disconnected("reset"))
    assert not account.broken(0.0)


def test_one_call_at_a_time_looks_whether_it_is_back_and_ever_more_rarely() -> None:
    open_, now, probes = Breaker(), 0.0, list[float]()
    for _ in range(breaker.IN_A_ROW):
        open_.failed(0.0, False, "down")
    while now < 300:
        if not open_.wait_s(now):
            assert open_.left(now)
            assert open_.wait_s(now) > 0
            open_.failed(now + 0.1, True, "down")
            probes.append(now)
        now += 0.5
    gaps = [later - before for before, later in pairwise(probes)]
    assert gaps == sorted(gaps)
    assert max(gaps) <= breaker.LONGEST_COOL_DOWN_S + 1
    assert len(probes) == 8


def test_a_call_that_finds_it_back_lets_all_others_through() -> None:
    account = Account("p", 64, {})
    failing(breaker.IN_A_ROW, account, Disconnected("reset"))
    probe = account.take(2.0, "p/m", 10)
    assert account.wait_s(2.0, "p/m", 10) > 0
    account.came(2.1, probe, Completion("yes"))
    assert account.wait_s(2.1, "p/m", 10) == 0


def test_those_who_were_still_away_when_it_opened_do_not_lengthen_it() -> None:
    account = Account("p", 64, {})
    away = [account.take(0.0, "p/m", 10) for _ in range(30)]
    failing(breaker.IN_A_ROW, account, Disconnected("reset"), 1.0)
    for left in away:
        account.came(1.5, left, Disconnected("reset"))
    assert account.wait_s(1.5, "p/m", 10) == pytest.approx(1.5)


# ------------------------------------------------------------------ all of it together


Step = st.tuples(
    st.sampled_from(["yes", "429", "503", "gone", "back"]),
    st.floats(0, 20),
    st.integers(1, 5000),
    st.sampled_from("ab"),
)


@given(st.integers(1, 40), st.lists(Step, max_size=120))
def test_never_more_than_allowed_are_under_way_and_it_always_goes_on(
    ceiling: int, steps: list[tuple[str, float, int, str]]
) -> None:
    account = Account("p", 64, {"concurrency": ceiling, "requests_per_minute": 50, "tokens_per_minute": 20_000})
    now, away = 1.0, list[object]()
    for what, later_s, tokens, model in steps:
        now += later_s
        if account.wait_s(now, model, tokens) == 0:
            away.append(account.take(now, model, tokens))
            assert account.places <= account.congestion.at_once <= ceiling
        elif away:
            left = away.pop(0)
            match what:
                case "yes":
                    account.came(now, left, Completion("yes", usage=Usage(tokens, 10)))  # pyright: ignore
                case "back":
                    account.put_back(left)  # pyright: ignore
                case "gone":
                    account.gone()
                case status:
                    account.came(now, left, from_status(int(status), "no", "1e99"))  # pyright: ignore
        assert account.places == len(away)
    for left in away:
        account.came(now, left, Completion("yes"))  # pyright: ignore
    wait_s = account.wait_s(now, "a", 1)
    assert wait_s < 1000
    assert account.wait_s(now + wait_s + 0.01, "a", 1) == 0


@dataclass
class Unlucky:
    """Refuses a share of all calls whatever we do, as a provider does that others keep busy."""

    share: float
    server: Server
    drawn: Random = field(default_factory=lambda: Random(7))

    def done(self, now: float, busy: int, model: str, tokens: int) -> float | None:
        return None if self.drawn.random() < self.share else self.server.done(now, busy, model, tokens)


@pytest.mark.parametrize("share", [0.01, 0.03, 0.05, 0.08])
def test_refusals_that_do_not_depend_on_us_are_put_up_with(share: float) -> None:
    server = Unlucky(share, Steady(0.1))
    course = Course(Congestion(64)).run(server, 30).run(server, 120)
    assert course.answered * 0.2 / 120 >= 0.85 * 64


@pytest.mark.parametrize("capacity", [20, 50, 100])
def test_a_hidden_limit_is_found_among_refusals_that_do_not_depend_on_us(capacity: int) -> None:
    server = Unlucky(0.05, Refusing(capacity))
    course = Course(Congestion(512)).run(server, 60).run(server, 300)
    assert course.answered >= 0.7 * capacity * 300
    assert course.refused <= 0.1 * course.answered


@pytest.mark.parametrize("capacity", [8, 20, 50])
def test_what_was_usual_once_is_no_excuse_for_passing_a_limit(capacity: int) -> None:
    course = Course(Congestion(128)).run(Unlucky(0.05, Steady(0.1)), 200).run(Refusing(capacity), 60)
    course.run(Refusing(capacity), 300)
    assert course.answered >= 0.85 * capacity * 300
    assert course.refused <= 0.06 * course.answered
