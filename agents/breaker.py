"""When an account no longer answers, its calls wait until one of them finds it back. It reads no clock."""

from __future__ import annotations

IN_A_ROW = 8
"""Failures that open it."""
FIRST_COOL_DOWN_S = 2.0
LONGEST_COOL_DOWN_S = 60.0


class Breaker:
    """Opens after `IN_A_ROW` calls of an account failed with none answered between, and lets one call through now and then."""

    def __init__(self) -> None:
        self.opened_at: float | None = None
        """Since when it is open; None while it is closed."""
        self.problem = ""
        """What the last failure said."""
        self.failures = 0
        self._cool_down_s = FIRST_COOL_DOWN_S
        self._next = 0.0
        """When the next call may leave, while it is open."""

    def wait_s(self, now: float) -> float:
        """Seconds until a call may leave; 0 when one may now."""
        return 0.0 if self.opened_at is None else max(0.0, self._next - now)

    def left(self, now: float) -> bool:
        """A call leaves. Returns whether it is a probe: while it is open, the next may follow after the cool-down."""
        if self.opened_at is None:
            return False
        self._next = now + self._cool_down_s
        return True

    def answered(self) -> None:
        """Somebody is there: it answered, if only to refuse."""
        if self.failures:
            self.failures = 0
            self.opened_at = None
            self._cool_down_s = FIRST_COOL_DOWN_S

    def failed(self, now: float, probe: bool, problem: str) -> None:
        """A call failed: no reply, or the server said that it is broken."""
        self.problem = problem
        if self.opened_at is None:
            self.failures += 1
            if self.failures >= IN_A_ROW:
                self.opened_at, self._next = now, now + self._cool_down_s
        elif probe:
            self.failures += 1
            self._cool_down_s = min(2 * self._cool_down_s, LONGEST_COOL_DOWN_S)
            self._next = now + self._cool_down_s
