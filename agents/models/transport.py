"""One HTTP request: JSON posted to a provider with the headers of its SDK, and a reply no larger than it can be meant."""

from __future__ import annotations

import asyncio
import importlib
import io
import zlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from agents.models import rates, wire
from agents.models.errors import BadRequest, Disconnected, ModelError, Oversized, TimedOut, Unreachable, redacted
from arena.types import Rates

LARGEST = 4 * 2**20
"""Bytes of a reply's body. The longest that a model writes is a tenth of it."""
LARGEST_PACKED = 2**18
"""Bytes of a body that is compressed, which can become a thousand times as many."""
LARGEST_ERROR = 2**14
"""Bytes of the body of an error, of which the beginning is enough."""

_KEPT_S = 4.0
"""How long an idle connection is kept: less than the 5 s after which uvicorn, and so vLLM, hangs up. A request that meets
the hanging up is lost, and nobody knows whether it was served."""
_LARGE_REQUEST = 2**20
"""Bytes from which aiohttp wants a file to send, in pieces between which others get their turn."""

Reply = tuple[Mapping[str, object], Rates | None]
"""The JSON object of a reply, and what its headers say of limits."""


class Address:
    """Where JSON is posted: a path below the base URL of an SDK's client, with all that the client adds to a request.

    The client knows the address, the headers and the environment variables that say otherwise. Its way of sending costs
    three times what aiohttp's does, so it is asked once and sends nothing. Belongs to the event loop that first posts.
    """

    def __init__(
        self, sdk: Any, client: Callable[..., Any], path: str, *, api_key: str, base_url: str | None, timeout_s: float
    ) -> None:
        """`client` is the SDK's class for asyncio.

        Raises `ValueError` for an address that is none, and `OSError` for certificates that cannot be read.
        """
        library = _http(sdk)
        # A client that opens nothing: the SDK's own would read all certificates, to no purpose.
        unused = library.AsyncClient(transport=library.AsyncBaseTransport(), trust_env=False)
        try:
            asked = client(api_key=api_key, base_url=base_url, http_client=unused)
            self._url = _callable(URL(f"{str(asked.base_url).rstrip('/')}/{path}", encoded=True))
            self._proxy = _proxy(self._url)
        except (library.InvalidURL, ValueError):
            # From nothing, and in no words but these: an address can hold a password.
            raise ValueError("its base URL, or the proxy that the environment names, is no http address") from None
        self._headers = _headers(asked)
        self._secret = api_key
        self._timeout_s = timeout_s
        encrypted = "https" in (self._url.scheme, self._proxy and self._proxy.scheme)
        # As the SDK trusts: its library heeds SSL_CERT_FILE and SSL_CERT_DIR.
        self._tls = library.create_ssl_context() if encrypted else True
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: Mapping[str, object]) -> Reply:
        """Send the request once.

        Raises `ModelError`. The timeout holds for the whole exchange, however slowly bytes arrive.
        """
        content = wire.dump(body)
        # From nothing: what aiohttp raises can hold the request, and that holds the key.
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(content)
        except TimeoutError:
            raise TimedOut(f"no reply within {self._timeout_s:g} s") from None
        except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
            # No such name, nobody there, a certificate or a proxy that will not do: the request has not left.
            raise Unreachable(redacted(f"connection failed: {_told(error)}", self._secret)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Disconnected(redacted(f"connection failed: {_told(error)}", self._secret)) from None
        except ValueError as error:
            raise BadRequest(redacted(f"the request cannot be sent: {error}", self._secret)) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, content: bytes) -> Reply:
        session = self._session or self._open()
        data = content if len(content) < _LARGE_REQUEST else io.BytesIO(content)
        async with session.post(self._url, data=data, allow_redirects=False) as response:
            if 200 <= response.status < 300:
                return wire.load(await _body(response), self._secret), rates.read(response.headers)
            raise await self._failure(response)

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls, keepalive_timeout=_KEPT_S),
            headers=self._headers,
            proxy=self._proxy,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
        )
        return self._session

    async def _failure(self, response: aiohttp.ClientResponse) -> ModelError:
        location = response.headers.get("Location")
        if 300 <= response.status < 400 and location:
            # A key that follows is a key given away.
            to = redacted(location, self._secret)
            error = BadRequest(
                f"HTTP {response.status}: redirected to {to}, where no key is sent: correct the base URL"
            )
            error.status = response.status
            return error
        return wire.failure(response.status, wire.said(await _beginning(response)), response.headers, self._secret)


def _headers(client: Any) -> CIMultiDict[str]:
    """What the client sends with every request; later names win over earlier ones, as it has them."""
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in [*client.auth_headers.items(), *client.default_headers.items()]:
        if isinstance(value, str):  # the others stand for a header that is left out
            headers[name] = value
    headers["Accept-Encoding"] = "gzip"
    return headers


def _proxy(url: URL) -> URL | None:
    """The proxy that the environment names for an address.

    aiohttp would look for it in a thread at every call, and in ~/.netrc for another key than ours.
    """
    proxies = getproxies()
    found = proxies.get(url.scheme) or proxies.get("all")
    if not found or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    return _callable(URL(found if "://" in found else f"http://{found}"))


def _callable(url: URL) -> URL:
    """The URL. Raises `ValueError` where aiohttp could not connect to it."""
    if url.scheme not in ("http", "https") or not url.host or not url.port:
        raise ValueError(url.scheme)
    return url


def _http(sdk: Any) -> Any:
    """The library of requests and responses that the SDK is built on: httpx, or its successor."""
    return importlib.import_module(type(sdk.DEFAULT_CONNECTION_LIMITS).__module__.partition(".")[0])


def _told(error: Exception) -> str:
    """What aiohttp or the system says, without the address: that of a proxy can hold a password."""
    said = f"{error.status} {error.message}" if isinstance(error, aiohttp.ClientResponseError) else error
    return f"{type(error).__name__}: {said}"


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body of a reply. Raises `Oversized`, and `Disconnected` where it cannot be unpacked."""
    encoding = response.headers.get("Content-Encoding", "identity")
    most = LARGEST if encoding == "identity" else LARGEST_PACKED
    length = response.content_length
    raw = await response.read() if length is not None and length <= most else await _start(response, most)
    if len(raw) > most:
        raise Oversized(f"the reply has more than {most:,} bytes")
    if encoding == "identity":
        return raw
    try:
        body = _unpacked(raw, LARGEST)
    except zlib.error:
        raise Disconnected(f"unreadable reply: encoded as {encoding!r:.40}, where gzip was asked for") from None
    if len(body) > LARGEST:
        raise Oversized(f"the reply has more than {LARGEST:,} bytes")
    return body


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of the body of an error, which stays that error whatever comes with it."""
    raw = await _start(response, LARGEST_ERROR)
    if response.headers.get("Content-Encoding", "identity") == "identity":
        return raw
    try:
        return _unpacked(raw, LARGEST_ERROR)
    except zlib.error:
        return b""


async def _start(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, or its beginning and a little more than `most` bytes."""
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > most:
            break
    return bytes(raw)


def _unpacked(raw: bytes, most: int) -> bytes:
    """What gzip or zlib packed, up to one byte more than `most`."""
    return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(raw, most + 1)
