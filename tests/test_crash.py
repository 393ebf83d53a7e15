"""Whatever is lost, a resumed match ends as an undisturbed one does, and nothing answered is asked again."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from playing import GAMES, Killed, Seeded, assert_same, dies_after, experiment, play, tables

from agents.models.errors import NotFound
from arena.run import Run
from arena.types import Completion, Request
from arena.verify import verify

UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""An example plays several runs, and a smaller one says no more."""


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.mark.parametrize("game", GAMES)
@settings(max_examples=10, phases=UNSHRUNK)
@given(deaths=st.lists(st.tuples(st.integers(0, 60), st.none() | st.floats(0, 0.999)), min_size=1, max_size=3))
def test_a_process_lost_after_any_write_resumes_to_the_same_end(
    game: str, deaths: list[tuple[int, float | None]]
) -> None:
    """Only what was in flight when it died is asked twice."""
    with folder() as calm_folder, folder() as shaken_folder:
        setting = experiment(game, calm_folder)
        calm = play(setting, calm_folder / "run", Seeded())
        model = Seeded()
        shaken = shaken_folder / "run"
        for writes, torn in deaths:
            with dies_after(writes, torn), suppress(Killed):
                play(setting, shaken, model)
        resumed = play(setting, shaken, model)
        assert_same(tables(calm), tables(resumed))
        reading = resumed.read()
        lost = sum(len(history.in_flight()) for history in reading.histories())
        assert sum(n - 1 for n in model.answered.values()) <= lost
        assert not verify_without_tables(resumed)


def verify_without_tables(opened: Run) -> list[str]:
    return [finding.problem for finding in verify(opened).findings if finding.check not in ("tables", "ledger")]


@pytest.mark.parametrize("game", GAMES)
@settings(max_examples=8, phases=UNSHRUNK)
@given(seed=st.integers(0, 10**6))
def test_a_record_whose_predecessor_was_lost_is_asked_again_and_never_diverges(game: str, seed: int) -> None:
    """A loss of power can lose earlier records than it keeps; what followed from them is then no answer to what is asked."""
    draws = random.Random(seed)
    with folder() as made:
        setting = experiment(game, made)
        opened = play(setting, made / "run", Seeded(nonce=1))
        (segment,) = (made / "run" / "ledger").glob("0*.jsonl")
        lines = segment.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines[1:] if draws.random() < 0.8 and not line.startswith(b'{"kind":"end"')]
        segment.write_bytes(b"".join([lines[0], *kept]))
        resumed = play(setting, made / "run", Seeded(nonce=2))
        assert opened.folder == resumed.folder
        assert set(tables(resumed)["matches"]["status"]) == {"finished"}
        assert not verify_without_tables(resumed)


@pytest.mark.parametrize("game", GAMES)
def test_a_finished_run_asks_nothing_more(game: str, tmp_path: Path) -> None:
    setting = experiment(game, tmp_path)
    play(setting, tmp_path / "run", Seeded())
    again = Seeded()
    play(setting, tmp_path / "run", again)
    assert not again.answered


def test_failures_are_asked_again_only_on_request_and_the_rest_follows(tmp_path: Path) -> None:
    """`retry_failed` pays for what failed and for what followed from it, and leaves the other matches alone."""
    setting = experiment("debate", tmp_path)
    opened = play(setting, tmp_path / "run", Seeded(failing=0.3))
    failed = tables(opened)["calls"].query("status == 'failed'")
    assert len(failed)
    untouched = Seeded(failing=0.0)
    play(setting, tmp_path / "run", untouched)
    assert not untouched.answered
    again = Seeded(failing=0.0)
    retried = play(setting, tmp_path / "run", again, retry_failed=True)
    assert again.answered
    assert not len(tables(retried)["calls"].query("status == 'failed'"))
    assert not verify_without_tables(retried)


def test_a_retry_pays_for_nothing_that_still_fits(tmp_path: Path) -> None:
    """A judge that could not be reached is asked again; the speeches and the other judge are not."""

    class OneJudgeIsAway(Seeded):
        async def complete(self, request: Request) -> Completion:
            if request.model == "test/x":
                raise NotFound("nobody there")
            return await super().complete(request)

    setting = experiment("debate", tmp_path)
    play(setting, tmp_path / "run", OneJudgeIsAway(failing=0.0))
    again = Seeded(failing=0.0, malformed=0.0)
    retried = play(setting, tmp_path / "run", again, retry_failed=True)
    assert {request.model for request in again.requests} == {"test/x"}
    assert len(again.requests) == 4  # two matches, each read in two orders
    assert not verify_without_tables(retried)


def test_a_retry_that_dies_goes_on_as_a_retry(tmp_path: Path) -> None:
    setting = experiment("debate", tmp_path)
    play(setting, tmp_path / "run", Seeded(failing=0.3))
    with dies_after(6, None), pytest.raises(Killed):
        play(setting, tmp_path / "run", Seeded(failing=0.0, nonce=3), retry_failed=True)
    resumed = play(setting, tmp_path / "run", Seeded(failing=0.0, nonce=4))
    assert set(tables(resumed)["matches"]["status"]) == {"finished"}
    assert not verify_without_tables(resumed)
