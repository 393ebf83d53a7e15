"""JSON as providers send it: readers for replies and errors whose shape nobody guarantees."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import cast

import orjson

from agents.models import rates
from agents.models.errors import BadRequest, Disconnected, ModelError, from_status, redacted

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

_STATUS = {
    "authentication_error": 401,
    "billing_error": 402,
    "content_filter": 400,
    "content_policy_violation": 400,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "timeout_error": 408,
}
"""The HTTP statuses that go with the codes of errors which arrive inside a reply."""


def load(raw: bytes, secret: str = "") -> Mapping[str, object]:
    """The JSON object that a reply's body holds.

    Raises `Disconnected` when it holds none.
    """
    try:
        found: object = orjson.loads(raw)
    except ValueError:
        # It is right to refuse halves of characters and NaN, and some providers send them all the same.
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise unreadable("a JSON object", raw[:400].decode(errors="replace"), secret) from error
    if not isinstance(found, dict):
        raise unreadable("a JSON object", found, secret)
    return cast("Mapping[str, object]", found)


def dump(body: Mapping[str, object]) -> bytes:
    """The JSON of a request's body.

    Raises `BadRequest` when it has none.
    """
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise BadRequest(f"the request cannot be sent: {error}") from error


def unreadable(expected: str, found: object, secret: str = "") -> Disconnected:
    """The error for a reply that is none."""
    # The key goes before the cut, which could leave a half of it.
    return Disconnected(f"unreadable reply: expected {expected}, found {redacted(repr(found), secret):.200}")


def mapping(value: object) -> Mapping[str, object]:
    """The value if it is an object, else an empty one."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def items(value: object) -> Sequence[object]:
    """The value if it is an array, else an empty one."""
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def text(value: object) -> str:
    """The value if it is a string, with lone surrogates replaced by U+FFFD, else the empty string."""
    if not isinstance(value, str):
        return ""
    try:
        value.encode()  # a fraction of the time of the search
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", value)
    return value


def amount(value: object) -> float | None:
    """The value if it is a finite number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < math.inf else None


def count(value: object) -> int:
    """The value if it is a number of things, and not more than anybody can have counted, else 0."""
    found = amount(value) or 0
    return int(found) if found < 2**53 else 0


def said(raw: bytes) -> object:
    """What the body of an error holds: JSON, or text."""
    try:
        return orjson.loads(raw)
    except ValueError:
        return raw.decode(errors="replace").strip()


def failure(status: int, body: object, headers: Mapping[str, str], secret: str) -> ModelError:
    """The error that a response of this status means; `body` is its JSON, or its text."""
    milliseconds = headers.get("retry-after-ms")
    retry_after = f"{milliseconds}e-3" if milliseconds else headers.get("retry-after")
    error = from_status(status, redacted(_said(body), secret), retry_after)
    error.rates = rates.read(headers)
    return error


def reported(error: object, secret: str) -> ModelError:
    """The error that an error object inside a successful reply means; without a known code it is the provider's own."""
    codes = [str(mapping(error).get(name)) for name in ("code", "type")]
    status = next((int(code) for code in codes if re.fullmatch("[45][0-9][0-9]", code)), None)
    named = next((_STATUS[code] for code in codes if code in _STATUS), 500)
    return failure(status or named, error, {}, secret)


def _said(body: object) -> str:
    """The provider's words and codes, wherever they stand in an error's body."""
    if isinstance(body, str):
        return body
    outer = mapping(next(iter(items(body)), body))
    inner = outer.get("error", outer)
    if isinstance(inner, str):
        return inner
    error = mapping(inner)
    words = [error.get(name) for name in ("message", "detail", "code", "type")]
    # OpenRouter passes on what the provider behind it said.
    words.append(mapping(error.get("metadata")).get("raw"))
    return "; ".join(dict.fromkeys(str(word) for word in words if word)) or str(body)
