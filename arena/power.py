"""What a run could show, before it is paid for: the differences that its debates detect, and the debates that one needs.

The unit is the debate: a statistic is the mean of one value a debate, and its test a t-test over debates. How much such
values differ between debates is taken from simulated debaters, or from a run that was played before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from agents.models.simulated import Preset
from arena import frames
from arena.settings import ConfigError
from arena.stats import power as of
from arena.stats.beliefs import NEEDED, Tables, beliefs, conditions
from arena.stats.estimate import LEVEL
from arena.stats.simulate import draw
from arena.types import Experiment

DRAWN = 20_000
"""Simulated debates from which a standard deviation is taken."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """How a statistic's per-debate values are distributed, in probability."""

    statistic: str
    phase: str | None
    contrast: str | None
    mean: float
    """What these debaters show: the statistic itself."""
    sd: float
    """Standard deviation between debates, within conditions."""
    low: float | None
    """Interval of the standard deviation; None where it was simulated, and is as good as known."""
    high: float | None
    debates: int
    missing: int
    """Debates of the run that lack one of the values and are left out."""


@dataclass(frozen=True, slots=True)
class Basis:
    """Whose confidences the plan supposes."""

    source: str
    """In words."""
    spreads: tuple[Spread, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """What can be seen of one statistic. Differences are in probability; `between` compares two conditions."""

    spread: Spread
    detectable: float | None
    """By the planned debates; None where there are fewer than two."""
    detectable_between: float | None
    """By as many debates in each of two conditions."""
    power: float | None
    """The chance that the planned debates show the wanted difference."""
    power_between: float | None
    needed: int
    """Debates for the wanted difference."""
    needed_between: int
    """Debates in each of two conditions."""
    needed_low: int | None
    """The same at the ends of the standard deviation's interval."""
    needed_high: int | None


@dataclass(frozen=True, slots=True)
class Power:
    """What the planned debates can detect, and how many a wanted difference needs."""

    source: str
    debates: int
    """That are planned, in one condition."""
    difference: float
    """That is wanted, in probability."""
    target: float
    level: float
    rows: tuple[Row, ...]

    def plain(self) -> dict[str, Any]:
        """For JSON: a row's spread and what follows from it side by side."""
        rows = [{**(row := asdict(one)).pop("spread"), **row} for one in self.rows]
        return asdict(self) | {"rows": rows}


def foreseen(experiment: Experiment, like: str | None, difference: float) -> Power:
    """What the matches of an experiment could show, if their debaters are `like` a run directory or a simulated preset.

    Without `like`, simulated seats are like themselves, and others like the preset `self_debate` where both are one model,
    else `cross_model`. Raises `ConfigError` for a game without such confidences, and where `like` is neither.
    """
    if not 0 < difference < 1:
        raise ConfigError(f"a difference of {difference:g} in confidence: it lies between 0 and 1, 0.05 is five points")
    basis = recorded(Path(like)) if like and Path(like).is_dir() else simulated(experiment, like)
    return planned(basis, len(experiment.matches), difference)


def planned(basis: Basis, debates: int, difference: float) -> Power:
    """What so many debates can detect, and how many the difference needs."""
    rows = tuple(_row(spread, debates, difference) for spread in basis.spreads)
    return Power(basis.source, debates, difference, of.POWER, of.LEVEL, rows)


def _row(spread: Spread, debates: int, difference: float) -> Row:
    some = debates >= 2
    return Row(
        spread,
        detectable=of.detectable(spread.sd, debates) if some else None,
        detectable_between=of.detectable(spread.sd, debates, conditions=2) if some else None,
        power=of.power(difference, spread.sd, debates) if some else None,
        power_between=of.power(difference, spread.sd, debates, conditions=2) if some else None,
        needed=of.needed(difference, spread.sd),
        needed_between=of.needed(difference, spread.sd, conditions=2),
        needed_low=None if spread.low is None else of.needed(difference, spread.low),
        needed_high=None if spread.high is None else of.needed(difference, spread.high),
    )


# ------------------------------------------------------------------ from simulated debaters


@dataclass(frozen=True, slots=True)
class _Kind:
    """Matches that are simulated alike."""

    presets: tuple[Preset, Preset]
    one_model: bool


def simulated(experiment: Experiment, like: str | None = None) -> Basis:
    """Per-debate values of simulated debaters who sit as the experiment's matches say, every debate of models drawn anew.

    Raises `ConfigError` for an unknown preset, or a game that asks nobody for a confidence.
    """
    phases = _phases(experiment)
    kinds: Counter[_Kind] = Counter()
    names: Counter[str] = Counter()
    for match in experiment.matches:
        models = [agent.model for agent in match.players.values()]
        one_model = len(set(models)) == 1
        a, b = [like] * 2 if like else _own(experiment, models) or ["self_debate" if one_model else "cross_model"] * 2
        kinds[_Kind((_preset(experiment, a), _preset(experiment, b)), one_model)] += 1
        names[" against ".join(sorted({_bare(a), _bare(b)}))] += 1
    rng = np.random.default_rng(0)
    drawn = [
        _drawn(kind, math.ceil(DRAWN * count / len(experiment.matches)), len(phases), rng)
        for kind, count in kinds.items()
    ]
    values = {name: [np.concatenate([_values(c)[name] for c in drawn])] for name in _NAMES}
    listed = ", ".join(f"{name} ({count})" for name, count in names.most_common(4))
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return Basis(f"debaters simulated as {listed}{more}", _spreads(values, simulated=True))


def _phases(experiment: Experiment) -> Sequence[str]:
    """The rounds in which debaters state how sure they are to win. Raises `ConfigError` where there are none."""
    phases: Sequence[str] = getattr(experiment.params, "phases", ())
    if not phases:
        raise ConfigError(f"game={experiment.game}: power is foreseen for debates, whose sides say how sure they are")
    if experiment.params.private == "off" and not experiment.params.public_confidence:
        raise ConfigError(
            "game.params.private_confidence=off and no public_confidence: nobody is asked how sure it is, "
            "so there is no power to foresee"
        )
    return phases


def _own(experiment: Experiment, models: Sequence[str]) -> list[str] | None:
    """The simulated models of the seats; None where one is real."""
    providers = [experiment.providers.get(model.partition("/")[0], {}) for model in models]
    return list(models) if all(settings.get("api") == "simulated" for settings in providers) else None


def _preset(experiment: Experiment, name: str) -> Preset:
    """The preset of a simulated model, or that of a bare name. Raises `ConfigError` that lists the presets."""
    provider = name.partition("/")[0] if "/" in name else "simulated"
    presets: Mapping[str, Any] = experiment.providers.get(provider, {}).get("presets", {})
    if _bare(name) not in presets:
        raise ConfigError(
            f"{name} is no run directory and no preset of simulated debaters; presets are {', '.join(sorted(presets))}"
        )
    return Preset(**presets[_bare(name)])


def _bare(name: str) -> str:
    """`simulated/<preset>:<name>` without provider and name."""
    return (name.partition("/")[2] or name).partition(":")[0]


def _drawn(kind: _Kind, debates: int, rounds: int, rng: np.random.Generator) -> Floats:
    models = np.arange(2 * debates).reshape(debates, 2)
    if kind.one_model:
        models = np.repeat(models[:, :1], 2, axis=1)
    rational = any(preset.evidence is not None for preset in kind.presets)
    # Between simulated seats that weigh evidence, one truth decides.
    return draw(kind.presets, debates, rounds, rng, models=models, correlation=None if rational else 0.0)


# ------------------------------------------------------------------ from a run


def recorded(run: Path) -> Basis:
    """Per-debate values of a run. With several conditions, standard deviations are those within them, pooled.

    Raises `ConfigError` where the run has too little, `FileNotFoundError` where it has no tables.
    """
    tables = {
        name: frames.read_table(run / "tables", name, NEEDED[name]) for name in ("matches", "seats", "confidences")
    }
    groups = [_values(_ends(tables, condition)) for condition in conditions(tables)]
    values = {name: [group[name] for group in groups] for name in _NAMES}
    if not all(any(np.isfinite(value).sum() >= 2 for value in values[name]) for name in _NAMES):
        raise ConfigError(
            f"{run} has no two debates of one condition with confidences of both sides at opening and closing; "
            "name a preset of simulated debaters instead"
        )
    return Basis(f"the debates of {run}", _spreads(values, simulated=False))


def _ends(tables: Tables, condition: str) -> Floats:
    """Opening and closing confidences of a condition, (debates, 2, 2); NaN for what there is not."""
    held = beliefs(tables, condition)
    if held is None or len(held.sides) != 2 or not {"opening", "closing"} <= set(held.phases):
        return np.full((int((tables["matches"]["condition"] == condition).sum()), 2, 2), np.nan)
    return np.stack([held.at("opening"), held.at("closing")], axis=2)


# ------------------------------------------------------------------ one value a debate

_NAMES: dict[str, tuple[str | None, str | None]] = {
    "opening_overconfidence": ("opening", None),
    "escalation": (None, "opening->closing"),
    "pair_sum": ("closing", None),
}
"""Statistic to its phase and contrast."""


def _values(c: Floats) -> dict[str, Floats]:
    """One value a debate, given confidences (debates, 2, rounds)."""
    return {
        "opening_overconfidence": c[:, :, 0].mean(axis=1) - 0.5,
        "escalation": (c[:, :, -1] - c[:, :, 0]).mean(axis=1),
        "pair_sum": c[:, :, -1].sum(axis=1) - 1,
    }


def _spreads(values: Mapping[str, Sequence[Floats]], *, simulated: bool) -> tuple[Spread, ...]:
    return tuple(_spread(name, groups, simulated=simulated) for name, groups in values.items())


def _spread(statistic: str, groups: Sequence[Floats], *, simulated: bool) -> Spread:
    """Mean, and standard deviation pooled within groups, with its interval for normal values."""
    whole = [group[np.isfinite(group)] for group in groups]
    missing = sum(len(group) for group in groups) - sum(len(group) for group in whole)
    whole = [group for group in whole if len(group)]
    every = np.concatenate(whole)
    freedom = len(every) - len(whole)
    squares = float(sum(np.sum((group - group.mean()) ** 2) for group in whole))
    low, high = (math.sqrt(squares / stats.chi2.isf(tail, freedom)) for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    phase, contrast = _NAMES[statistic]
    return Spread(
        statistic, phase, contrast, float(every.mean()), math.sqrt(squares / freedom),
        None if simulated else low, None if simulated else high, len(every), missing,
    )  # fmt: skip
