"""A loopback endpoint for trying experiments without paying: OpenAI- and Anthropic-compatible, with latency, seeded
faults and counters. From Python it is `Endpoint` or `serve_in_thread`, from a shell `python -m arena.testing`."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import re
import signal
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, asdict, astuple, dataclass, field, fields
from functools import partial
from hashlib import blake2b
from random import Random
from typing import Any, Literal, Self

from aiohttp import web
from anyio.from_thread import start_blocking_portal

from arena.types import Message

Api = Literal["openai", "anthropic"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, as a responder sees it."""

    api: Api
    model: str
    messages: tuple[Message, ...]
    """The whole prompt, the system message included, each message as plain text."""
    body: Mapping[str, Any]
    n: int
    """How many calls of this model id came before."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the model says, and why it stopped; with `refusal` the text is the refusal's own."""

    text: str
    finish: Literal["stop", "length", "refusal"] = "stop"


Responder = Callable[[Exchange], str | Answered]
"""What stands in for the models: a function from a request to its reply. A LookupError becomes a 404."""


# ------------------------------------------------------------------ responders


def fill_in(exchange: Exchange) -> str:
    """A speech of words, then every tag that the latest instruction names, filled in: percentages of 50 to 95, sides,
    sentences. The model id and the messages decide all of it, so a resumed run equals a calm one."""
    drawn = Random(repr((exchange.model, exchange.messages)))
    prompt = _latest_instruction(exchange.messages)
    speech = " ".join(_sentence(drawn) for _ in range(6))
    tags = dict.fromkeys(_TAG.findall(prompt))
    return "\n".join([speech, *(f"<{tag}>{_filling(tag, prompt, drawn)}</{tag}>" for tag in tags)])


def replies(texts: Mapping[str, str | Sequence[str]] | Sequence[str]) -> Responder:
    """Fixed replies: one text for ever, or a list read by turn (how many assistant messages the prompt holds), for all
    models or by model id. Raises LookupError, hence answers 404, where no text was given."""

    def respond(exchange: Exchange) -> str:
        script = texts.get(exchange.model) if isinstance(texts, Mapping) else texts
        if script is None:
            raise LookupError(f"no replies were given for model {exchange.model!r}")
        if isinstance(script, str):
            return script
        turn = sum(message.role == "assistant" for message in exchange.messages)
        if turn >= len(script):
            raise LookupError(f"{exchange.model!r} has {len(script)} replies, and is asked for number {turn + 1}")
        return script[turn]

    return respond


_TAG = re.compile(r"<([a-z]\w*)>")
_OPTIONS = re.compile(r"([`\"']?)([\w-]+)[`\"']?(?:,?\s+or\s+|\s*\|\s*)[`\"']?([\w-]+)")
_SIDES = ("proposition", "opposition")
_WORDS = ("evidence", "principle", "cost", "duty", "market", "policy", "harm", "benefit", "burden", "reform", "risk")


def _latest_instruction(messages: Sequence[Message]) -> str:
    """All that was said to the model since it last spoke: an instruction, and perhaps why it is asked again."""
    said: list[str] = []
    for role, content in reversed(messages):
        if role != "user":
            break
        said.append(content)
    return "\n".join(reversed(said))


def _sentence(drawn: Random) -> str:
    return " ".join(drawn.choices(_WORDS, k=drawn.randint(8, 14))).capitalize() + "."


def _filling(tag: str, prompt: str, drawn: Random) -> str:
    def about(*words: str) -> bool:
        return any(word in tag.lower() for word in words)

    if about("logic", "reason", "explan"):  # before the numbers: <bet_logic> asks for words
        return _sentence(drawn)
    if about("winner", "choice"):
        return drawn.choice(_options(prompt, near=prompt.index(f"<{tag}>")))
    if about("confidence", "bet", "probability", "amount"):
        return str(drawn.randint(50, 95))
    return _sentence(drawn)


def _options(prompt: str, near: int) -> tuple[str, str]:
    """The two sides that a prompt offers as `one or other`, quoted ones first; else proposition and opposition."""
    named = all(side in prompt.lower() for side in _SIDES)

    def rank(offer: re.Match[str]) -> tuple[bool, bool, int]:
        sides = {offer[2].lower(), offer[3].lower()} == set(_SIDES)
        return not sides, not offer[1], abs(offer.start() - near)

    offer = min(_OPTIONS.finditer(prompt), key=rank, default=None)
    if offer is None or (named and rank(offer)[:2] == (True, True)):  # "one or two reasons" is no offer of sides
        return _SIDES
    return offer[2], offer[3]


# ------------------------------------------------------------------ faults


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each thing goes wrong: rates in [0, 1] that sum to at most 1, else ValueError."""

    rate_limited: float = 0.0
    """429 with Retry-After; the next three are 500, 503 and 529."""
    server_error: float = 0.0
    unavailable: float = 0.0
    overloaded: float = 0.0
    drop: float = 0.0
    """The connection closes after half a body."""
    stall: float = 0.0
    """No answer ever comes."""
    garbage: float = 0.0
    """A well-formed reply whose text has odd characters (a lone surrogate too) and NaN in every tag."""
    empty: float = 0.0
    truncate: float = 0.0
    """Half of the text, finished by `length` or `max_tokens`."""
    invalid_json: float = 0.0
    """200, and a body that is no JSON."""
    refusal: float = 0.0
    """As each API tells one: a message's `refusal`, or a `stop_reason`."""

    def __post_init__(self) -> None:
        rates = {kind: getattr(self, kind) for kind in KINDS}
        for kind, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"the rate of {kind} must be in [0, 1], not {rate}")
        if (total := math.fsum(rates.values())) > 1 + 1e-9:
            raise ValueError(f"the rates of all faults must sum to at most 1, not {total:g}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `429=0.05,drop=0.02`: names or HTTP numbers, and rates. Raises ValueError that says what exists."""
        rates: dict[str, float] = {}
        for pair in filter(None, (part.strip() for part in text.split(","))):
            name, _, rate = (part.strip() for part in pair.partition("="))
            kind = _KIND_OF_STATUS.get(name, name)
            if kind not in KINDS:
                known = ", ".join([*KINDS, *_KIND_OF_STATUS])
                raise ValueError(f"unknown fault {name!r}; known are {known}")
            if kind in rates:
                raise ValueError(f"the fault {kind} has two rates in {text!r}")
            try:
                rates[kind] = float(rate)
            except ValueError:
                raise ValueError(f"expected {name}=RATE with a number in [0, 1], found {pair!r}") from None
        return cls(**rates)

    def draw(self, drawn: Random) -> str | None:
        """The kind of fault that befalls one request, or None; takes one number from `drawn`."""
        rates: tuple[float, ...] = astuple(self)
        return drawn.choices([None, *KINDS], [max(0.0, 1 - math.fsum(rates)), *rates])[0]


KINDS = tuple(f.name for f in fields(Faults))
"""The names of all faults."""

_STATUS = {
    "rate_limited": (429, "rate_limit_error"),
    "server_error": (500, "api_error"),
    "unavailable": (503, "api_error"),
    "overloaded": (529, "overloaded_error"),
}
_KIND_OF_STATUS = {str(status): kind for kind, (status, _) in _STATUS.items()}
_GARBAGE = " \x00\x07\ufffd\u202e\ud800 {NaN -1e999 "


def _degraded(answered: Answered, fault: str | None) -> Answered:
    """What a fault leaves of a reply's content."""
    match fault:
        case "garbage":
            return Answered(_GARBAGE + re.sub(r">[^<]*</", ">NaN</", answered.text) + _GARBAGE)
        case "empty":
            return Answered("")
        case "truncate":
            return Answered(answered.text[: len(answered.text) // 2], "length")
        case "refusal":
            return Answered("I can't help with that.", "refusal")
        case _:
            return answered


# ------------------------------------------------------------------ the endpoint


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


@dataclass(slots=True)
class _Tally:
    """What a reset forgets."""

    drawn: Random
    peak_in_flight: int
    answered: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    by_model: Counter[str] = field(default_factory=Counter[str])
    bodies: Counter[bytes] = field(default_factory=Counter[bytes])
    requests: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])


@dataclass(slots=True, eq=False)
class Endpoint:
    """An async context manager that serves on 127.0.0.1, and nowhere else, while it is open.

    A reply takes `latency_s` seconds, give or take the share `jitter` of it. Faults are drawn from `seed` in the order
    in which requests arrive. `port` 0 takes any free one.
    """

    responder: Responder = fill_in
    _: KW_ONLY
    port: int = 0
    latency_s: float = 0.0
    jitter: float = 0.0
    faults: Faults = Faults()
    seed: int = 0
    retry_after_s: float = 1.0
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
        )

    @property
    def requests(self) -> list[Mapping[str, Any]]:
        """The bodies of all calls in order of arrival; empty without `keep_requests`."""
        return list(self._tally.requests)

    def reset(self) -> None:
        """Forget the counts, and begin the seeded faults anew."""
        self._tally = _Tally(Random(self.seed), self._in_flight)

    async def _serve(self, api: Api, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        tally = self._tally
        try:
            exchange = _exchange(api, raw, tally.by_model)
        except ValueError as problem:
            return _error(400, "invalid_request_error", str(problem))
        tally.by_model[exchange.model] += 1
        if self.keep_requests:
            tally.requests.append(exchange.body)
        fault = self.faults.draw(tally.drawn)
        latency_s = self.latency_s * (1 + self.jitter * tally.drawn.uniform(-1, 1))
        self._in_flight += 1
        tally.peak_in_flight = max(tally.peak_in_flight, self._in_flight)
        try:
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
        if fault in _STATUS:
            after = {"Retry-After": f"{self.retry_after_s:g}"} if fault == "rate_limited" else {}
            return _error(*_STATUS[fault], f"injected fault: {fault}", after)
        try:
            said = self.responder(exchange)
        except LookupError as problem:
            return _error(404, "not_found_error", str(problem))
        answered = _degraded(Answered(said) if isinstance(said, str) else said, fault)
        tokens_in = sum(len(message.content) for message in exchange.messages) // 4
        tokens_out = len(answered.text) // 4
        shape = _openai_reply if exchange.api == "openai" else _anthropic_reply
        payload = json.dumps(shape(exchange, answered, tokens_in, tokens_out)).encode()
        if fault == "drop":
            return await _half_of(payload, request)
        if fault == "invalid_json":
            payload = payload[: len(payload) // 2]
        else:
            tally.answered += 1
            tally.tokens_in += tokens_in
            tally.tokens_out += tokens_out
        if fault is None:
            tally.bodies[blake2b(raw).digest()] += 1
        return web.Response(body=payload, content_type="application/json")

    async def _serve_models(self, _: web.Request) -> web.Response:
        models = [{"id": model, "object": "model", "type": "model"} for model in self._tally.by_model]
        return web.json_response({"object": "list", "data": models, "has_more": False})

    async def _serve_stats(self, _: web.Request) -> web.Response:
        return web.json_response(asdict(self.counts))

    async def _serve_reset(self, _: web.Request) -> web.Response:
        self.reset()
        return web.json_response({})


# ------------------------------------------------------------------ the two wire formats


def _exchange(api: Api, raw: bytes, calls: Mapping[str, int]) -> Exchange:
    """The request in a body. Raises ValueError when it cannot be served."""
    try:
        body = json.loads(raw)
        model = str(body["model"])
        system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        messages = tuple(Message(said["role"], _plain(said.get("content"))) for said in [*system, *body["messages"]])
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        raise ValueError(f"expected a JSON object with model and messages: {problem!r}") from None
    if body.get("stream"):
        raise ValueError("this endpoint does not stream; send the request without `stream`")
    return Exchange(api, model, messages, body, calls.get(model, 0))


def _plain(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content or ())


def _openai_reply(exchange: Exchange, answered: Answered, tokens_in: int, tokens_out: int) -> Mapping[str, Any]:
    said = {"content": None, "refusal": answered.text} if answered.finish == "refusal" else {"content": answered.text}
    finish = "length" if answered.finish == "length" else "stop"
    return {
        "id": f"chatcmpl-{exchange.n}",
        "object": "chat.completion",
        "created": 0,
        "model": exchange.model,
        "choices": [{"index": 0, "message": {"role": "assistant", **said}, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def _anthropic_reply(exchange: Exchange, answered: Answered, tokens_in: int, tokens_out: int) -> Mapping[str, Any]:
    silent = answered.finish == "refusal" or not answered.text
    return {
        "id": f"msg_{exchange.n}",
        "type": "message",
        "role": "assistant",
        "model": exchange.model,
        "content": [] if silent else [{"type": "text", "text": answered.text}],
        "stop_reason": {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"}[answered.finish],
        "stop_sequence": None,
        "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out, "cache_read_input_tokens": 0},
    }


def _error(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error in a shape that both SDKs read."""
    return web.json_response(
        {"type": "error", "error": {"type": kind, "message": message}}, status=status, headers=headers
    )


async def _half_of(payload: bytes, request: web.Request) -> web.StreamResponse:
    """Promise the whole payload, send half of it, hang up."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(payload)
    await response.prepare(request)
    await response.write(payload[: len(payload) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


# ------------------------------------------------------------------ from a thread, from a shell


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve `fill_in` from a shell until a signal comes or the life is over; the first line printed is the URL."""
    parser = argparse.ArgumentParser(prog="python -m arena.testing", description=__doc__)
    add = partial(parser.add_argument, metavar="N")
    add("--port", type=int, default=8123, help="0 takes any free one (default: %(default)s)")
    add("--latency", type=float, default=0.0, help="seconds that each reply takes")
    add("--fault", default="", metavar="KIND=RATE,...", help=f"of 429 500 503 529 {' '.join(KINDS)}")
    add("--seed", type=int, default=0, help="of the faults (default: %(default)s)")
    add("--life", type=float, default=3600.0, help="seconds after which it stops by itself (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        endpoint = Endpoint(port=args.port, latency_s=args.latency, faults=Faults.parse(args.fault), seed=args.seed)
    except ValueError as problem:
        parser.error(str(problem))
    asyncio.run(_serve_until_told(endpoint, args.life))


async def _serve_until_told(endpoint: Endpoint, life_s: float) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with endpoint:
        print(endpoint.url, flush=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(life_s):
                await stop.wait()


if __name__ == "__main__":
    main()
