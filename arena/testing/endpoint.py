"""The loopback endpoint: serves a responder with latency, seeded faults and counters."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from random import Random
from typing import Any, Self

from aiohttp import web
from anyio.from_thread import start_blocking_portal

from arena.testing import wire
from arena.testing.caches import PromptCache
from arena.testing.capacity import Capacity, Gate
from arena.testing.faults import STATUS, Faults, degraded
from arena.testing.responders import Answered, Api, Exchange, Responder, fill_in


@dataclass(frozen=True, slots=True)
class Counts:
    """What an endpoint has served since it started or was reset. Tokens are characters over 4, a call at a time."""

    calls: int
    """Requests for a completion that could be read, however they ended."""
    answered: int
    """Replies that could be sent as JSON; garbage, empty, truncated and refusing ones are among them."""
    in_flight: int
    peak_in_flight: int
    faults: Mapping[str, int]
    """Faults dealt, by kind."""
    tokens_in: int
    """Of answered calls only, as is `tokens_out`: the sums of the usage that was reported."""
    tokens_out: int
    by_model: Mapping[str, int]
    """Calls by model id."""
    duplicate_bodies: int
    """Replies without a fault beyond the first one to the same bytes: what a careful client does not pay for."""
    refused: int = 0
    """Requests turned away because of the `capacity`; they are no calls."""
    cached_share_of_prompt: float = 0.0
    """Of the characters of all prompts answered, those that repeat the start of an earlier prompt to the same model id, which
    a provider's prompt cache could serve. 0 without `prefix_stats`."""


@dataclass(slots=True)
class _Tally:
    """What a reset forgets."""

    drawn: Random
    peak_in_flight: int
    gate: Gate
    answered: int = 0
    refused: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    by_model: Counter[str] = field(default_factory=Counter[str])
    bodies: Counter[bytes] = field(default_factory=Counter[bytes])
    requests: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    cache: PromptCache = field(default_factory=PromptCache)


@dataclass(slots=True, eq=False)
class Endpoint:
    """An async context manager that serves on 127.0.0.1, and nowhere else, while it is open.

    A reply takes `latency_s` seconds, give or take the share `jitter` of it. Faults are drawn from `seed` in the order
    in which requests arrive. `port` 0 takes any free one. With `prefix_stats` it remembers prompts, and the usage that it
    reports has the tokens that a provider's cache would have served.
    """

    responder: Responder = fill_in
    _: KW_ONLY
    port: int = 0
    latency_s: float = 0.0
    jitter: float = 0.0
    faults: Faults = Faults()  # noqa: RUF009  (frozen)
    seed: int = 0
    retry_after_s: float = 1.0
    capacity: Capacity = Capacity()  # noqa: RUF009  (frozen)
    prefix_stats: bool = False
    keep_requests: bool = False
    _in_flight: int = field(default=0, init=False)
    _tally: _Tally = field(init=False)
    _runner: web.AppRunner | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.latency_s < 0 or not 0 <= self.jitter <= 1:
            raise ValueError(f"latency_s must be >= 0 and jitter in [0, 1], not {self.latency_s} and {self.jitter}")
        self.reset()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", partial(self._serve, "openai"))
        app.router.add_post("/v1/messages", partial(self._serve, "anthropic"))
        app.router.add_get("/v1/models", self._serve_models)
        app.router.add_get("/stats", self._serve_stats)
        app.router.add_post("/reset", self._serve_reset)
        # A handler ends with its client, so that a stall that nobody waits for is no longer in flight.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port, backlog=4096).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        return self

    async def __aexit__(self, *_: object) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def origin(self) -> str:
        """The base URL for the anthropic SDK: `http://127.0.0.1:PORT`. Raises RuntimeError when not open."""
        if self._runner is None:
            raise RuntimeError("the endpoint is not open; use `async with Endpoint(...) as endpoint:`")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @property
    def url(self) -> str:
        """The base URL for the openai SDK: `http://127.0.0.1:PORT/v1`. Raises RuntimeError when not open."""
        return f"{self.origin}/v1"

    @property
    def counts(self) -> Counts:
        """A snapshot of what has been served."""
        tally = self._tally
        return Counts(
            calls=tally.by_model.total(),
            answered=tally.answered,
            in_flight=self._in_flight,
            peak_in_flight=tally.peak_in_flight,
            faults=dict(tally.faults),
            tokens_in=tally.tokens_in,
            tokens_out=tally.tokens_out,
            by_model=dict(tally.by_model),
            duplicate_bodies=tally.bodies.total() - len(tally.bodies),
            refused=tally.refused,
            cached_share_of_prompt=tally.cache.share,
        )

    @property
    def requests(self) -> list[Mapping[str, Any]]:
        """The bodies of all calls in order of arrival; empty without `keep_requests`."""
        return list(self._tally.requests)

    def reset(self) -> None:
        """Forget the counts, and begin the seeded faults anew."""
        self._tally = _Tally(Random(self.seed), self._in_flight, Gate(self.capacity, now=time.monotonic()))

    async def _serve(self, api: Api, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        tally = self._tally
        try:
            exchange = wire.exchange(api, raw, tally.by_model)
        except ValueError as problem:
            return wire.error(400, "invalid_request_error", str(problem))
        if (wait_s := tally.gate.refused(time.monotonic())) is not None:
            tally.refused += 1
            after = {"Retry-After": f"{wait_s or self.retry_after_s:.3g}", **self._limits(api, tally)}
            return wire.error(*STATUS["rate_limited"], "beyond the capacity", after)
        tally.by_model[exchange.model] += 1
        if self.keep_requests:
            tally.requests.append(exchange.body)
        fault = self.faults.draw(tally.drawn)
        latency_s = self.latency_s * (1 + self.jitter * tally.drawn.uniform(-1, 1))
        self._in_flight += 1
        tally.peak_in_flight = max(tally.peak_in_flight, self._in_flight)
        try:
            async with tally.gate.place():
                await asyncio.sleep(latency_s)
                return await self._answer(request, raw, exchange, fault, tally)
        finally:
            self._in_flight -= 1

    async def _answer(
        self, request: web.Request, raw: bytes, exchange: Exchange, fault: str | None, tally: _Tally
    ) -> web.StreamResponse:
        if fault is not None:
            tally.faults[fault] += 1
        if fault == "stall":
            await asyncio.Event().wait()
        limits = self._limits(exchange.api, tally)
        if fault in STATUS:
            after = {"Retry-After": f"{self.retry_after_s:g}"} if fault == "rate_limited" else {}
            return wire.error(*STATUS[fault], f"injected fault: {fault}", {**after, **limits})
        try:
            said = self.responder(exchange)
        except LookupError as problem:
            return wire.error(404, "not_found_error", str(problem))
        answered = degraded(Answered(said) if isinstance(said, str) else said, fault)
        tokens = self._tokens(exchange, answered, tally)
        payload = json.dumps(wire.altered(wire.reply(exchange, answered, tokens), fault, exchange.n)).encode()
        if fault == "drop":
            return await wire.half_of(payload, request)
        if fault == "slow":
            return await wire.endless(payload, request)
        if fault == "invalid_json":
            payload = payload[: len(payload) // 2]
        else:
            tally.answered += 1
            tally.tokens_in += tokens.input
            tally.tokens_out += tokens.output
        if fault is None:
            tally.bodies[blake2b(raw).digest()] += 1
        return web.Response(body=payload, content_type="application/json", headers=limits)

    def _tokens(self, exchange: Exchange, answered: Answered, tally: _Tally) -> wire.Tokens:
        read = written = 0
        if self.prefix_stats:
            read = tally.cache.take(exchange.model, exchange.messages)
            if exchange.api == "anthropic":
                read, written = tally.cache.breakpoints(exchange.body)
        whole = sum(len(message.content) for message in exchange.messages) // 4
        # Roles count as characters of a prompt, and not as tokens of its text.
        return wire.Tokens(whole, len(answered.text) // 4, min(read // 4, whole), written // 4)

    def _limits(self, api: Api, tally: _Tally) -> dict[str, str]:
        return tally.gate.told(api, datetime.now(UTC))

    async def _serve_models(self, _: web.Request) -> web.Response:
        models = [{"id": model, "object": "model", "type": "model"} for model in self._tally.by_model]
        return web.json_response({"object": "list", "data": models, "has_more": False})

    async def _serve_stats(self, _: web.Request) -> web.Response:
        # The processor's time is the whole process's: whoever measures a client asks whether the endpoint kept up.
        return web.json_response({**asdict(self.counts), "cpu_s": time.process_time()})

    async def _serve_reset(self, _: web.Request) -> web.Response:
        self.reset()
        return web.json_response({})


@dataclass(frozen=True, slots=True)
class Served:
    """An endpoint that runs in another thread, for synchronous code."""

    origin: str
    """The base URL for the anthropic SDK."""
    url: str
    """The base URL for the openai SDK."""
    counts: Callable[[], Counts]
    """A snapshot of what has been served."""
    requests: Callable[[], list[Mapping[str, Any]]]
    """The bodies of all calls in order of arrival; empty without `keep_requests`."""
    reset: Callable[[], None]
    """Forget the counts, and begin the seeded faults anew."""


@contextmanager
def serve_in_thread(**settings: Any) -> Generator[Served]:
    """Serve from a background thread with a loop of its own while the context lasts; takes all that `Endpoint` takes."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Endpoint(**settings)) as endpoint:
        yield Served(
            endpoint.origin,
            endpoint.url,
            counts=lambda: portal.call(lambda: endpoint.counts),
            requests=lambda: portal.call(lambda: endpoint.requests),
            reset=lambda: portal.call(endpoint.reset),
        )
