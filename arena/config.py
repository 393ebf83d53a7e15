"""From a configuration to one frozen `Experiment`: validated, its matches worked out; nothing else sees the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agents.budget import Budget, shortfall
from agents.prices import free
from arena import inputs, meetings, named
from arena.composition import compose, conf_dir, load, multirun, nearest
from arena.match import Setting
from arena.rehearsal import Foresight, cost, paid_for, rehearse
from arena.seating import Seating
from arena.settings import BudgetSettings, CapSettings, ConfigError, Settings
from arena.table import unkeyed
from arena.tournament import Stop, Tournament, pairs
from arena.types import BudgetRules, Caps, Experiment, Judging, Limits, Question, Runner
from arena.wording import Wording, WordingError, digest
from judges.panel import panel_rule

__all__ = ["ConfigError", "compose", "conf_dir", "experiment", "files", "load", "multirun", "params_of", "sections"]


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
    params = params_of(game.Params, settings.game.params)
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
        past=inputs.joined(settings, base),
    )
    given = inputs.given(settings, base)
    try:
        tournament = _tournament(settings, schedule, field, seating)
        if tournament is not None:
            seating.check_panels()
        plan = schedule.meetings(field) if tournament is None else tournament.propose(field.past, ())
        if tournament is not None and (decided := inputs.decided(settings, base)):
            # What is judged again was decided before.
            plan, tournament = tournament.meetings(decided), None
    except meetings.ScheduleError as problem:
        raise ConfigError(str(problem)) from problem
    judging = Judging(
        judges={name: seating.judge(name) for name in settings.judge.judges},
        ballots=settings.judge.ballots,
        rule=settings.judge.rule,
        tie=settings.judge.tie,
        tags=settings.judge.tags.model_dump(),
        orders=("as_spoken", "swapped") if settings.judge.orders == "both" else (settings.judge.orders,),
        reasoning=settings.judge.reasoning,
        length_told=settings.judge.length_told,
    )
    made = Experiment(
        name=settings.name or "",
        condition=settings.condition,
        game=settings.game.name,
        params=params,
        prompts=prompts,
        attempts=settings.attempts,
        seed=settings.seed,
        matches=seating.matches(plan, given),
        judging=judging,
        limits=Limits(**settings.limits.model_dump()),
        budget=_budget(settings.budget),
        runner=Runner(**settings.runner.model_dump()),
        chaos=settings.chaos,
        providers=settings.provider,
        prices={name: price.model_dump(exclude_none=True) for name, price in settings.prices.items()},
        resolved=resolved,
        refused=tuple(seating.refused),
        families=settings.families,
        tournament=tournament,
        agents=seating.agents if tournament else {},
    )
    try:
        for question in {spec.question.id: spec.question for spec in made.matches}.values():
            getattr(game, "check", _anything)(question, params)
        rehearse(Setting(made))
    except (WordingError, ValueError) as problem:
        raise ConfigError(str(problem)) from problem
    _bounded(made, settings.budget)
    return _affordable(made)


def _budget(settings: BudgetSettings) -> BudgetRules:
    def caps(found: CapSettings) -> Caps:
        return Caps(found.usd, found.tokens, found.calls)

    models = {name: caps(found) for name, found in settings.models.items()}
    return BudgetRules(caps(settings), models, {name: caps(found) for name, found in settings.roles.items()})


def _bounded(made: Experiment, settings: BudgetSettings) -> None:
    """Raises `ConfigError` where a budget cannot be kept, names nobody, or does not pay for the first matches."""
    rules = made.budget
    if not rules.any:
        return
    setting = Setting(made)
    seated = {(agent.model, role) for spec in made.matches for agent, role in setting.roles(spec)}
    seated |= {(agent.model, setting.role) for agent in made.agents.values()}
    for what, capped_names, there in (
        ("models", rules.models, {model for model, _ in seated}),
        ("roles", rules.roles, {role for _, role in seated}),
    ):
        if strangers := sorted(set(capped_names) - there):
            raise ConfigError(f"budget.{what}: nobody here is {strangers[0]!r}; there are {', '.join(sorted(there))}")
    for model, role in sorted(seated) if not settings.allow_unpriced else ():
        capped = [caps for caps in (rules.run, rules.models.get(model), rules.roles.get(role)) if caps is not None]
        by_money = any(caps.usd is not None for caps in capped)
        provider = model.partition("/")[0]
        if by_money and not paid_for(made, model):
            raise ConfigError(
                f"budget: no price is known for {model}, so that its calls cannot be bounded; say it: "
                f"'+prices={{{model}: {{input: 1.0, output: 3.0}}}}' (USD a million tokens), or play without a bound on them: "
                "--allow-unpriced"
            )
        settings_ = made.providers.get(provider, {})
        bounded = settings_.get("bounded", free(made.providers, model))
        if not bounded and (by_money or any(caps.tokens is not None for caps in capped)):
            raise ConfigError(
                f"budget: what a call of {model} comes to cannot be bounded (provider.{provider}.bounded is false); play without a "
                "bound on it: --allow-unpriced"
            )
    first = next(pairs(made.matches))
    needs = Foresight(setting).needs(first)
    if (short := Budget(rules).admit([spec.id for spec in first], needs)) is not None:
        what = "a mirrored pair of matches" if len(first) > 1 else "a match"
        raise ConfigError(
            f"budget: {short.name} does not pay for {what}, which wants {shortfall(short, needs)} "
            "(one and a half times what it is thought to come to; arena plan without a budget says what all would)"
        )


def _anything(question: Question, params: Any) -> None:
    """Most games are played on any question."""


PRICED = 12
"""Matches of the first round from which the cost of a match is taken."""


def _tournament(settings: Settings, schedule: Any, field: meetings.Field, seating: Seating) -> Tournament | None:
    """What decides the matches as results come in; None where the plan stands from the start and is played out."""
    rules = settings.schedule.stop
    goal = None
    if rules.top is not None:
        goal = meetings.Goal(None if rules.top == "all" else rules.top, rules.level)
        if goal.top is not None and goal.top >= len(field.agents):
            raise ConfigError(f"schedule.stop.top is {goal.top}, of {len(field.agents)} agents; the last is known then")
        if not settings.judge.judges:
            raise ConfigError(
                "schedule.stop.top: nobody judges (judge.judges is empty), so that no order will ever be known"
            )
    if rules.matches is not None and rules.matches < 2 and field.mirrored:
        raise ConfigError("schedule.stop.matches is 1; a mirrored pair is two matches, so two are needed at least")
    stop = Stop(rules.matches, rules.usd, goal=goal)
    if not hasattr(schedule, "pairings"):
        if settings.schedule.params:
            raise ConfigError(f"schedule.params: {settings.schedule.name} has no parameters")
        if not stop.early:
            return None
        fixed = Tournament(field, settings.schedule.name, None, stop, settings.seed, seating.matches)
        if goal and any(len(set(meeting.players.values())) == 1 for meeting in fixed.plan or ()):
            raise ConfigError("schedule.stop.top: somebody plays against its copy, which says nothing of an order")
        return fixed
    params = params_of(schedule.Params, settings.schedule.params, "schedule.params")
    return Tournament(field, settings.schedule.name, params, stop, settings.seed, seating.matches)


def _affordable(made: Experiment) -> Experiment:
    """The experiment with what a match of it is thought to cost, where money stops it. Raises `ConfigError` where the money
    does not pay for a mirrored pair, or what it pays for is not known."""
    tournament: Tournament | None = made.tournament
    if tournament is None or tournament.stop.usd is None:
        return made
    setting = Setting(made)
    costs = [cost(setting, spec) for spec in made.matches[:PRICED]]
    players = (*made.agents.values(), *(agent for spec in made.matches for agent in spec.players.values()))
    models = {agent.model for agent in (*players, *made.judging.judges.values())}
    if unpriced := sorted(model for model in models if not paid_for(made, model)):
        raise ConfigError(
            f"schedule.stop.usd={tournament.stop.usd:g}: no price is known for {', '.join(unpriced)}; say it: "
            f"'+prices={{{unpriced[0]}: {{input: 1.0, output: 3.0}}}}' (USD a million tokens)"
        )
    pair = 2 if tournament.field.mirrored else 1
    a_match = sum(found.usd for found in costs) / len(costs)
    if pair * a_match > tournament.stop.usd:
        what = "a mirrored pair of matches" if tournament.field.mirrored else "a match"
        raise ConfigError(
            f"schedule.stop.usd={tournament.stop.usd:g} does not pay for {what}, about ${pair * a_match:.4f}"
        )
    return replace(made, tournament=replace(tournament, stop=replace(tournament.stop, match_usd=a_match)))


def sections(experiment: Experiment) -> dict[str, str]:
    """Digests of what must not change under a run: a resumed ledger has to have begun with the same."""
    resolved = experiment.resolved
    tournament: Tournament | None = experiment.tournament
    identity: list[Any] = [[spec.id, spec.name] for spec in experiment.matches]
    if tournament is not None:
        settings = asdict(tournament.params) if tournament.params else {}
        field = replace(tournament.field, questions=[unkeyed(question) for question in tournament.field.questions])
        identity = [tournament.schedule, settings, asdict(field)]
        identity += [[name, asdict(agent)] for name, agent in sorted(experiment.agents.items())]
    return {
        "game": digest([experiment.game, resolved["game"]["params"], experiment.attempts]),
        "prompts": digest(dict(experiment.prompts)),
        "matches": digest([experiment.seed, identity]),
        "judge": digest({k: v for k, v in resolved["judge"].items() if k != "prompts"} | _barred(resolved)),
    }


def _barred(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The table of families, where it says who may not judge whom."""
    return {} if resolved["judge"].get("own_family", True) else {"families": resolved.get("families", {})}


def params_of(kind: Any, plain: Mapping[str, Any], key: str = "game.params") -> Any:
    """The `Params` of a game or a schedule from plain values. Raises `ConfigError` that names the key."""
    try:
        return TypeAdapter(kind).validate_python(plain)
    except ValidationError as problem:
        raise ConfigError(_explain(problem, kind, key)) from problem


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
            # What stands where a key might have been put is not repeated.
            plain = isinstance(error["input"], (str, int, float, bool)) and error["type"] not in ("address", "variable")
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
        "joined": resolved.get("joined"),
    }
    return {key: inputs.find(name, base, key) for key, name in read.items() if name}
