"""Hydra composes: from overrides and folders of YAML to one plain configuration, and mistakes said in a sentence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from arena.settings import ConfigError, Seated

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _UsersFolder(SearchPathPlugin):
    """Has Hydra look into the user's folder before ours."""

    folder: Path | None = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if _UsersFolder.folder is not None:
            search_path.prepend("arena", f"file://{_UsersFolder.folder}")


def conf_dir() -> Path:
    """Our own configuration: inside the package when installed, beside it in a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "conf"


def compose(overrides: Sequence[str] = (), config_dir: Path | None = None) -> dict[str, Any]:
    """The configuration that the overrides make, as plain values. Raises `ConfigError`.

    The user's folder (`config_dir`, or `./conf` where there is one) is searched before ours.
    """
    folders = _folders(config_dir)
    for override in overrides:
        if "=" not in override and not override.startswith("~"):
            raise ConfigError(f"{override}: expected KEY=VALUE, for instance topics.limit=3")
    overrides = [_open(override) for override in overrides]
    Plugins.instance().register(_UsersFolder)
    _UsersFolder.folder = folders[0] if len(folders) > 1 else None
    GlobalHydra.instance().clear()
    with _explained(overrides, config_dir), initialize_config_dir(str(folders[-1]), version_base="1.3"):
        composed = hydra_compose("config", overrides=overrides)
        return _plain(OmegaConf.to_container(composed, resolve=True, throw_on_missing=True))
    raise AssertionError


def load(run: Path, overrides: Sequence[str] = (), config_dir: Path | None = None) -> dict[str, Any]:
    """The configuration that a run directory was played with, with overrides applied. Raises `ConfigError`."""
    path = run / "experiment.yaml"
    if not path.is_file():
        if (run / "tables").is_dir():
            raise ConfigError(
                f"{run} holds imported debates: tables without an experiment and a ledger, so there is nothing to replay, "
                "resume, judge again or play again. Its tables can be read: "
                f"arena stats {run}, arena report {run}, arena reread {run}, or arena.load in Python"
            )
        raise ConfigError(f"{run} is no run directory: it has no experiment.yaml")
    try:
        plain = _plain(yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{path}: {_line(problem)}") from problem
    return change(plain, overrides, config_dir) if overrides else plain


def change(plain: Mapping[str, Any], overrides: Sequence[str], config_dir: Path | None = None) -> dict[str, Any]:
    """A configuration with overrides applied, in the grammar of `compose`. Raises `ConfigError`."""
    config = OmegaConf.create(dict(plain))
    OmegaConf.set_struct(config, True)
    with _explained(overrides, config_dir):
        for override in OverridesParser.create().parse_overrides([_open(override) for override in overrides]):
            _apply(config, override, overrides, config_dir)
    return _plain(OmegaConf.to_container(config, resolve=False))


def multirun(overrides: Sequence[str]) -> list[list[str]]:
    """The jobs of a sweep: every combination of the comma-separated values, as lists of overrides."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as problem:
        raise ConfigError(_line(problem)) from problem
    return [list(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]


def _folders(config_dir: Path | None) -> list[Path]:
    """Where configuration is searched for, in order; the last is ours."""
    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError(f"--config-dir {config_dir} is not a folder")
    users, ours = config_dir or Path("conf"), conf_dir()
    return [users.resolve(), ours] if users.is_dir() and users.resolve() != ours.resolve() else [ours]


_OPEN = re.compile(
    rf"(?:agents|judge\.judges)\.[^.=]+\.(?:{'|'.join(Seated.model_fields)})=|(?:prices|families)=|budget\.(?:models|roles)[.=]"
)


def _open(override: str) -> str:
    """Agents, judges, prices, families and what has a budget are tables that anybody may add to, so no plus sign is asked for."""
    return f"++{override}" if _OPEN.match(override) else override


def _apply(config: Any, override: Override, overrides: Sequence[str], config_dir: Path | None) -> None:
    key, value = override.key_or_group, override.value()
    if any((folder / key).is_dir() for folder in _folders(config_dir)):
        # A choice from a folder: what it holds is composed, and replaces what was recorded.
        within = [other for other in overrides if other.lstrip("+~").startswith(f"{key}.")]
        chosen = compose([f"{key}={value}", *within], config_dir)
        with open_dict(config):
            config[key] = chosen[key]
    elif override.is_delete():
        parent, _, last = key.rpartition(".")
        with open_dict(config):
            del (OmegaConf.select(config, parent) if parent else config)[last]
    else:
        OmegaConf.update(config, key, value, merge=True, force_add=override.is_add() or override.is_force_add())


def _plain(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError("a configuration is a table of keys and values")
    return {str(key): value for key, value in value.items()}  # pyright: ignore[reportUnknownVariableType]


# ------------------------------------------------------------------ mistakes


@contextmanager
def _explained(overrides: Sequence[str], config_dir: Path | None) -> Generator[None]:
    """Hydra's and OmegaConf's complaints as `ConfigError`s that name the key and what was allowed."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as problem:
        if isinstance(problem, ConfigError):
            raise
        raise ConfigError(_explain(problem, overrides, config_dir)) from problem


def _explain(problem: Exception, overrides: Sequence[str], config_dir: Path | None) -> str:
    said = str(problem)
    if missing := re.search(r"Could not find '([\w/]+)/([^'/]+)'", said):
        group, option = missing.groups()
        group, _, rest = group.partition("/")
        options = _options(group, config_dir)
        if options:
            option = f"{rest}/{option}" if rest else option
            return f"{group}={option}: there is no such {group}; {nearest(option, options)}"
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        if key in said.replace("'", " ").split() or f"'{key}'" in said:
            if unknown := _unknown(key):
                return unknown
            if isinstance(problem, ValueError):
                return f"{override}: {_line(problem)}"
    if isinstance(problem, ValueError) and not isinstance(problem, yaml.YAMLError):
        return f"{_line(problem)} (in {' '.join(overrides)})"
    mark = getattr(problem, "problem_mark", None)
    return f"{mark.name}: {_line(problem)}" if mark is not None else _line(problem)


def _options(group: str, config_dir: Path | None) -> list[str]:
    found = {
        str(path.relative_to(folder / group).with_suffix(""))
        for folder in _folders(config_dir)
        for path in (folder / group).rglob("*.yaml")
    }
    return sorted(option for option in found if not Path(option).name.startswith("_"))


def _unknown(key: str) -> str | None:
    """What is wrong with a key that is not there: the first part of it that is unknown, and what there is."""
    known: Any = _default()
    place: list[str] = []
    for part in key.split("."):
        if not isinstance(known, Mapping):
            return f"{key}: {'.'.join(place)} is a value and has no keys"
        if part not in known:
            where = f"{'.'.join(place)} has" if place else "the configuration has"
            return f"{key}: there is no such key; {where} {nearest(part, map(str, known))}"  # pyright: ignore
        known = known[part]  # pyright: ignore
        place.append(part)
    return None


@cache
def _default() -> dict[str, Any]:
    return compose()


def nearest(word: str, known: Iterable[str]) -> str:
    """What there is, and which of it was probably meant."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    listed = ", ".join(known)
    return f"{listed}; did you mean {close[0]!r}?" if close else listed


def _line(problem: Exception) -> str:
    return " ".join(line.strip() for line in str(problem).splitlines() if line.strip())
