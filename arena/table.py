"""The table: who sits there, what was said, who heard it, and the verbs that games are written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
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


class Table:
    """One match's table.

    Prompts see the facts `question`, `seats` (names of the players), `params` (the game's), `seat`, `role`,
    `opponents`, `phase`, `round` and `form` (part name to form, for its tags), and whatever the game adds.
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
        seed: int = 0,
        given: Iterable[Utterance] = (),
        tamper: Tamper | None = None,
    ):
        self.question = question
        self.seats = {seat.name: seat for seat in seats}
        self.players = tuple(seat.name for seat in seats if seat.role != "judge")
        self.panel = tuple(seat.name for seat in seats if seat.role == "judge")
        self.transcript: list[Utterance] = []
        self.given = tuple(given)
        self.step = -1
        self._wording = wording
        self._facts = {"question": question, "seats": self.players, "params": params}
        self._decide = decide
        self._judge_form = judge_form
        self._seed = seed
        self._tamper = tamper
        self._asked: dict[tuple[int, str], str] = {}
        self._turns: Counter[str] = Counter()
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
        **facts: Any,
    ) -> Generator[tuple[Ask, ...], tuple[Reply, ...], dict[str, Reply]]:
        """Ask several seats at once: none hears another before all have answered.

        `prompt` names one prompt or several that are joined; `audience` is one for all parts or one a part, where a
        part that is not named stays with its speaker. Returns seat name to reply.
        """
        if not seats:
            return {}
        self.step += 1
        prompts = (prompt,) if isinstance(prompt, str) else tuple(prompt)
        joined = parts(form)
        heard_by = {
            part: audience if isinstance(audience, Audience) else audience.get(part, NOBODY_ELSE)
            for part in joined.forms
        }
        asks = tuple(
            self._ask(slot, seat, joined, prompts, heard_by, phase or prompts[0], round, facts)
            for slot, seat in enumerate(seats)
        )
        replies = yield asks
        for ask, reply in zip(asks, replies, strict=True):
            self._record(ask, joined, reply)
        return {ask.seat: self._told(ask, reply) for ask, reply in zip(asks, replies, strict=True)}

    def ask(self, seat: str, form: Form, **how: Any) -> Generator[tuple[Ask, ...], tuple[Reply, ...], Reply]:
        """Ask one seat. Takes what `ask_all` takes."""
        replies = yield from self.ask_all((seat,), form, **how)
        return replies[seat]

    def verdict(
        self, options: tuple[str, ...], *, round: int = 1
    ) -> Generator[tuple[Ask, ...], tuple[Reply, ...], Decision]:
        """Have every seat of the panel decide between the options, unheard by one another, and count the ballots."""
        form = Parts({"rationale": Speech(min_chars=0), "verdict": self._judge_form(options)}, guard="off")
        replies = yield from self.ask_all(self.panel, form, prompt="verdict", round=round, options=options)
        ballots = [
            Ballot(seat, reply.values["verdict"].choice, reply.values["verdict"].probability)
            for seat, reply in replies.items()
            if not reply.missing
        ]
        return self._decide(ballots, self._seed)

    def lay(self, given: Iterable[Utterance]) -> None:
        """Put recorded utterances on the table, for the panel and the players to hear."""
        for utterance in given:
            self.step = max(self.step, utterance.step)
            self._hear(replace(utterance, audience=tuple(self.seats)))

    # -------------------------------------------------------------- what a seat knows

    def view(self, seat: str) -> View:
        """All that a seat may know now. This is the one place where an audience is enforced."""
        steps: dict[int, list[Utterance]] = {}
        for utterance in self.transcript:
            if seat in utterance.audience:
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

    def _brief(self, seat: str) -> str:
        if seat not in self._briefs:
            self._briefs[seat] = self._wording.render(self.seats[seat].role, self._facts_for(seat))
        return self._briefs[seat]

    def _facts_for(self, seat: str) -> dict[str, Any]:
        opponents = tuple(name for name in self.players if name != seat)
        return self._facts | {"seat": seat, "role": self.seats[seat].role, "opponents": opponents}

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

    def _record(self, ask: Ask, form: Parts, reply: Reply) -> None:
        if not reply.missing:
            self._asked[ask.step, ask.seat] = ask.instruction
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
            self._hear(said)

    def _hear(self, said: Utterance) -> None:
        if self._tamper is not None:
            said = self._tamper(said)
        if any(seat != said.seat for seat in said.audience):
            said = replace(said, shown=self._shown(said))
        self.transcript.append(said)

    def _told(self, ask: Ask, reply: Reply) -> Reply:
        """The reply as the game gets it: what the table recorded, so that a tampered table also steers the game."""
        if reply.missing or self._tamper is None:
            return reply
        said = [u for u in self.transcript if (u.step, u.seat) == (ask.step, ask.seat)]
        return replace(reply, values={u.part: u.value for u in said})

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
