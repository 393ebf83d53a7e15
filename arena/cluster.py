"""Many matches over a Ray cluster: workers walk them and call the models, the head keeps the books.

The head is the process that plays the run. Ledger, limits and money stay in it: a worker asks it before each request and
sends nothing until it is told to go; its match goes on when the head has recorded the answer. So a lost worker takes
no more with it than the replies that it was waiting for, and the head needs no share of its disk.

    ask n errand -> worker wants to make call n               go n           -> the intent is recorded: send it
    came n outcome -> a completion, or why there is none      answer n answer-> it is recorded: go on
    ended match ending, failed match problem                  play matches   -> walk these, each as far as recorded
"""

from __future__ import annotations

import asyncio
import importlib
import math
import os
import pickle
import secrets
import socket
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from agents.limits import never
from agents.models.errors import ModelError, Transient
from arena.history import Entry, History
from arena.mistake import Mistake
from arena.types import Answer, Completion, Errand, Experiment, MatchSpec, Runner
from arena.worker import Box, Worker, about

LOOK_EVERY_S = 1.0
"""How often the head looks which nodes there are."""
EXPECTED_S = 15.0
"""How long a worker may take to start before others get its share of the matches."""
ANSWER_S = 10.0
"""How long the head of a cluster may take to answer."""
LOSSES = 5
"""Workers that may be lost in a row, with nothing answered in between, before the run is stopped."""
GRACE_S = 30.0
"""How much longer than a call may take a worker may be silent about it, before it counts as stalled and is given up."""
BEAT_S = 10.0
"""How long there may be nothing for a worker before it is asked for a sign of life."""
LEFT_OUT_S = 300.0
"""After how long a node that did not fit is tried again."""
TOLD_S = 15.0
"""How long it is told that a worker was lost."""

Ask = Callable[[Errand, Callable[[], Awaitable[Completion | ModelError]]], Awaitable[Answer]]
"""The desk's: has a call made by sending it as often as it takes, and records it."""


class ClusterError(Mistake):
    """A cluster that cannot be had, or does not fit. The message says what to do."""


class _Misfit(ClusterError):
    """A node on which no worker can be had."""


# ------------------------------------------------------------------ the head's end


@dataclass(eq=False, slots=True)
class _Play:
    """A match that somebody waits for."""

    spec: MatchSpec
    history: History
    """As far as it is recorded, kept up to date for whoever has to go on with it."""
    end: asyncio.Future[Mapping[str, Any]]


@dataclass(eq=False, slots=True)
class _Call:
    """A call that a worker wants made."""

    play: _Play
    task: asyncio.Task[None] | None = None
    outcome: asyncio.Future[Completion | Exception] | None = None
    came: bool = False
    """Whether its answer is here and being recorded, and must be kept whatever becomes of the worker."""


@dataclass(eq=False, slots=True)
class _Hand:
    """A worker, as the head has it."""

    actor: Any
    hired: float
    up: bool = False
    """Whether it has started and fits."""
    node: str = ""
    """Where it is, once it has said so."""
    stalled: str = ""
    """Why it was given up, where that was our doing."""
    box: Box = field(default_factory=Box)
    plays: dict[str, _Play] = field(default_factory=dict[str, _Play])
    calls: dict[int, _Call] = field(default_factory=dict[int, _Call])


class Cluster:
    """Matches on the workers of a Ray cluster. The workers stay for all that is played in a run, round after round."""

    def __init__(self, experiment: Experiment, runner: Runner, ask: Ask):
        """Connect to the cluster, which takes some seconds. Raises `ClusterError`."""
        # Matches are sent as they are given out: thousands of them need not go to everybody.
        shared = replace(experiment, matches=(), tournament=None, resolved={})
        self._material = pickle.dumps((shared, experiment.models, environment(experiment, runner)), protocol=5)
        self._runner, self._ask, self._concurrency = runner, ask, experiment.limits.concurrency
        self._stalled_s = experiment.limits.timeout_s + GRACE_S
        self._waiting: deque[_Play] = deque()
        self._hands: list[_Hand] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._problem: ClusterError | None = None
        self._lost_in_a_row = 0
        self._seen_up = time.monotonic()
        self._any_yet = False
        self._lost = ("", -math.inf)
        self._left_out: dict[_Hand, str] = {}
        with ExitStack() as stack:
            self._ray = stack.enter_context(connected(runner))
            self._hire = _hiring(self._ray, runner.resources)
            self._connection = stack.pop_all()

    @property
    def workers(self) -> int:
        """How many have started and take matches."""
        return sum(hand.up for hand in self._hands)

    @property
    def waiting(self) -> str:
        """What is being waited for, and which nodes are left out, in words; empty where all is well."""
        now, (node, lost) = time.monotonic(), self._lost
        started = f"{self.workers} of {len(self._hands)} have started"
        told: list[str] = []
        if now - lost < TOLD_S:
            told.append(f"a worker was lost ({node or 'before it had started'}); its matches go on elsewhere")
        if not self._any_yet:
            told.append(f"no worker yet: {started}" if self._hands else "no worker yet")
        elif not self.workers:
            told.append(f"no worker for {now - self._seen_up:.0f} s")
        elif self._waiting:
            told.append(f"workers: {started}")
        return "; ".join(filter(None, (*told, self.said)))

    @property
    def said(self) -> str:
        """Which nodes are left out and why; empty where none is."""
        return "; ".join(dict.fromkeys(self._left_out.values()))

    async def play(self, spec: MatchSpec, history: History) -> Mapping[str, Any]:
        """Play a match to its end, from where its history leaves off. Returns what its end record holds."""
        if self._problem is not None:
            raise self._problem
        if self._keeping is None:
            self._keeping = self._start(self._keep())
        play = _Play(spec, history, asyncio.get_running_loop().create_future())
        self._waiting.append(play)
        # Whoever wants matches played begins many at once; they are given out together.
        asyncio.get_running_loop().call_soon(self._give_out)
        return await play.end

    async def close(self) -> None:
        """Let the workers go, whatever they are doing."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for hand in self._hands:
            self._ray.kill(hand.actor)
        self._hands.clear()
        self._connection.close()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Have something done meanwhile; should it fail, so does whatever is being played."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (problem := task.exception()) is None:
            return
        if isinstance(problem, ClusterError):
            self._problem = problem
        for play in [*self._waiting, *(play for hand in self._hands for play in hand.plays.values())]:
            _fail(play, problem)

    # -------------------------------------------------------------- hiring and losing

    async def _keep(self) -> None:
        """Have as many workers as there is room for; give up where there is none for long."""
        patience_s = self._runner.patience_s
        while True:
            try:
                nodes = await asyncio.wait_for(asyncio.to_thread(self._ray.nodes), patience_s)
            except TimeoutError:
                raise ClusterError(
                    f"the cluster has not answered for {patience_s:g} s; see that its head node is up, and resume the run"
                ) from None
            wanted = self._runner.workers or min(room(nodes, self._runner.resources), self._concurrency)
            for _ in range(wanted - len(self._hands)):
                hand = _Hand(self._hire(), time.monotonic())
                self._hands.append(hand)
                self._start(self._attend(hand))
            if not any(node["Alive"] for node in nodes):
                raise ClusterError("every node of the cluster is lost; start it again and resume the run")
            if self.workers:
                self._seen_up = time.monotonic()
            elif time.monotonic() - self._seen_up > patience_s:
                raise ClusterError("; ".join(filter(None, (_nobody(nodes, self._runner), self.said))))
            self._give_out()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _attend(self, hand: _Hand) -> None:
        """Take in what a worker has to say, until it is lost."""
        try:
            await self._welcome(hand)
            sending = self._start(self._send(hand))
            try:
                while True:
                    for kind, *rest in pickle.loads(await hand.actor.take.remote()):
                        self._take_in(hand, kind, *rest)
            finally:
                sending.cancel()
        except _Misfit as problem:
            await self._leave_out(hand, problem)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as problem:
            await self._lose(hand, problem)

    async def _welcome(self, hand: _Hand) -> None:
        try:
            node, found = await hand.actor.about.remote()
        except self._ray.exceptions.RayError as problem:
            if _BROKEN_START in str(problem):
                raise _Misfit(
                    "a worker cannot start; is debate-arena, the same version as here, installed on every node? "
                    f"Ray says: {str(problem).strip().splitlines()[-1]}"
                ) from problem
            raise
        if differing := [name for name, here in about().items() if found.get(name) != here]:
            told = ", ".join(f"{name} {found.get(name)} there and {about()[name]} here" for name in differing)
            raise _Misfit(f"node {node} does not fit: {told}; install the same versions on every node")
        await hand.actor.begin.remote(self._material)
        hand.node, hand.up, self._any_yet = node, True, True
        self._seen_up = time.monotonic()
        self._give_out()

    async def _leave_out(self, hand: _Hand, problem: _Misfit) -> None:
        """Do without a worker that does not fit, as long as others have; a run that has not begun had better be told."""
        if not self._any_yet:
            raise problem
        self._left_out[hand] = f"left out: {problem}"
        hand.hired = -math.inf  # its share waits for it no longer
        self._give_out()
        # It keeps its place meanwhile, or the next one hired would be given it.
        await asyncio.sleep(LEFT_OUT_S)
        del self._left_out[hand]
        self._hands.remove(hand)
        self._ray.kill(hand.actor)

    async def _send(self, hand: _Hand) -> None:
        """Pass on what there is for a worker. Where there is nothing for long it is sent that, to see whether it lives."""
        try:
            while True:
                try:
                    async with asyncio.timeout(BEAT_S):
                        batch = await hand.box.batch()
                except TimeoutError:
                    batch = _NOTHING
                async with asyncio.timeout(self._stalled_s):
                    await hand.actor.give.remote(batch)
        except TimeoutError:
            self._give_up(hand, f"it took nothing for {self._stalled_s:g} s")
        except self._ray.exceptions.RayError as problem:
            self._give_up(hand, _words(problem))

    def _give_up(self, hand: _Hand, why: str) -> None:
        """Have a worker lost, by whoever attends to it."""
        hand.stalled = hand.stalled or why
        self._ray.kill(hand.actor)

    async def _lose(self, hand: _Hand, problem: BaseException) -> None:
        """Give a worker up. What it was waiting for is lost, what has come from it is kept; its matches go to others."""
        # Until what has come is recorded its matches remain with it, where they are found should all fail meanwhile.
        hand.up = False
        self._lost = (hand.node, time.monotonic())
        # It may be out of reach and alive; it must not come back.
        self._ray.kill(hand.actor)
        await asyncio.gather(*_let_go(hand.calls.values()), return_exceptions=True)
        self._hands.remove(hand)
        self._waiting.extendleft(play for play in reversed(hand.plays.values()) if not play.end.done())
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= LOSSES:
            said = hand.stalled or _words(problem)
            raise ClusterError(f"{LOSSES} workers in a row were lost before anything was answered; the last: {said}")
        self._give_out()

    # -------------------------------------------------------------- giving out and taking in

    def _give_out(self) -> None:
        """Hand the matches that wait to whoever has fewest; those who are yet to start get their share when they have."""
        up = [hand for hand in self._hands if hand.up]
        if not self._waiting or not up:
            return
        now = time.monotonic()
        expected = sum(hand.up or now - hand.hired < EXPECTED_S for hand in self._hands)
        share = -(-(len(self._waiting) + sum(len(hand.plays) for hand in up)) // expected)
        given: dict[int, list[tuple[MatchSpec, History]]] = {}
        while self._waiting:
            number, hand = min(enumerate(up), key=lambda numbered: len(numbered[1].plays))
            if len(hand.plays) >= share:
                break
            play = self._waiting.popleft()
            if not play.end.done():
                hand.plays[play.spec.id] = play
                given.setdefault(number, []).append((play.spec, play.history))
        for number, matches in given.items():
            up[number].box.put("play", matches)

    def _take_in(self, hand: _Hand, kind: str, which: Any, what: Any) -> None:
        """Take in a message of a worker."""
        match kind:
            case "ask":
                call = hand.calls[which] = _Call(hand.plays[what.match])
                call.task = self._start(self._answer(hand, which, call, what))
            case "came":
                self._lost_in_a_row = 0
                call = hand.calls[which]
                # After an error that may pass, it waits for its next turn like one that never left.
                call.came = not isinstance(what, Transient)
                if call.outcome is not None and not call.outcome.done():
                    call.outcome.set_result(what)
            case "ended":
                self._lost_in_a_row = 0
                play = hand.plays.pop(which)
                if not play.end.done():
                    play.end.set_result(what)
            case _:
                for play in [hand.plays[which]] if which in hand.plays else list(hand.plays.values()):
                    _fail(play, what)
                    _let_go([call for call in hand.calls.values() if call.play is play])

    async def _answer(self, hand: _Hand, number: int, call: _Call, wanted: Errand) -> None:
        """Have a worker's call made, when its turn comes."""

        async def send() -> Completion | ModelError:
            call.outcome = asyncio.get_running_loop().create_future()
            hand.box.put("go", number, None)
            try:
                async with asyncio.timeout(self._stalled_s):
                    outcome = await call.outcome
            except TimeoutError:
                self._give_up(hand, f"nothing came of a call for {self._stalled_s:g} s")
                await never()  # it is lost now, and this cancelled
            if isinstance(outcome, Completion | ModelError):
                return outcome
            raise outcome

        try:
            answer = await self._ask(wanted, send)
        except Exception as problem:
            _fail(call.play, problem)
            return
        record(call.play.history, wanted, answer)
        del hand.calls[number]
        hand.box.put("answer", number, answer)


_BROKEN_START = "in its creation task"
"""What Ray says of a worker that could not be started, as against one that was lost."""
_NOTHING = pickle.dumps([])


def _words(problem: BaseException) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__


def _let_go(calls: Collection[_Call]) -> list[asyncio.Task[None]]:
    """Wait no longer for what a worker was to send; what has come is recorded yet. Returns what is being done about them."""
    for call in calls:
        if call.task is not None and not call.came:
            call.task.cancel()
    return [call.task for call in calls if call.task is not None]


def _fail(play: _Play, problem: BaseException) -> None:
    if not play.end.done():
        play.end.set_exception(problem)


def record(history: History, asked: Errand, answer: Answer) -> None:
    """Take in a call as the ledger's reader would: should the match begin again, it goes on behind it."""
    for known in (None, answer):
        history.add(Entry(asked.key, asked.seat, asked.model, asked.digest, known, time.time(), asked.most, asked.role))


def environment(experiment: Experiment, runner: Runner) -> dict[str, str]:
    """The variables that the clients of the experiment's providers read, from here."""
    if runner.keys == "node":
        return {}
    providers = {model.partition("/")[0] for model in experiment.models} & set(experiment.providers)
    names = (experiment.providers[provider].get(name) for provider in providers for name in ("key_env", "base_url_env"))
    return {name: os.environ[name] for name in names if name and name in os.environ}


# ------------------------------------------------------------------ the cluster


def room(nodes: Sequence[Mapping[str, Any]], resources: Mapping[str, float]) -> int:
    """How many workers the nodes hold, going by what each worker takes."""
    needs = {name: need for name, need in resources.items() if need > 0}
    if not needs:
        raise ClusterError("runner.resources must name something that a worker takes, for instance {CPU: 1}")
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return sum(min(int(has.get(name, 0) / need) for name, need in needs.items()) for has in alive)


def _nobody(nodes: Sequence[Mapping[str, Any]], runner: Runner) -> str:
    alive = sum(bool(node["Alive"]) for node in nodes)
    needs = ", ".join(f"{name} {need:g}" for name, need in runner.resources.items())
    if not room(nodes, runner.resources):
        return f"no worker for {runner.patience_s:g} s: none of {alive} nodes has what one takes ({needs}); see runner.resources"
    return f"no worker for {runner.patience_s:g} s: {alive} nodes are there, with nothing free that one takes ({needs})"


def _hiring(ray: Any, resources: Mapping[str, float]) -> Callable[[], Any]:
    """Makes workers. A lost one is not brought back by Ray, which would pay for its calls again."""
    others = {name: need for name, need in resources.items() if name not in ("CPU", "GPU") and need > 0}
    worker = ray.remote(Worker).options(
        num_cpus=resources.get("CPU", 0),
        num_gpus=resources.get("GPU", 0),
        resources=others,
        scheduling_strategy="SPREAD",
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=1000,
    )
    return worker.remote


@contextmanager
def connected(runner: Runner) -> Generator[Any]:
    """Ray, connected to the runner's cluster, or to one of its own that nobody else can reach. Raises `ClusterError`."""
    address = runner.address or os.environ.get("RAY_ADDRESS") or "local"
    for name, value in _QUIETLY.items():
        os.environ.setdefault(name, value)
    with ExitStack() as stack:
        if address == "local":
            ours = tempfile.TemporaryDirectory(prefix="arena-ray-", dir=_SHORT, ignore_cleanup_errors=True)
            how = _alone(stack.enter_context(ours))
        else:
            how = _joined(address)
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as problem:
            raise ClusterError("Ray is not installed; install it with: pip install 'debate-arena[ray]'") from problem
        if ray.is_initialized():
            # Whoever has connected before us also disconnects.
            yield ray
            return
        try:
            ray.init(**how, log_to_driver=False, logging_level="error")
        except ray.exceptions.AuthenticationError as problem:
            raise ClusterError(f"Ray at {address} wants a token: {_TOKEN}") from problem
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as problem:
            said = " ".join(str(problem).split())
            raise ClusterError(
                f"Ray at {address} would not have us: {said} (if it wants a token: {_TOKEN})"
            ) from problem
        try:
            yield ray
        finally:
            ray.shutdown()


_QUIETLY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    # Ray prints what befalls its nodes on standard output, which is for results; what matters to the run, the run says.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).*",
}
_SHORT = "/tmp"
"""Where Ray's sockets are: their paths may not be longer than about a hundred characters."""
_TOKEN = (
    "set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file that holds it, to the one that the cluster was started with "
    "(RAY_AUTH_MODE=disabled for a cluster without)"
)


def _alone(folder: str) -> dict[str, Any]:
    """What starts a Ray of our own: it listens on loopback only and asks for a token that it alone knows."""
    # Ray takes the loopback address by itself only where it does not expect a cluster.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    # Ray opens its folder to everybody on the machine; the one around it is ours alone.
    return {
        "address": "local",
        "include_dashboard": False,
        "object_store_memory": 128 * 2**20,
        "_temp_dir": f"{folder}/ray",
    }


def _joined(address: str) -> dict[str, Any]:
    """What joins a cluster. Raises `ClusterError` where nothing answers, for which Ray would wait a minute and then die."""
    if "://" in address:
        raise ClusterError(
            f"{address} is an address for Ray's client, which the arena does not use: submit the command as a Ray job "
            "or start it on a node of the cluster"
        )
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
        except OSError as problem:
            raise ClusterError(f"no Ray answers at {address} ({problem}); is the cluster up?") from problem
    return {"address": address}
