"""The record: what was written is read back, and what is damaged is located and owed again."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena import ledger
from arena.forms import Speech
from arena.history import NOTHING, History, came_to
from arena.replay import Diverged
from arena.types import (
    Answer,
    Ask,
    Call,
    CallKey,
    Completion,
    Errand,
    Failure,
    Message,
    Most,
    Occasion,
    Request,
    Sampling,
    Usage,
)

OCCASION = Occasion(0, 0, Ask(0, 0, "s", "debater", 1, "opening", Speech(), "", {}, str), 0)


def call(step: int = 0, slot: int = 0, number: int = 0, attempt: int = 0, text: str = "?") -> Call:
    request = Request("test/a", (Message("user", text),), Sampling(), OCCASION)
    return Call("m", CallKey(step, slot, number, attempt), "proposition", request)


def asked(made: Call, text: str) -> Call:
    """The same call with other words."""
    return replace(made, request=replace(made.request, messages=(Message("user", text),)))


def errand(made: Call) -> Errand:
    return Errand(made.match, made.key, made.seat, "debater", made.request.model, made.digest, Most(0.5, 100))


def written(folder: Path, *records: tuple[Call, Answer | None], ended: dict[str, str] | None = None) -> Path:
    book = ledger.Ledger(folder)
    book.begin({"game": "x"})
    for made, answer in records:
        book.intent(errand(made))
        if answer is not None:
            book.answer(errand(made), answer)
    if ended is not None:
        book.end("m", ended)
    book.close()
    return folder


texts = st.text(st.characters(exclude_categories=[]))
completions = st.builds(
    Completion,
    text=texts,
    finish=st.sampled_from(["stop", "length", "refusal", "unknown"]),
    usage=st.builds(Usage, *[st.integers(0, 10**9)] * 5),
    reasoning=st.none() | texts,
    model=st.none() | texts,
    cost_usd=st.none() | st.floats(0, 100),
    latency_s=st.floats(0, 1000),
    tries=st.integers(1, 9),
    started_at=st.floats(0, 2e9),
)


@given(answer=completions | st.builds(Failure, texts, texts, st.integers(1, 9), st.floats(0, 2e9)))
def test_any_answer_is_read_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, answer: Answer) -> None:
    folder = written(tmp_path_factory.mktemp("ledger"), (call(), answer))
    assert ledger.read(folder).history("m").answer(call()) == answer


def test_an_intent_without_a_reply_was_in_flight_and_is_owed(tmp_path: Path) -> None:
    history = ledger.read(written(tmp_path, (call(), None))).history("m")
    assert [entry.key for entry in history.in_flight()] == [call().key]
    assert history.in_flight()[0].most == Most(0.5, 100)
    assert history.answer(call()) is None


def test_a_call_asked_again_after_a_crash_keeps_both_records(tmp_path: Path) -> None:
    history = ledger.read(written(tmp_path, (call(), None), (call(), Completion("yes")))).history("m")
    assert history.answer(call()) == Completion("yes")
    assert len(history.in_flight()) == 1


@given(cut=st.integers(1, 400))
def test_a_torn_last_line_is_owed_again_and_the_rest_is_used(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = written(tmp_path_factory.mktemp("ledger"), (call(0), Completion("one")), (call(1), Completion("two")))
    segment = folder / "0001.jsonl"
    whole = segment.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    segment.write_bytes(whole[: -min(cut, last)])
    reading = ledger.read(folder)
    assert reading.history("m").answer(call(0)) == Completion("one")
    assert reading.history("m").answer(call(1)) is None
    assert not reading.damaged


def test_a_damaged_line_is_located(tmp_path: Path) -> None:
    folder = written(tmp_path, (call(0), Completion("one")), (call(1), Completion("two")))
    segment = folder / "0001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[2] = b"\x00\xff{" + lines[2][3:]
    segment.write_bytes(b"".join(lines))
    reading = ledger.read(folder)
    assert reading.damaged == ["0001.jsonl:3"]
    assert reading.history("m").answer(call(0)) is None


RECORDS = [(call(n), Completion(f"reply {n}", usage=Usage(10, 5), cost_usd=0.25)) for n in range(3)]


@given(line=st.integers(1, 6), place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_any_changed_byte_is_located_and_the_rest_is_used(
    tmp_path_factory: pytest.TempPathFactory, line: int, place: float, byte: int
) -> None:
    """Inside a text too, where what stands there would still be read."""
    folder = written(tmp_path_factory.mktemp("ledger"), *RECORDS)
    segment = folder / "0001.jsonl"
    lines = [bytearray(line) for line in segment.read_bytes().splitlines(keepends=True)]
    harmed = lines[line]
    where = int(place * (len(harmed) - 1))
    harmed[where] = byte if byte not in (harmed[where], ord("\n")) else harmed[where] ^ 128
    segment.write_bytes(b"".join(lines))
    reading = ledger.read(folder)
    assert reading.damaged == [f"0001.jsonl:{line + 1}"]
    for number, (made, answer) in enumerate(RECORDS):
        is_lost = line == 2 * number + 2
        assert reading.history("m").answer(made) == (None if is_lost else answer)


@pytest.mark.parametrize("harmed", [b"reply 1", b'"match":"m","key":[1'])
def test_a_match_that_ended_and_lost_a_record_has_not_ended(tmp_path: Path, harmed: bytes) -> None:
    """Until it has been played out again; also where the line no longer says whose it was."""
    folder = written(tmp_path, *RECORDS, ended={"winner": "x"})
    assert ledger.read(folder).ended("m") == {"winner": "x"}
    segment = folder / "0001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(harmed, b"?" * len(harmed)))
    assert ledger.read(folder).ended("m") is None
    book = ledger.Ledger(folder)
    book.end("m", {"winner": "y"})
    book.close()
    assert ledger.read(folder).ended("m") == {"winner": "y"}


@given(
    answers=st.lists(st.none() | st.builds(Failure, st.sampled_from(["timeout", "not_found"]), texts) | completions),
    again=st.booleans(),
)
def test_what_was_spent_is_the_sum_of_what_the_calls_came_to(
    tmp_path_factory: pytest.TempPathFactory, answers: list[Answer | None], again: bool
) -> None:
    """Whether it is added up while the index is made, or from the histories; a call that was sent twice counts twice."""
    folder = written(tmp_path_factory.mktemp("ledger"), *((call(n), answer) for n, answer in enumerate(answers)))
    if again:
        written(folder, *((call(n), answer) for n, answer in enumerate(answers)))
    reading = ledger.read(folder)
    history = reading.history("m")
    entries = [*history.entries.values(), *history.superseded]
    total = sum((came_to(entry.answer, entry.most) for entry in entries), NOTHING)
    assert total.calls == len(answers) * (1 + again)
    found = reading.spent.get(("test/a", "debater"), NOTHING)
    assert (found.tokens, found.calls) == (total.tokens, total.calls)
    assert found.usd == pytest.approx(total.usd)


def test_another_question_at_the_same_place_diverges_and_says_where(tmp_path: Path) -> None:
    history = ledger.read(written(tmp_path, (call(2), Completion("yes")))).history("m")
    with pytest.raises(Diverged, match="step 2, seat proposition"):
        history.answer(call(2, text="something else?"))


LATER = [call(1), call(0, slot=0, attempt=1)]


@pytest.mark.parametrize("later", LATER)
def test_what_followed_from_a_lost_record_is_not_taken_for_an_answer_to_something_else(
    tmp_path: Path, later: Call
) -> None:
    history = ledger.read(written(tmp_path, (later, Completion("x")))).history("m")
    assert history.answer(call(0)) is None
    assert history.answer(asked(later, "another")) is None
    assert [entry.key for entry in history.superseded] == [later.key]


@pytest.mark.parametrize("later", LATER)
def test_what_followed_from_a_lost_record_and_still_fits_is_not_paid_again(tmp_path: Path, later: Call) -> None:
    history = ledger.read(written(tmp_path, (later, Completion("x")))).history("m")
    assert history.answer(call(0)) is None
    assert history.answer(later) == Completion("x")


def test_losses_in_two_slots_of_a_step_are_two_losses(tmp_path: Path) -> None:
    kept = [call(0, slot=slot, attempt=1) for slot in (0, 1)]
    history = ledger.read(written(tmp_path, *((made, Completion("x")) for made in kept))).history("m")
    for slot in (0, 1):
        assert history.answer(call(0, slot=slot)) is None
    for made in kept:
        assert history.answer(asked(made, "another")) is None


def test_a_retry_lets_later_records_change_once_and_no_more(tmp_path: Path) -> None:
    folder = written(tmp_path, (call(0), Failure("not_found", "nobody")), (call(1), Completion("old")))
    book = ledger.Ledger(folder)
    book.retry("m")
    book.close()
    history = ledger.read(folder).history("m")
    assert history.answer(call(1, text="another")) is None
    written(folder, (call(0), Completion("new")), (call(1, text="another"), Completion("new")))
    again = ledger.read(folder).history("m")
    assert again.answer(call(1, text="another")) == Completion("new")
    with pytest.raises(Diverged):
        again.answer(call(1, text="a third"))


def test_a_key_that_was_refused_is_no_answer(tmp_path: Path) -> None:
    history = ledger.read(written(tmp_path, (call(), Failure("authentication", "who are you?")))).history("m")
    assert history.answer(call()) is None
    assert not history.in_flight()


def test_nothing_is_written_behind_a_torn_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = ledger.Ledger(tmp_path / "ledger")
    write = os.write
    monkeypatch.setattr(ledger.os, "write", lambda file, data: write(file, data[: len(data) // 2]))
    with pytest.raises(ledger.LedgerError, match=r"cut short.*arena resume"):
        book.begin({})
    monkeypatch.undo()
    with pytest.raises(ledger.LedgerError):
        book.begin({})
    book.close()
    assert ledger.read(tmp_path / "ledger").torn == ["0001.jsonl:1"]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    book = ledger.Ledger(tmp_path / "ledger")
    monkeypatch.setattr(ledger.os, "write", full)
    with pytest.raises(ledger.LedgerError, match="No space left on device"):
        book.begin({})
    book.close()


def test_each_writer_has_a_segment_of_its_own(tmp_path: Path) -> None:
    written(tmp_path, (call(0), Completion("one")))
    written(tmp_path, (call(1), Completion("two")))
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["0001.jsonl", "0002.jsonl"]
    assert ledger.read(tmp_path).history("m").answer(call(1)) == Completion("two")


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    first = ledger.Ledger(tmp_path / "ledger")
    with pytest.raises(ledger.LedgerError, match="another process"):
        ledger.Ledger(tmp_path / "ledger")
    first.close()
    ledger.Ledger(tmp_path / "ledger").close()


def test_failures_stand_until_they_are_asked_again_on_request(tmp_path: Path) -> None:
    failed = Failure("not_found", "nobody")
    folder = written(tmp_path, (call(), failed))
    assert ledger.read(folder).history("m").answer(call()) == failed
    book = ledger.Ledger(folder)
    book.retry("m")
    book.close()
    assert ledger.read(folder).history("m").answer(call()) is None


def test_a_match_of_which_nothing_is_known_owes_everything() -> None:
    assert History("m").answer(call()) is None


def test_records_are_written_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow encoder is for halves of characters alone."""

    def slow(*_: object, **__: object) -> str:
        raise AssertionError("the slow encoder")

    monkeypatch.setattr(ledger.json, "dumps", slow)
    written(tmp_path, *RECORDS, (call(3), Failure("not_found", "nobody")), ended={"winner": "x"})
    with pytest.raises(AssertionError):
        written(tmp_path, (call(4), Completion("\ud800")))


def test_data_that_could_not_be_forced_to_the_disk_are_told_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system tells it once, perhaps to a thread whose result nobody reads."""

    def failing(file: int) -> None:
        raise OSError(5, "Input/output error")

    book = ledger.Ledger(tmp_path / "ledger")
    book.begin({})
    monkeypatch.setattr(ledger, "_SYNC", failing)
    with pytest.raises(ledger.LedgerError, match="Input/output error"):
        book.sync()
    with pytest.raises(ledger.LedgerError, match="Input/output error"):
        book.begin({})
    with pytest.raises(ledger.LedgerError, match="Input/output error"):
        book.close()
    ledger.Ledger(tmp_path / "ledger").close()
