"""A process of the cluster that plays matches: it walks them and calls the models, and asks the head before each call."""

from __future__ import annotations

import asyncio
import os
import pickle
import platform
import socket
from collections.abc import Sequence
from importlib.metadata import version
from itertools import count
from typing import Any

from arena import local, match
from arena.desk import errand
from arena.history import History
from arena.types import Answer, Call, Completion, MatchSpec

GATHER_S = 0.002
"""How long messages wait for company: an actor call for each would cost more than the call of the model."""

Message = tuple[Any, ...]


class Box:
    """Messages that leave together."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._some = asyncio.Event()

    def put(self, *message: Any) -> None:
        self._messages.append(message)
        self._some.set()

    async def batch(self) -> bytes:
        """Wait for a message, and a moment for others."""
        await self._some.wait()
        await asyncio.sleep(GATHER_S)
        messages, self._messages = self._messages, []
        self._some.clear()
        # Ray hands bytes on as they are; its own pickling takes several times as long.
        return pickle.dumps(messages, protocol=5)


def about() -> dict[str, str]:
    """What must be the same on the head and on every node."""
    return {"debate-arena": version("debate-arena"), "Python": platform.python_version(), "ray": version("ray")}


class Worker:
    """One process of the cluster. Its matches share one event loop."""

    def __init__(self) -> None:
        # A terminal's Ctrl-C goes to all of the head's process group. It is for the head alone, which waits for what we do.
        os.setpgid(0, 0)
        self._post = Box()
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Answer | None]] = {}
        self._playing: set[asyncio.Task[None]] = set()

    async def about(self) -> tuple[str, dict[str, str]]:
        """The node's name, and what must be the same on it as on the head."""
        return socket.gethostname(), about()

    async def begin(self, material: bytes) -> None:
        """Take in the experiment, and the environment that its providers' clients read."""
        experiment, models, environment = pickle.loads(material)
        os.environ.update(environment)
        self._setting = match.Setting(experiment)
        self._models = local.models(experiment, models)

    async def take(self) -> bytes:
        """The messages to the head; waits until there are any."""
        return await self._post.batch()

    async def give(self, batch: bytes) -> None:
        """Take in messages of the head. In which order batches come does not matter: each answers one of ours."""
        try:
            self._take_in(pickle.loads(batch))
        except Exception as problem:
            # Nobody waits for this call's result.
            self._post.put("failed", None, portable(problem))

    def _take_in(self, messages: Sequence[Message]) -> None:
        for kind, *rest in messages:
            if kind == "play":
                for spec, history in rest[0]:
                    playing = asyncio.create_task(self._play(spec, history))
                    self._playing.add(playing)
                    playing.add_done_callback(self._playing.discard)
            else:
                number, answer = rest
                told = self._waiting.pop(number)
                if not told.done():
                    told.set_result(answer)

    async def _play(self, spec: MatchSpec, history: History) -> None:
        try:
            ended = await match.play(self._setting.match(spec), history, self._ask)
        except Exception as problem:
            self._post.put("failed", spec.id, portable(problem))
        else:
            self._post.put("ended", spec.id, ended)

    async def _ask(self, call: Call) -> Answer:
        number = next(self._numbers)
        self._post.put("ask", number, errand(self._setting.experiment, call))
        while (answer := await self._told(number)) is None:
            self._post.put("came", number, await self._send(call))
        return answer

    def _told(self, number: int) -> asyncio.Future[Answer | None]:
        told = self._waiting[number] = asyncio.get_running_loop().create_future()
        return told

    async def _send(self, call: Call) -> Completion | Exception:
        try:
            return await self._models.model(call.request.model).complete(call.request)
        except Exception as problem:
            return portable(problem)


def portable(problem: Exception) -> Exception:
    """The exception if it can be sent to another process, or else what it says."""
    try:
        pickle.loads(pickle.dumps(problem))
    except Exception:
        return RuntimeError(f"{type(problem).__name__}: {problem}")
    return problem
