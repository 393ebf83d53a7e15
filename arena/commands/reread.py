"""`arena reread`: readers label the private reasoning of a recorded run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from arena.commands import Commands, Shared, play


def add(commands: Commands, shared: Shared) -> None:
    """The grammar of `arena reread`."""
    reread = commands.add_parser(
        "reread",
        parents=[shared.recorded, shared.composed, shared.as_json, shared.quiet],
        help="have readers label the private reasoning of a recorded run, as a new run that pays for readings alone",
    )
    reread.add_argument("--plan", action="store_true", help="say what it would cost, calling nothing, and stop")
    play.add_spending(reread)
    reread.set_defaults(go=_reread)


def _reread(chosen: argparse.Namespace) -> int:
    import tempfile

    from arena import config, reread
    from arena.commands import plan
    from arena.games.reread import Params

    play.spell_out(chosen)
    for override in chosen.overrides:
        key = override.lstrip("+~").partition("=")[0]
        if not any(key == allowed or key.startswith(f"{allowed}.") for allowed in reread.READING):
            raise config.ConfigError(
                f"{override}: what is read stays as it was recorded; {', '.join(reread.READING)} can be set"
            )
    reader = [] if any(override.startswith("judge=") for override in chosen.overrides) else ["judge=reader"]
    composed = config.compose(["game=reread", *reader, *chosen.overrides], chosen.config_dir)
    if "reading" not in composed["judge"]["prompts"] or not composed["judge"]["judges"]:
        raise config.ConfigError(
            "the panel that was chosen has no reader, or nothing that a reader is asked (a prompt `reading`); "
            "judge=reader has both: arena reread RUN judge.judges.reader.model=openai/gpt-4o"
        )
    found = reread.material(chosen.run, config.params_of(Params, composed["game"]["params"]))
    print(f"arena: {found.said}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        resolved = reread.configuration(chosen.run, found, composed, Path(folder))
        if chosen.plan:
            return plan.show(config.experiment(resolved), chosen.json)
        return play.begin(*play.ready(resolved, None), chosen, None)
