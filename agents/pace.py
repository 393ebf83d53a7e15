"""How much may leave in a minute: what a configuration allows, and what a provider's headers say is left. It reads no clock."""

from __future__ import annotations

from typing import NamedTuple

from arena.types import Rate, Rates

LONGEST_S = 60.0
"""Longer than this no header holds anything back: what it says may be wrong, and the provider will say it again."""


class Quota:
    """So much a minute, evenly: whoever took more than has come in is waited for by those who come after."""

    def __init__(self, per_minute: float):
        self.per_minute = per_minute
        # A quarter of a second's worth may be late; with it, no minute has more than it may.
        self._most = per_minute / 240
        self._rate = (per_minute - self._most) / 60
        self._there = self._most
        self._at = 0.0

    def wait_s(self, now: float) -> float:
        there = min(self._most, self._there + self._rate * (now - self._at)) if self._at else self._most
        return max(0.0, -there / self._rate)

    def take(self, now: float, amount: float) -> None:
        there = min(self._most, self._there + self._rate * (now - self._at)) if self._at else self._most
        self._there, self._at = there - amount, now

    def correct(self, amount: float) -> None:
        """So much more was taken than was said; less, where it is negative."""
        self._there -= amount


class Allowance:
    """What headers say is left of one limit, less what has left since."""

    def __init__(self) -> None:
        self.limit = float("inf")
        self._there = 0.0
        self._rate = 0.0
        self._at = 0.0
        self._full_at = 0.0
        self.taken = 0.0
        """All that ever left."""

    def wait_s(self, now: float, amount: float) -> float:
        if now >= self._full_at:
            return 0.0
        needed = min(amount, self.limit) - self._now(now)
        if needed <= 0:
            return 0.0
        return min(needed / self._rate if self._rate > 0 else LONGEST_S, self._full_at - now)

    def take(self, now: float, amount: float) -> None:
        self.taken += amount
        if now < self._full_at:
            self._there, self._at = self._now(now) - amount, now

    def put_back(self, amount: float) -> None:
        self.taken -= amount
        self._there += amount

    def learn(self, now: float, left: float, taken: float, rate: Rate) -> None:
        """Take in the headers of the reply to a call that left at `left`, when so much was `taken`, itself included."""
        reset_s = min(max(rate.reset_s, 0.0), LONGEST_S)
        used = max(rate.limit - rate.remaining, 0.0)
        if reset_s == 0 or used == 0:
            self.limit, self._full_at = rate.limit, now
            return
        self.limit, self._rate = rate.limit, used / reset_s
        # Whether they count from the call's arrival or from its reply is not known: what left and what came in between
        # are both taken into account, and cancel each other while the limit is what holds calls back.
        since = self._rate * (now - left) - (self.taken - taken)
        self._there = min(rate.limit, rate.remaining + since)
        self._at, self._full_at = now, now + reset_s

    def _now(self, now: float) -> float:
        return min(self.limit, self._there + self._rate * (now - self._at))


Four = tuple[float, float, float, float]
"""Of requests, tokens, input and output."""


class Taken(NamedTuple):
    """What a call took of each limit, and all that had been taken with it."""

    amounts: Four
    totals: Four


NOTHING = Taken((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0))


class Allowances:
    """What headers say of the limits of one model."""

    def __init__(self) -> None:
        self.requests, self.tokens, self.input, self.output = Allowance(), Allowance(), Allowance(), Allowance()
        self._told = False
        self._output_share = 0.2
        """Of a call's tokens, as its replies had it so far."""

    def wait(self, now: float, tokens: float) -> tuple[float, str]:
        """Seconds until a call may leave, and what it waits for."""
        if not self._told:
            return 0.0, ""
        output = tokens * self._output_share
        return max(
            (self.requests.wait_s(now, 1), f"{self.requests.limit:,.0f} requests"),
            (self.tokens.wait_s(now, tokens), f"{self.tokens.limit:,.0f} tokens"),
            (self.input.wait_s(now, tokens - output), f"{self.input.limit:,.0f} input tokens"),
            (self.output.wait_s(now, output), f"{self.output.limit:,.0f} output tokens"),
        )

    def take(self, now: float, tokens: float) -> Taken:
        """A call leaves. Returns what `learn` and `put_back` want to know of it."""
        output = tokens * self._output_share
        self.requests.take(now, 1)
        self.tokens.take(now, tokens)
        self.input.take(now, tokens - output)
        self.output.take(now, output)
        totals = self.requests.taken, self.tokens.taken, self.input.taken, self.output.taken
        return Taken((1.0, tokens, tokens - output, output), totals)

    def put_back(self, taken: Taken) -> None:
        """The call did not leave after all."""
        for allowance, amount in zip((self.requests, self.tokens, self.input, self.output), taken.amounts, strict=True):
            allowance.put_back(amount)

    def learn(self, now: float, left: float, taken: Taken, rates: Rates) -> None:
        """Take in what the headers of a reply say; `taken` is what `take` returned when its call left."""
        self._told = True
        told = (rates.requests, rates.tokens, rates.input_tokens, rates.output_tokens)
        for allowance, before, rate in zip(
            (self.requests, self.tokens, self.input, self.output), taken.totals, told, strict=True
        ):
            if rate is not None:
                allowance.learn(now, left, before, rate)

    def answered(self, sent: int, output: int) -> None:
        if sent + output > 0:
            self._output_share += 0.1 * (output / (sent + output) - self._output_share)
