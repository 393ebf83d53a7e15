"""What the tables of finished debates cost to make, in memory and processor time: python benchmarks/tables.py [--debates N]"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from agents.models.registry import Models
from agents.models.simulated import SimulatedModel
from arena import config, desk, run
from arena.ledger import Ledger
from arena.match import ending
from arena.replay import Walk
from arena.types import Experiment

PAIRINGS = 6
"""Debates of one topic and repeat between the agents of the default configuration."""
SPEECH = ("whoever says so has to show it, and nobody who has spoken here has. " * 100)[:6000]

MAKE = """
import json, resource, sys, time
from pathlib import Path
from arena import api, run, verify
opened = api.open_run(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.process_time()
run.finish(opened, "finished") if sys.argv[2] == "tables" else verify.verify(opened)
took = time.process_time() - started
print(json.dumps([took, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


def experiment(debates: int) -> Experiment:
    """So many debates of three phases: six calls each, of which none is a judge's."""
    repeats = -(-debates // PAIRINGS)
    return config.experiment(config.compose([f"schedule.repeats={repeats}", "topics.limit=1", "judge=none"]))


def synthetic(folder: Path, debates: int) -> None:
    """A run that was played by simulated debaters who talk as long as models do, with no tables yet."""
    planned = experiment(debates)
    begun = run.begin(folder, planned, config.sections(planned), {})
    models = Models(planned.providers, planned.limits.timeout_s)
    book = Ledger(begun.ledger)
    book.begin(config.sections(planned))
    for spec in planned.matches:
        walk = Walk(begun.setting.match(spec))
        wanted = walk.start()
        while wanted:
            call = wanted.pop(0)
            model = models.model(call.request.model)
            assert isinstance(model, SimulatedModel)
            said = model.reply(call.request)
            answer = replace(said, text=f"{SPEECH}\n\n{said.text}", started_at=time.time())
            errand = desk.errand(planned, call)
            book.intent(errand)
            book.answer(errand, answer)
            wanted += walk.reply(call.key, answer)
        assert walk.outcome is not None
        book.end(spec.id, ending(walk.outcome))
    book.close()


def measured(folder: Path, what: str) -> tuple[float, float, float]:
    """Seconds of processor time, and the most memory (MB) before and after, of a process that does nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", MAKE, str(folder), what], stdout=subprocess.PIPE, check=True, text=True, env=os.environ
    )
    took, before, after = json.loads(done.stdout)
    return took, before / 1000, after / 1000


def main() -> None:
    grammar = argparse.ArgumentParser(description=__doc__)
    grammar.add_argument("--debates", type=int, default=10_000)
    grammar.add_argument("--verify", action="store_true", help="measure `arena log verify` too, which takes minutes")
    chosen = grammar.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, list[tuple[int, float]]] = {}
        for debates in (chosen.debates // 4, chosen.debates):
            place = Path(folder) / f"of-{debates}"
            # In a process of its own: what this one held would count as its children's memory.
            made = multiprocessing.get_context("spawn").Process(target=synthetic, args=(place, debates))
            made.start()
            made.join()
            calls = 6 * len(experiment(debates).matches)
            size = sum(path.stat().st_size for path in (place / "ledger").iterdir()) / 1e6
            print(f"{debates:,} debates, {calls:,} calls, a ledger of {size:,.0f} MB", flush=True)
            for what in ("tables", "verify") if chosen.verify else ("tables",):
                took, before, after = measured(place, what)
                found.setdefault(what, []).append((calls, took))
                print(
                    f"  {what}: {took:.1f} s of processor time, {1e3 * took / calls:.3f} ms a call; {after:.0f} MB at most, "
                    f"{before:.0f} MB of it before",
                    flush=True,
                )
        for what, ((few, soon), (many, late)) in found.items():
            print(f"{what}: {1e3 * (late - soon) / (many - few):.3f} ms a call, as the slope")


if __name__ == "__main__":
    main()
