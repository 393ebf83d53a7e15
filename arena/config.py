"""Hydra composes, pydantic validates, and one frozen `Experiment` comes out; nothing else sees the configuration."""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from arena import inputs, named
from arena.schedule import meeting as meetings
from arena.settings import ConfigError, Seated, Settings
from arena.types import AgentSpec, Experiment, Judging, Limits, MatchSpec, Utterance
from arena.wording import Wording, WordingError, digest
from judges.panel import panel_rule

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# ------------------------------------------------------------------ composing


def conf_dir() -> Path:
    """Our own configuration: inside the package when installed, beside it in a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "conf"


def compose(overrides: Sequence[str] = (), config_dir: Path | None = None) -> dict[str, Any]:
    """The configuration that the overrides make, as plain values. Raises `ConfigError`.

    The user's folder (`config_dir`, or `./conf` where there is one) is searched before ours.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    folders = _folders(config_dir)
    search = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in folders[1:])}]"] if folders[1:] else []
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(folders[0]), version_base="1.3"):
            composed = hydra_compose("config", overrides=[*overrides, *search])
            plain = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as problem:
        raise ConfigError(_explain_hydra(str(problem), overrides, folders)) from problem
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _folders(config_dir: Path | None) -> list[Path]:
    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError(f"--config-dir {config_dir} is not a folder")
    users = config_dir or Path("conf")
    ours = conf_dir()
    if not users.is_dir() or users.resolve() == ours.resolve():
        return [ours]
    return [users.resolve(), ours]


def multirun(overrides: Sequence[str]) -> list[list[str]]:
    """The jobs of a sweep: every combination of the comma-separated values, as lists of overrides."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as problem:
        raise ConfigError(str(problem)) from problem
    return [list(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]


def _explain_hydra(message: str, overrides: Sequence[str], folders: Sequence[Path]) -> str:
    if missing := re.search(r"Could not find '(\w+)/([^']+)'", message):
        group, option = missing.groups()
        options = sorted(
            {
                str(path.relative_to(folder / group).with_suffix(""))
                for folder in folders
                for path in (folder / group).rglob("*.yaml")
            }
        )
        if options:
            return f"{group}={option}: there is no such {group}; {_nearest(option, options)}"
    if unknown := re.search(r"Could not override '([^']+)'", message):
        key = unknown.group(1)
        parent, _, last = key.rpartition(".")
        known: Any = compose([o for o in overrides if not o.startswith(f"{key}=")]) if len(folders) else {}
        for part in filter(None, parent.split(".")):
            known = known.get(part) if isinstance(known, Mapping) else None
        if isinstance(known, Mapping) and last not in known:
            where = f"{parent} has" if parent else "the configuration has"
            return f"{key}: there is no such key; {where} {_nearest(last, sorted(map(str, known)))}"
    return " ".join(line.strip() for line in message.splitlines() if line.strip())


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    listed = ", ".join(known)
    return f"did you mean {close[0]!r}? There are {listed}" if close else listed


# ------------------------------------------------------------------ from settings to an experiment


def load(run: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration that a run directory was played with, with dotted overrides applied. Raises `ConfigError`."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    path = run / "experiment.yaml"
    if not path.is_file():
        raise ConfigError(f"{run} is no run directory: it has no experiment.yaml")
    try:
        plain = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
        if overrides:
            config = OmegaConf.create(plain)
            OmegaConf.set_struct(config, True)
            merged = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))
            plain = OmegaConf.to_container(merged, resolve=True)
    except (yaml.YAMLError, OmegaConfBaseException) as problem:
        raise ConfigError(f"{path}: {' '.join(str(problem).split())}") from problem
    if not isinstance(plain, dict):
        raise ConfigError(f"{path} holds no configuration")
    return {str(key): value for key, value in plain.items()}


def experiment(resolved: Mapping[str, Any], base: Path | None = None) -> Experiment:
    """Validate a configuration and work out its matches. Relative file names are looked for in `base` first.

    Raises `ConfigError`, which names the key and what was allowed.
    """
    try:
        settings = Settings.model_validate(resolved)
    except ValidationError as problem:
        raise ConfigError(_explain(problem, Settings)) from problem
    try:
        game = named.module("arena.games", settings.game.name)
        schedule = named.module("arena.schedule", settings.schedule.name)
    except LookupError as problem:
        raise ConfigError(str(problem)) from problem
    params = _params(game.Params, settings.game.params)
    prompts = settings.game.prompts | settings.judge.prompts
    try:
        Wording(prompts)
        panel_rule(settings.judge.rule, settings.judge.tie)
    except (WordingError, ValueError) as problem:
        raise ConfigError(str(problem)) from problem
    ties = ("draw", "lot", *game.SEATS)
    if settings.judge.tie not in ties:
        raise ConfigError(f"judge.tie is {settings.judge.tie!r}; it can be {', '.join(ties)}")
    seats = _seats(settings, game.SEATS)
    agents = _agents(settings, seats)
    field = meetings.Field(
        candidates={
            seat: [_entrant(settings, seat)] if seats[seat].model else sorted(settings.agents) for seat in seats
        },
        questions=inputs.questions(settings.topics, base),
        repeats=settings.schedule.repeats,
        mirrored=settings.schedule.mirrored,
        rows=inputs.match_rows(settings, seats, base),
    )
    try:
        plan = schedule.meetings(field)
    except meetings.ScheduleError as problem:
        raise ConfigError(str(problem)) from problem
    providers = settings.provider
    judging = Judging(
        judges={name: _spec(name, judge, providers) for name, judge in settings.judge.judges.items()},
        ballots=settings.judge.ballots,
        rule=settings.judge.rule,
        tie=settings.judge.tie,
        tags=settings.judge.tags.model_dump(),
    )
    return Experiment(
        name=settings.name or "",
        condition=settings.condition,
        game=settings.game.name,
        params=params,
        prompts=prompts,
        attempts=settings.attempts,
        seed=settings.seed,
        matches=_matches(settings, plan, agents, seats, providers),
        judging=judging,
        limits=Limits(**settings.limits.model_dump()),
        providers=providers,
        prices={name: price.model_dump(exclude_none=True) for name, price in settings.prices.items()},
        resolved=resolved,
    )


def sections(experiment: Experiment) -> dict[str, str]:
    """Digests of what must not change under a run: a resumed ledger has to have begun with the same."""
    resolved = experiment.resolved
    identity = [[spec.id, spec.name] for spec in experiment.matches]
    return {
        "game": digest([experiment.game, resolved["game"]["params"], experiment.attempts]),
        "prompts": digest(dict(experiment.prompts)),
        "matches": digest([experiment.seed, identity]),
        "judge": digest({k: v for k, v in resolved["judge"].items() if k != "prompts"}),
    }


def _params(kind: Any, plain: Mapping[str, Any]) -> Any:
    try:
        return TypeAdapter(kind).validate_python(plain)
    except ValidationError as problem:
        raise ConfigError(_explain(problem, kind, "game.params")) from problem


def _explain(problem: ValidationError, kind: Any, prefix: str = "") -> str:
    """Every mistake in a line: where it is, what was found, what would do."""
    lines: list[str] = []
    for error in problem.errors(include_url=False):
        place = [str(part) for part in error["loc"]]
        where = ".".join(filter(None, [prefix, *place]))
        if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            allowed = _allowed(kind, place[:-1])
            lines.append(f"{where}: there is no such key" + (f"; {_nearest(place[-1], allowed)}" if allowed else ""))
        else:
            plain = isinstance(error["input"], (str, int, float, bool))
            found = f" (found {error['input']!r:.80})" if plain else ""
            lines.append(f"{where}: {error['msg'].removeprefix('Value error, ')}{found}".removeprefix(": "))
    return "\n".join(lines)


def _allowed(kind: Any, place: Sequence[str]) -> list[str]:
    schema = TypeAdapter(kind).json_schema()
    node: Any = schema
    for part in ["", *place]:
        node = node.get("properties", {}).get(part, node.get("additionalProperties")) if part else node
        node = node if isinstance(node, dict) else {}
        options = [node, *node.get("anyOf", []), *node.get("allOf", [])]
        reference = next((option["$ref"] for option in options if "$ref" in option), None)
        if reference:
            node = schema["$defs"][reference.rpartition("/")[2]]
    return sorted(node.get("properties", {}))


# ------------------------------------------------------------------ seats and agents


def _seats(settings: Settings, known: Sequence[str]) -> dict[str, Seated]:
    unknown = set(settings.seats) - set(known)
    if unknown:
        listed = ", ".join(known)
        raise ConfigError(f"seats.{min(unknown)}: {settings.game.name} has no such seat; it has {listed}")
    return {seat: settings.seats.get(seat, Seated()) for seat in known}


def _entrant(settings: Settings, seat: str) -> str:
    """The name of the agent that the user put into a seat: its model id, told apart where two differ in settings."""
    seated = settings.seats[seat]
    same = [other for other in settings.seats.values() if other.model == seated.model]
    name = str(seated.model)
    return name if all(other == seated for other in same) else f"{name} ({seat})"


def _agents(settings: Settings, seats: Mapping[str, Seated]) -> dict[str, Seated]:
    """Everybody who can be named: the agents of the configuration, and whoever the user put into a seat."""
    pinned = {_entrant(settings, seat): seated for seat, seated in seats.items() if seated.model}
    return {**settings.agents, **pinned}


def _spec(
    name: str, seated: Seated, providers: Mapping[str, Mapping[str, Any]], extra: Seated | None = None
) -> AgentSpec:
    """An agent's spec, with what its seat adds, and without what its model is known to refuse."""
    if extra is not None:
        seated = seated.model_copy(update=extra.model_dump(exclude_none=True))
    provider, _, rest = str(seated.model).partition("/")
    settings = providers.get(provider, {})
    dropped = [
        key for pattern, keys in settings.get("refused", {}).items() if fnmatch.fnmatch(rest, pattern) for key in keys
    ]
    sampling = replace(seated.sampling(), **dict.fromkeys(dropped))
    if sampling.max_output_tokens is None and settings.get("max_output_tokens"):
        # Some APIs want a limit; what is sent is recorded.
        sampling = replace(sampling, max_output_tokens=settings["max_output_tokens"])
    return AgentSpec(name, str(seated.model), seated.system, sampling)


def refused(experiment: Experiment) -> list[str]:
    """What was set for a seat and will not be sent, in words."""
    said: list[str] = []
    resolved = experiment.resolved
    for where in (resolved["agents"], resolved["seats"], resolved["judge"]["judges"]):
        for name, seated in where.items():
            if not seated.get("model"):
                continue
            sent = _spec(name, Seated(**seated), experiment.providers).sampling
            said += [
                f"{seated['model']} refuses {key}: {value} is not sent"
                for key, value in asdict(Seated(**seated).sampling()).items()
                if value is not None and getattr(sent, key) is None
            ]
    return said


# ------------------------------------------------------------------ matches


def _matches(
    settings: Settings,
    plan: Sequence[meetings.Meeting],
    agents: Mapping[str, Seated],
    seats: Mapping[str, Seated],
    providers: Mapping[str, Mapping[str, Any]],
) -> tuple[MatchSpec, ...]:
    specs: list[MatchSpec] = []
    by_id: dict[str, int] = {}
    for planned in plan:
        players = {
            seat: _spec(
                name,
                agents.get(name) or _by_model(name, agents),
                providers,
                None if seats[seat].model else seats[seat],
            )
            for seat, name in planned.players.items()
        }
        identity = digest(
            [
                settings.game.name,
                settings.seed,
                planned.name,
                planned.question.id,
                planned.question.text,
                planned.repeat,
            ]
            + [[seat, asdict(player)] for seat, player in players.items()]
        )[:12]
        # A row that stands twice in a list is two matches.
        copy = by_id[identity] = by_id.get(identity, 0) + 1
        ident = identity if copy == 1 else digest([identity, copy])[:12]
        specs.append(
            MatchSpec(
                id=ident,
                name=planned.name or _name(planned),
                question=planned.question,
                repeat=planned.repeat,
                seed=_seed(settings.seed, ident),
                players=players,
                mirror_of=specs[-1].id if planned.mirror else None,
                given=tuple(_given(row) for row in planned.given),
            )
        )
    if not specs:
        raise ConfigError("nothing to play: the schedule has no match (are there topics and agents?)")
    return tuple(specs)


def _given(row: Mapping[str, Any]) -> Utterance:
    plain = dict(row)
    plain["audience"] = tuple(plain["audience"])
    return Utterance(**plain)


def _by_model(name: str, agents: Mapping[str, Seated]) -> Seated:
    if "/" not in name:
        raise ConfigError(
            f"the list of matches names {name!r}, which is neither an agent ({', '.join(sorted(agents))}) "
            "nor a model id (provider/model)"
        )
    return Seated(model=name)


def _name(planned: meetings.Meeting) -> str:
    pairing = " vs ".join(planned.players.values())
    repeat = f" #{planned.repeat + 1}" if planned.repeat else ""
    return f"{pairing} on {planned.question.id}{repeat}"


def _seed(run_seed: int, ident: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{run_seed}:{ident}".encode(), digest_size=6).digest())


def files(resolved: Mapping[str, Any], base: Path | None = None) -> dict[str, Path]:
    """The files that a configuration reads: key to path."""
    named_files = {"matches": resolved["matches"], "topics.file": resolved["topics"].get("file")}
    return {key: inputs.find(name, base, key) for key, name in named_files.items() if name}
