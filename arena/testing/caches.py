"""What a provider's prompt cache could serve: how much of each prompt repeats the start of an earlier one to the same model."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from arena.types import Message


@dataclass(slots=True)
class PromptCache:
    """Remembers all prompts of each model id: a cache without an end, without a smallest size and without other people."""

    chars: int = 0
    cached: int = 0
    """Of `chars`, those that repeat the start of an earlier prompt of the same model id."""
    _prompts: dict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))
    _written: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict[str, set[bytes]](set))

    @property
    def share(self) -> float:
        return self.cached / self.chars if self.chars else 0.0

    def take(self, model: str, messages: Sequence[Message]) -> int:
        """Take in a prompt. Returns how many of its characters, roles included, an earlier one began with."""
        prompt = "\n".join(f"{message.role}: {message.content}" for message in messages)
        known = self._prompts[model]
        # Of strings in order, those beside the place where one belongs share the longest start with it.
        place = bisect_left(known, prompt)
        before, after = known[max(0, place - 1) : place], known[place : place + 1]
        begun = [_common(prompt, other) for other in (*before, *after)]
        if not (after and after[0].startswith(prompt)):
            if before and prompt.startswith(before[0]):
                known[place - 1] = prompt  # whatever begins like the shorter one begins like this one
            else:
                known.insert(place, prompt)
        cached = max(begun, default=0)
        self.chars += len(prompt)
        self.cached += cached
        return cached

    def breakpoints(self, body: Mapping[str, Any]) -> tuple[int, int]:
        """Characters read from and written to a cache that is written where a request marks its blocks with `cache_control`
        alone, as Anthropic's is: read is the longest start, whole blocks up to the last mark, that was written before."""
        written, digest, chars = self._written[str(body["model"])], blake2b(digest_size=16), 0
        read = last = 0
        fresh: list[bytes] = []
        blocks = [*_blocks("system", body.get("system"))]
        for message in body["messages"]:
            blocks += _blocks(message["role"], message.get("content"))
        marked = max((n for n, (_, _, mark) in enumerate(blocks, start=1) if mark), default=0)
        for role, text, mark in blocks[:marked]:
            digest.update(f"{role}\0{text}\0".encode(errors="surrogatepass"))
            chars += len(text)
            if digest.digest() in written:
                read = chars
            if mark:
                fresh.append(digest.digest())
                last = chars
        written.update(fresh)
        return read, last - read


def _blocks(role: str, content: str | Iterable[Mapping[str, Any]] | None) -> list[tuple[str, str, bool]]:
    if not content:
        return []
    if isinstance(content, str):
        return [(role, content, False)]
    return [(role, block.get("text", ""), bool(block.get("cache_control"))) for block in content]


def _common(one: str, other: str) -> int:
    """How many characters two strings begin with alike."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        # Half of what is left at a time, so that each character is compared about once.
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
