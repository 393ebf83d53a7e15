"""The loopback endpoint, seen through the real SDKs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from arena.testing import (
    KINDS,
    Answered,
    Capacity,
    Counts,
    Endpoint,
    Exchange,
    Faults,
    Served,
    fill_in,
    replies,
    seeded,
    serve_in_thread,
)
from arena.testing.caches import PromptCache
from arena.testing.capacity import Gate
from arena.types import Message

ASKED = (
    "Argue. Then write <private_confidence>, <bet_amount> and <bet_logic_private>, "
    "and <winner>, which is proposition or opposition, and <outlook>."
)


@contextmanager
def openai_client(base_url: str, **settings: Any) -> Generator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, **settings) as client:
        yield client


@contextmanager
def anthropic_client(origin: str) -> Generator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=origin, api_key="none", max_retries=0) as client:
        yield client


def ask_openai(served: Served | Endpoint, prompt: str = "hello", model: str = "m", **settings: Any) -> ChatCompletion:
    with openai_client(served.url, **settings) as client:
        return client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])


def ask_anthropic(served: Served | Endpoint, prompt: str = "hello", model: str = "m") -> anthropic.types.Message:
    with anthropic_client(served.origin) as client:
        return client.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": prompt}])


def exchange(prompt: str, model: str = "m", n: int = 0) -> Exchange:
    return Exchange("openai", model, (Message("system", "a brief with <a_tag>"), Message("user", prompt)), {}, n)


def tag(name: str, text: str) -> str:
    assert text.count(f"<{name}>") == 1
    return text.split(f"<{name}>")[1].split(f"</{name}>")[0]


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


# ------------------------------------------------------------------ replies reach both SDKs


def test_openai_reads_the_reply_and_its_usage() -> None:
    with serve_in_thread(responder=replies("twelve chars")) as served:
        completion = ask_openai(served, "x" * 40)
    assert completion.choices[0].message.content == "twelve chars"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "m"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (10, 3)
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.prompt_tokens_details.cached_tokens == 0


def test_anthropic_reads_the_reply_and_its_usage() -> None:
    with serve_in_thread(responder=replies("twelve chars")) as served:
        message = ask_anthropic(served, "x" * 40)
    assert [block.text for block in message.content if block.type == "text"] == ["twelve chars"]
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 3)


def test_the_async_clients_read_it_too() -> None:
    async def both() -> tuple[str | None, int]:
        async with (
            Endpoint(replies("hello")) as endpoint,
            openai.AsyncOpenAI(base_url=endpoint.url, api_key="none", max_retries=0) as one,
            anthropic.AsyncAnthropic(base_url=endpoint.origin, api_key="none", max_retries=0) as other,
        ):
            first = await one.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
            await other.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}])
            return first.choices[0].message.content, endpoint.counts.answered

    assert asyncio.run(both()) == ("hello", 2)


def test_a_responder_sees_the_system_message_and_plain_text_from_either_api() -> None:
    seen: list[Exchange] = []

    def note(exchange: Exchange) -> str:
        seen.append(exchange)
        return "noted"

    with serve_in_thread(responder=note) as served, anthropic_client(served.origin) as client:
        block: anthropic.types.TextBlockParam = {"type": "text", "text": "go", "cache_control": {"type": "ephemeral"}}
        client.messages.create(model="m", max_tokens=9, system="be", messages=[{"role": "user", "content": [block]}])
        ask_openai(served, "go")
    assert seen[0].messages == (Message("system", "be"), Message("user", "go"))
    assert seen[1].messages == (Message("user", "go"),)
    assert [(each.api, each.n, each.body["model"]) for each in seen] == [("anthropic", 0, "m"), ("openai", 1, "m")]


def test_a_responder_can_say_how_the_reply_finished() -> None:
    def cut(_: Exchange) -> Answered:
        return Answered("cut", "length")

    with serve_in_thread(responder=cut) as served:
        assert ask_openai(served).choices[0].finish_reason == "length"


def test_an_unknown_model_is_a_404_that_says_why() -> None:
    with serve_in_thread(responder=replies({"known": "hello"})) as served:
        assert ask_openai(served, model="known").choices[0].message.content == "hello"
        with pytest.raises(openai.NotFoundError, match="no replies were given for model 'other'"):
            ask_openai(served, model="other")
        with pytest.raises(anthropic.NotFoundError, match="'other'"):
            ask_anthropic(served, model="other")
        assert (served.counts().calls, served.counts().answered) == (3, 1)


def test_streaming_is_refused_clearly() -> None:
    with (
        serve_in_thread() as served,
        openai_client(served.url) as client,
        pytest.raises(openai.BadRequestError, match="does not stream"),
    ):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}], stream=True)


@pytest.mark.parametrize("body", [b"", b"[]", b"3", b'{"model": "m"}', b'{"model": "m", "messages": [1]}', b"\xff"])
def test_a_request_that_cannot_be_read_is_a_400(body: bytes) -> None:
    with serve_in_thread() as served:
        with pytest.raises(urllib.error.HTTPError) as problem, urllib.request.urlopen(f"{served.url}/messages", body):
            pass
        with closing(problem.value) as response:
            assert response.code == 400
        assert served.counts().calls == 0


def test_the_models_called_are_listed_for_both_sdks() -> None:
    with serve_in_thread() as served, openai_client(served.url) as one, anthropic_client(served.origin) as other:
        ask_openai(served, model="a/b:c")
        assert [model.id for model in one.models.list()] == ["a/b:c"]
        assert [model.id for model in other.models.list()] == ["a/b:c"]


# ------------------------------------------------------------------ responders


def test_fill_in_fills_each_tag_of_the_instruction_in_its_kind() -> None:
    text = fill_in(exchange(ASKED))
    assert 50 <= int(tag("private_confidence", text)) <= 95
    assert 50 <= int(tag("bet_amount", text)) <= 95
    assert tag("winner", text) in ("proposition", "opposition")
    assert tag("bet_logic_private", text).endswith(".")
    assert tag("outlook", text).endswith(".")
    assert "a_tag" not in text
    assert len(text.split("<")[0].split()) > 20


@given(st.text(), st.text(), st.integers(0, 9))
def test_fill_in_depends_on_the_model_and_the_messages_only(prompt: str, model: str, n: int) -> None:
    assert fill_in(exchange(prompt, model, n)) == fill_in(exchange(prompt, model))


def test_fill_in_gives_the_same_in_another_process() -> None:
    code = (
        "from arena.testing import *; from arena.types import Message;"
        f"print(fill_in(Exchange('openai', 'm', (Message('user', {ASKED!r}),), {{}}, 0)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    other = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=environment, text=True)
    assert other == fill_in(Exchange("openai", "m", (Message("user", ASKED),), {}, 0)) + "\n"


def test_fill_in_differs_between_models_and_prompts() -> None:
    asked = [exchange(ASKED), exchange(ASKED, "other"), exchange(ASKED + " Again.")]
    assert len({fill_in(each) for each in asked}) == 3


def test_fill_in_reads_all_that_was_said_since_the_model_last_spoke() -> None:
    messages = [("user", "first <old>"), ("assistant", "well"), ("user", "now <new>"), ("user", "again, please")]
    text = fill_in(Exchange("openai", "m", tuple(Message(*each) for each in messages), {}, 0))
    assert "<new>" in text
    assert "<old>" not in text


def test_a_seeded_reply_is_the_same_when_it_is_asked_for_again_and_told_why() -> None:
    first = seeded(exchange(ASKED))
    assert seeded(exchange(f"{ASKED} Your answer could not be read: <private_confidence> is missing.")) == first
    assert seeded(exchange(f"You heard: {first}. {ASKED}")) != first
    assert seeded(exchange(ASKED, "other")) != first
    assert 50 <= int(tag("private_confidence", first)) <= 95


@pytest.mark.parametrize(
    ("prompt", "sides"),
    [
        ("Say who won in <winner>: proposition or opposition.", {"proposition", "opposition"}),
        ("Proposition met Opposition. Give one or two reasons, and <winner>.", {"proposition", "opposition"}),
        ("Give one or two reasons, then <choice>`Alice` or `Bob`</choice>.", {"Alice", "Bob"}),
        ("In <winner>, write A or B.", {"A", "B"}),
        ("<winnerName>yes|no</winnerName>", {"yes", "no"}),
        ("Just fill in <winner>.", {"proposition", "opposition"}),
    ],
)
def test_fill_in_chooses_among_the_sides_that_the_prompt_offers(prompt: str, sides: set[str]) -> None:
    name = prompt.split("<")[1].split(">")[0]
    assert {tag(name, fill_in(exchange(prompt, f"m{i}"))) for i in range(30)} == sides


def test_listed_replies_are_read_by_turn_and_run_out_with_a_404() -> None:
    with serve_in_thread(responder=replies({"m": ["first", "second"]})) as served, openai_client(served.url) as client:

        def after(turns: int) -> str | None:
            said: list[Any] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "."}] * turns
            asked: list[Any] = [*said, {"role": "user", "content": "?"}]
            return client.chat.completions.create(model="m", messages=asked).choices[0].message.content

        assert [after(0), after(0), after(1)] == ["first", "first", "second"]
        with pytest.raises(openai.NotFoundError, match="has 2 replies, and is asked for number 3"):
            after(2)


# ------------------------------------------------------------------ faults are seen as what they are


@contextmanager
def always(fault: str, **settings: Any) -> Generator[Served]:
    with serve_in_thread(
        responder=replies("x" * 50 + "<bet>70</bet>"), faults=Faults(**{fault: 1.0}), **settings
    ) as served:
        yield served
        assert served.counts().faults == {fault: 1}


@pytest.mark.parametrize(
    ("fault", "status"), [("rate_limited", 429), ("server_error", 500), ("unavailable", 503), ("overloaded", 529)]
)
def test_a_status_fault_reaches_both_sdks(fault: str, status: int) -> None:
    with always(fault) as served, pytest.raises(openai.APIStatusError, match=fault) as seen:
        ask_openai(served)
    with always(fault) as served, pytest.raises(anthropic.APIStatusError, match=fault) as seen_too:
        ask_anthropic(served)
    assert (seen.value.status_code, seen_too.value.status_code) == (status, status)


def test_a_rate_limit_says_when_to_come_back() -> None:
    with always("rate_limited", retry_after_s=0.25) as served, pytest.raises(openai.RateLimitError) as seen:
        ask_openai(served)
    assert seen.value.response.headers["Retry-After"] == "0.25"


def test_a_drop_is_a_connection_error() -> None:
    with always("drop") as served, pytest.raises(openai.APIConnectionError):
        ask_openai(served)
    with always("drop") as served, pytest.raises(anthropic.APIConnectionError):
        ask_anthropic(served)


def test_a_drop_sends_half_of_a_body() -> None:
    with always("drop") as served, closing(socket.create_connection(address(served))) as connection:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "?"}]})
        head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    head, _, half = answer.partition("\r\n\r\n")
    promised = next(int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
    assert len(half) == promised // 2


def test_a_stall_is_a_timeout_and_leaves_nothing_in_flight() -> None:
    with always("stall") as served:
        with pytest.raises(openai.APITimeoutError):
            ask_openai(served, timeout=0.2)
        wait_for(lambda: served.counts().in_flight == 0)
        assert served.counts().answered == 0


def test_a_stall_does_not_hold_up_the_end() -> None:
    async def leave() -> float:
        async with (
            Endpoint(faults=Faults(stall=1)) as endpoint,
            openai.AsyncOpenAI(base_url=endpoint.url, api_key="none", max_retries=0) as client,
        ):
            call = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
            waiting = asyncio.ensure_future(call)
            while endpoint.counts.in_flight == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            started = time.monotonic()
            await endpoint.__aexit__(None, None, None)
            with pytest.raises(openai.APIConnectionError):
                await waiting
        return time.monotonic() - started

    assert asyncio.run(leave()) < 2


def test_garbage_is_a_reply_with_odd_text() -> None:
    with always("garbage") as served:
        text = ask_openai(served).choices[0].message.content
    assert text is not None
    assert "<bet>NaN</bet>" in text
    assert "\ud800" in text
    assert "\x00" in text


def test_an_empty_reply_is_empty() -> None:
    with always("empty") as served:
        assert ask_openai(served).choices[0].message.content == ""
    with always("empty") as served:
        assert ask_anthropic(served).content == []


def test_a_truncated_reply_says_so() -> None:
    with always("truncate") as served:
        choice = ask_openai(served).choices[0]
    with always("truncate") as served:
        message = ask_anthropic(served)
    assert (choice.message.content, choice.finish_reason) == ("x" * 31, "length")
    assert message.stop_reason == "max_tokens"


def test_invalid_json_is_complete_and_cannot_be_read() -> None:
    with always("invalid_json") as served, openai_client(served.url) as client:
        raw = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": "?"}])
        assert raw.status_code == 200
        with pytest.raises(ValueError):
            json.loads(raw.content)
        assert served.counts().answered == 0


def test_a_refusal_is_told_as_each_api_tells_it() -> None:
    with always("refusal") as served:
        message = ask_openai(served).choices[0].message
    with always("refusal") as served:
        stop_reason = ask_anthropic(served).stop_reason
    assert message.content is None
    assert message.refusal
    assert stop_reason == "refusal"


@pytest.mark.parametrize("api", ["chat/completions", "messages"])
def test_wrong_types_are_json_without_a_word_where_one_should_be(api: str) -> None:
    def texts(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [found for name, inner in value.items() for found in ([inner] if name in TEXTS else texts(inner))]
        return [found for inner in value for found in texts(inner)] if isinstance(value, list) else []

    with serve_in_thread(faults=Faults(wrong_types=1)) as served:
        bodies = [post(served, api) for _ in range(5)]
    assert all(len(texts(body)) >= 3 for body in bodies)
    assert not any(isinstance(found, str) for body in bodies for found in texts(body))
    assert {type(body["model"]) for body in bodies} == {int, list, type(None), dict, bool}
    assert all(isinstance(tokens, str) for body in bodies for tokens in body["usage"].values())


TEXTS = ("content", "refusal", "finish_reason", "stop_reason", "model", "id", "text")


def post(served: Served, api: str, model: str = "m") -> Any:
    body = json.dumps({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]}).encode()
    with urllib.request.urlopen(f"{served.url}/{api}", body, timeout=10) as response:
        return json.load(response)


def test_a_huge_reply_is_the_reply_behind_ten_megabytes() -> None:
    with always("huge") as served:
        text = ask_openai(served).choices[0].message.content
    assert text is not None
    assert len(text) > 10**7
    assert text.endswith("<bet>70</bet>")


def test_an_unknown_finish_stands_under_the_whole_text() -> None:
    with always("unknown_finish") as served:
        choice = post(served, "chat/completions")["choices"][0]
    with always("unknown_finish") as served:
        message = post(served, "messages")
    assert choice["message"]["content"] == message["content"][0]["text"] == "x" * 50 + "<bet>70</bet>"
    assert choice["finish_reason"] == message["stop_reason"] == "eclipse"


def test_a_slow_reply_comes_byte_by_byte_and_never_ends() -> None:
    with always("slow") as served:
        with closing(socket.create_connection(address(served), timeout=1)) as connection:
            body = json.dumps({"model": "m", "messages": []})
            head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall((head + body).encode())
            got = connection.recv(4096)
            while b"\r\n\r\n1\r\n" not in got:
                got += connection.recv(4096)
            assert all(len(connection.recv(4096)) < 20 for _ in range(2))
        wait_for(lambda: served.counts().in_flight == 0)
        assert served.counts().answered == 0


def test_seeded_faults_repeat_exactly() -> None:
    def story(served: Served) -> list[int]:
        statuses: list[int] = []
        with openai_client(served.url) as client:
            for _ in range(40):
                try:
                    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
                    statuses.append(200)
                except openai.APIStatusError as problem:
                    statuses.append(problem.status_code)
        return statuses

    faults = Faults.parse("429=0.2, 500=0.2, overloaded=0.1")
    with serve_in_thread(faults=faults, seed=3) as served:
        first = story(served)
        served.reset()
        after_reset = story(served)
    with serve_in_thread(faults=faults, seed=3) as served:
        again = story(served)
    with serve_in_thread(faults=faults, seed=4) as served:
        other = story(served)
    assert first == after_reset == again != other
    assert set(first) == {200, 429, 500, 529}


# ------------------------------------------------------------------ Faults


def test_faults_are_parsed_from_numbers_and_names() -> None:
    assert Faults.parse("429=0.05,500=.01, 503=0, 529=0.1,drop=0.02") == Faults(0.05, 0.01, 0, 0.1, 0.02)
    assert Faults.parse("") == Faults()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("404=0.1", "unknown fault '404'; known are rate_limited, .*slow, 429, 500, 503, 529"),
        ("drop", "expected drop=RATE"),
        ("drop=often", "expected drop=RATE"),
        ("429=0.1,rate_limited=0.1", "rate_limited has two rates"),
        ("drop=1.5", r"drop must be in \[0, 1\], not 1.5"),
        ("drop=nan", "drop must be in"),
        ("drop=0.6,stall=0.6", "sum to at most 1, not 1.2"),
    ],
)
def test_what_is_no_fault_is_refused_with_what_is(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Faults.parse(text)


@given(st.sampled_from(KINDS))
def test_rates_may_sum_to_one_in_floats(kind: str) -> None:
    rates = {each: 1 / len(KINDS) for each in KINDS}
    assert Faults(**rates) == Faults.parse(",".join(f"{each}={rate!r}" for each, rate in rates.items()))
    assert Faults(**{kind: 1.0}) != Faults()


# ------------------------------------------------------------------ counters


def test_counts_say_what_was_served() -> None:
    with serve_in_thread(responder=replies("x" * 10), keep_requests=True) as served:
        ask_openai(served, "y" * 9, "a")
        ask_openai(served, "y" * 9, "a")
        ask_anthropic(served, "z" * 4, "b")
        counts, requests = served.counts(), served.requests()
        served.reset()
        forgotten = served.counts()
    assert counts == Counts(
        calls=3,
        answered=3,
        in_flight=0,
        peak_in_flight=1,
        faults={},
        tokens_in=5,
        tokens_out=6,
        by_model={"a": 2, "b": 1},
        duplicate_bodies=1,
    )
    assert [request["model"] for request in requests] == ["a", "a", "b"]
    assert forgotten == Counts(0, 0, 0, 0, {}, 0, 0, {}, 0)


def test_only_replies_without_a_fault_are_duplicates() -> None:
    with serve_in_thread(faults=Faults(empty=1)) as served:
        ask_openai(served)
        ask_openai(served)
        assert (served.counts().answered, served.counts().duplicate_bodies) == (2, 0)


def test_a_client_that_leaves_before_its_reply_was_not_answered() -> None:
    with serve_in_thread(latency_s=0.5) as served:
        with pytest.raises(openai.APITimeoutError):
            ask_openai(served, timeout=0.1)
        wait_for(lambda: served.counts().in_flight == 0)
        ask_openai(served)
        assert (served.counts().calls, served.counts().answered, served.counts().duplicate_bodies) == (2, 1, 0)


def test_many_calls_are_in_flight_at_once() -> None:
    async def crowd() -> tuple[Counts, float]:
        async with (
            Endpoint(latency_s=0.2, jitter=0.5) as endpoint,
            openai.AsyncOpenAI(base_url=endpoint.url, api_key="none", max_retries=0) as client,
        ):
            started = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for i in range(50):
                    said = [{"role": "user", "content": str(i)}]
                    group.create_task(client.chat.completions.create(model="m", messages=said))  # pyright: ignore
            return endpoint.counts, time.monotonic() - started

    counts, seconds = asyncio.run(crowd())
    assert (counts.answered, counts.in_flight, counts.duplicate_bodies) == (50, 0, 0)
    assert counts.peak_in_flight > 25
    assert 0.1 <= seconds < 5


# ------------------------------------------------------------------ capacity


def crowd(endpoint: Endpoint, calls: int) -> Counts:
    async def ask() -> Counts:
        async with (
            endpoint,
            openai.AsyncOpenAI(base_url=endpoint.url, api_key="none", max_retries=0) as client,
            asyncio.TaskGroup() as group,
        ):

            async def one(n: int) -> None:
                with suppress(openai.RateLimitError):
                    said: Any = [{"role": "user", "content": str(n)}]
                    await client.chat.completions.create(model="m", messages=said)

            tasks = [group.create_task(one(n)) for n in range(calls)]
            await asyncio.gather(*tasks)
            return endpoint.counts

    return asyncio.run(ask())


def test_beyond_its_concurrency_it_refuses() -> None:
    counts = crowd(Endpoint(latency_s=0.3, capacity=Capacity(concurrency=3)), 10)
    assert (counts.answered, counts.refused, counts.calls, counts.peak_in_flight) == (3, 7, 3, 3)


def test_or_lets_them_wait() -> None:
    most = 0

    def watched(_: Exchange) -> str:
        nonlocal most
        most = max(most, endpoint._tally.gate.serving)
        return "done"

    endpoint = Endpoint(watched, latency_s=0.02, capacity=Capacity(concurrency=3, queue=True))
    counts = crowd(endpoint, 10)
    assert (counts.answered, counts.refused, counts.peak_in_flight, most) == (10, 0, 10, 3)


def test_what_waited_and_left_gives_its_place_back() -> None:
    with serve_in_thread(faults=Faults(stall=1), capacity=Capacity(concurrency=1, queue=True)) as served:
        for _ in range(2):
            with pytest.raises(openai.APITimeoutError):
                ask_openai(served, timeout=0.1)
        wait_for(lambda: served.counts().in_flight == 0)
        assert served.counts().faults == {"stall": 2}


def test_requests_a_minute_are_told_and_held() -> None:
    with serve_in_thread(capacity=Capacity(requests_per_minute=120)) as served:
        with openai_client(served.url) as client:
            told = client.chat.completions.with_raw_response.create(model="m", messages=[]).headers
            ask_openai(served)
            with pytest.raises(openai.RateLimitError) as refused:
                ask_openai(served)
        with anthropic_client(served.origin) as client, pytest.raises(anthropic.RateLimitError) as refused_too:
            client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "?"}])
    assert told["x-ratelimit-limit-requests"] == "120"
    assert told["x-ratelimit-remaining-requests"] == "1"
    assert told["x-ratelimit-reset-requests"].endswith("ms")
    assert 0 < float(refused.value.response.headers["retry-after"]) <= 0.5
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused_too.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert refused_too.value.response.headers["anthropic-ratelimit-requests-reset"].endswith("Z")


def test_the_bucket_of_requests_fills_evenly_up_to_its_burst() -> None:
    gate = Gate(Capacity(requests_per_minute=60, burst_s=2), now=10.0)
    assert [gate.refused(10.0) for _ in range(3)] == [None, None, 1.0]
    assert gate.refused(10.5) == 0.5
    assert [gate.refused(11.0), gate.refused(100.0), gate.refused(100.0)] == [None, None, None]
    assert gate.refused(100.0) == 1.0


def test_limits_are_not_told_where_nobody_tells_them() -> None:
    gate = Gate(Capacity(requests_per_minute=60, headers=False), now=0.0)
    assert gate.told("openai", datetime.now(UTC)) == {}
    assert Gate(Capacity(concurrency=3), now=0.0).told("openai", datetime.now(UTC)) == {}


@pytest.mark.parametrize("name", ["concurrency", "requests_per_minute", "burst_s"])
def test_a_capacity_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be more than 0"):
        Capacity(**{name: 0})  # pyright: ignore[reportArgumentType]


# ------------------------------------------------------------------ prompt caches


def test_the_share_of_prompts_that_a_cache_could_serve_is_counted() -> None:
    with serve_in_thread(prefix_stats=True) as served:
        first = ask_openai(served, "x" * 94)
        longer = ask_openai(served, "x" * 94 + "y" * 100)
        ask_openai(served, "x" * 94, model="other")
        share = served.counts().cached_share_of_prompt
    assert [usage(each) for each in (first, longer)] == [(23, 0), (48, 25)]
    assert share == 100 / (100 + 200 + 100)


def usage(completion: ChatCompletion) -> tuple[int, int]:
    assert completion.usage is not None
    assert completion.usage.prompt_tokens_details is not None
    return completion.usage.prompt_tokens, completion.usage.prompt_tokens_details.cached_tokens or 0


@given(st.lists(st.text("ab", max_size=6), max_size=12))
def test_the_longest_start_is_found_among_all_prompts(prompts: list[str]) -> None:
    cache = PromptCache()
    for n, prompt in enumerate(prompts):
        begun = [next((i for i, (a, b) in enumerate(zip(prompt, other, strict=False)) if a != b), min(len(prompt), len(other)))
                 for other in prompts[:n]]  # fmt: skip
        assert cache.take("m", [Message("user", prompt)]) == (len("user: ") + max(begun) if begun else 0)


def test_anthropic_reads_what_was_written_at_a_mark_and_nothing_else() -> None:
    mark: Any = {"cache_control": {"type": "ephemeral"}}

    def block(text: str, **more: Any) -> Any:
        return {"type": "text", "text": text, **more}

    with (
        serve_in_thread(prefix_stats=True, responder=replies("ok")) as served,
        anthropic_client(served.origin) as client,
    ):

        def ask(*content: Any) -> tuple[int, int | None, int | None]:
            said: Any = [{"role": "user", "content": list(content)}]
            used = client.messages.create(model="m", max_tokens=9, system=[block("s" * 40)], messages=said).usage
            return used.input_tokens, used.cache_read_input_tokens, used.cache_creation_input_tokens

        assert ask(block("a" * 40)) == (20, 0, 0)
        assert ask(block("a" * 40, **mark)) == (0, 0, 20)
        assert ask(block("a" * 40), block("b" * 40)) == (30, 0, 0)
        assert ask(block("a" * 40), block("b" * 40, **mark), block("c" * 40)) == (10, 20, 10)
        assert ask(block("z" * 40, **mark)) == (0, 0, 20)


def test_stats_and_reset_are_served_too() -> None:
    with serve_in_thread() as served:
        ask_openai(served)
        with urllib.request.urlopen(f"{served.origin}/stats") as response:
            assert json.load(response)["answered"] == 1
        with urllib.request.urlopen(f"{served.origin}/reset", b"") as response:
            assert response.status == 200
        assert served.counts().calls == 0


# ------------------------------------------------------------------ where it listens


def address(served: Served) -> tuple[str, int]:
    host, _, port = served.origin.removeprefix("http://").partition(":")
    return host, int(port)


def test_it_listens_on_loopback_only() -> None:
    with serve_in_thread() as served:
        host, port = address(served)
        assert host == "127.0.0.1"
        with pytest.raises(OSError):  # a socket bound to every address would answer here
            socket.create_connection(("127.0.0.2", port), timeout=1)
    with pytest.raises(TypeError):
        Endpoint(host="0.0.0.0")  # pyright: ignore[reportCallIssue]


def test_it_has_no_address_before_it_is_open_and_after() -> None:
    endpoint = Endpoint()
    with pytest.raises(RuntimeError, match="not open"):
        _ = endpoint.url

    async def open_and_close() -> None:
        async with endpoint:
            assert endpoint.url == f"{endpoint.origin}/v1"

    asyncio.run(open_and_close())
    with pytest.raises(RuntimeError, match="not open"):
        _ = endpoint.origin


def test_a_taken_port_is_an_error() -> None:
    with serve_in_thread() as served, pytest.raises(OSError), serve_in_thread(port=address(served)[1]):
        pass


@pytest.mark.parametrize("settings", [{"latency_s": -1}, {"jitter": 2}])
def test_a_latency_that_cannot_be_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="latency_s must be"):
        Endpoint(**settings)  # pyright: ignore[reportArgumentType]


# ------------------------------------------------------------------ from a shell

ROOT = Path(__file__).parents[1]


@contextmanager
def shell(*arguments: str) -> Generator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "arena.testing", "--port", "0", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_shell_prints_the_url_and_stops_on_a_signal(stop: signal.Signals) -> None:
    with shell("--life", "30", "--fault", "429=1") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with openai_client(url) as client, pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
        process.send_signal(stop)
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 0


def test_the_shell_ends_by_itself() -> None:
    with shell("--life", "0.1") as process:
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_the_shell_names_what_faults_exist() -> None:
    with shell("--fault", "boom=1") as process:
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "unknown fault 'boom'; known are rate_limited" in errors
