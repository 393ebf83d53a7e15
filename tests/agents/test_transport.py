"""The one HTTP request under OpenAI's and Anthropic's models: what it sends, over what, and what it does not take."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import ssl
import subprocess
import traceback
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from agents.models import errors, transport
from agents.models.anthropic import AnthropicModel
from agents.models.errors import ModelError
from agents.models.openai import OpenAIModel
from agents.models.registry import Models, ProviderError
from arena.settings import AnthropicProvider, OpenAIProvider
from arena.types import Completion, Message, Occasion, Request, Sampling

KEY = "house-secret-0123456789"
"""In no shape by which a key is known: it must be found by itself."""
REPLY = json.dumps(
    {
        "choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "content": [{"type": "text", "text": "Hi"}],
    }
).encode()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own proxy and certificates must not reach a test."""
    for variable in list(os.environ):
        if variable.lower().endswith("_proxy") or variable.startswith("SSL_CERT_"):
            monkeypatch.delenv(variable)


# ------------------------------------------------------------------ a server that speaks bytes


@dataclass
class Server:
    """A loopback port, how often it was connected to, and each request's head and length of body."""

    port: int = 0
    connections: int = 0
    heads: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)


def headers(head: str) -> dict[str, str]:
    pairs = (line.split(": ", 1) for line in head.splitlines()[1:] if line)
    return {name.lower(): value for name, value in pairs}


Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(respond: Respond, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Server]:
    """Answer every request on a connection with `respond`, until it closes the connection."""
    server = Server()
    held: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        held.add(writer)
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                server.heads.append(head)
                length = headers(head).get("content-length", "0")
                server.lengths.append(len(await reader.readexactly(int(length))))
                await respond(reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for writer in held:
            writer.close()


def says(body: bytes = REPLY, status: str = "200 OK", **headers: str) -> Respond:
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{''.join(lines)}\r\n".encode()

    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + body)

    return respond


def raw(said: bytes) -> Respond:
    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    return respond


# ------------------------------------------------------------------ the models


def openai_model(url: str) -> OpenAIModel:
    return OpenAIModel(api_key=KEY, base_url=f"{url}/v1", timeout_s=10)


def anthropic_model(url: str) -> AnthropicModel:
    return AnthropicModel(api_key=KEY, base_url=url, timeout_s=10, max_output_tokens=4000)


Open = Callable[[str], OpenAIModel | AnthropicModel]
BOTH = pytest.mark.parametrize("open_model", [openai_model, anthropic_model])


def ask(said: str = "Hello") -> Request:
    return Request("house/m", (Message("user", said),), Sampling(), cast("Occasion", None))


async def outcome(model: OpenAIModel | AnthropicModel, request: Request | None = None) -> Completion | ModelError:
    try:
        return await model.complete(request or ask())
    except ModelError as error:
        return error


def called(
    open_model: Open, respond: Respond, *requests: Request, url: str = "http://127.0.0.1:{}", tls: Any = None
) -> tuple[list[Completion | ModelError], Server]:
    """What calls in a row come to, and what the server saw of them."""

    async def go() -> tuple[list[Completion | ModelError], Server]:
        async with serving(respond, tls) as server:
            model = open_model(url.format(server.port))
            found = [await outcome(model, request) for request in requests or (ask(),)]
            await model.close()
            return found, server

    return asyncio.run(go())


def failed(open_model: Open, respond: Respond, **options: Any) -> ModelError:
    [error], _ = called(open_model, respond, **options)
    assert isinstance(error, ModelError), error
    return error


# ------------------------------------------------------------------ what is sent


def test_openai_is_sent_the_headers_of_its_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    _, server = called(openai_model, says())
    sent = headers(server.heads[0])
    assert server.heads[0].startswith("POST /v1/chat/completions HTTP/1.1")
    assert sent["authorization"] == f"Bearer {KEY}"
    assert (sent["openai-organization"], sent["openai-project"]) == ("org-1", "proj-1")
    assert sent["user-agent"].startswith("AsyncOpenAI/Python")
    assert (sent["content-type"], sent["accept"]) == ("application/json", "application/json")
    assert sent["accept-encoding"] == "gzip"
    assert sent["host"] == f"127.0.0.1:{server.port}"
    assert "x-stainless-lang" in sent


def test_a_header_that_the_sdk_leaves_out_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_ORG_ID", raising=False)
    _, server = called(openai_model, says())
    assert "organization" not in server.heads[0].lower()
    assert "omit" not in server.heads[0].lower()


def test_anthropic_is_sent_the_headers_of_its_sdk() -> None:
    _, server = called(anthropic_model, says())
    sent = headers(server.heads[0])
    assert server.heads[0].startswith("POST /v1/messages HTTP/1.1")
    assert KEY in sent.get("x-api-key", sent.get("authorization", ""))
    assert sent["anthropic-version"]
    assert sent["user-agent"].startswith("AsyncAnthropic/Python")
    assert sent["content-type"] == "application/json"


@BOTH
def test_a_header_is_sent_once(open_model: Open) -> None:
    _, server = called(open_model, says())
    names = [line.split(":")[0].lower() for line in server.heads[0].splitlines()[1:] if line]
    assert sorted(names) == sorted(set(names))


def test_the_environment_may_replace_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "user-agent: mine\nX-Gateway: 7")
    _, server = called(anthropic_model, says())
    assert (headers(server.heads[0])["user-agent"], headers(server.heads[0])["x-gateway"]) == ("mine", "7")


@BOTH
def test_a_large_request_is_sent_without_a_warning(open_model: Open) -> None:
    [found], server = called(open_model, says(), ask("x" * 2**21))
    assert isinstance(found, Completion)
    assert server.lengths[0] > 2**21


# ------------------------------------------------------------------ over what


@BOTH
def test_calls_in_a_row_share_a_connection_and_no_cookies(open_model: Open) -> None:
    found, server = called(open_model, says(Set_Cookie="a=b; Path=/"), ask(), ask(), ask())
    assert all(isinstance(reply, Completion) for reply in found)
    assert (server.connections, len(server.heads)) == (1, 3)
    assert "cookie" not in server.heads[2].lower()


@BOTH
def test_a_kept_connection_that_was_closed_under_a_request_is_a_disconnection(open_model: Open) -> None:
    """Nobody knows whether the request was served, so it is not sent again here."""
    answered = 0

    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        answered += 1
        if answered == 2:
            writer.transport.abort()
        else:
            await says()(_, writer)

    [first, second, third], server = called(open_model, respond, ask(), ask(), ask())
    assert isinstance(first, Completion)
    assert isinstance(second, errors.Disconnected)
    assert isinstance(third, Completion)
    assert (server.connections, answered) == (2, 3)


def test_an_idle_connection_is_given_up_before_the_server_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_KEPT_S", 0.0)
    _, server = called(openai_model, says(), ask(), ask())
    assert server.connections == 2


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
@BOTH
def test_a_proxy_of_the_environment_is_used(open_model: Open, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> tuple[Completion | ModelError, Server]:
        async with serving(says()) as proxy:
            monkeypatch.setenv(variable, f"http://me:secret@127.0.0.1:{proxy.port}")
            model = open_model("http://provider.example")
            found = await outcome(model)
            await model.close()
            return found, proxy

    found, proxy = asyncio.run(go())
    assert isinstance(found, Completion)
    assert proxy.heads[0].startswith("POST http://provider.example/v1/")
    assert headers(proxy.heads[0])["proxy-authorization"].startswith("Basic ")
    assert KEY in proxy.heads[0]


def test_an_address_may_be_excepted_from_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    [found], _ = called(openai_model, says())
    assert isinstance(found, Completion)


def test_a_proxy_that_is_away_does_not_tell_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:hush-hush@127.0.0.1:9")
    error = failed(openai_model, says())
    assert error.kind == "unreachable"
    assert "hush" not in "".join(traceback.format_exception(error))


def test_a_netrc_gives_no_other_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    _, server = called(openai_model, says())
    assert headers(server.heads[0])["authorization"] == f"Bearer {KEY}"


# ------------------------------------------------------------------ whom it trusts


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key in the same file."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=loopback"
    command += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    try:
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no openssl that makes a certificate")
    return folder


def encrypted(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


@BOTH
def test_a_certificate_that_nobody_vouches_for_is_refused(open_model: Open, certificate: Path) -> None:
    [error], server = called(open_model, says(), url="https://127.0.0.1:{}", tls=encrypted(certificate))
    assert isinstance(error, errors.Unreachable)
    assert "certificate" in error.message
    assert server.heads == []


@BOTH
def test_a_certificate_may_be_vouched_for_by_the_environment(
    open_model: Open, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    [found], _ = called(open_model, says(), url="https://127.0.0.1:{}", tls=encrypted(certificate))
    assert isinstance(found, Completion)


async def tunnels(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Pass bytes on both ways, as a proxy does after CONNECT."""

    async def copied(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(2**16):
            sink.write(chunk)
        sink.close()

    there, back = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
    await asyncio.gather(copied(reader, back), copied(there, writer))


@BOTH
def test_a_proxy_is_not_shown_what_is_encrypted(
    open_model: Open, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))

    async def go() -> tuple[Completion | ModelError, Server, Server]:
        async with (
            serving(says(), encrypted(certificate)) as server,
            serving(lambda reader, writer: tunnels(reader, writer, server.port)) as proxy,
        ):
            monkeypatch.setenv("https_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
            model = open_model(f"https://127.0.0.1:{server.port}")
            found = await outcome(model)
            await model.close()
            return found, server, proxy

    found, server, proxy = asyncio.run(go())
    assert isinstance(found, Completion)
    assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{server.port} ")
    assert "proxy-authorization" in headers(proxy.heads[0])
    assert KEY not in proxy.heads[0]
    assert "proxy-authorization" not in headers(server.heads[0])


@pytest.mark.parametrize(
    ("said", "kind"),
    [(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n", "unreachable"), (b"noise", "connection")],
)
def test_beyond_a_proxy_that_refuses_nothing_was_sent_and_its_password_is_not_told(
    said: bytes, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> Completion | ModelError:
        async with serving(raw(said)) as proxy:
            monkeypatch.setenv("https_proxy", f"http://me:hush-hush@127.0.0.1:{proxy.port}")
            model = openai_model("https://provider.example")
            found = await outcome(model)
            await model.close()
            return found

    error = asyncio.run(go())
    assert isinstance(error, ModelError)
    assert error.kind == kind
    assert "hush" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("variable", "value", "url", "said"),
    [
        ("SSL_CERT_FILE", "/nowhere.pem", "https://127.0.0.1:9", "SSL_CERT_FILE"),
        ("https_proxy", "socks5://127.0.0.1:9", "https://127.0.0.1:9", "proxy"),
        ("https_proxy", "http://[", "https://127.0.0.1:9", "proxy"),
        ("https_proxy", "", "127.0.0.1:9", "base URL"),
        ("https_proxy", "", "http://127.0.0.1:99999", "base URL"),
        ("https_proxy", "", "ftp://127.0.0.1:9", "base URL"),
    ],
)
@pytest.mark.parametrize("api", [{"api": "openai", "key_env": None}, {"api": "anthropic", "key_env": None}])
def test_what_can_never_be_called_is_said_before_the_first_call(
    api: dict[str, Any], variable: str, value: str, url: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    settings = (OpenAIProvider if api["api"] == "openai" else AnthropicProvider).model_validate(api).model_dump()
    with pytest.raises(ProviderError, match=f"house.*{said}"):
        Models({"house": {**settings, "base_url": url}}, 10).model("house/m")


# ------------------------------------------------------------------ what it does not take


@BOTH
@pytest.mark.parametrize("status", ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_no_key_follows_a_redirect(open_model: Open, status: str) -> None:
    async def go() -> tuple[Completion | ModelError, Server]:
        async with (
            serving(says()) as other,
            serving(says(b"", status, Location=f"http://127.0.0.1:{other.port}/{KEY}")) as server,
        ):
            model = open_model(f"http://127.0.0.1:{server.port}")
            found = await outcome(model)
            await model.close()
            return found, other

    error, other = asyncio.run(go())
    assert isinstance(error, errors.BadRequest)
    assert f"redirected to http://127.0.0.1:{other.port}/" in error.message
    assert (other.connections, KEY in error.message, error.status) == (0, False, int(status[:3]))


@BOTH
def test_a_bomb_is_not_unpacked(open_model: Open) -> None:
    bomb = gzip.compress(bytes(16 * 2**20), 1)
    assert len(bomb) < transport.LARGEST_PACKED
    assert failed(open_model, says(bomb, Content_Encoding="gzip")).kind == "oversized"
    assert len(transport._unpacked(bomb, 1000)) == 1001  # pyright: ignore[reportPrivateUsage]


@BOTH
def test_an_error_that_never_ends_is_still_that_error(open_model: Open) -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()

    assert failed(open_model, endless).kind == "overloaded"


@BOTH
@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_what_was_packed_is_unpacked(open_model: Open, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    [found], _ = called(open_model, says(pack(REPLY), Content_Encoding=encoding))
    assert isinstance(found, Completion)
    words = json.dumps({"error": {"message": "context_length_exceeded"}}).encode()
    assert (
        failed(open_model, says(pack(words), "400 Bad Request", Content_Encoding=encoding)).kind == "context_too_long"
    )


@BOTH
@pytest.mark.parametrize("encoding", ["gzip", "br", "none of these"])
def test_what_cannot_be_unpacked_is_no_reply_and_an_error_stays_one(open_model: Open, encoding: str) -> None:
    assert failed(open_model, says(b"?" * 99, Content_Encoding=encoding)).kind == "connection"
    busy = says(b"?" * 99, "503 Service Unavailable", Content_Encoding=encoding)
    assert failed(open_model, busy).kind == "overloaded"


@BOTH
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"not HTTP at all " + KEY.encode(),
        b"HTTP/1.1 200 " + KEY.encode() + b"\r\nContent-Length: " + KEY.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + KEY.encode() + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 2**17 + b"\r\n\r\n",
    ],
    ids=["nothing", "noise", "no length", "no chunk", "half a chunk", "half a body", "a long header"],
)
def test_what_is_no_http_is_a_disconnection_that_quotes_no_key(open_model: Open, said: bytes) -> None:
    error = failed(open_model, raw(said))
    assert isinstance(error, errors.Disconnected)
    assert KEY not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "101 Switching Protocols"])
def test_a_status_that_nobody_expects_is_a_failure(status: str) -> None:
    assert failed(openai_model, raw(f"HTTP/1.1 {status}\r\n\r\n".encode())).kind in ("connection", "bad_request")


def test_an_address_with_a_password_is_a_bad_request_that_does_not_quote_it() -> None:
    error = failed(openai_model, says(), url="http://me:hush-hush@127.0.0.1:{}")
    assert isinstance(error, errors.BadRequest)
    assert "hush" not in "".join(traceback.format_exception(error))


def test_a_key_that_is_no_header_is_a_bad_request_that_does_not_quote_it() -> None:
    def open_model(url: str) -> OpenAIModel:
        return OpenAIModel(api_key="two\r\nlines-of-key", base_url=url, timeout_s=10)

    error = failed(open_model, says())
    assert isinstance(error, errors.BadRequest)
    assert "lines-of-key" not in "".join(traceback.format_exception(error))
