"""How long a million matches take to rate, from Parquet to intervals: python benchmarks/rating.py [--matches N] [--agents K]"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from reading import SIDES, measured

from arena import frames

TOPICS = 50
SIDE = 0.3
"""Log-odds that the first seat is worth."""
TIES = 0.4
"""Davidson's tie parameter: 17 % of verdicts between equals."""

PARTS = """
import sys, time
from pathlib import Path
from arena import compared, frames, rate
def now():
    return time.perf_counter(), time.process_time()
started = now()
held = compared.compared(frames.together([Path(sys.argv[1])], compared.COLUMNS), by="decision")
read = now()
made = rate.standings(held, method="sandwich")
done = now()
side = made.ratings.side
for what, a, b in (("reading", started, read), ("fit and intervals", read, done)):
    print(f"  of that {what}: {b[0] - a[0]:.1f} s, {b[1] - a[1]:.1f} s of processor time")
print(f"  first seat {side.estimate:.1f} points ({side.low:.1f} to {side.high:.1f}), "
      f"ties {made.ratings.tie_share.estimate:.1%}, {made.ratings.method} by {made.ratings.clusters}")
"""


def synthetic(folder: Path, matches: int, agents: int) -> None:
    """A run's tables of so many matches in mirrored pairs, with ties; the decisions are what is rated."""
    rng = np.random.default_rng(0)
    strength = rng.normal(0, 0.8, agents)
    first = rng.integers(0, agents, matches // 2)
    second = (first + rng.integers(1, agents, first.size)) % agents
    topic = np.repeat(rng.integers(0, TOPICS, first.size), 2)
    seated = np.stack([np.stack([first, second], axis=1), np.stack([second, first], axis=1)], axis=1).reshape(-1, 2)
    half = (strength[seated[:, 0]] - strength[seated[:, 1]] + SIDE) / 2
    parts = np.cumsum([np.exp(half), np.full_like(half, TIES), np.exp(-half)], axis=0)
    # 0 the first seat wins, 1 a tie, 2 the second does.
    result = (rng.random(half.size) * parts[2] > parts[:2]).sum(axis=0)
    ids = np.array([f"{n:012x}" for n in range(half.size)], dtype=object)
    names = np.array([f"vendor/model-{n}" for n in range(agents)], dtype=object)
    sides = np.array(SIDES, dtype=object)

    def table(name: str, **columns: object) -> pd.DataFrame:
        return pd.DataFrame(columns).reindex(columns=list(frames.COLUMNS[name])).astype(frames.COLUMNS[name])

    mirror = ids.reshape(-1, 2)[:, [0, 0]].ravel()
    mirror[::2] = None
    ballots = np.repeat(np.arange(half.size), np.where(result == 1, 2, 1))
    again = np.r_[False, ballots[1:] == ballots[:-1]]
    choice = np.where(result[ballots] == 1, again.astype(int), result[ballots] // 2)
    tables = {
        "matches": table(
            "matches", match_id=ids, condition="synthetic", topic_id=np.array([f"T{n}" for n in range(TOPICS)])[topic],
            status="finished", decision=np.where(result == 1, "tie", "most_votes"), game="debate", mirror_of=mirror,
            winner=np.where(result == 1, None, sides[result // 2]), pairing_probability=1.0,
        ),
        "seats": table(
            "seats", match_id=np.repeat(ids, 2), seat=np.tile(sides, half.size), role="debater",
            agent=names[seated.ravel()], model=names[seated.ravel()],
        ),
        "verdicts": table(
            "verdicts", match_id=ids[ballots], judge="judge/a", model="judge/a", ballot=1 + again, choice=sides[choice],
            probability=0.7, order=np.where(again, "opposition_first", "as_spoken"), status="ok",
        ),
    }  # fmt: skip
    (folder / "tables").mkdir(parents=True)
    frames.write(folder / "tables", tables)


def main() -> None:
    grammar = argparse.ArgumentParser(description=__doc__)
    grammar.add_argument("--matches", type=int, default=1_000_000)
    grammar.add_argument("--agents", type=int, default=100)
    chosen = grammar.parse_args()
    arena = str(Path(sys.executable).with_name("arena"))
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        # In a process of its own: what this one held would count as its children's memory.
        made = multiprocessing.get_context("spawn").Process(target=synthetic, args=(run, chosen.matches, chosen.agents))
        made.start()
        made.join()
        everything = "import sys, pandas; pandas.read_parquet(sys.argv[1]).groupby('choice').size()"
        base, base_memory = measured([sys.executable, "-c", everything, str(run / "tables" / "verdicts.parquet")], 3)
        took, memory = measured([arena, "rate", str(run), "--by", "decision", "--json"], 3)
        print(
            f"arena rate, {chosen.matches:,} matches, {chosen.agents} agents: {took:.1f} s (median of 3), {memory:.2f} GiB"
        )
        print(f"  pandas reading a table whole and counting: {base:.1f} s, {base_memory:.2f} GiB; ratio {took / base:.1f}",
              flush=True)  # fmt: skip
        subprocess.run([sys.executable, "-c", PARTS, str(run)], check=True)


if __name__ == "__main__":
    main()
