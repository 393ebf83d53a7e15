"""What all tests share: no provider keys, no network beyond loopback, steady hypothesis, the reference files."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Arena, in_process
from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key or address in the developer's environment must not reach a test."""
    for variable in list(os.environ):
        if variable.endswith(("_API_KEY", "_BASE_URL")):
            monkeypatch.delenv(variable)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere else is an error."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "127.0.0.2", "::1"):
            raise AssertionError(f"a test wants to connect to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def arena(capsys: pytest.CaptureFixture[str]) -> Arena:
    """The command line in this process."""
    return in_process(capsys)


@pytest.fixture
def reference() -> Iterator[Path]:
    """The folder of reference files."""
    folder = os.environ.get("ARENA_REFERENCE")
    if not folder:
        pytest.skip("ARENA_REFERENCE names no folder of reference files")
    return Path(folder)
