"""For tests that kill: run the real command, kill it when the endpoint has answered so many calls, and go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARENA = str(Path(sys.executable).with_name("arena"))


@dataclass(frozen=True)
class Kills:
    """What was seen at the kills."""

    kills: int
    in_flight: int
    """Calls in flight at the endpoint, summed over the kills."""
    returncode: int
    output: str


def run_killed(
    start: Sequence[str],
    run: Path,
    counts: Sequence[int],
    stats: Callable[[], tuple[int, int]],
    environment: dict[str, str],
    timeout_s: float = 300,
) -> Kills:
    """Start a run, SIGKILL it at each count of answered calls, resume it, and let it end.

    `stats` gives the calls answered and in flight. A count that is passed while the process starts up kills at once.
    """
    command, in_flight, kills = list(start), 0, 0
    for count in counts:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + timeout_s
        while (known := stats())[0] < count and process.poll() is None:
            assert time.monotonic() < deadline, "the run makes no progress"
            time.sleep(0.005)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        in_flight += known[1]
        process.wait()
        kills += 1
        command = [ARENA, "resume", str(run)] if (run / "manifest.json").exists() else list(start)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
    return Kills(kills, in_flight, done.returncode, done.stdout + done.stderr)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


def fetched(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply)


class Served:
    """A server process that prints its address first, ended with the context."""

    def __init__(self, command: Sequence[str]):
        self.process = subprocess.Popen(list(command), stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        self.origin = self.url.removesuffix("/v1")

    def stats(self) -> dict[str, Any]:
        return fetched(f"{self.origin}/stats")

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
