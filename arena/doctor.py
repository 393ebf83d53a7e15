"""Whether this machine can play: what is installed, what is set up, what is not. Calls nothing and shows no key."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from arena.config import ConfigError, compose, conf_dir, experiment


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool | None
    """None where something optional is not there."""
    said: str


def checks(config_dir: Path | None = None) -> Iterator[Check]:
    """Look at Python, configuration, providers, optional packages and the disk."""
    version = sys.version.split()[0]
    yield Check("python", sys.version_info >= (3, 11), f"{version} (3.11 or newer is needed)")
    yield Check("ours", _ours_are_ours(), "the packages `agents` and `judges` are this project's")
    try:
        resolved = compose((), config_dir)
        matches = len(experiment(resolved).matches)
    except ConfigError as problem:
        yield Check("configuration", False, str(problem))
        return
    users = config_dir or Path("conf")
    where = f"{users} before {conf_dir()}" if users.is_dir() and users.resolve() != conf_dir().resolve() else conf_dir()
    yield Check("configuration", True, f"{where}; the default experiment has {matches} matches")
    for name, provider in resolved["provider"].items():
        yield _provider(name, provider)
    yield _disk(Path(resolved["runs"]))


def _ours_are_ours() -> bool:
    import agents
    import judges

    home = Path(__file__).parent.parent
    return all(Path(str(package.__file__)).parent.parent == home for package in (agents, judges))


def _provider(name: str, provider: Mapping[str, Any]) -> Check:
    api, key = provider["api"], provider.get("key_env")
    if api in ("simulated", "scripted"):
        return Check(f"provider {name}", True, "needs nothing")
    if api == "litellm" and find_spec("litellm") is None:
        return Check(f"provider {name}", None, "not installed: pip install 'debate-arena[litellm]'")
    if not key:
        return Check(f"provider {name}", True, "installed; its keys are its own affair")
    if not os.environ.get(key):
        return Check(f"provider {name}", None, f"no key: set {key} in the environment or in .env")
    variable = provider.get("base_url_env")
    url = provider.get("base_url") or (variable and os.environ.get(variable)) or "the provider's own address"
    return Check(f"provider {name}", True, f"{key} is set; calls go to {url}")


def _disk(runs: Path) -> Check:
    folder = runs
    while not folder.exists():
        folder = folder.absolute().parent
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            begun = time.perf_counter()
            for _ in range(50):
                os.write(file.fileno(), b"x" * 6000)
            written_ms = (time.perf_counter() - begun) / 50 * 1000
            begun = time.perf_counter()
            os.fsync(file.fileno())
            synced_ms = (time.perf_counter() - begun) * 1000
    except OSError as problem:
        return Check("disk", False, f"{folder} cannot be written: {problem.strerror}")
    return Check("disk", True, f"{folder}: a record takes {written_ms:.2f} ms, a sync {synced_ms:.0f} ms")
