"""How much a provider takes: calls at once and requests a minute, and whether those beyond are refused or wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta

from arena.testing.responders import Api


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the endpoint takes; a limit that is None does not exist. Raises ValueError where a limit lets nothing through."""

    concurrency: int | None = None
    """Calls served at once. Nothing that is sent names it: a client has to find it out."""
    requests_per_minute: float | None = None
    """The bucket holds `burst_s` seconds of them, and is filled evenly."""
    queue: bool = False
    """Beyond `concurrency` a call waits its turn, as a server of one's own does, instead of being refused with 429."""
    headers: bool = True
    """Whether the requests that are left are told, as either provider tells it."""
    burst_s: float = 1.0

    def __post_init__(self) -> None:
        for name in ("concurrency", "requests_per_minute", "burst_s"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise ValueError(f"{name} must be more than 0, not {limit:g}")


@dataclass(slots=True)
class Gate:
    """Who may pass now. `now` is any clock that does not go back."""

    capacity: Capacity
    _: KW_ONLY
    now: float
    serving: int = 0
    _left: float = field(init=False)
    _turns: asyncio.Semaphore | None = field(init=False)

    def __post_init__(self) -> None:
        self._left = self._most
        known = self.capacity.concurrency if self.capacity.queue else None
        self._turns = asyncio.Semaphore(known) if known else None

    def refused(self, now: float) -> float | None:
        """None where a request is taken, else the seconds after which one may be; 0 where only an answer makes room."""
        capacity = self.capacity
        if self._turns is None and capacity.concurrency is not None and self.serving >= capacity.concurrency:
            return 0.0
        if capacity.requests_per_minute is None:
            return None
        rate = capacity.requests_per_minute / 60
        self._left = min(self._most, self._left + (now - self.now) * rate)
        self.now = now
        if self._left < 1:
            return (1 - self._left) / rate
        self._left -= 1
        return None

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Be served while the context lasts, after a wait where calls wait."""
        async with self._turns or nullcontext():
            self.serving += 1
            try:
                yield
            finally:
                self.serving -= 1

    def told(self, api: Api, now: datetime) -> dict[str, str]:
        """The headers that say what is left of the requests of this minute; none where no limit is told."""
        limit = self.capacity.requests_per_minute
        if limit is None or not self.capacity.headers:
            return {}
        left, reset_s = int(self._left), (self._most - self._left) / limit * 60
        if api == "openai":
            return {
                "x-ratelimit-limit-requests": f"{limit:g}",
                "x-ratelimit-remaining-requests": str(left),
                "x-ratelimit-reset-requests": f"{round(reset_s * 1000)}ms",
            }
        return {
            "anthropic-ratelimit-requests-limit": f"{limit:g}",
            "anthropic-ratelimit-requests-remaining": str(left),
            "anthropic-ratelimit-requests-reset": (now.astimezone(UTC) + timedelta(seconds=reset_s)).strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            ),
        }

    @property
    def _most(self) -> float:
        return max(1.0, (self.capacity.requests_per_minute or 0.0) / 60 * self.capacity.burst_s)
