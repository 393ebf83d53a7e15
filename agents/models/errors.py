"""Why a call of a model failed: the one tree into which every provider's errors are translated.

ModelError
├── Authentication   the key is refused, or the account cannot pay: no call of this run can succeed
├── NotFound         no such model or address
├── ContextTooLong   the prompt does not fit the model
├── ContentRefused   the provider's filter turned the prompt away
├── BadRequest       the provider does not take this request
├── Oversized        the reply is larger than any that was asked for
├── QuotaSpent       the account asks to be left alone for longer than a call may take: no call of this run should leave
└── Transient        the same request may succeed later, after `retry_after_s` where the provider says so
    ├── RateLimited
    ├── Overloaded
    ├── TimedOut
    ├── Unreachable  no connection came about, so nothing was sent
    └── Disconnected the connection broke, or what came over it is no reply

After `TimedOut`, `Disconnected` and `Oversized` the provider may have done the work, and may charge for it.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import ClassVar
from urllib.parse import quote

from arena.types import Rates

_LONGEST = 500
"""Characters that are kept of a provider's message."""

_KEY_SHAPED = re.compile(
    r"\bbearer\s+\S+|\b(?:sk|rk|pk|gsk|xai|hf|r8|fw|nvapi|pplx|csk)[-_][\w*.-]{4,}|\bAIza[\w-]{20,}", re.IGNORECASE
)
_UNPAID = re.compile(r"insufficient_quota|billing_(hard_limit|not_active)|credit balance is too low", re.IGNORECASE)
_BAD_KEY = re.compile(r"api[ _]key[ _](not valid|invalid)|(invalid|incorrect)[ _]api[ _]key", re.IGNORECASE)
_CONTEXT = re.compile(
    r"context[ _-]?(length|window|size|limit)"
    r"|maximum (context|prompt)"
    r"|\b(prompt|inputs?|messages?|request|conversation)\b[^.]{0,40}\btoo (long|large)"
    r"|\b(prompt|inputs?)\b[^.]{0,40}\bexceeds?\b[^.]{0,40}\b(tokens?|limit|maximum)"
    r"|too many (input |prompt )?tokens"
    r"|reduce the (length|size) of",
    re.IGNORECASE,
)
_CONTENT = re.compile(
    r"content[ _-]*(policy|filter|management|moderation)|moderation|\bsafety\b|\bflagged\b|usage polic"
    r"|responsible ?ai|inappropriate content|data_inspection_failed",
    re.IGNORECASE,
)


class ModelError(Exception):
    """A call that failed. `message` is one printable line without keys; `kind` is what the ledger calls the failure."""

    kind: ClassVar[str] = "error"
    may_have_cost: ClassVar[bool] = False
    """Whether the provider may charge for the call although it failed."""
    status: int | None = None
    """The HTTP status, where there was one."""
    rates: Rates | None = None
    """What the provider said of its limits beside the failure."""

    def __init__(self, message: str) -> None:
        self.message = _printable(message)
        super().__init__(self.message)


class Authentication(ModelError):
    """The key is refused, or the account cannot pay."""

    kind = "authentication"


class NotFound(ModelError):
    """No such model or address."""

    kind = "not_found"


class ContextTooLong(ModelError):
    """The prompt does not fit the model."""

    kind = "context_too_long"


class ContentRefused(ModelError):
    """The provider's filter turned the prompt away."""

    kind = "refused"


class BadRequest(ModelError):
    """The provider does not take this request."""

    kind = "bad_request"


class Oversized(ModelError):
    """The reply is larger than any that was asked for, and was not read to its end."""

    kind = "oversized"
    may_have_cost = True


class QuotaSpent(ModelError):
    """The account asks to be left alone for longer than a call may take."""

    kind = "quota"


class Transient(ModelError):
    """The same request may succeed later."""

    kind = "transient"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """How long the provider asks to be left alone; None when it does not say."""


class RateLimited(Transient):
    """Too many requests or tokens."""

    kind = "rate_limited"


class Overloaded(Transient):
    """The provider cannot serve at the moment."""

    kind = "overloaded"


class TimedOut(Transient):
    """No reply in time."""

    kind = "timeout"
    may_have_cost = True


class Unreachable(Transient):
    """No connection came about, so nothing was sent."""

    kind = "unreachable"


class Disconnected(Transient):
    """The connection broke, or what came over it is no reply."""

    kind = "connection"
    may_have_cost = True


_NO_ANSWER_BEHIND = frozenset((502, *range(520, 524), *range(525, 528)))
"""What gateways say, Cloudflare among them, when the connection to the server behind them failed or broke."""


def from_status(status: int, message: str, retry_after: str | None) -> ModelError:
    """The error that an HTTP status and the provider's words mean.

    `retry_after` is the header's text, in seconds or an HTTP date. A provider's codes (`insufficient_quota`,
    `content_filter`, ...) are read from `message`, so they must stand in it.
    """
    error = _from_status(status, message, retry_after)
    error.status = status
    return error


def _from_status(status: int, message: str, retry_after: str | None) -> ModelError:
    said = f"HTTP {status}: {message}"
    wait_s = _seconds(retry_after)
    if status == 402 or (status in (400, 403, 429) and _UNPAID.search(message)):
        return Authentication(f"the account cannot pay: {said}")
    if status == 401 or (status == 400 and _BAD_KEY.search(message)):
        return Authentication(said)
    if status == 403:
        return ContentRefused(said) if _CONTENT.search(message) else Authentication(said)
    if status == 404:
        return NotFound(said)
    if status == 413 or (status in (400, 422) and _CONTEXT.search(message)):
        return ContextTooLong(said)
    if status == 400 and _CONTENT.search(message):
        return ContentRefused(said)
    if status in (408, 504, 524):
        return TimedOut(said, retry_after_s=wait_s)
    if status == 429:
        return RateLimited(said, retry_after_s=wait_s)
    if status in _NO_ANSWER_BEHIND:
        return Disconnected(said, retry_after_s=wait_s)
    if status in (409, 425) or status >= 500:
        return Overloaded(said, retry_after_s=wait_s)
    return BadRequest(said)


def from_transport(error: BaseException, timeout_s: float) -> ModelError:
    """What an exception on the way to the provider means."""
    # litellm has a name of its own for whatever its transport raised: only the causes tell a timeout from a broken connection.
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, ModelError):
            return cause
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return TimedOut(f"no reply within {timeout_s:g} s")
    return Disconnected(f"connection failed: {type(causes[-1]).__name__}: {causes[-1]}")


def redacted(message: str, secret: str) -> str:
    """The message without the key that was used, as it is and as URLs, JSON and base64 write it; a key too short to be
    one is left where it is."""
    if len(secret) < 8:
        return message
    for form in _forms(secret):
        if form in message:
            message = message.replace(form, "[key]")
    return message


@lru_cache(maxsize=16)
def _forms(secret: str) -> tuple[str, ...]:
    encoded = (base64.b64encode(text.encode()).decode().rstrip("=") for text in (secret, f"Bearer {secret}"))
    return (secret, *{quote(secret), quote(secret, safe=""), secret.replace("/", "\\/"), *encoded} - {secret})


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _printable(message: str) -> str:
    words = "".join(char if char.isprintable() else " " for char in _KEY_SHAPED.sub("[key]", message)).split()
    line = " ".join(words)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _seconds(header: str | None) -> float | None:
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
