"""The HTTP client under a provider's SDK: as many connections as are wanted, and no reply larger than it can be meant."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator
from functools import cache
from typing import Any

from agents.models.errors import Oversized

LARGEST = 4 * 2**20
"""Bytes of a reply's body. The longest that a model writes is a tenth of it."""
LARGEST_PACKED = 2**18
"""Bytes of a body that is compressed, which can become a thousand times as many."""


def client(sdk: Any) -> Any:
    """The SDK's aiohttp client, for `http_client`. It raises `Oversized`, and of an error's body it keeps the beginning."""
    # aiohttp reads 0 as no limit; None would leave it at its own 100.
    limits = type(sdk.DEFAULT_CONNECTION_LIMITS)(max_connections=0)
    stream: Any = http(sdk).AsyncByteStream

    async def received(response: Any) -> None:
        headers = response.headers
        packed = headers.get("content-encoding", "identity") != "identity"
        length = headers.get("content-length")
        most = LARGEST_PACKED if packed else LARGEST
        if length is not None and length.isdecimal() and int(length) <= most:
            return
        response.stream = _bounded(stream)(response.stream, most, response.status_code >= 400)

    return sdk.DefaultAioHttpClient(limits=limits, event_hooks={"response": [received]})


def http(sdk: Any) -> Any:
    """The library of requests and responses that the SDK is built on: httpx, or its successor."""
    return importlib.import_module(type(sdk.DEFAULT_CONNECTION_LIMITS).__module__.partition(".")[0])


@cache
def _bounded(stream: Any) -> Any:
    class Bounded(stream):
        def __init__(self, inner: Any, most: int, cut: bool):
            self._inner = inner
            self._most = most
            self._cut = cut

        async def __aiter__(self) -> AsyncGenerator[bytes]:
            read = 0
            async for chunk in self._inner:
                read += len(chunk)
                if read > self._most and self._cut:
                    return
                if read > self._most:
                    raise Oversized(f"the reply has more than {self._most:,} bytes")
                yield chunk

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Bounded
