"""One account with a provider: what may leave now, what its answers teach, and why something waits. It reads no clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agents.breaker import Breaker
from agents.congestion import Congestion
from agents.models.errors import Disconnected, ModelError, Overloaded, RateLimited, TimedOut, Unreachable
from agents.pace import NOTHING, Allowances, Quota, Taken
from arena.types import Completion

FOREVER = float("inf")

CROWDED = (429, 503, 529)
"""The statuses of a server that has too much to do, and not merely an error."""


class Left(NamedTuple):
    """A call that has left, as its account will want to know it again."""

    at: float
    model: str
    tokens: int
    taken: Taken
    probe: bool
    """Whether it is to find out if the account is back."""


class Account:
    """Places, pace and breaker of one account. Providers grant rates by model, so what headers say is kept by model."""

    def __init__(self, name: str, ceiling: int, settings: Mapping[str, Any]):
        self.name = name
        self.places = 0
        """Calls that are under way or about to leave."""
        self.congestion = Congestion(min(ceiling, settings.get("concurrency") or ceiling))
        self.breaker = Breaker()
        requests, tokens = settings.get("requests_per_minute"), settings.get("tokens_per_minute")
        self._requests = Quota(requests) if requests else None
        self._tokens = Quota(tokens) if tokens else None
        self._granted: dict[str, Allowances] = {}
        self._refused_with = ""

    def wait_s(self, now: float, model: str, tokens: int) -> float:
        """Seconds until a call may leave, 0 when one may now, `FOREVER` when another must come back first."""
        if self.places >= int(self.congestion.limit):
            return FOREVER
        wait_s = self.breaker.wait_s(now)
        if self._requests is not None:
            wait_s = max(wait_s, self._requests.wait_s(now))
        if self._tokens is not None:
            wait_s = max(wait_s, self._tokens.wait_s(now))
        granted = self._granted.get(model)
        return wait_s if granted is None else max(wait_s, granted.wait(now, tokens)[0])

    def take(self, now: float, model: str, tokens: int) -> Left:
        """A call takes its place and its share of what is granted."""
        self.places += 1
        probe = self.breaker.left(now)
        if self._requests is not None:
            self._requests.take(now, 1)
        if self._tokens is not None:
            self._tokens.take(now, tokens)
        granted = self._granted.get(model)
        return Left(now, model, tokens, NOTHING if granted is None else granted.take(now, tokens), probe)

    def put_back(self, left: Left) -> None:
        """The call did not leave after all."""
        self.places -= 1
        if self._requests is not None:
            self._requests.correct(-1)
        if self._tokens is not None:
            self._tokens.correct(-left.tokens)
        if (granted := self._granted.get(left.model)) is not None:
            granted.put_back(left.taken)

    def gone(self) -> None:
        """A call was given up while it was under way."""
        self.places -= 1

    def came(self, now: float, left: Left, answer: Completion | ModelError) -> None:
        """Take in what became of a call."""
        places, self.places = self.places, self.places - 1
        if isinstance(answer, Completion):
            usage = answer.usage
            self.breaker.answered()
            self.congestion.answered(now, left.at, places, left.model, now - left.at, usage.output)
            if self._tokens is not None and usage.input + usage.output:
                self._tokens.correct(usage.input + usage.output - left.tokens)
        else:
            crowded = answer.status in CROWDED or isinstance(answer, RateLimited | TimedOut)
            if crowded:
                self._refused_with = f"HTTP {answer.status}" if answer.status else answer.kind.replace("_", " ")
                self.congestion.refused(now, left.at, places)
            if isinstance(answer, Overloaded | TimedOut | Disconnected | Unreachable):
                self.breaker.failed(now, left.probe, answer.message)
            else:
                self.breaker.answered()
        if answer.rates is not None:
            granted = self._granted.setdefault(left.model, Allowances())
            granted.learn(now, left.at, left.taken, answer.rates)
            if isinstance(answer, Completion):
                granted.answered(answer.usage.input, answer.usage.output)

    def shut(self, left: Left) -> bool:
        """Whether the account broke before the call could leave."""
        return self.breaker.opened_at is not None and not left.probe

    def broken(self, now: float) -> str:
        """Why nothing leaves although there are places; empty while the breaker is closed."""
        if self.breaker.opened_at is None:
            return ""
        wait_s = self.breaker.wait_s(now)
        again = f"tries again in {span(wait_s)}" if wait_s else "tries again"
        return f"{self.name}: {self.outage}, {again}"

    @property
    def outage(self) -> str:
        return f"no reply to {self.breaker.failures} calls in a row ({self.breaker.problem})"

    def why(self, now: float, model: str, tokens: int, waiting: int) -> str:
        """Why calls of a model wait, in words; empty when it is not for the account."""
        if self.places >= self.congestion.at_once:
            words = {"refused": f" since {self._refused_with}", "slow": " since replies slow down", None: ""}
            since = words[self.congestion.reason]
            return f"{self.name}: {waiting} wait for a place, {self.congestion.at_once} at once{since}"
        if broken := self.broken(now):
            return broken
        for quota, unit in ((self._requests, "requests"), (self._tokens, "tokens")):
            if quota is not None and (wait_s := quota.wait_s(now)):
                return f"{self.name}: {quota.per_minute:,.0f} {unit} a minute reached, {span(wait_s)}"
        if granted := self._granted.get(model):
            wait_s, what = granted.wait(now, tokens)
            if wait_s:
                return f"{model}: the provider's limit of {what} reached, {span(wait_s)}"
        return ""


def span(wait_s: float) -> str:
    """A time to wait, in words."""
    if wait_s < 120:
        return f"{max(1, round(wait_s))} s"
    if wait_s < 2 * 86_400:
        hours, minutes = divmod(round(wait_s / 60), 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return f"{wait_s / 86_400:.3g} days"
