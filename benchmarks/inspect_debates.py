"""inspect_ai as a contender of benchmarks/calling.py, in its own environment: inspect_debates.py URL DEBATES AT_ONCE"""

from __future__ import annotations

import sys
import tempfile

import debates
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    get_model,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver

MESSAGE = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


@solver
def debate(url: str, at_once: int) -> Solver:
    """A debate as a solver: two models, six speeches."""

    def seat(name: str):
        config = GenerateConfig(max_connections=at_once)
        return get_model(f"openai/{name}", base_url=url, api_key="none", config=config, responses_api=False)

    speakers = [seat(name) for name in debates.MODELS]

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        said: list[str] = []
        for turn in range(debates.TURNS):
            asked: list[ChatMessage] = [MESSAGE[each["role"]](content=each["content"]) for each in debates.chat(said)]
            output = await speakers[turn % 2].generate(asked)
            said.append(output.completion)
            state.messages.append(output.message)
        return state

    return solve


def main() -> None:
    url, count, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    task = Task(dataset=[Sample(input="This house reads.") for _ in range(count)], solver=debate(url, at_once))
    with tempfile.TemporaryDirectory() as folder:

        def play() -> None:
            (log,) = eval(task, model=None, log_dir=folder, max_samples=at_once, display="none")
            if log.status != "success":
                raise SystemExit(f"inspect_ai ended with {log.status}: {log.error}")

        debates.report(play)


if __name__ == "__main__":
    main()
