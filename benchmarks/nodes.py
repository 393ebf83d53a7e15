"""A Ray cluster of several nodes on this machine, for real: its processes can be killed as those of other machines would be."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class Nodes:
    """A head that plays nothing, and nodes with a CPU each, on loopback and with a token."""

    def __init__(self, nodes: Any):
        self._nodes = nodes
        self._left: list[int] = []

    @property
    def address(self) -> str:
        return self._nodes.address

    def workers(self) -> list[int]:
        """The processes that play matches."""
        return [pid for node in self._nodes.worker_nodes for pid in _workers(_raylet(node))]

    def lose_one(self) -> None:
        """SIGKILL the raylet of a node."""
        node = min(self._nodes.worker_nodes, key=_raylet)
        self._left = _workers(_raylet(node))
        self._nodes.remove_node(node, allow_graceful=False)

    def leaving(self) -> bool:
        """Whether a worker of the node that was lost is still there."""
        return any(pid for pid in self._left if Path(f"/proc/{pid}").exists())

    def replace_it(self) -> None:
        self._nodes.add_node(num_cpus=1)


@contextmanager
def nodes(count: int) -> Generator[Nodes]:
    """A cluster while the context lasts. Ray reads the environment when it is imported."""
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_memory_monitor_refresh_ms": "0",
    }
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="arena-chaos-", dir="/tmp")
    head: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False, "temp_dir": folder}
    running: Any = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(count):
            running.add_node(num_cpus=1)
        yield Nodes(running)
    finally:
        running.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _raylet(node: Any) -> int:
    return node.all_processes["raylet"][0].process.pid


def _workers(raylet: int) -> list[int]:
    """The processes that a raylet has started to play matches, as far as /proc tells them."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == raylet and (entry / "cmdline").read_text().startswith("ray::Worker"):
                    found.append(int(entry.name))
    return sorted(found)
