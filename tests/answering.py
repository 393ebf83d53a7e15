"""For tests of what a provider may do: a server that answers to the byte as the test says, and can be slow or break off."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from arena.testing import Exchange, fill_in
from arena.types import Message


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    body: dict[str, Any]
    key: str
    """What stands behind `Bearer`."""
    before: int
    """How often the very same bytes have come before."""

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def last(self) -> bool:
        """Whether it is no opening speech: of a debate without rebuttals the last, which no opponent hears."""
        return any(said["role"] == "assistant" for said in self.body["messages"])

    @property
    def said(self) -> str:
        """A reply that fits: a speech, and every tag that is asked for filled in."""
        messages = tuple(Message(said["role"], said["content"]) for said in self.body["messages"])
        return fill_in(Exchange("openai", self.model, messages, self.body, 0))


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent back."""

    body: bytes
    status: int = 200
    cut: bool = False
    """The connection is closed after half of the body."""
    trickled: bool = False
    """A byte at a time, and never to the end."""


Answering = Callable[[Asked], Reply | None]
"""The reply to a request; None for one that never comes."""


def completion(text: Any, finish: Any = "stop", **fields: Any) -> dict[str, Any]:
    """A chat completion as providers send it."""
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"model": "m", "choices": [choice], "usage": usage, **fields}


def plain(asked: Asked) -> Reply:
    """The reply of a provider that does nothing wrong."""
    return Reply(json.dumps(completion(asked.said)).encode())


@contextmanager
def provider(answering: Answering) -> Generator[str]:
    """Serve on loopback while the context lasts. Gives the base URL."""
    over, lock, seen = threading.Event(), threading.Lock(), Counter[bytes]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                before = seen[raw]
                seen[raw] += 1
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            reply = answering(Asked(json.loads(raw), key, before))
            with suppress(OSError):
                self._send(reply)

        def _send(self, reply: Reply | None) -> None:
            if reply is None:
                over.wait()
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if reply.trickled:
                while not over.wait(0.02):
                    self.wfile.write(b" ")
                self.close_connection = True
            elif reply.cut:
                self.wfile.write(reply.body[: len(reply.body) // 2])
                self.close_connection = True
            else:
                self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads along."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256  # of five, those that come at once wait for the system to knock again, 1 s and more

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that leaves is none."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        finally:
            over.set()
            server.shutdown()
            thread.join()
