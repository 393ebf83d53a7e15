"""Drive one match live: make the calls that its walk wants, all that can go at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from arena.replay import Record, Walk
from arena.types import Answer, Call, Outcome

Ask = Callable[[Call], Awaitable[Answer]]
"""Makes a call for real: records it, waits for its turn, sends it, records the answer."""


async def play(walk: Walk, record: Record, ask: Ask) -> Outcome:
    """Play a match to its end: what is recorded is taken from the record, the rest is asked."""
    try:
        async with asyncio.TaskGroup() as group:

            def go(wanted: list[Call]) -> None:
                while wanted:
                    call = wanted.pop(0)
                    answer = record.answer(call)
                    if answer is None:
                        group.create_task(live(call))
                    else:
                        wanted += walk.reply(call.key, answer)

            async def live(call: Call) -> None:
                go(walk.reply(call.key, await ask(call)))

            go(walk.start())
    except BaseExceptionGroup as problems:
        # Whoever waits for one match wants its error, not a group of one.
        raise problems.exceptions[0] from problems.exceptions[0].__cause__
    assert walk.outcome is not None
    return walk.outcome
