"""Matches on Ray: two nodes on one machine for real, a worker killed and a node lost while they play, the same results."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agents.budget import Budget
from agents.limits import Limiter
from agents.models.errors import NotFound, RateLimited
from agents.models.registry import Models
from arena import cluster, config, ledger, worker
from arena.cluster import Cluster, ClusterError
from arena.desk import Desk
from arena.history import Entry, History
from arena.local import Crew, Local
from arena.match import Setting
from arena.testing import Served, seeded, serve_in_thread
from arena.types import Answer, CallKey, Completion, Errand, Experiment, MatchSpec, Most, Runner, Usage

KEY = "planted-key-0f1e2d3c4b5a"


def experiment(url: str, *more: str) -> Experiment:
    overrides = (
        "agents=none", "seats.proposition.model=openai/a", "seats.opposition.model=openai/b", "judge=none",
        f"provider.openai.base_url={url}", "topics.limit=2", "limits.concurrency=12", *more,
    )  # fmt: skip
    return config.experiment(config.compose(overrides))


# ------------------------------------------------------------------ without a cluster


def test_what_travels_between_processes_arrives_as_it_left() -> None:
    key = CallKey(0, 0, 0, 0)
    completion = Completion("\ud800 half a character", usage=Usage(1, 2), reasoning="so", cost_usd=0.1, tries=2)
    history = History("m", {key: Entry(key, "proposition", "openai/a", "digest", completion, 1.0)})
    for value in (completion, history, Errand("m", key, "s", "debater", "openai/a", "digest", Most(0.1, 5))):
        assert pickle.loads(pickle.dumps(value)) == value
    limited: RateLimited = pickle.loads(pickle.dumps(RateLimited("slow down", retry_after_s=3.0)))
    assert (limited.message, limited.retry_after_s) == ("slow down", 3.0)


def test_a_problem_that_cannot_travel_sends_its_words() -> None:
    class Local(Exception):
        pass

    problem = NotFound("nobody")
    assert worker.portable(problem) is problem
    assert str(worker.portable(Local("not to be pickled"))) == "Local: not to be pickled"


def test_only_the_keys_of_those_who_are_seated_go_to_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "another")
    seated = experiment("http://127.0.0.1:1/v1")
    assert KEY in cluster.environment(seated, Runner()).values()
    assert "another" not in cluster.environment(seated, Runner()).values()
    assert cluster.environment(seated, Runner(keys="node")) == {}


def test_workers_go_where_all_is_there_that_they_take() -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 4.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    assert cluster.room(nodes, {"CPU": 1.0}) == 12
    assert cluster.room(nodes, {"CPU": 1.0, "GPU": 0.5}) == 4
    assert cluster.room(nodes, {"CPU": 16.0}) == 0
    with pytest.raises(ClusterError, match="must name something"):
        cluster.room(nodes, {"CPU": 0.0})


def test_a_match_begun_again_may_change_behind_what_was_asked_anew() -> None:
    def entry(step: int) -> Entry:
        return Entry(CallKey(step, 0, 0, 0), "s", "openai/a", f"digest {step}", Completion("old"), 1.0)

    history = History("m", {CallKey(step, 0, 0, 0): entry(step) for step in range(3)})
    asked = Errand("m", CallKey(1, 0, 0, 0), "s", "debater", "openai/a", "digest 1", Most(None, None))
    cluster.record(history, asked, Completion("new"))
    assert [(entry.stale, entry.answer) for entry in history.entries.values()] == [
        (False, Completion("old")), (False, Completion("new")), (True, Completion("old")),
    ]  # fmt: skip


def test_an_address_where_nobody_answers_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ClusterError, match=f"no Ray answers at {address}"), cluster.connected(Runner(address=address)):
        raise AssertionError
    with pytest.raises(ClusterError, match="Ray job"), cluster.connected(Runner(address="ray://127.0.0.1:10001")):
        raise AssertionError


def test_without_ray_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ClusterError, match=r"pip install 'debate-arena\[ray\]'"),
        cluster.connected(Runner(address="auto")),
    ):
        raise AssertionError


# ------------------------------------------------------------------ with one


@dataclass
class Book:
    """A ledger and the desk that writes it, as a run has them."""

    experiment: Experiment
    folder: Path
    answered: int = 0
    wanted: int = 0
    there: asyncio.Event = field(default_factory=asyncio.Event)
    ends: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    def __post_init__(self) -> None:
        self.ledger = ledger.Ledger(self.folder)
        limiter = Limiter(self.experiment.limits, self.experiment.providers)
        self.desk = Desk(self.experiment, limiter, Budget(self.experiment.budget), self.ledger, self._told)

    def _told(self, errand: Errand, answer: Answer) -> None:
        self.answered += 1
        if self.answered == self.wanted:
            self.there.set()

    async def play(self, crew: Crew, matches: Iterable[MatchSpec]) -> None:
        queue = iter(matches)

        async def player() -> None:
            for spec in queue:
                self.ends[spec.id] = await crew.play(spec, History(spec.id))

        await asyncio.gather(*(player() for _ in range(self.experiment.limits.concurrency)))

    async def until(self, answered: int) -> None:
        """Wait for so many answers."""
        self.wanted, self.there = answered, asyncio.Event()
        await self.there.wait()

    def said(self) -> dict[str, list[tuple[CallKey, str, str]]]:
        """What stands: match to calls with their digest, which covers all that the model was sent, and reply."""
        texts = {
            history.match: sorted(
                (key, entry.digest, entry.answer.text)
                for key, entry in history.entries.items()
                if isinstance(entry.answer, Completion)
            )
            for history in ledger.read(self.folder).histories()
        }
        return dict(sorted(texts.items()))

    def paid_twice(self) -> int:
        superseded = (entry for history in ledger.read(self.folder).histories() for entry in history.superseded)
        return sum(entry.answer is not None for entry in superseded)

    def lost(self) -> int:
        return sum(len(history.in_flight()) for history in ledger.read(self.folder).histories())


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve_in_thread(latency_s=0.1, responder=seeded) as endpoint:
        yield endpoint


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two nodes with a CPU each, on loopback and with a token. Ray reads the environment when it is imported."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is an extra")
    folder = tempfile.mkdtemp(prefix="arena-test-", dir="/tmp")
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t" * 40,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_memory_monitor_refresh_ms": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        # Else the nodes would inherit it, and it would say nothing that a worker has it.
        monkeypatch.delenv(name)
    from ray.cluster_utils import Cluster as Nodes

    head: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False, "temp_dir": folder}
    running: Any = Nodes(initialize_head=True, head_node_args=head)
    running.folder = folder
    running.second = running.add_node(num_cpus=1)
    try:
        yield running
    finally:
        running.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_worker_killed_and_a_node_lost_cost_what_they_waited_for(nodes: Any, served: Served, tmp_path: Path) -> None:
    played = experiment(served.url, "schedule.repeats=16")
    first, rest = played.matches[:-12], played.matches[-12:]
    calm, stormy = Book(played, tmp_path / "calm"), Book(played, tmp_path / "stormy")

    async def here() -> None:
        setting = Setting(played)
        crew = Local(setting, Models(played.providers, 5), calm.desk)
        await calm.play(crew, played.matches)
        await crew.close()

    async def there() -> None:
        crew = Cluster(played, Runner(nodes.address), stormy.desk.ask)
        try:
            playing = asyncio.create_task(stormy.play(crew, first))
            await stormy.until(40)
            _kill_a_worker()
            await stormy.until(120)
            nodes.remove_node(nodes.second, allow_graceful=False)
            await playing
            nodes.add_node(num_cpus=1)
            async with asyncio.timeout(60):
                while crew.workers < 2:  # noqa: ASYNC110  (the cluster tells nobody)
                    await asyncio.sleep(0.1)
            await stormy.play(crew, rest)
        finally:
            await crew.close()

    asyncio.run(here())
    calls = served.counts().calls
    asyncio.run(there())
    assert len(stormy.ends) == len(played.matches)
    assert stormy.ends == calm.ends
    assert stormy.said() == calm.said()
    assert 0 < stormy.lost() <= 2 * played.limits.concurrency
    assert not stormy.paid_twice()
    assert served.counts().calls <= calls + stormy.answered + stormy.lost()
    found = [path for path in Path(nodes.folder).rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert not found, "a provider's key stands in Ray's files"


def _kill_a_worker() -> None:
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    worker = next(line for line in listed.splitlines() if "ray::Worker" in line)
    os.kill(int(worker.split()[0]), signal.SIGKILL)


@pytest.mark.slow
def test_a_ray_of_our_own_is_reached_by_nobody_else() -> None:
    """In a process of its own: Ray reads the environment when it is imported."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is an extra")
    program = (
        "import json\n"
        "from arena.cluster import connected\nfrom arena.types import Runner\n"
        "with connected(Runner()) as ray:\n"
        "    import psutil  # Ray brings its own\n"
        "    mine = psutil.Process()\n"
        "    us = {mine.pid, *(child.pid for child in mine.children(recursive=True))}\n"
        "    print(json.dumps([c.laddr.ip for c in psutil.net_connections('tcp')\n"
        "                      if c.pid in us and c.status == 'LISTEN']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    listening = set(json.loads(done.stdout.splitlines()[-1]))
    assert listening
    assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
