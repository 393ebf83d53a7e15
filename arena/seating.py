"""Who sits where: from the settings of seats and agents, and a plan of meetings, to the specs of matches."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from arena.meetings import Meeting
from arena.settings import ConfigError, Seated, Settings
from arena.types import AgentSpec, MatchSpec, Utterance
from arena.wording import digest


class Seating:
    """The seats of a game, and everybody who may be named for them.

    A seat with a model is filled by that model, which takes its settings along when sides are swapped. A seat without
    one is filled by the schedule, and its settings are added to whoever sits there.
    """

    def __init__(self, settings: Settings, seats: Sequence[str]):
        if unknown := set(settings.seats) - set(seats):
            listed = ", ".join(seats)
            raise ConfigError(f"seats.{min(unknown)}: {settings.game.name} has no such seat; it has {listed or 'none'}")
        self._settings = settings
        self._seats = {seat: settings.seats.get(seat, Seated()) for seat in seats}
        self.filled = [seat for seat, seated in self._seats.items() if seated.model]
        """The seats that the user filled."""
        self._agents: dict[str, Seated] = {
            **settings.agents,
            **{self._entrant(seat): self._seats[seat] for seat in self.filled},
        }
        self.refused: dict[str, None] = {}
        """What was set for somebody and will not be sent, in words."""

    @property
    def candidates(self) -> dict[str, list[str]]:
        """Seat name to the names of the agents who may sit there."""
        everybody = sorted(self._settings.agents)
        return {seat: [self._entrant(seat)] if seat in self.filled else everybody for seat in self._seats}

    def judge(self, name: str) -> AgentSpec:
        return self._spec(name, self._settings.judge.judges[name])

    def matches(
        self, plan: Sequence[Meeting], given: Mapping[int, tuple[Utterance, ...]] | None
    ) -> tuple[MatchSpec, ...]:
        """The matches of a plan. With `given`, what lies on the table by number in the plan, only those it names.

        Raises `ConfigError` when there are none, or one names somebody who is not there.
        """
        specs: dict[int, MatchSpec] = {}
        copies: dict[str, int] = {}
        for number, meeting in enumerate(plan):
            if given is not None and number not in given:
                continue
            players = {seat: self._player(seat, name) for seat, name in meeting.players.items()}
            said = given[number] if given is not None else ()
            identity = self._identity(meeting, players, said)
            # A row that stands twice in a list is two matches.
            copy = copies[identity] = copies.get(identity, 0) + 1
            ident = identity if copy == 1 else digest([identity, copy])[:12]
            mirrored = specs.get(number - 1) if meeting.mirror else None
            specs[number] = MatchSpec(
                id=ident,
                name=meeting.name or _name(meeting),
                question=meeting.question,
                repeat=meeting.repeat,
                seed=_seed(self._settings.seed, ident),
                players=players,
                mirror_of=mirrored.id if mirrored else None,
                given=said,
            )
        if not specs:
            raise ConfigError("nothing to play: the schedule has no match (are there topics and agents?)")
        return tuple(specs.values())

    def _identity(self, meeting: Meeting, players: Mapping[str, AgentSpec], given: tuple[Utterance, ...]) -> str:
        what = [self._settings.game.name, self._settings.seed, meeting.name]
        where = [meeting.question.id, meeting.question.text, meeting.repeat]
        who = [[seat, asdict(player)] for seat, player in players.items()]
        return digest([*what, *where, *who, *([asdict(said) for said in given])])[:12]

    def _entrant(self, seat: str) -> str:
        """The name of the agent that the user put into a seat: its model id, told apart where settings differ."""
        seated = self._seats[seat]
        same = [other for other in self._seats.values() if other.model == seated.model]
        return str(seated.model) if all(other == seated for other in same) else f"{seated.model} ({seat})"

    def _player(self, seat: str, name: str) -> AgentSpec:
        seated = self._agents.get(name)
        if seated is None:
            if "/" not in name:
                raise ConfigError(
                    f"the list of matches names {name!r}, which is neither an agent "
                    f"({', '.join(sorted(self._agents))}) nor a model id (provider/model)"
                )
            seated = Seated(model=name)
        if seat not in self.filled:
            seated = seated.model_copy(update=self._seats[seat].model_dump(exclude_none=True))
        return self._spec(name, seated)

    def _spec(self, name: str, seated: Seated) -> AgentSpec:
        """An agent's spec, without what its model is known to refuse, and with what its API insists on."""
        provider, _, rest = str(seated.model).partition("/")
        settings: Mapping[str, Any] = self._settings.provider.get(provider, {})
        sampling = seated.sampling()
        for pattern, keys in settings.get("refused", {}).items():
            for key in keys if fnmatch.fnmatch(rest, pattern) else ():
                if (value := getattr(sampling, key)) is not None:
                    self.refused[f"{seated.model} refuses {key}: {value} is not sent"] = None
                    sampling = replace(sampling, **{key: None})
        if sampling.max_output_tokens is None and settings.get("max_output_tokens"):
            sampling = replace(sampling, max_output_tokens=settings["max_output_tokens"])
        return AgentSpec(name, str(seated.model), seated.system, sampling)


def _name(meeting: Meeting) -> str:
    pairing = " vs ".join(meeting.players.values())
    repeat = f" #{meeting.repeat + 1}" if meeting.repeat else ""
    return f"{pairing} on {meeting.question.id}{repeat}"


def _seed(run_seed: int, ident: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{run_seed}:{ident}".encode(), digest_size=6).digest())
