"""What providers are sent, and what becomes of their replies and failures, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast

import pytest
from aiohttp import web

from agents.models import errors, rates, transport
from agents.models.anthropic import AnthropicModel
from agents.models.errors import ModelError, Transient
from agents.models.litellm import LiteLLMModel
from agents.models.openai import OpenAIModel
from agents.models.registry import Models
from arena.settings import OpenAIProvider
from arena.types import Completion, Message, Model, Occasion, Rate, Rates, Request, Sampling, Usage

KEY = "sk-test-0123456789"

Json = dict[str, Any]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


# ------------------------------------------------------------------ the endpoint


@dataclass
class Endpoint:
    """A loopback address, and what it was sent."""

    url: str
    bodies: list[Json] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@asynccontextmanager
async def serving(answer: Answer) -> AsyncGenerator[Endpoint, None]:
    async def handle(request: web.Request) -> web.StreamResponse:
        endpoint.bodies.append(json.loads(await request.read()))
        endpoint.headers.append({name.lower(): value for name, value in request.headers.items()})
        endpoint.paths.append(request.path)
        return await answer(request)

    app = web.Application()
    app.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint = Endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        yield endpoint
    finally:
        await runner.cleanup()


def says(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    full = {"Content-Type": "application/json", **(headers or {})}

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=content, headers=full)

    return answer


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def trickles(request: web.Request) -> web.StreamResponse:
    """Sends whitespace for ever, as some providers do to keep a connection open."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"\n")
        await asyncio.sleep(0.02)


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hangs_up_midway(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.close()
    return response


# ------------------------------------------------------------------ the clients


def openai_model(url: str, timeout_s: float = 10, **options: Any) -> OpenAIModel:
    return OpenAIModel(api_key=KEY, base_url=f"{url}/v1", timeout_s=timeout_s, **options)


def anthropic_model(url: str, timeout_s: float = 10) -> AnthropicModel:
    return AnthropicModel(api_key=KEY, base_url=url, timeout_s=timeout_s, max_output_tokens=4000)


Open = Callable[..., OpenAIModel | AnthropicModel]
PROVIDERS = pytest.mark.parametrize("open_model", [openai_model, anthropic_model])


def ask(*messages: Message, model: str = "house/org/model:tag", **sampling: Any) -> Request:
    said = messages or (Message("system", "Be brief."), Message("user", "Hello"))
    return Request(model, said, Sampling(**sampling), cast("Occasion", None))


def exchange(
    open_model: Open, answer: Answer, request: Request | None = None, **options: Any
) -> tuple[Completion | ModelError, Endpoint]:
    """What one call comes to, and what the endpoint saw of it."""

    async def go() -> tuple[Completion | ModelError, Endpoint]:
        async with serving(answer) as endpoint:
            model = open_model(endpoint.url, **options)
            try:
                return await model.complete(request or ask()), endpoint
            except ModelError as error:
                return error, endpoint
            finally:
                await model.close()

    return asyncio.run(go())


def completed(open_model: Open, reply: object, **options: Any) -> Completion:
    result, _ = exchange(open_model, says(reply), **options)
    assert isinstance(result, Completion), result
    return result


def failed(open_model: Open, answer: Answer, **options: Any) -> ModelError:
    result, _ = exchange(open_model, answer, **options)
    assert isinstance(result, ModelError), result
    return result


def sent(open_model: Open, request: Request, **options: Any) -> Json:
    return exchange(open_model, says({}), request, **options)[1].bodies[0]


def chat(content: object = "Hi", finish: object = "stop", usage: object = None, **message: object) -> Json:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"model": "served-model", "choices": [choice], "usage": usage}


def message(*content: object, stop: object = "end_turn", usage: object = None) -> Json:
    blocks = [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]
    return {"type": "message", "model": "claude-served", "content": blocks, "stop_reason": stop, "usage": usage}


# ------------------------------------------------------------------ OpenAI: what is sent


def test_openai_sends_the_messages_and_nothing_that_was_not_asked_for() -> None:
    _, endpoint = exchange(openai_model, says(chat()))
    assert endpoint.paths == ["/v1/chat/completions"]
    assert endpoint.headers[0]["authorization"] == f"Bearer {KEY}"
    assert endpoint.bodies[0] == {
        "model": "org/model:tag",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"max_completion_tokens": 50, "reasoning_effort": "low"}),
        (
            {"output_limit": "max_tokens", "dialect": "openrouter"},
            {"max_tokens": 50, "reasoning": {"effort": "low"}, "usage": {"include": True}},
        ),
    ],
)
def test_openai_sends_sampling_in_the_dialect_of_its_address(options: Json, expected: Json) -> None:
    request = ask(temperature=0.0, top_p=0.9, max_output_tokens=50, reasoning_effort="low", seed=0)
    body = sent(openai_model, request, **options)
    del body["model"], body["messages"]
    assert body == {"temperature": 0.0, "top_p": 0.9, "seed": 0, **expected}


# ------------------------------------------------------------------ OpenAI: what is read


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "refusal"),
        ("tool_calls", "unknown"),
        (None, "unknown"),
        ([], "unknown"),
    ],
)
def test_openai_finish(finish: object, expected: str) -> None:
    assert completed(openai_model, chat(finish=finish)).finish == expected


def test_openai_refusal_is_a_finish() -> None:
    completion = completed(openai_model, chat(None, refusal="I will not."))
    assert (completion.text, completion.finish) == ("I will not.", "refusal")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi", "Hi"),
        (" Hi\n", " Hi\n"),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "image_url"}], "ab"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("a whole \U0001f600", "a whole \U0001f600"),
    ],
)
def test_openai_text(content: object, text: str) -> None:
    assert completed(openai_model, chat(content)).text == text


@pytest.mark.parametrize(
    ("reply", "text", "reasoning"),
    [
        (chat("Hi"), "Hi", None),
        (chat("Hi", reasoning_content="hm"), "Hi", "hm"),
        (chat("Hi", reasoning="hm"), "Hi", "hm"),
        (chat("Hi", reasoning_content=None, reasoning={"effort": "low"}), "Hi", None),
        (chat("<think>hm</think>\n\nHi"), "Hi", "hm"),
        (chat("\n<think>\nhm\n</think>Hi"), "Hi", "hm"),
        (chat("<think></think>Hi"), "Hi", None),
        (chat("hm</think>Hi"), "Hi", "hm"),
        (chat("<think>hm"), "", "hm"),
        (chat("<think>a</think><think>b</think>Hi"), "Hi", "a\n\nb"),
        (chat("<think>a <think> b</think> c</think>Hi"), "Hi", "a <think> b\n\nc"),
        (chat("Hi <think>a"), "Hi", "a"),
        (chat([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, "Hi"]), "Hi", "hm"),
        (chat([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]), "Hi", "hm"),
        (chat([{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "Hi"}]), "Hi", "hm"),
    ],
)
def test_openai_thought_never_stays_in_the_text(reply: Json, text: str, reasoning: str | None) -> None:
    completion = completed(openai_model, reply)
    assert (completion.text, completion.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 12},
            },
            Usage(input=100, output=20, cached=64, cache_write=8, reasoning=12),
        ),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 8,
                "total_tokens": 120,
                "completion_tokens_details": {"reasoning_tokens": 12},
            },
            Usage(input=100, output=20, reasoning=12),
        ),
        ({"prompt_tokens": 7, "completion_tokens": None, "prompt_tokens_details": None}, Usage(input=7)),
        ({"prompt_tokens": "7", "completion_tokens": -1, "completion_tokens_details": []}, Usage()),
        ({"prompt_tokens": True, "completion_tokens": float("nan")}, Usage()),
        (None, Usage()),
        ("none", Usage()),
    ],
)
def test_openai_usage(usage: object, expected: Usage) -> None:
    assert completed(openai_model, chat(usage=usage)).usage == expected


@pytest.mark.parametrize(
    ("cost", "expected"), [(0.25, 0.25), (0, 0.0), (-1, None), ("0.25", None), (None, None), (float("inf"), None)]
)
def test_openai_cost(cost: object, expected: float | None) -> None:
    assert completed(openai_model, chat(usage={"cost": cost})).cost_usd == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, 0.21),
        ({"is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, 0.2),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, 0.01),
        ({"cost": 0.2, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.2}}, 0.2),
        ({"cost": 0.2, "cost_details": {"upstream_inference_cost": 0.2}}, 0.2),
    ],
)
def test_what_a_provider_bills_to_a_key_of_ones_own_is_part_of_the_cost(usage: object, expected: float) -> None:
    assert completed(openai_model, chat(usage=usage)).cost_usd == pytest.approx(expected)


def test_the_model_that_answered_is_kept_and_the_clock_is_left_to_others() -> None:
    completion = completed(openai_model, chat())
    assert (completion.model, completion.latency_s, completion.tries, completion.started_at) == (
        "served-model",
        0.0,
        1,
        0.0,
    )


def test_the_type_of_a_reply_is_not_taken_from_its_header() -> None:
    result, _ = exchange(openai_model, says(chat(), headers={"Content-Type": "text/plain"}))
    assert isinstance(result, Completion)


def test_hundreds_of_calls_are_under_way_at_once() -> None:
    everyone = asyncio.Event()
    waiting = 0

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal waiting
        waiting += 1
        if waiting == 300:
            everyone.set()
        await everyone.wait()
        return web.json_response(chat())

    async def go() -> list[Completion]:
        async with serving(answer) as endpoint:
            model = openai_model(endpoint.url)
            try:
                return await asyncio.gather(*(model.complete(ask()) for _ in range(300)))
            finally:
                await model.close()

    assert len(asyncio.run(go())) == 300


# ------------------------------------------------------------------ Anthropic: what is sent

MARK = {"cache_control": {"type": "ephemeral"}}


def block(text: str, **more: object) -> Json:
    return {"type": "text", "text": text, **more}


def test_anthropic_sends_system_apart_and_a_limit_always() -> None:
    _, endpoint = exchange(anthropic_model, says(message("Hi")))
    assert endpoint.paths == ["/v1/messages"]
    # The older SDKs send the key as x-api-key, the newer ones as a bearer.
    assert KEY in endpoint.headers[0].get("x-api-key", endpoint.headers[0].get("authorization", ""))
    assert endpoint.bodies[0] == {
        "model": "org/model:tag",
        "max_tokens": 4000,
        "system": [block("Be brief.", **MARK)],
        "messages": [{"role": "user", "content": [block("Hello", **MARK)]}],
    }


def test_anthropic_marks_where_this_prompt_and_the_one_before_it_end() -> None:
    spoken = [Message("user", "1"), Message("assistant", "2"), Message("user", "3"), Message("assistant", "4")]
    body = sent(anthropic_model, ask(*spoken, Message("user", "5")))
    assert "system" not in body
    assert [turn["content"] for turn in body["messages"]] == [
        [block("1")],
        [block("2")],
        [block("3", **MARK)],
        [block("4")],
        [block("5", **MARK)],
    ]


def test_anthropic_joins_messages_of_one_role() -> None:
    spoken = [Message("system", "a"), Message("user", "1"), Message("assistant", " "), Message("user", "2")]
    body = sent(anthropic_model, ask(*spoken, Message("system", "b"), Message("user", "3")))
    assert body["system"] == [block("a"), block("b", **MARK)]
    assert body["messages"] == [{"role": "user", "content": [block("1"), block("2"), block("3", **MARK)]}]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ({"temperature": 0.0, "top_p": 0.9, "seed": 3}, {"temperature": 0.0, "top_p": 0.9}),
        ({"max_output_tokens": 50}, {"max_tokens": 50}),
        (
            {"temperature": 0.5, "top_p": 0.9, "reasoning_effort": "high"},
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "high"}},
        ),
        ({"temperature": 0.5, "reasoning_effort": "none"}, {"temperature": 0.5, "thinking": {"type": "disabled"}}),
    ],
)
def test_anthropic_sampling(sampling: Json, expected: Json) -> None:
    body = sent(anthropic_model, ask(**sampling))
    del body["model"], body["messages"], body["system"]
    assert body == {"max_tokens": 4000, **expected}


# ------------------------------------------------------------------ Anthropic: what is read


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "unknown"),
        (None, "unknown"),
    ],
)
def test_anthropic_finish(stop: object, expected: str) -> None:
    assert completed(anthropic_model, message("Hi", stop=stop)).finish == expected


def test_anthropic_thinking_is_reasoning() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "x"}
    redacted = {"type": "redacted_thinking", "data": "secret"}
    omitted = {"type": "thinking", "thinking": "", "signature": "x"}
    completion = completed(anthropic_model, message(thinking, redacted, omitted, "Hi ", "\udc00 you"))
    assert (completion.text, completion.reasoning, completion.model) == ("Hi \ufffd you", "hm", "claude-served")
    assert completed(anthropic_model, message()).text == ""


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "input_tokens": 10,
                "cache_read_input_tokens": 200,
                "cache_creation_input_tokens": 30,
                "output_tokens": 50,
                "output_tokens_details": {"thinking_tokens": 40},
            },
            Usage(input=240, output=50, cached=200, cache_write=30, reasoning=40),
        ),
        ({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": None}, Usage(input=10, output=5)),
        (None, Usage()),
    ],
)
def test_anthropic_usage_counts_the_whole_prompt(usage: object, expected: Usage) -> None:
    assert completed(anthropic_model, message("Hi", usage=usage)).usage == expected


# ------------------------------------------------------------------ failures


@PROVIDERS
@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, "Unsupported parameter: max_tokens. Use max_completion_tokens instead", "bad_request"),
        (400, "Unknown parameter: safety_identifier", "bad_request"),
        (400, "This model's maximum context length is 8192 tokens", "context_too_long"),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", "context_too_long"),
        (400, "input length and `max_tokens` exceed context limit: 1 + 2 > 3", "context_too_long"),
        (400, "The input token count (9) exceeds the maximum number of tokens allowed (8)", "context_too_long"),
        (422, "too many tokens", "context_too_long"),
        (413, "request entity too large", "context_too_long"),
        (400, "filtered due to Azure OpenAI's content management policy", "refused"),
        (400, "Output blocked by content filtering policy", "refused"),
        (400, "rejected by our safety system", "refused"),
        (400, "Your credit balance is too low to access the API", "authentication"),
        (400, "API key not valid. Please pass a valid API key.", "authentication"),
        (401, "no", "authentication"),
        (402, "Insufficient credits", "authentication"),
        (403, "no", "authentication"),
        (403, "this model requires moderation", "refused"),
        (404, "no such model", "not_found"),
        (405, "no", "bad_request"),
        (408, "slow", "timeout"),
        (409, "conflict", "overloaded"),
        (422, "no", "bad_request"),
        (425, "early", "overloaded"),
        (429, "slow down", "rate_limited"),
        (500, "oops", "overloaded"),
        (502, "bad gateway", "connection"),
        (504, "gateway timeout", "timeout"),
        (520, "unknown error", "connection"),
        (524, "a timeout occurred", "timeout"),
        (527, "railgun error", "connection"),
        (503, "busy", "overloaded"),
        (529, "busy", "overloaded"),
    ],
)
def test_a_status_and_its_words_name_the_failure(open_model: Open, status: int, words: str, kind: str) -> None:
    error = failed(open_model, says({"type": "error", "error": {"message": words}}, status))
    assert (error.kind, words in error.message) == (kind, True)
    assert isinstance(error, Transient) == (kind in ("timeout", "overloaded", "rate_limited", "connection"))
    assert error.may_have_cost == (kind in ("timeout", "connection"))
    assert error.status == status


@PROVIDERS
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Provider returned error", "metadata": {"raw": "maximum context length is 9"}}},
        {"error": {"message": "no", "code": "context_length_exceeded"}},
        {"error": "maximum context length is 9"},
        {"detail": "maximum context length is 9"},
        [{"error": {"message": "maximum context length is 9"}}],
        b"maximum context length is 9",
    ],
)
def test_the_words_are_found_wherever_they_stand(open_model: Open, body: object) -> None:
    assert failed(open_model, says(body, 400)).kind == "context_too_long"


@PROVIDERS
def test_a_quota_that_is_used_up_is_not_a_rate_limit(open_model: Open) -> None:
    error = failed(open_model, says({"error": {"message": "You exceeded it", "code": "insufficient_quota"}}, 429))
    assert error.kind == "authentication"
    assert "cannot pay" in error.message


@PROVIDERS
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "0"}, 0.0),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(open_model: Open, headers: dict[str, str], seconds: float | None, status: int) -> None:
    error = failed(open_model, says({}, status, headers))
    assert isinstance(error, Transient)
    assert error.retry_after_s == seconds


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    error = failed(openai_model, says({}, 429, {"Retry-After": later}))
    assert isinstance(error, Transient)
    assert error.retry_after_s == pytest.approx(60, abs=5)


@PROVIDERS
@pytest.mark.parametrize(
    ("answer", "options", "kind"),
    [
        (hangs, {"timeout_s": 0.1}, "timeout"),
        (trickles, {"timeout_s": 0.1}, "timeout"),
        (hangs_up, {}, "connection"),
        (hangs_up_midway, {}, "connection"),
        (says(b"<html>"), {}, "connection"),
        (says(b""), {}, "connection"),
        (says(b"\xff\xfe"), {}, "connection"),
        (says(b"[" * 100_000), {}, "connection"),
        (says({}), {}, "connection"),
        (says([]), {}, "connection"),
        (says({"choices": [], "content": None}), {}, "connection"),
        (says({"choices": ["?"], "content": "?"}), {}, "connection"),
        (says({"error": {"message": "busy", "code": 503}}), {}, "overloaded"),
        (says({"error": {"message": "slow down", "code": "429"}}), {}, "rate_limited"),
        (says({"error": {"message": "slow down", "type": "rate_limit_error"}}), {}, "rate_limited"),
        (says({"error": {"message": "no", "code": "insufficient_quota"}}), {}, "authentication"),
        (says({"error": {"message": "no", "code": "context_length_exceeded"}}), {}, "context_too_long"),
        (says({"error": "who knows"}), {}, "overloaded"),
    ],
)
def test_what_is_no_reply_is_a_failure(open_model: Open, answer: Answer, options: Json, kind: str) -> None:
    assert failed(open_model, answer, **options).kind == kind


def test_a_choice_can_carry_the_error() -> None:
    reply = chat("Half a")
    reply["choices"][0]["error"] = {"message": "busy", "code": 503}
    assert failed(openai_model, says(reply)).kind == "overloaded"


@PROVIDERS
def test_nobody_there_is_a_failure(open_model: Open) -> None:
    async def go() -> None:
        async with serving(hangs) as endpoint:
            pass
        model = open_model(endpoint.url)
        try:
            await model.complete(ask())
        finally:
            await model.close()

    with pytest.raises(errors.Unreachable) as seen:
        asyncio.run(go())
    assert not seen.value.may_have_cost


@PROVIDERS
def test_a_request_that_cannot_be_written_is_a_failure(open_model: Open) -> None:
    assert failed(open_model, hangs, request=ask(Message("user", "\ud800"))).kind == "bad_request"


@PROVIDERS
def test_a_failed_call_is_not_tried_again_here(open_model: Open) -> None:
    assert len(exchange(open_model, says({}, 503))[1].bodies) == 1


@PROVIDERS
def test_cancellation_passes_through(open_model: Open) -> None:
    async def go() -> None:
        async with serving(hangs) as endpoint:
            model = open_model(endpoint.url)
            call = asyncio.create_task(model.complete(ask()))
            await asyncio.sleep(0.1)
            call.cancel()
            try:
                await call
            finally:
                await model.close()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(go())


@PROVIDERS
def test_a_message_is_one_short_line_without_keys(open_model: Open) -> None:
    words = f"bad key {KEY}, Bearer abc.def\x00\x1b[31m\n\u202e\ud800{'x' * 9000}"
    for answer in (says({"error": {"message": words}}, 401), says({"error": {"message": words, "code": 401}})):
        error = failed(open_model, answer)
        assert KEY not in error.message
        assert "abc.def" not in error.message
        assert error.message.isprintable()
        assert len(error.message) <= 500


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(errors.RateLimited("slow down", retry_after_s=3)))
    assert (type(error), error.message, error.retry_after_s) == (errors.RateLimited, "slow down", 3)


# ------------------------------------------------------------------ replies that are too large


HUGE = b" " * (transport.LARGEST + 1)


async def huge_in_pieces(request: web.Request) -> web.StreamResponse:
    """Never ends by itself."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * 2**16)


def packed(body: bytes, level: int = 9) -> Answer:
    return says(zlib.compress(body, level), headers={"Content-Encoding": "deflate"})


@PROVIDERS
@pytest.mark.parametrize(
    "answer",
    [says(HUGE), huge_in_pieces, packed(HUGE), packed(bytes(transport.LARGEST_PACKED), 0)],
    ids=["announced", "in pieces", "compressed well", "compressed badly"],
)
def test_a_reply_that_is_too_large_is_not_taken(open_model: Open, answer: Answer) -> None:
    error = failed(open_model, answer)
    assert (error.kind, error.may_have_cost, isinstance(error, Transient)) == ("oversized", True, False)


@PROVIDERS
def test_an_error_that_is_too_large_is_still_that_error(open_model: Open) -> None:
    assert failed(open_model, says(HUGE, 503)).kind == "overloaded"


@PROVIDERS
def test_a_reply_may_be_compressed(open_model: Open) -> None:
    reply = {**chat("Hi" * 5000), **message("Hi" * 5000)}
    result, _ = exchange(open_model, packed(json.dumps(reply).encode()))
    assert isinstance(result, Completion)
    assert result.text == "Hi" * 5000


# ------------------------------------------------------------------ what headers say of limits


OPENAI_RATES = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-limit-tokens": "30000",
    "x-ratelimit-remaining-tokens": "24000",
    "x-ratelimit-reset-tokens": "6m0s",
}
ANTHROPIC_RATES = {
    "Date": "Thu, 21 Aug 2025 12:40:50 GMT",
    "anthropic-ratelimit-requests-limit": "1000",
    "anthropic-ratelimit-requests-remaining": "999",
    "anthropic-ratelimit-requests-reset": "2025-08-21T12:40:49Z",
    "anthropic-ratelimit-input-tokens-limit": "80000",
    "anthropic-ratelimit-input-tokens-remaining": "75000",
    "anthropic-ratelimit-input-tokens-reset": "2025-08-21T12:40:54Z",
    "anthropic-ratelimit-output-tokens-limit": "16000",
    "anthropic-ratelimit-output-tokens-remaining": "0",
    "anthropic-ratelimit-output-tokens-reset": "2025-08-21T12:41:50Z",
}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (OPENAI_RATES, Rates(requests=Rate(500, 499, 0.12), tokens=Rate(30000, 24000, 360))),
        (
            ANTHROPIC_RATES,
            Rates(requests=Rate(1000, 999, 0), input_tokens=Rate(80000, 75000, 4), output_tokens=Rate(16000, 0, 60)),
        ),
    ],
)
@pytest.mark.parametrize("status", [200, 429])
@PROVIDERS
def test_what_headers_say_of_limits_is_handed_on(
    open_model: Open, headers: dict[str, str], expected: Rates, status: int
) -> None:
    result, _ = exchange(open_model, says({**chat(), **message()}, status, headers))
    assert isinstance(result, Completion if status == 200 else errors.RateLimited)
    assert result.rates == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("1d", 86400), ("7", 7), ("-1s", None),
     ("1e99", 1e99), ("nan", None), ("inf", None), ("-5", None), ("soon", None), ("", None), ("1s later", None)],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert rates.duration(text) == seconds


@pytest.mark.parametrize("odd", ["", "-1", "0", "nan", "inf", "lots", "\ufffd"])
def test_an_odd_limit_is_none(odd: str) -> None:
    assert rates.read({**OPENAI_RATES, "x-ratelimit-limit-requests": odd}) == Rates(tokens=Rate(30000, 24000, 360))


@pytest.mark.parametrize("odd", ["", "tomorrow", "2025-08-21T12:40:54", "9999-99-99T00:00:00Z"])
def test_a_reset_that_cannot_be_read_is_what_a_minute_would_give(odd: str) -> None:
    found = rates.read({**ANTHROPIC_RATES, "anthropic-ratelimit-input-tokens-reset": odd})
    assert found is not None
    assert found.input_tokens == Rate(80000, 75000, 3.75)


# ------------------------------------------------------------------ opened by name


def test_openrouter_is_told_what_a_model_may_cost() -> None:
    options: Json = {"dialect": "openrouter", "ceilings": {"house/org/model:tag": {"input": 0.5, "output": 2}}}
    assert sent(openai_model, ask(), **options)["provider"] == {"max_price": {"prompt": 0.5, "completion": 2}}
    assert "provider" not in sent(openai_model, ask(model="house/other"), **options)


def test_only_openrouter_is_told_what_a_model_may_cost() -> None:
    async def bodies(dialect: str) -> list[Json]:
        async with serving(says(chat())) as endpoint:
            provider = {"api": "openai", "key_env": None, "dialect": dialect}
            settings = OpenAIProvider.model_validate({**provider, "base_url": endpoint.url}).model_dump()
            models = Models({"house": settings}, 10, ceilings={"house/org/model:tag": {"input": 0.5, "output": 2}})
            await models.model("house/org/model:tag").complete(ask())
            await models.close()
            return endpoint.bodies

    assert "provider" in asyncio.run(bodies("openrouter"))[0]
    assert "provider" not in asyncio.run(bodies("openai"))[0]


def test_what_is_opened_can_be_wrapped() -> None:
    class Wrapped:
        def __init__(self, inner: Model):
            self.inner = inner

        async def complete(self, request: Request) -> Completion:
            return replace(await self.inner.complete(request), text="wrapped")

    models = Models({"scripted": {"api": "scripted", "scripts": {"a": ["Hi"]}}}, 10, wrap=Wrapped)
    assert isinstance(models.model("scripted/a"), Wrapped)
    assert models.model("scripted/a") is models.model("scripted/b")


# ------------------------------------------------------------------ litellm


@pytest.mark.filterwarnings("default")
def test_litellm_reads_replies_and_failures_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("litellm")
    replies: list[tuple[Answer, object]] = [
        (says({**chat("Hi", usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})}), "Hi"),
        (says({"error": {"message": "no"}}, 401), "authentication"),
        (says({"error": {"message": "no", "code": "insufficient_quota"}}, 429), "authentication"),
        (says({"error": {"message": "slow"}}, 429, {"Retry-After": "7"}), 7.0),
        (says({"error": {"message": "maximum context length is 9"}}, 400), "context_too_long"),
        (says({"error": {"message": "no such model"}}, 404), "not_found"),
        (says({"error": {"message": "slow", "code": "rate_limit_exceeded"}}), "rate_limited"),
        (says(b"<html>"), "overloaded"),
        (hangs, "timeout"),
    ]
    request = ask(model="litellm/openai/gpt-4o", temperature=0.5, max_output_tokens=9, seed=3)

    async def go() -> tuple[list[object], Endpoint]:
        queue = iter(replies)
        found: list[object] = []

        async def answer(received: web.Request) -> web.StreamResponse:
            return await next(queue)[0](received)

        async with serving(answer) as endpoint:
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
            monkeypatch.setenv("OPENAI_BASE_URL", f"{endpoint.url}/v1")
            model = LiteLLMModel(timeout_s=2)
            for _ in replies:
                try:
                    found.append((await model.complete(request)).text)
                except ModelError as error:
                    found.append(getattr(error, "retry_after_s", None) or error.kind)
            await model.close()
        return found, endpoint

    found, endpoint = asyncio.run(go())
    assert found == [expected for _, expected in replies]
    assert endpoint.bodies[0] == {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "seed": 3,
    }


def test_litellm_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(ImportError, match=r"debate-arena\[litellm\]"):
        LiteLLMModel(timeout_s=1)
