"""A name in `conf/` is a module: ours from the folder, a user's from an installed package's entry points.

Installing a package is the consent to run it. A configuration can name a module of these groups and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType


def module(group: str, name: str) -> ModuleType:
    """The module that `name` stands for in a group like `arena.games`. Raises `LookupError` that lists the names."""
    if name in _ours(group):
        return importlib.import_module(f"{group}.{name}")
    for point in entry_points(group=group, name=name):
        return point.load()
    kind = group.rpartition(".")[2]
    raise LookupError(f"there is no {name!r} in {kind}; there are {', '.join(names(group))}")


def names(group: str) -> list[str]:
    """All names of a group, ours and installed ones."""
    return sorted({*_ours(group), *(point.name for point in entry_points(group=group))})


def _ours(group: str) -> list[str]:
    package = importlib.import_module(group)
    return [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]
