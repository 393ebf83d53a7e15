"""The vocabulary: the frozen values and one-method protocols that every other room shares."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple, Protocol

import orjson

Status = Literal["ok", "repaired", "abstained", "unparsed", "refused", "truncated", "failed"]
"""How a value came to be: read at once, read at a later attempt, withheld, or why it is missing."""

READ: tuple[Status, ...] = ("ok", "repaired")
"""The statuses under which a value exists."""


# ------------------------------------------------------------------ who sits down, and about what


@dataclass(frozen=True, slots=True)
class Question:
    """What a match is about: for a debate, the motion; or a question with an answer, or a set of such questions."""

    id: str
    text: str
    options: tuple[str, ...] = ()
    """What can be answered, where that is a choice: A, B, C ... in order."""
    key: tuple[str, ...] = ()
    """The answers that are right; empty where nobody says. It is for the tables alone: no table of a game ever has it."""
    items: tuple[Question, ...] = ()
    """The questions of a set."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model is asked to draw. A field that is None is not sent."""

    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """Somebody who can be seated: a model, how it draws, and a persona that stands before its instructions."""

    name: str
    model: str
    system: str | None = None
    sampling: Sampling = Sampling()


Order = Literal["as_spoken", "swapped"]
"""How a judge reads each round: as the sides spoke in it, or the other way round."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A place at the table. A judge with several ballots has one seat a ballot, so that no ballot knows another."""

    name: str
    role: str
    agent: str
    ballot: int = 0
    order: Order = "as_spoken"


@dataclass(frozen=True, slots=True)
class MatchSpec:
    """One match, wholly determined: who sits where, on what, with which seed."""

    id: str
    name: str
    question: Question
    repeat: int
    seed: int
    players: Mapping[str, AgentSpec]
    """Seat name to the agent who plays there, in speaking order."""
    mirror_of: str | None = None
    """The match of the same pairing with sides swapped, where there is one."""
    pairing_probability: float = 1.0
    """With what probability the schedule chose this match."""
    given: tuple[Utterance, ...] = ()
    """What lies on the table before the game begins: the recorded speeches of a match that is judged again."""
    judges: tuple[str, ...] | None = None
    """The names of the judges who sit in it; None for the whole panel."""


# ------------------------------------------------------------------ forms: what a reply must be


@dataclass(frozen=True, slots=True)
class Malformed:
    """A reply that cannot be read. `reason` is told to the seat when it is asked again."""

    reason: str
    status: Status = "unparsed"


class Form(Protocol):
    """What one part of a reply must be, and how it is read."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag names that belong to this form; empty for free text."""
        ...

    def parse(self, text: str) -> Any | Malformed:
        """The value that a reply holds, or why it holds none."""
        ...

    def render(self, value: Any) -> str:
        """A reply text that `parse` reads as `value`."""
        ...


# ------------------------------------------------------------------ the table: who said what, and who heard it


@dataclass(frozen=True, slots=True)
class Utterance:
    """One part of one accepted or missing reply, and the seats that hear it."""

    step: int
    round: int
    phase: str
    seat: str
    part: str
    audience: tuple[str, ...]
    value: Any
    """What the part's form read; None when it is missing."""
    text: str
    """The part as its speaker is shown it again, its tags included; empty when it is missing."""
    shown: str
    """The part as others are shown it."""
    status: Status = "ok"


@dataclass(frozen=True, slots=True)
class Turn:
    """One step of the game as a seat knows it."""

    instruction: str | None
    """What the seat was asked and answered in this step; None when it was not asked or no reply could be read."""
    own: tuple[Utterance, ...]
    """The parts of its own reply that it may remember."""
    heard: tuple[Utterance, ...]
    """What others said in this step within its hearing."""


@dataclass(frozen=True, slots=True)
class View:
    """All that a seat knows when it is asked."""

    seat: str
    brief: str
    """Its standing instructions."""
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of the game to one seat: words to answer, and the form that the answer must have."""

    step: int
    slot: int
    seat: str
    role: str
    round: int
    phase: str
    form: Form
    instruction: str
    audience: Mapping[str, tuple[str, ...]]
    """Part name to the seats that will hear it."""
    again: Callable[[str], str]
    """The words for asking once more, given the reason."""
    turn: int = 0
    """How often the seat was asked before."""
    items: tuple[str, ...] = ()
    """The ids of the items of the match's question that it is about, where it is about some."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a seat gave in the end: a value a part, or none at all and why."""

    values: Mapping[str, Any]
    status: Status
    attempts: int = 1
    problem: str | None = None
    text: str = ""
    """The last completion, read or not."""

    @property
    def missing(self) -> bool:
        return self.status not in READ


@dataclass(frozen=True, slots=True)
class Ballot:
    """One judge's decision. `probability` is how likely the judge holds its own choice to be right."""

    judge: str
    choice: str
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a panel's ballots come to.

    `how` is `most_votes`, `larger_sum`, `tie` (settled by the tie rule), `forfeit`, or `none` when nobody decided.
    """

    winner: str | None
    how: str
    margin: float | None = None
    """Difference over total of what was counted, in [0, 1]; None when nothing was."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a match ended."""

    decision: Decision
    notes: tuple[str, ...] = ()


Decide = Callable[[Sequence[Ballot], int], Decision]
"""A panel's rule: the ballots that could be read, and a seed for a tie that is settled by lot."""

Play = Generator[tuple[Ask, ...], tuple[Reply, ...], Outcome]
"""A game under way: it yields what it asks at once, is sent the replies in the same order, returns the outcome."""


# ------------------------------------------------------------------ calls of models


class Message(NamedTuple):
    """One message of a chat: role is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a call is for. It is neither sent nor digested; stand-ins for models (simulated, scripted) read it."""

    run_seed: int
    match_seed: int
    ask: Ask
    attempt: int


@dataclass(frozen=True)
class Request:
    """What a model is sent."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    occasion: Occasion = field(compare=False, repr=False)

    @cached_property
    def digest(self) -> str:
        """Covers model id, messages and sampling; not the occasion, nor keys, addresses, limits or prices."""
        shape = [self.model, _set(self.sampling), [(role, len(content)) for role, content in self.messages]]
        digest = hashlib.sha256(orjson.dumps(shape))
        for message in self.messages:
            digest.update(message.content.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:24]


@cache
def _set(sampling: Sampling) -> dict[str, Any]:
    """What is sent of it."""
    return {name: value for name, value in asdict(sampling).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them. `cached` and `cache_write` are part of `input`, `reasoning` of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


Finish = Literal["stop", "length", "refusal", "unknown"]


@dataclass(frozen=True, slots=True)
class Rate:
    """How much of something a provider grants, how much of that is left, and in how many seconds all of it is there again."""

    limit: float
    remaining: float
    reset_s: float


@dataclass(frozen=True, slots=True)
class Rates:
    """What a provider's headers say of its rate limits; None for what they do not."""

    requests: Rate | None = None
    tokens: Rate | None = None
    input_tokens: Rate | None = None
    output_tokens: Rate | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer."""

    text: str
    finish: Finish = "stop"
    usage: Usage = Usage()
    reasoning: str | None = None
    """Hidden reasoning, where the provider hands it out."""
    model: str | None = None
    """The model id that the provider says has answered."""
    cost_usd: float | None = None
    """None when no price is known."""
    latency_s: float = 0.0
    tries: int = 1
    started_at: float = 0.0
    """Seconds since the epoch."""
    rates: Rates | None = field(default=None, compare=False, repr=False)
    """What the provider says of its limits; it paces the calls and is not recorded."""


MAY_HAVE_COST = ("timeout", "connection", "oversized")
"""The kinds of failure after which the provider may have done the work, and may charge for it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that failed for good."""

    kind: str
    message: str
    tries: int = 1
    started_at: float = 0.0

    @property
    def may_have_cost(self) -> bool:
        """Whether nobody knows what it cost."""
        return self.kind in MAY_HAVE_COST


Answer = Completion | Failure


class CallKey(NamedTuple):
    """Where a call stands in its match: the game's yield, the ask in it, the agent's call for it, the attempt."""

    step: int
    slot: int
    call: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Call:
    """One model call that a match wants made."""

    match: str
    key: CallKey
    seat: str
    request: Request

    @property
    def digest(self) -> str:
        """The request's."""
        return self.request.digest


@dataclass(frozen=True, slots=True)
class Most:
    """The most that a call can come to; None where that is not known."""

    usd: float | None
    tokens: int | None
    """Input and output together."""


@dataclass(frozen=True, slots=True)
class Errand:
    """A call as the books have it: where it stands, whom it asks and the most that it can come to, but not what it says."""

    match: str
    key: CallKey
    seat: str
    role: str
    model: str
    digest: str
    most: Most
    tokens: int = 0
    """About how many it will use."""


class Agent(Protocol):
    """Somebody who answers an ask: a generator that yields the requests it wants made at once, is sent their answers,
    and returns the one that is its reply. It does no input or output, so replaying it is walking it."""

    def respond(
        self, view: View, ask: Ask, attempt: int, reason: str | None
    ) -> Generator[tuple[Request, ...], tuple[Answer, ...], Answer]: ...


class Model(Protocol):
    """Something that completes a request, or raises a `ModelError`."""

    async def complete(self, request: Request) -> Completion: ...


# ------------------------------------------------------------------ the experiment


@dataclass(frozen=True, slots=True)
class Judging:
    """The panel, and how its ballots become a decision."""

    judges: Mapping[str, AgentSpec]
    """Judge name to agent."""
    ballots: int
    """Ballots a judge and order, each from its own seat."""
    rule: str
    tie: str
    tags: Mapping[str, str]
    orders: tuple[Order, ...] = ("as_spoken",)
    """The orders of the speeches in which each ballot is cast, once in each."""
    reasoning: bool = True
    """Whether a judge is to work through the debate before it decides."""
    length_told: bool = False
    """Whether it is told how many words each side spoke."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls at once, and how long one is tried."""

    concurrency: int
    per_model: int | None
    tries: int
    timeout_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Caps:
    """What may be spent at most; None where there is no bound."""

    usd: float | None = None
    tokens: int | None = None
    """Input and output together."""
    calls: int | None = None
    """Requests that left, those among them whose reply never came."""

    @property
    def any(self) -> bool:
        """Whether there is any bound."""
        return any(bound is not None for bound in (self.usd, self.tokens, self.calls))


@dataclass(frozen=True, slots=True)
class BudgetRules:
    """What a run may spend: as a whole, on a model, on the seats of a role."""

    run: Caps = Caps()
    models: Mapping[str, Caps] = field(default_factory=dict[str, Caps])
    roles: Mapping[str, Caps] = field(default_factory=dict[str, Caps])

    @property
    def any(self) -> bool:
        """Whether there is any bound."""
        return any(caps.any for caps in (self.run, *self.models.values(), *self.roles.values()))


@dataclass(frozen=True, slots=True)
class Runner:
    """Who plays the matches: this process (`local`), or the workers of a Ray cluster (`ray`)."""

    kind: Literal["local", "ray"] = "local"
    address: str | None = None
    """Of a cluster (`host:port`, `auto`); None for RAY_ADDRESS, and without that for a Ray of the run's own."""
    workers: int | None = None
    """How many; None for as many as the cluster has room for."""
    resources: Mapping[str, float] = field(default_factory=lambda: {"CPU": 1.0})
    """What each worker takes of a node."""
    keys: Literal["driver", "node"] = "driver"
    """Whose environment the providers' keys come from."""
    patience_s: float = 120.0
    """How long the run waits while there is no worker at all."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """Everything that a run plays, resolved and validated. `resolved` is the plain configuration it was made of."""

    name: str
    condition: str
    game: str
    params: Any
    """The game's own `Params`."""
    prompts: Mapping[str, str]
    attempts: int
    seed: int
    matches: tuple[MatchSpec, ...]
    """The whole plan; where a schedule waits for results, its first round."""
    judging: Judging
    limits: Limits
    providers: Mapping[str, Mapping[str, Any]]
    prices: Mapping[str, Mapping[str, Any]]
    resolved: Mapping[str, Any]
    budget: BudgetRules = BudgetRules()
    runner: Runner = Runner()
    chaos: float = 0.0
    """The share of the calls that are let go wrong on purpose."""
    refused: tuple[str, ...] = ()
    """What was set for somebody and will not be sent, in words."""
    families: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    """Pattern of model ids to the family of the models; `judges.families` says which pattern counts."""
    tournament: Any = None
    """The `arena.tournament.Tournament` of a schedule that waits for results, or of one that may stop early."""
    agents: Mapping[str, AgentSpec] = field(default_factory=dict[str, AgentSpec])
    """Everybody whom such a schedule may seat."""

    @property
    def models(self) -> tuple[str, ...]:
        """The ids of the models that may be called."""
        players = (agent for spec in self.matches for agent in spec.players.values())
        everybody = (*players, *self.agents.values(), *self.judging.judges.values())
        return tuple(sorted({agent.model for agent in everybody}))

    @property
    def questions(self) -> tuple[Question, ...]:
        """What matches are about, each once; with such a schedule also what they may yet be about."""
        asked = [spec.question for spec in self.matches]
        return tuple(dict.fromkeys([*asked, *(self.tournament.field.questions if self.tournament else ())]))
