"""What one process of benchmarks/calling.py does: serve the endpoint, or play debates against it in one way.

python benchmarks/contenders.py endpoint|sdk|post|arena|ray|simulated ...; each prints a line of JSON, the endpoint its URL.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import debates


async def endpoint(chosen: argparse.Namespace) -> None:
    """Serve the one speech until whoever started this closes its input."""
    from arena.testing import Endpoint, replies

    async with Endpoint(replies(debates.speech(chosen.chars)), latency_s=chosen.latency) as served:
        print(served.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def bare(chosen: argparse.Namespace, raw: bool) -> None:
    """A plain loop over the openai SDK: its typed call, or its raw `post`."""
    import openai

    async def play() -> None:
        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(max_connections=0)
        http = openai.DefaultAioHttpClient(limits=limits)
        at_once = asyncio.Semaphore(chosen.at_once)
        async with openai.AsyncOpenAI(base_url=chosen.url, api_key="none", max_retries=0, http_client=http) as client:

            async def typed(model: str, said: list[str]) -> str:
                messages: Any = debates.chat(said)
                reply = await client.chat.completions.create(model=model, messages=messages)
                return reply.choices[0].message.content or ""

            async def posted(model: str, said: list[str]) -> str:
                body = {"model": model, "messages": debates.chat(said)}
                reply: Any = await client.post("/chat/completions", body=body, cast_to=object)
                return reply["choices"][0]["message"]["content"]

            async def debate() -> None:
                said: list[str] = []
                async with at_once:
                    for turn in range(debates.TURNS):
                        said.append(await (posted if raw else typed)(debates.MODELS[turn % 2], said))

            async with asyncio.TaskGroup() as group:
                for _ in range(chosen.debates):
                    group.create_task(debate())

    debates.report(lambda: asyncio.run(play()))


def experiment(chosen: argparse.Namespace) -> list[str]:
    """The overrides that make the same debates here: two models, six sequential calls, nobody who judges."""
    own = [f"openai/{name}" for name in debates.MODELS]
    players = ["simulated/rational", "simulated/overconfident"] if chosen.contender == "simulated" else own
    return [
        "agents=none",
        f"+agents={{x: {{model: {players[0]}}}, y: {{model: {players[1]}}}}}",
        "judge=none",
        "game.params.order=sequential",
        "topics.limit=1",
        # A topic is debated with either side first.
        f"schedule.repeats={chosen.debates // 2}",
        f"limits.concurrency={chosen.at_once}",
        f"runs={chosen.folder}",
        f"name={chosen.name}",
        *("budget.usd=100000", "budget.calls=1000000000", "budget.tokens=1000000000000"),
        *chosen.override,
    ]


def arena(chosen: argparse.Namespace) -> None:
    """`arena run`, the command itself, with everything on; or `arena resume` where the run is there already."""
    from arena import driver, run
    from arena.main import command

    if chosen.url:
        os.environ |= {"OPENAI_BASE_URL": chosen.url, "OPENAI_API_KEY": "none"}
    phases: dict[str, dict[str, float]] = {}
    driver.play = timed(driver.play, phases.setdefault("play", {}))
    run.finish = timed(run.finish, phases.setdefault("tables", {}))
    there = Path(chosen.folder, chosen.name)
    new = ["run", "--quiet", "--json", *experiment(chosen)]
    with redirect_stdout(sys.stderr):
        code = command(["resume", "--quiet", "--json", str(there)] if there.exists() else new)
    if code:
        raise SystemExit(f"arena ended with {code}")
    told = debates.spent() | {
        f"{phase}_{what}": number for phase, took in phases.items() for what, number in took.items()
    }
    told["start_cpu_s"] = told["cpu_s"] - told["play_cpu_s"] - told["tables_cpu_s"]
    print(json.dumps({**told, "wall_s": told["play_wall_s"]}))


def timed(function: Callable[..., Any], took: dict[str, float]) -> Callable[..., Any]:
    """The function, noting what it takes."""

    @contextmanager
    def watch() -> Generator[None]:
        began, cpu_s = time.perf_counter(), debates.spent()["cpu_s"]
        yield
        spent = debates.spent()
        took.update(
            {"wall_s": time.perf_counter() - began, "cpu_s": spent["cpu_s"] - cpu_s, "peak_mb": spent["peak_mb"]}
        )

    async def awaited(*args: Any, **more: Any) -> Any:
        with watch():
            return await function(*args, **more)

    def called(*args: Any, **more: Any) -> Any:
        with watch():
            return function(*args, **more)

    return awaited if inspect.iscoroutinefunction(function) else called


def main() -> None:
    grammar = argparse.ArgumentParser(description=__doc__)
    grammar.add_argument("contender", choices=["endpoint", "sdk", "post", "arena", "ray", "simulated"])
    grammar.add_argument("--url", default="")
    grammar.add_argument("--debates", type=int, default=150)
    grammar.add_argument("--at-once", type=int, default=64)
    grammar.add_argument("--latency", type=float, default=0.2)
    grammar.add_argument("--chars", type=int, default=6000)
    grammar.add_argument("--folder", default="runs")
    grammar.add_argument("--name", default="benchmark")
    grammar.add_argument("--override", action="append", default=[])
    chosen = grammar.parse_args()
    match chosen.contender:
        case "endpoint":
            asyncio.run(endpoint(chosen))
        case "sdk" | "post":
            bare(chosen, raw=chosen.contender == "post")
        case _:
            if chosen.contender == "ray":
                chosen.override.append("runner=ray")
            arena(chosen)


if __name__ == "__main__":
    main()
