"""What the headers of a response say of the provider's rate limits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from arena.types import Rate, Rates

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def read(headers: Mapping[str, str]) -> Rates | None:
    """The limits in the headers of OpenAI and those who do as it does, or of Anthropic; None where there are none."""
    if "x-ratelimit-limit-requests" in headers or "x-ratelimit-limit-tokens" in headers:
        return Rates(requests=_openai(headers, "requests"), tokens=_openai(headers, "tokens"))
    if "anthropic-ratelimit-requests-limit" in headers or "anthropic-ratelimit-tokens-limit" in headers:
        now = _now(headers)
        return Rates(
            requests=_anthropic(headers, "requests", now),
            tokens=_anthropic(headers, "tokens", now),
            input_tokens=_anthropic(headers, "input-tokens", now),
            output_tokens=_anthropic(headers, "output-tokens", now),
        )
    return None


def duration(text: str) -> float | None:
    """Seconds, as `6m0s`, `20ms`, `1h2m3.5s` or plain seconds."""
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)
    return _amount(text)


def _openai(headers: Mapping[str, str], what: str) -> Rate | None:
    limit = headers.get(f"x-ratelimit-limit-{what}")
    remaining = headers.get(f"x-ratelimit-remaining-{what}")
    reset_s = duration(headers.get(f"x-ratelimit-reset-{what}", ""))
    return _rate(limit, remaining, reset_s)


def _anthropic(headers: Mapping[str, str], what: str, now: datetime) -> Rate | None:
    prefix = f"anthropic-ratelimit-{what}-"
    try:
        reset = datetime.fromisoformat(headers[f"{prefix}reset"])
        reset_s = (reset - now).total_seconds() if reset.tzinfo else None
    except (KeyError, ValueError, OverflowError):
        reset_s = None
    return _rate(headers.get(f"{prefix}limit"), headers.get(f"{prefix}remaining"), reset_s)


def _rate(limit: str | None, remaining: str | None, reset_s: float | None) -> Rate | None:
    """None unless all of it can be meant: a provider that grants nothing at all would have refused."""
    most, left = _amount(limit), _amount(remaining)
    if not most or left is None:
        return None
    if reset_s is None:
        reset_s = 60 * max(0.0, 1 - left / most)
    return Rate(most, min(left, most), max(0.0, reset_s))


def _amount(text: str | None) -> float | None:
    try:
        amount = float(text) if text else math.nan
    except ValueError:
        return None
    return amount if 0 <= amount < math.inf else None


def _now(headers: Mapping[str, str]) -> datetime:
    """The time where the resets were written, whose clock may not be ours."""
    try:
        return parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)
