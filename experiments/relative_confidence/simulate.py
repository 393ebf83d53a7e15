"""What relative confidence is worth, on simulated respondents: one command, one seed, one result."""

from __future__ import annotations

import os

# One core is enough; set before numpy counts them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from arena import config
from arena.games.matchup import matchups
from arena.stats.preset import Preset
from arena.stats.relative import (
    Answered,
    Preferences,
    auroc,
    bradley_terry,
    discrimination,
    elo,
    selective_auc,
    trueskill,
)

MATCHUPS = (3, 5, 10, 15)
"""How many others each answer is compared with for its own sake."""
AGGREGATES = {"Bradley-Terry": lambda seen: bradley_terry(seen).score, "TrueSkill": trueskill, "Elo, K = 400": elo}
FURTHER = 0.25
"""The share of the replications that settings other than the first get."""

Floats = NDArray[np.float64]
Found = dict[tuple[str, int], tuple[float, float]]
"""Measure and matchups to AUROC and selective AUC of one replication."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A way in which respondents and comparisons may be."""

    name: str
    preset: Preset
    questions: int = 200
    drawn: Literal["ring", "anew"] = "ring"
    """Pairs as the game deals them, or, as in the paper, others drawn at random for each question in turn."""


def settings() -> list[Setting]:
    """The one that the claims are about first."""
    presets = config.compose()["provider"]["simulated"]["presets"]
    sure, candid = Preset(**presets["sure_respondent"]), Preset(**presets["respondent"])
    return [
        Setting("sure respondent", sure),
        Setting("others drawn anew for each question", sure, drawn="anew"),
        Setting("noisier comparisons", replace(sure, sd_comparison=2 * sure.sd_comparison)),
        Setting("lean toward what is shown first", replace(sure, order_lean=1.5)),
        Setting("candid respondent, finer scale", candid),
        Setting("forty questions", sure, questions=40),
    ]


@dataclass(frozen=True, slots=True)
class Respondent:
    """One agent and its answers to one set."""

    latent: Floats
    """Log-odds of being right."""
    right: NDArray[np.bool_]
    direct: Floats
    """What it states, in percent."""


def respondent(setting: Setting, draws: np.random.Generator) -> Respondent:
    """As `agents.models.simulated` has it, on arrays."""
    preset, n = setting.preset, setting.questions
    latent = preset.ability + preset.sd_ability * draws.standard_normal(n)
    percent = 100 * expit(latent + preset.overstatement + preset.sd_report * draws.standard_normal(n))
    low = np.floor(percent / preset.rounding)
    direct = preset.rounding * (low + (draws.random(n) < percent / preset.rounding - low))
    return Respondent(latent, draws.random(n) < expit(latent), direct)


def preferences(setting: Setting, latent: Floats, wanted: int, draws: np.random.Generator) -> Preferences:
    """Noisy comparisons, in the order of asking."""
    preset, n = setting.preset, latent.size
    if setting.drawn == "ring":
        pairs = np.array(matchups(range(n), min(wanted, (n - 1) // 2), random.Random(int(draws.integers(2**32)))))
    else:
        each = np.repeat(np.arange(n), wanted)
        pairs = np.stack([each, (each + draws.integers(1, n, each.size)) % n], axis=1)
        pairs = np.where(draws.random(each.size)[:, None] < 0.5, pairs, pairs[:, ::-1])
    first, second = pairs.T
    ahead = latent[first] - latent[second] + preset.order_lean
    return Preferences(first, second, ahead + preset.sd_comparison * draws.standard_normal(first.size) > 0, n)


def replication(setting: Setting, draws: np.random.Generator) -> tuple[Found, Answered]:
    """One respondent, scored by every measure; and what the interval of the main difference is made of."""
    who = respondent(setting, draws)
    measures: dict[tuple[str, int], Floats] = {("latent", 0): who.latent, ("direct", 0): who.direct}
    for wanted in MATCHUPS:
        seen = preferences(setting, who.latent, wanted, draws)
        measures |= {(name, wanted): aggregate(seen) for name, aggregate in AGGREGATES.items()}
    scored = {
        measure: (auroc(score, who.right), selective_auc(score, who.right)) for measure, score in measures.items()
    }
    paired = {"paired": measures["Bradley-Terry", MATCHUPS[-1]], "direct": who.direct}
    return scored, Answered(np.arange(setting.questions), who.right, paired)


@dataclass(frozen=True, slots=True)
class Cell:
    """A measure in a setting: means over replications, and their Monte Carlo errors."""

    setting: str
    measure: str
    matchups: int
    auroc: float
    auroc_error: float
    selective_auc: float
    selective_auc_error: float


@dataclass(frozen=True, slots=True)
class Result:
    """All replications of one setting."""

    setting: str
    replications: int
    cells: tuple[Cell, ...]
    covered: Mapping[str, float]
    """Share of 95 % intervals that hold the mean of the estimates, by what they are of."""

    def at(self, measure: str, wanted: int = 0) -> float:
        return next(cell.auroc for cell in self.cells if (cell.measure, cell.matchups) == (measure, wanted))


def run(setting: Setting, replications: int, seed: int) -> Result:
    """Every replication has its own seed."""
    found: list[Found] = []
    intervals: list[dict[str, tuple[float, float, float]]] = []
    for number in range(replications):
        draws = np.random.default_rng([seed, number])
        scored, answered = replication(setting, draws)
        if len(set(answered.correct.tolist())) < 2:
            continue  # all right, or all wrong: there is nothing to tell apart
        found.append(scored)
        areas = discrimination([answered], [("paired", "direct")], draws)
        intervals.append({name: (e.estimate, e.low, e.high) for name, e in areas.auroc.items()})
    cells = tuple(_cell(setting.name, measure, np.array([one[measure] for one in found])) for measure in found[0])
    covered = {}
    for name in intervals[0]:
        estimate, low, high = np.array([one[name] for one in intervals]).T
        covered[name] = float(np.mean((low <= estimate.mean()) & (estimate.mean() <= high)))
    return Result(setting.name, len(found), cells, covered)


def _cell(setting: str, measure: tuple[str, int], areas: Floats) -> Cell:
    mean, error = areas.mean(axis=0), areas.std(axis=0, ddof=1) / np.sqrt(len(areas))
    return Cell(setting, *measure, *(float(x) for pair in zip(mean, error, strict=True) for x in pair))


# ------------------------------------------------------------------ what is claimed


def claims(result: Result) -> Iterator[tuple[str, bool]]:
    """About the first setting: each claim with its numbers, and whether it holds."""
    most = MATCHUPS[-1]
    paired, latent, direct = result.at("Bradley-Terry", most), result.at("latent"), result.at("direct")
    yield f"Bradley-Terry at {most} within 0.03 of the latent ceiling: {paired - latent:+.4f}", latent - paired <= 0.03
    yield (
        f"Bradley-Terry at {most} at least 0.06 above the coarse scale: {paired - direct:+.4f}",
        paired - direct >= 0.06,
    )
    last, early = result.at("Elo, K = 400", most), result.at("Bradley-Terry", 5)
    yield f"Elo at {most} below Bradley-Terry at 5: {last - early:+.4f}", last < early


def printed(results: list[Result]) -> str:
    """A table a setting."""
    lines: list[str] = []
    for result in results:
        lines.append(f"\n{result.setting}, {result.replications} replications")
        for cell in result.cells:
            wanted = f" at {cell.matchups}" if cell.matchups else ""
            lines.append(
                f"  {cell.measure + wanted:26s} AUROC {cell.auroc:.4f} ({cell.auroc_error:.4f})"
                f"   selective AUC {cell.selective_auc:.4f} ({cell.selective_auc_error:.4f})"
            )
        said = ", ".join(f"{name} {100 * share:.1f} %" for name, share in result.covered.items())
        lines.append(f"  95 % intervals of AUROC that hold the mean: {said}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    wanted = settings()
    counts = [chosen.replications, *[max(2, round(FURTHER * chosen.replications))] * (len(wanted) - 1)]
    results = [run(setting, count, chosen.seed) for setting, count in zip(wanted, counts, strict=True)]
    found = list(claims(results[0]))
    if chosen.json:
        plain: dict[str, Any] = {"results": [asdict(result) for result in results], "claims": dict(found)}
        print(json.dumps(plain))
    else:
        print(printed(results) + "\n")
        for said, holds in found:
            print(f"{'holds' if holds else 'FAILS'}: {said}")
    return 0 if all(holds for _, holds in found) else 1


if __name__ == "__main__":
    sys.exit(main())
