"""How long statistics and report take, beside a baseline in the same run: python benchmarks/reading.py [--report RUN]"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from agents.models.simulated import Preset
from arena import frames
from arena.stats.simulate import draw

PHASES = ("opening", "rebuttal", "closing")
SIDES = ("proposition", "opposition")
MODELS = 10


ESCALATING = Preset(
    opening=1.034, drift=0.386, acceleration=0.21, sd_model=0.342, sd_drift=0.177, sd_seat=0.06, sd_debate=0.146,
    sd_step=0.383, sd_report=0.151, rounding=5,
)  # fmt: skip


def synthetic(folder: Path, debates: int) -> None:
    """A run's tables of so many debates between ten models, with verdicts, reasoning and raw replies."""
    rng = np.random.default_rng(0)
    models = rng.integers(0, MODELS, (debates, 2))
    c = draw(ESCALATING, debates, 3, rng, models=models)
    ids = np.array([f"{n:012x}" for n in range(debates)], dtype=object)
    names = np.array([f"vendor/model-{n}" for n in range(MODELS)], dtype=object)
    winner = np.array(SIDES, dtype=object)[rng.integers(0, 2, debates)]
    topics = np.array([f"T{n}" for n in range(40)], dtype=object)[rng.integers(0, 40, debates)]

    def table(name: str, **columns: object) -> pd.DataFrame:
        return pd.DataFrame(columns).reindex(columns=list(frames.COLUMNS[name])).astype(frames.COLUMNS[name])

    debate, side, phase = (axis.ravel() for axis in np.indices(c.shape))
    seat = np.array(SIDES, dtype=object)
    model = names[models[debate, side]]
    thoughts = "the reasoning of a debater, at the length that published ones have; " * 12
    tables = {
        "matches": table(
            "matches", match_id=ids, condition="synthetic", topic_id=topics, status="finished",
            decision="most_votes", winner=winner, game="debate",
        ),
        "confidences": table(
            "confidences", match_id=ids[debate], condition="synthetic", topic_id=topics[debate], round=phase + 1,
            phase=np.array(PHASES, dtype=object)[phase], seat=seat[side], agent=model, model=model, about="own_side_wins",
            audience="private", elicitation="verbalised", value=c.ravel(), status="ok",
            raw="<private_confidence>70</private_confidence>", reasoning=thoughts,
        ),
    }  # fmt: skip
    who, which = (axis.ravel() for axis in np.indices((debates, 2)))
    tables["seats"] = table(
        "seats", match_id=ids[who], seat=seat[which], role="debater", model=names[models[who, which]]
    )
    cast = rng.integers(0, 2, debates * 3)
    tables["verdicts"] = table(
        "verdicts", match_id=np.repeat(ids, 3), judge=np.tile(["a", "b", "c"], debates),
        model=np.tile(["judge/a", "judge/b", "judge/c"], debates), ballot=1, choice=seat[cast], probability=0.7,
        order="as_spoken", status="ok",
    )  # fmt: skip
    spoken = {"match_id": ids[debate], "round": phase + 1, "phase": np.array(PHASES, dtype=object)[phase]}
    tables["utterances"] = table(
        "utterances", **spoken, seat=seat[side], part="speech", audience="public", status="ok",
        chars=rng.integers(2000, 9000, debate.size),
    )  # fmt: skip
    tables["calls"] = table(
        "calls", match_id=ids[debate], calls=1, seat=seat[side], model=model, input_tokens=3000, output_tokens=1500,
        cost_usd=0.004, status="ok",
    )  # fmt: skip
    (folder / "tables").mkdir(parents=True)
    frames.write(folder / "tables", tables)


def measured(command: list[str], times: int = 1) -> tuple[float, float]:
    """Median wall seconds and the most memory (GiB) of a command in a fresh process."""
    took: list[float] = []
    most = 0
    for _ in range(times):
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        took.append(time.perf_counter() - started)
        most = max(most, used.ru_maxrss)
        if status:
            raise SystemExit(f"{' '.join(command)} ended with status {status}")
    return statistics.median(took), most / 2**20


def main() -> None:
    grammar = argparse.ArgumentParser(description=__doc__)
    grammar.add_argument("--debates", type=int, default=170_000)
    grammar.add_argument(
        "--report", type=Path, metavar="RUN", help="a run directory to report on, for instance an import"
    )
    chosen = grammar.parse_args()
    arena = str(Path(sys.executable).with_name("arena"))
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        # In a process of its own: what this one held would count as its children's memory.
        made = multiprocessing.get_context("spawn").Process(target=synthetic, args=(run, chosen.debates))
        made.start()
        made.join()
        everything = "import sys, pandas; pandas.read_parquet(sys.argv[1]).groupby('phase')['value'].mean()"
        base, base_memory = measured([sys.executable, "-c", everything, str(run / "tables" / "confidences.parquet")])
        took, memory = measured([arena, "stats", str(run), "--json"])
        print(f"arena stats, {6 * chosen.debates:,} confidences: {took:.1f} s, {memory:.2f} GiB at most")
        print(
            f"  pandas reading that table whole and three means: {base:.1f} s, {base_memory:.2f} GiB; ratio {took / base:.1f}"
        )
    if chosen.report:
        start, _ = measured([sys.executable, "-c", "import pandas, scipy.stats, matplotlib.figure"], 5)
        with tempfile.TemporaryDirectory() as folder:
            took, memory = measured([arena, "report", str(chosen.report), "-o", folder], 5)
        print(f"arena report {chosen.report.name}: {took:.1f} s (median of 5), {memory:.2f} GiB at most")
        print(f"  importing pandas, scipy and matplotlib alone: {start:.1f} s; ratio {took / start:.1f}")


if __name__ == "__main__":
    main()
