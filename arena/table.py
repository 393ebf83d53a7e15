"""The table: who sits there, what was said, who heard it, and the verbs that games are written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import groupby
from typing import Any

from arena.forms import Parts, Speech, Verdict, defuse, parts
from arena.types import Ask, Ballot, Decide, Decision, Form, Question, Reply, Seat, Turn, Utterance, View
from arena.wording import Wording

Tamper = Callable[[Utterance], Utterance]
"""Replaces what was said; `log verify` uses it to prove that what a seat may not hear has no way to it."""


class Audience(Enum):
    """Who hears a part of a reply."""

    EVERYONE = "everyone"
    NOBODY_ELSE = "nobody_else"
    """The speaker remembers it."""
    NOBODY = "nobody"
    """Not even the speaker is shown it again."""


EVERYONE, NOBODY_ELSE, NOBODY = Audience


@dataclass(frozen=True, slots=True)
class Task:
    """One of several things that one seat is asked at once."""

    items: tuple[str, ...]
    """The ids of the items of the question that it is about."""
    form: Form
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What its prompts see besides."""


def unkeyed(question: Question) -> Question:
    """The question without the answers that are right."""
    return replace(question, key=(), items=tuple(unkeyed(item) for item in question.items))


class Table:
    """One match's table.

    Prompts see the facts `question`, `seats` (names of the players), `params` (the game's), `seat`, `role`,
    `opponents`, `phase`, `round` and `form` (part name to form, for its tags), and whatever the game adds. A judge's verdict
    prompt also sees `options`, `judging.reasoning` and `judging.words`: words spoken by side, None where they are not told. A
    judge who reads the speeches in the other order finds names in that order, too.
    """

    def __init__(
        self,
        question: Question,
        seats: Sequence[Seat],
        wording: Wording,
        params: Any,
        decide: Decide,
        *,
        judge_form: Callable[[tuple[str, ...]], Verdict] = Verdict,
        reasoning: bool = True,
        length_told: bool = False,
        seed: int = 0,
        given: Iterable[Utterance] = (),
        tamper: Tamper | None = None,
    ):
        self.question = unkeyed(question)
        self.seats = {seat.name: seat for seat in seats}
        self.players = tuple(seat.name for seat in seats if seat.role != "judge")
        self.panel = tuple(seat.name for seat in seats if seat.role == "judge")
        self.transcript: list[Utterance] = []
        self.given = tuple(given)
        self.step = -1
        self._wording = wording
        self._facts = {"question": self.question, "seats": self.players, "params": params}
        self._decide = decide
        self._judge_form = judge_form
        self._reasoning = reasoning
        self._length_told = length_told
        self.seed = seed
        self._tamper = tamper
        self._asked: dict[tuple[int, str], str] = {}
        self._turns: Counter[str] = Counter()
        self._apart: set[int] = set()
        self._briefs: dict[str, str] = {}

    # -------------------------------------------------------------- verbs

    def ask_all(
        self,
        seats: Sequence[str],
        form: Form,
        *,
        prompt: str | Sequence[str],
        audience: Mapping[str, Audience] | Audience = NOBODY_ELSE,
        phase: str | None = None,
        round: int = 1,
        each: Callable[[str], Mapping[str, Any]] = lambda seat: {},
        **facts: Any,
    ) -> Generator[tuple[Ask, ...], tuple[Reply, ...], dict[str, Reply]]:
        """Ask several seats at once: none hears another before all have answered.

        `prompt` names one prompt or several that are joined; `audience` is one for all parts or one a part, where a
        part that is not named stays with its speaker; `each` gives the facts of one seat's prompts, `facts` are for all.
        Returns seat name to reply.
        """
        if not seats:
            return {}
        self.step += 1
        prompts = (prompt,) if isinstance(prompt, str) else tuple(prompt)
        joined = parts(form)
        heard_by = _heard_by(joined, audience)
        asks = tuple(
            self._ask(slot, seat, joined, prompts, heard_by, phase or prompts[0], round, {**facts, **each(seat)})
            for slot, seat in enumerate(seats)
        )
        replies = yield asks
        return {ask.seat: self._record(ask, joined, reply) for ask, reply in zip(asks, replies, strict=True)}

    def ask(self, seat: str, form: Form, **how: Any) -> Generator[tuple[Ask, ...], tuple[Reply, ...], Reply]:
        """Ask one seat. Takes what `ask_all` takes."""
        replies = yield from self.ask_all((seat,), form, **how)
        return replies[seat]

    def ask_each(
        self,
        seat: str,
        tasks: Sequence[Task],
        *,
        prompt: str | Sequence[str],
        audience: Mapping[str, Audience] | Audience = NOBODY_ELSE,
        phase: str | None = None,
        round: int = 1,
    ) -> Generator[tuple[Ask, ...], tuple[Reply, ...], list[Reply]]:
        """Ask one seat several things at once, each apart: none knows of another, and no later view shows them.

        Whoever is an audience of a part may learn it all the same, from what the game puts into later prompts. `prompt` and
        `audience` are as in `ask_all`. Returns the replies in the order of the tasks.
        """
        if not tasks:
            return []
        self.step += 1
        self._apart.add(self.step)
        prompts = (prompt,) if isinstance(prompt, str) else tuple(prompt)
        forms = [parts(task.form) for task in tasks]
        asks = tuple(
            replace(
                self._ask(slot, seat, form, prompts, _heard_by(form, audience), phase or prompts[0], round, task.facts),
                items=task.items,
            )
            for slot, (task, form) in enumerate(zip(tasks, forms, strict=True))
        )
        replies = yield asks
        return [self._record(ask, form, reply) for ask, form, reply in zip(asks, forms, replies, strict=True)]

    def verdict(
        self, options: tuple[str, ...], *, round: int = 1
    ) -> Generator[tuple[Ask, ...], tuple[Reply, ...], Decision]:
        """Have every seat of the panel decide between the options, unheard by one another, and count the ballots."""

        def known(seat: str) -> Mapping[str, Any]:
            words = self._words(seat) if self._length_told else None
            return {
                "options": self._read_by(seat, options),
                "judging": {"reasoning": self._reasoning, "words": words},
            }

        form = Parts({"rationale": Speech(min_chars=0), "verdict": self._judge_form(options)}, guard="off")
        replies = yield from self.ask_all(self.panel, form, prompt="verdict", round=round, each=known)
        ballots = [
            Ballot(seat, reply.values["verdict"].choice, reply.values["verdict"].probability)
            for seat, reply in replies.items()
            if not reply.missing
        ]
        return self._decide(ballots, self.seed)

    def lay(self, given: Iterable[Utterance]) -> None:
        """Put recorded utterances on the table, for the panel and the players to hear."""
        for utterance in given:
            self.step = max(self.step, utterance.step)
            self._hear(replace(utterance, audience=tuple(self.seats)))

    # -------------------------------------------------------------- what a seat knows

    def view(self, seat: str) -> View:
        """All that a seat may know now. This is the one place where an audience is enforced."""
        steps: dict[int, list[Utterance]] = {}
        for utterance in self._within_hearing(seat):
            steps.setdefault(utterance.step, []).append(utterance)
        return View(
            seat=seat,
            brief=self._brief(seat),
            turns=tuple(
                Turn(
                    instruction=self._asked.get((step, seat)),
                    own=tuple(u for u in said if u.seat == seat),
                    heard=tuple(u for u in said if u.seat != seat),
                )
                for step, said in steps.items()
            ),
        )

    def _within_hearing(self, seat: str) -> Sequence[Utterance]:
        """What a seat has within its hearing, in the order in which it is read."""
        heard = [u for u in self.transcript if seat in u.audience and u.step not in self._apart]
        return heard if self.seats[seat].order == "as_spoken" else swapped(heard, seat)

    def _read_by(self, seat: str, names: tuple[str, ...]) -> tuple[str, ...]:
        """Names of sides in the order of a seat."""
        return names if self.seats[seat].order == "as_spoken" else names[::-1]

    def _words(self, seat: str) -> Mapping[str, int]:
        """How many words each side spoke within a seat's hearing."""
        spoken = dict.fromkeys(self.players, 0)
        for said in self._within_hearing(seat):
            if said.seat in spoken and isinstance(said.value, str):
                spoken[said.seat] += len(said.text.split())
        return spoken

    def _brief(self, seat: str) -> str:
        if seat not in self._briefs:
            self._briefs[seat] = self._wording.render(self.seats[seat].role, self._facts_for(seat))
        return self._briefs[seat]

    def _facts_for(self, seat: str) -> dict[str, Any]:
        players = self._read_by(seat, self.players)
        opponents = tuple(name for name in players if name != seat)
        return self._facts | {"seats": players, "seat": seat, "role": self.seats[seat].role, "opponents": opponents}

    # -------------------------------------------------------------- asking and recording

    def _ask(
        self,
        slot: int,
        seat: str,
        form: Parts,
        prompts: tuple[str, ...],
        audience: Mapping[str, Audience],
        phase: str,
        round: int,
        facts: Mapping[str, Any],
    ) -> Ask:
        known = {**self._facts_for(seat), "phase": phase, "round": round, "form": form.forms, **facts}
        rendered = (self._wording.render(prompt, known) for prompt in prompts)
        turn, self._turns[seat] = self._turns[seat], self._turns[seat] + 1
        return Ask(
            step=self.step,
            slot=slot,
            turn=turn,
            seat=seat,
            role=self.seats[seat].role,
            round=round,
            phase=phase,
            form=form,
            instruction="\n\n".join(text for text in rendered if text),
            audience={part: self._seats_of(heard_by, seat) for part, heard_by in audience.items()},
            again=lambda reason: self._wording.render("again", known | {"reason": reason}),
        )

    def _seats_of(self, audience: Audience, seat: str) -> tuple[str, ...]:
        match audience:
            case Audience.EVERYONE:
                return tuple(self.seats)
            case Audience.NOBODY_ELSE:
                return (seat,)
            case Audience.NOBODY:
                return ()

    def _record(self, ask: Ask, form: Parts, reply: Reply) -> Reply:
        """Have the parts heard. Returns the reply as the game gets it: what the table recorded, so that a tampered table
        also steers the game."""
        if not reply.missing:
            self._asked[ask.step, ask.seat] = ask.instruction
        recorded: dict[str, Any] = {}
        for part, part_form in form.forms.items():
            value = None if reply.missing else reply.values[part]
            said = Utterance(
                step=ask.step,
                round=ask.round,
                phase=ask.phase,
                seat=ask.seat,
                part=part,
                audience=ask.audience[part],
                value=value,
                text="" if reply.missing else part_form.render(value),
                shown="",
                status=reply.status,
            )
            recorded[part] = self._hear(said).value
        return reply if reply.missing else replace(reply, values=recorded)

    def _hear(self, said: Utterance) -> Utterance:
        if self._tamper is not None:
            said = self._tamper(said)
        if any(seat != said.seat for seat in said.audience):
            said = replace(said, shown=self._shown(said))
        self.transcript.append(said)
        return said

    def _shown(self, said: Utterance) -> str:
        # Whoever quotes a rival must not be read as using the tags that the rival typed.
        tags = ("heard", *self._judge_form(()).tags)
        facts = self._facts | {
            "seat": said.seat,
            "phase": said.phase,
            "round": said.round,
            "part": said.part,
            "text": defuse(said.text, tags),
            "value": said.value,
            "missing": said.status not in ("ok", "repaired"),
        }
        return self._wording.render("heard", facts)


def _heard_by(form: Parts, audience: Mapping[str, Audience] | Audience) -> dict[str, Audience]:
    """Part name to who hears it."""
    if isinstance(audience, Audience):
        return dict.fromkeys(form.forms, audience)
    return {part: audience.get(part, NOBODY_ELSE) for part in form.forms}


def swapped(heard: Sequence[Utterance], seat: str) -> list[Utterance]:
    """What a seat heard with each round the other way round: who spoke last in it is read first, each speaker's own words in
    the order in which they were said. Where the second speaker answered the first, the answer is read before what it answers.

    What the seat said itself stays where it was: a round is turned between two of its answers, not across one.
    """
    rounds = groupby(heard, key=lambda said: (said.round, said.seat == seat))
    return [said for (_, own), part in rounds for said in (list(part) if own else _turned(list(part)))]


def _turned(part: Sequence[Utterance]) -> list[Utterance]:
    speakers = list(dict.fromkeys(said.seat for said in part))
    return [said for speaker in reversed(speakers) for said in part if said.seat == speaker]
