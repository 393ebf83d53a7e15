"""The endpoint from a shell: `python -m arena.testing`."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from arena import testing
from arena.testing.capacity import Capacity
from arena.testing.endpoint import Endpoint
from arena.testing.faults import KINDS, Faults
from arena.testing.responders import fill_in, seeded


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve `fill_in` or `seeded` from a shell until a signal comes or the life is over; the first line printed is the URL."""
    parser = argparse.ArgumentParser(prog="python -m arena.testing", description=testing.__doc__)
    add = partial(parser.add_argument, metavar="N")
    add("--port", type=int, default=8123, help="0 takes any free one (default: %(default)s)")
    add("--latency", type=float, default=0.0, help="seconds that each reply takes")
    add("--jitter", type=float, default=0.0, help="share of the latency that varies, 0 to 1")
    add("--retry-after", type=float, default=1.0, help="seconds that a 429 asks to wait (default: %(default)s)")
    add("--fault", default="", metavar="KIND=RATE,...", help=f"of 429 500 503 529 {' '.join(KINDS)}")
    add("--concurrency", type=int, help="calls that it serves at once; more are refused with 429")
    add("--requests-per-minute", type=float, help="a limit that its headers tell")
    add("--seed", type=int, default=0, help="of the faults (default: %(default)s)")
    add("--life", type=float, default=3600.0, help="seconds after which it stops by itself (default: %(default)s)")
    switch = partial(parser.add_argument, action="store_true")
    switch("--seeded", help="replies depend on the model id and the speeches in the prompt alone")
    switch("--queue", help="beyond --concurrency calls wait their turn instead")
    switch("--prefix-stats", help="count what a provider's prompt cache could serve (costs memory)")
    args = parser.parse_args(arguments)
    try:
        endpoint = Endpoint(
            seeded if args.seeded else fill_in,
            port=args.port,
            latency_s=args.latency,
            jitter=args.jitter,
            faults=Faults.parse(args.fault),
            seed=args.seed,
            retry_after_s=args.retry_after,
            capacity=Capacity(args.concurrency, args.requests_per_minute, args.queue),
            prefix_stats=args.prefix_stats,
        )
    except ValueError as problem:
        parser.error(str(problem))
    asyncio.run(_serve_until_told(endpoint, args.life))


async def _serve_until_told(endpoint: Endpoint, life_s: float) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with endpoint:
        print(endpoint.url, flush=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(life_s):
                await stop.wait()


if __name__ == "__main__":
    main()
