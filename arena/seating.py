"""Who sits where: from the settings of seats and agents, and a plan of meetings, to the specs of matches."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, cached_property, partial
from itertools import combinations
from typing import Any

from arena.meetings import Meeting
from arena.settings import ConfigError, Seated, Settings
from arena.tournament import pairs
from arena.types import AgentSpec, MatchSpec, Utterance
from arena.wording import digest
from judges.balance import Bench, panels
from judges.families import family, impartial


class Seating:
    """The seats of a game, and everybody who may be named for them.

    A seat with a model is filled by that model, which takes its settings along when sides are swapped. A seat without
    one is filled by the schedule, and its settings are added to whoever sits there.
    """

    def __init__(self, settings: Settings, seats: Sequence[str]):
        named = {seat for seat, seated in settings.seats.items() if seated != Seated()}
        if unknown := named - set(seats):
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
        self._players: dict[tuple[str, str], AgentSpec] = {}
        self._family = cache(partial(family, families=settings.families))

    @property
    def candidates(self) -> dict[str, list[str]]:
        """Seat name to the names of the agents who may sit there."""
        everybody = sorted(self._settings.agents)
        return {seat: [self._entrant(seat)] if seat in self.filled else everybody for seat in self._seats}

    @property
    def agents(self) -> dict[str, AgentSpec]:
        """Agent name to who that is, for all that a schedule may seat."""
        return {name: self._spec(name, seated) for name, seated in self._agents.items()}

    def judge(self, name: str) -> AgentSpec:
        return self._spec(name, self._settings.judge.judges[name])

    def matches(
        self, plan: Sequence[Meeting], given: Mapping[int, tuple[Utterance, ...]] | None = None
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
                pairing_probability=meeting.probability,
                given=said,
            )
        if not specs:
            raise ConfigError("nothing to play: the schedule has no match (are there topics and agents?)")
        return self._judged(tuple(specs.values()))

    # -------------------------------------------------------------- who judges

    def check_panels(self) -> None:
        """Raises `ConfigError` where two agents might meet whom too few judges may judge."""
        one_each: dict[str | None, list[AgentSpec]] = {}
        for agent in self.agents.values():
            one_each.setdefault(self._family(agent.model), []).append(agent)
        # Who may judge hangs on the families of those who meet, so two of each stand for all.
        for meeting in combinations([agent for agents in one_each.values() for agent in agents[:2]], 2):
            self._bench(meeting, " vs ".join(agent.name for agent in meeting))

    def _judged(self, specs: tuple[MatchSpec, ...]) -> tuple[MatchSpec, ...]:
        """The matches with who judges each, where that is not the whole panel; both of a mirrored pair have the same judges.

        Raises `ConfigError` where too few may.
        """
        judge = self._settings.judge
        if not judge.judges or (judge.own_family and judge.size is None):
            return specs
        mirrored = list(pairs(specs))
        benches = [self._bench(list(pair[0].players.values()), pair[0].name) for pair in mirrored]
        chosen = (
            [tuple(bench.eligible) for bench in benches]
            if judge.size is None
            else panels(benches, judge.size, self._settings.seed)
        )
        return tuple(replace(spec, judges=panel) for pair, panel in zip(mirrored, chosen, strict=True) for spec in pair)

    def _bench(self, speakers: Sequence[AgentSpec], match: str) -> Bench:
        """The judges who may judge the speakers. Raises `ConfigError`, which names the match, where they are too few."""
        judge = self._settings.judge
        speaking = [] if judge.own_family else [self._family(agent.model) for agent in speakers]
        eligible = impartial(self._judges, speaking)
        if judge.judges and len(eligible) < (judge.size or 1):
            raise ConfigError(self._too_few(speakers, match, len(eligible)))
        return Bench([agent.name for agent in speakers], eligible)

    def _too_few(self, speakers: Sequence[AgentSpec], match: str, eligible: int) -> str:
        """What is wrong with a panel, and what would do."""
        judge = self._settings.judge
        judges = judge.judges.items()
        panel = ", ".join(f"{name} = {seated.model} ({self._judges[name] or 'no family'})" for name, seated in judges)
        wanted = f"judge.size={judge.size} wants {judge.size}" if judge.size else "one is needed"
        if eligible == len(judges):
            return f"{match}: {wanted} judges, and the panel has {eligible}: {panel}; name more (judge.judges.NAME.model=...)"
        who = " and ".join(f"{agent.model} ({self._family(agent.model) or 'no family'})" for agent in speakers)
        return (
            f"{match}: a judge does not judge its own family (judge.own_family=false), so {eligible} of {len(judges)} may judge "
            f"{who}, and {wanted}; the panel is {panel}. Name judges of other families (judge.judges.NAME.model=...), allow "
            "it (judge.own_family=true), or say what conf/families.yaml has wrong ('families={openai/my-model*: mine}')"
        )

    @cached_property
    def _judges(self) -> dict[str, str | None]:
        """Judge name to family."""
        return {name: self._family(seated.model) for name, seated in self._settings.judge.judges.items()}

    # -------------------------------------------------------------- who plays

    def _identity(self, meeting: Meeting, players: Mapping[str, AgentSpec], given: tuple[Utterance, ...]) -> str:
        what = [self._settings.game.name, self._settings.seed, meeting.name]
        asked = [[item.id, item.text, item.options] for item in meeting.question.items]
        where = [meeting.question.id, meeting.question.text, meeting.repeat, *asked]
        who = [[seat, _plain(player)] for seat, player in players.items()]
        return digest([*what, *where, *who, *([asdict(said) for said in given])])[:12]

    def _entrant(self, seat: str) -> str:
        """The name of the agent that the user put into a seat: its model id, told apart where settings differ."""
        seated = self._seats[seat]
        same = [other for other in self._seats.values() if other.model == seated.model]
        return str(seated.model) if all(other == seated for other in same) else f"{seated.model} ({seat})"

    def _player(self, seat: str, name: str) -> AgentSpec:
        if (seat, name) not in self._players:
            self._players[seat, name] = self._seat(seat, name)
        return self._players[seat, name]

    def _seat(self, seat: str, name: str) -> AgentSpec:
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
        if sampling.max_output_tokens is None and self._settings.budget.bounds_replies:
            sampling = replace(sampling, max_output_tokens=self._settings.budget.output_tokens)
        return AgentSpec(name, str(seated.model), seated.system, sampling)


def _name(meeting: Meeting) -> str:
    pairing = " vs ".join(meeting.players.values())
    repeat = f" #{meeting.repeat + 1}" if meeting.repeat else ""
    return f"{pairing} on {meeting.question.id}{repeat}"


@cache
def _plain(player: AgentSpec) -> dict[str, Any]:
    return asdict(player)


def _seed(run_seed: int, ident: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{run_seed}:{ident}".encode(), digest_size=6).digest())
