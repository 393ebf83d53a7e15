"""A seat filled by a language model: what it knows becomes a chat that only grows.

What the seat said is the assistant's turn, what it was asked and what it heard since is the user's. A request therefore
begins with all of the seat's previous one, as far as it remembers its reply, which is what providers' prompt caches serve.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from arena.types import AgentSpec, Answer, Ask, Message, Occasion, Request, View


@dataclass(frozen=True, slots=True)
class LLMAgent:
    """One call an ask."""

    spec: AgentSpec
    run_seed: int = 0
    match_seed: int = 0

    def respond(
        self, view: View, ask: Ask, attempt: int, reason: str | None
    ) -> Generator[tuple[Request, ...], tuple[Answer, ...], Answer]:
        request = Request(
            self.spec.model,
            messages(self.spec.system, view, ask, reason),
            self.spec.sampling,
            Occasion(self.run_seed, self.match_seed, ask, attempt),
        )
        (answer,) = yield (request,)
        return answer


def messages(persona: str | None, view: View, ask: Ask, reason: str | None) -> tuple[Message, ...]:
    """The chat that puts the ask to a seat. A bad reply that is asked again is not in it, only the reason."""
    chat = [Message("system", "\n\n".join(filter(None, (persona, view.brief))))]
    heard: list[str] = []
    for turn in view.turns:
        said = "\n\n".join(utterance.text for utterance in turn.own if utterance.text)
        if turn.instruction is not None and said:
            chat += [Message("user", "\n\n".join([*heard, turn.instruction])), Message("assistant", said)]
            heard = []
        heard += [utterance.shown for utterance in turn.heard if utterance.shown]
    last = [*heard, ask.instruction]
    if reason is not None:
        last.append(ask.again(reason))
    chat.append(Message("user", "\n\n".join(last)))
    return tuple(chat)
