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
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
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


def test_whoever_joins_a_cluster_makes_no_folder_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_SHORT", "/nowhere")
    with pytest.raises(ClusterError, match="no Ray answers"), cluster.connected(Runner(address="127.0.0.1:1")):
        raise AssertionError


def test_without_ray_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ClusterError, match=r"pip install 'debate-arena\[ray\]'"),
        cluster.connected(Runner(address="auto")),
    ):
        raise AssertionError


# ------------------------------------------------------------------ with a Ray that does as it is told


class Calm:
    """A worker whose matches end as they begin."""

    def __init__(self) -> None:
        self.post, self.killed = worker.Box(), asyncio.Event()

    async def about(self) -> tuple[str, dict[str, str]]:
        return "node-1", worker.about()

    async def begin(self, material: bytes) -> None:
        pass

    async def take(self) -> bytes:
        return await self.post.batch()

    async def give(self, batch: bytes) -> None:
        for kind, *rest in pickle.loads(batch):
            for spec, _ in rest[0] if kind == "play" else ():
                self.play(spec)

    def play(self, spec: MatchSpec) -> None:
        self.post.put("ended", spec.id, {"by": type(self).__name__})


class Unborn(Calm):
    async def about(self) -> tuple[str, dict[str, str]]:
        await asyncio.Event().wait()
        raise AssertionError


class Older(Calm):
    async def about(self) -> tuple[str, dict[str, str]]:
        return "node-2", worker.about() | {"debate-arena": "0.0.1"}


class Dying(Calm):
    def play(self, spec: MatchSpec) -> None:
        self.killed.set()


class Deaf(Calm):
    """Stopped: it takes nothing in."""

    async def give(self, batch: bytes) -> None:
        await asyncio.Event().wait()


class Broken(Calm):
    async def give(self, batch: bytes) -> None:
        raise Rayish.RayTaskError("no such method")


class Mute(Calm):
    """Asks for a call, and never says what came of it."""

    def play(self, spec: MatchSpec) -> None:
        self.post.put("ask", 0, Errand(spec.id, CallKey(0, 0, 0, 0), "s", "debater", "m", "d", Most(None, None)))


class Rayish:
    """As much of Ray as the head uses. Of a worker that was killed all fails that it has not done."""

    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        pass

    def __init__(self, *workers: type[Calm]):
        self.exceptions = self
        self._coming = iter(workers)
        self.hired: list[Calm] = []
        self.looked = 0

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        self.looked += 1
        return [{"Alive": True, "Resources": {"CPU": 2.0}}]

    def remote(self, _: type) -> Any:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._hire))  # pyright: ignore[reportUnknownLambdaType]

    def _hire(self) -> Any:
        hired = next(self._coming, Unborn)()
        self.hired.append(hired)
        methods = (hired.about, hired.begin, hired.take, hired.give)
        remote = {method.__name__: SimpleNamespace(remote=partial(self._call, hired, method)) for method in methods}
        return SimpleNamespace(hired=hired, **remote)

    async def _call(self, hired: Calm, method: Any, *given: bytes) -> Any:
        done, killed = asyncio.ensure_future(method(*given)), asyncio.ensure_future(hired.killed.wait())
        try:
            await asyncio.wait((done, killed), return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                raise self.RayError("the actor is dead")
            return done.result()
        finally:
            done.cancel()
            killed.cancel()

    def kill(self, actor: Any) -> None:
        actor.hired.killed.set()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_EVERY_S", "GRACE_S", "BEAT_S"):
        monkeypatch.setattr(cluster, name, 0.02)


@cache
def hasty_experiment() -> Experiment:
    return experiment("http://127.0.0.1:1/v1", "limits.timeout_s=0.02")


async def played_on(ray: Rayish, then: Callable[[Cluster], Awaitable[None]] | None = None, **runner: Any) -> list[Any]:
    """How the matches of a run ended on such a cluster. One that hangs is a failure here."""
    setting = hasty_experiment()

    async def ask(_: Errand, send: Callable[[], Awaitable[Any]]) -> Answer:
        return await send()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ray", ray)
        crew = Cluster(setting, Runner(address="auto", **runner), ask)
    try:
        async with asyncio.timeout(10):
            matches = [asyncio.create_task(crew.play(spec, History(spec.id))) for spec in setting.matches]
            if then is not None:
                await then(crew)
            return [ended["by"] for ended in await asyncio.gather(*matches)]
    finally:
        await crew.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (nobody is told)
        await asyncio.sleep(0.005)


@pytest.mark.usefixtures("hasty")
def test_a_run_whose_only_worker_is_lost_each_time_ends() -> None:
    ray = Rayish(*[Dying] * 9)
    with pytest.raises(ClusterError, match=r"5 workers in a row were lost.*the actor is dead"):
        asyncio.run(played_on(ray, workers=1))
    assert len(ray.hired) == cluster.LOSSES


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("stalled", [Deaf, Mute, Broken])
def test_the_matches_of_a_worker_that_stalls_go_to_another(stalled: type[Calm]) -> None:
    ray = Rayish(stalled, Calm)
    assert set(asyncio.run(played_on(ray, workers=1))) == {"Calm"}
    assert ray.hired[0].killed.is_set()


@pytest.mark.usefixtures("hasty")
def test_a_worker_with_nothing_to_do_is_seen_to_have_stalled() -> None:
    class Stopping(Calm):
        """Takes its matches, and is stopped before it asks for anything."""

        async def give(self, batch: bytes) -> None:
            if not pickle.loads(batch):
                await asyncio.Event().wait()

    assert set(asyncio.run(played_on(Rayish(Stopping, Calm), workers=1))) == {"Calm"}


@pytest.mark.usefixtures("hasty")
def test_a_cluster_that_does_not_answer_ends_the_run_in_words() -> None:
    class Gone(Rayish):
        def nodes(self) -> list[dict[str, Any]]:
            threading.Event().wait(0.1)
            return []

    with pytest.raises(ClusterError, match=r"has not answered for 0\.01 s"):
        asyncio.run(played_on(Gone(), patience_s=0.01))


@pytest.mark.usefixtures("hasty")
def test_a_node_that_does_not_fit_is_told_before_anything_is_played() -> None:
    with pytest.raises(ClusterError, match=r"node node-2 does not fit: debate-arena 0\.0\.1 there"):
        asyncio.run(played_on(Rayish(Older)))


@pytest.mark.usefixtures("hasty")
def test_a_node_that_joins_and_does_not_fit_is_left_out_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Calm):
        def play(self, spec: MatchSpec) -> None:
            plays.append(partial(super().play, spec))

    class Joining(Older):
        async def about(self) -> tuple[str, dict[str, str]]:
            await until(lambda: bool(plays))
            return await super().about()

    async def for_long(crew: Cluster) -> None:
        await until(lambda: bool(crew.said))
        assert crew.said.startswith("left out: node node-2 does not fit")
        assert crew.waiting.endswith(crew.said)
        looked = ray.looked
        await until(lambda: ray.looked > looked + 2)
        assert len(ray.hired) == 2, "it was hired again at once"
        for play in plays:
            play()

    async def for_once(crew: Cluster) -> None:
        await until(lambda: len(ray.hired) > 2 and not crew.said)
        for play in plays:
            play()

    plays: list[Callable[[], None]] = []
    ray = Rayish(Slow, Joining)
    assert set(asyncio.run(played_on(ray, for_long))) == {"Slow"}
    plays.clear()
    monkeypatch.setattr(cluster, "LEFT_OUT_S", 0.01)
    ray = Rayish(Slow, Joining)
    assert set(asyncio.run(played_on(ray, for_once))) == {"Slow"}


@pytest.mark.usefixtures("hasty")
def test_what_a_cluster_waits_for_is_said() -> None:
    class Asked(Calm):
        async def about(self) -> tuple[str, dict[str, str]]:
            await go.wait()
            return await super().about()

    async def then(crew: Cluster) -> None:
        await until(lambda: len(ray.hired) == 2)
        assert crew.waiting == "no worker yet: 0 of 2 have started"
        go.set()
        await until(lambda: crew.workers == 1)
        await until(lambda: not crew.waiting.startswith("no worker yet"))
        ray.hired[0].killed.set()
        await until(lambda: not crew.workers)
        assert crew.waiting == "a worker was lost (node-1); its matches go on elsewhere; no worker for 0 s"
        for play in asyncio.all_tasks() - {asyncio.current_task()}:
            play.cancel()

    class Idle(Asked):
        def play(self, spec: MatchSpec) -> None:
            pass

    go, ray = asyncio.Event(), Rayish(Idle, Unborn)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(played_on(ray, then))


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
        models = Models(played.providers, 5)
        await calm.play(Local(setting, models, calm.desk), played.matches)
        await models.close()

    async def there() -> None:
        crew = Cluster(played, Runner(address=nodes.address), stormy.desk.ask)
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
