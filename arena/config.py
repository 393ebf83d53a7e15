"""From a configuration to one frozen `Experiment`: validated, its matches worked out; nothing else sees the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from arena import inputs, meetings, named
from arena.composition import compose, conf_dir, load, multirun, nearest
from arena.match import Setting
from arena.rehearsal import rehearse
from arena.seating import Seating
from arena.settings import ConfigError, Settings
from arena.types import Experiment, Judging, Limits
from arena.wording import Wording, WordingError, digest
from judges.panel import panel_rule

__all__ = ["ConfigError", "compose", "conf_dir", "experiment", "files", "game_params", "load", "multirun", "sections"]


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
    params = game_params(game.Params, settings.game.params)
    prompts = settings.game.prompts | settings.judge.prompts
    try:
        Wording(prompts)
        panel_rule(settings.judge.rule, settings.judge.tie)
    except (WordingError, ValueError) as problem:
        raise ConfigError(str(problem)) from problem
    ties = ("draw", "lot", *game.SEATS)
    if settings.judge.tie not in ties:
        raise ConfigError(f"judge.tie is {settings.judge.tie!r}; it can be {', '.join(ties)}")
    seating = Seating(settings, game.SEATS)
    field = meetings.Field(
        candidates=seating.candidates,
        questions=inputs.questions(settings.topics, base),
        filled=seating.filled,
        repeats=settings.schedule.repeats,
        mirrored=settings.schedule.mirrored,
        rows=inputs.match_rows(settings, game.SEATS, base),
    )
    try:
        plan = schedule.meetings(field)
    except meetings.ScheduleError as problem:
        raise ConfigError(str(problem)) from problem
    judging = Judging(
        judges={name: seating.judge(name) for name in settings.judge.judges},
        ballots=settings.judge.ballots,
        rule=settings.judge.rule,
        tie=settings.judge.tie,
        tags=settings.judge.tags.model_dump(),
    )
    made = Experiment(
        name=settings.name or "",
        condition=settings.condition,
        game=settings.game.name,
        params=params,
        prompts=prompts,
        attempts=settings.attempts,
        seed=settings.seed,
        matches=seating.matches(plan, inputs.given(settings, base)),
        judging=judging,
        limits=Limits(**settings.limits.model_dump()),
        providers=settings.provider,
        prices={name: price.model_dump(exclude_none=True) for name, price in settings.prices.items()},
        resolved=resolved,
        refused=tuple(seating.refused),
    )
    try:
        rehearse(Setting(made))
    except WordingError as problem:
        raise ConfigError(str(problem)) from problem
    return made


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


def game_params(kind: Any, plain: Mapping[str, Any]) -> Any:
    """A game's `Params` from plain values. Raises `ConfigError`."""
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
            lines.append(f"{where}: there is no such key" + (f"; {nearest(place[-1], allowed)}" if allowed else ""))
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


def files(resolved: Mapping[str, Any], base: Path | None = None) -> dict[str, Path]:
    """The files that a configuration reads: key to path."""
    read = {
        "matches": resolved["matches"],
        "topics.file": resolved["topics"].get("file"),
        "given": resolved.get("given"),
    }
    return {key: inputs.find(name, base, key) for key, name in read.items() if name}
