"""What a configuration holds: every key, its type and its bounds. Unknown keys are refused."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from arena.forms import LETTERS, check_tags
from arena.mistake import Mistake
from arena.types import Question, Sampling


class ConfigError(Mistake):
    """A configuration that cannot be played. The message names the key or file, what was found and what would do."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Seated(_Settings):
    """Who sits there and how it draws; what is null is not sent."""

    model: str | None = None
    system: str | None = None
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_output_tokens: int | None = Field(default=None, gt=0)
    reasoning_effort: str | None = None
    seed: int | None = None

    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.max_output_tokens, self.reasoning_effort, self.seed)


class Named(Seated):
    """An agent: somebody who can be seated by the schedule."""

    model: str  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]


class Game(_Settings):
    name: str
    params: dict[str, Any]
    prompts: dict[str, str]


class JudgeTags(_Settings):
    choice: str
    probability: str

    @model_validator(mode="after")
    def _names(self) -> JudgeTags:
        check_tags((self.choice, self.probability))
        return self


class Judge(_Settings):
    """The panel. Defaults are what held before a key was there, for the runs that were recorded without it."""

    judges: dict[str, Named]
    ballots: int = Field(ge=1)
    orders: Literal["both", "as_spoken", "swapped"] = "as_spoken"
    own_family: bool = True
    size: int | None = Field(default=None, ge=1)
    reasoning: bool = True
    length_told: bool = False
    rule: Literal["most_votes", "larger_sum"]
    tie: str
    tags: JudgeTags
    prompts: dict[str, str]


class Item(_Settings):
    """A question; where it has an answer, `answer` is the right one, or several that are (a letter where there are options)."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str
    text: str = Field(min_length=1)
    options: list[str] = Field(default=[], max_length=len(LETTERS))
    answer: str | list[str] | None = None

    @model_validator(mode="after")
    def _key(self) -> Item:
        letters = LETTERS[: len(self.options)]
        if len(self.options) == 1 or len(set(self.options)) < len(self.options):
            raise ValueError(
                f"the options of {self.id!r} are {', '.join(self.options)}; two different ones are needed at least"
            )
        if self.options and (wrong := [answer for answer in self.key if answer not in letters or len(answer) != 1]):
            raise ValueError(
                f"the answer to {self.id!r} is {wrong[0]!r}; it is one of the letters {', '.join(letters)}"
            )
        return self

    @property
    def key(self) -> list[str]:
        return self.answer if isinstance(self.answer, list) else [] if self.answer is None else [self.answer]

    def question(self) -> Question:
        return Question(self.id, self.text, tuple(self.options), tuple(self.key))


class Topic(Item):
    """A motion, a question, or a set of questions."""

    items: list[Item] = []

    @model_validator(mode="after")
    def _told_apart(self) -> Topic:
        ids = [item.id for item in self.items]
        if twice := {ident for ident in ids if ids.count(ident) > 1}:
            raise ValueError(f"{self.id!r} has two items with the id {min(twice)!r}")
        return self

    def question(self) -> Question:
        return replace(super().question(), items=tuple(item.question() for item in self.items))


class Topics(_Settings):
    name: str
    limit: int | None = Field(default=None, ge=1)
    questions: list[Topic] = []
    file: str | None = None


def _top(value: Any) -> Any:
    if value is None or value == "all" or (isinstance(value, int) and value >= 1):
        return value
    raise ValueError("it is a number of agents from 1 on, or all for the whole order")


class Stop(_Settings):
    """When a tournament stops before everything was played; a rule that is null stops nothing."""

    matches: int | None = Field(default=None, ge=1)
    usd: float | None = Field(default=None, gt=0)
    top: Annotated[int | Literal["all"] | None, BeforeValidator(_top)] = None
    level: float = Field(default=0.05, gt=0, lt=1)


class Schedule(_Settings):
    name: str
    mirrored: bool
    repeats: int = Field(ge=1)
    params: dict[str, Any] = {}
    stop: Stop = Stop()


class _Account(_Settings):
    """What an account with a provider allows; null for what only the provider knows. `bounded` is whether it keeps to an output
    limit, reasoning included."""

    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    concurrency: int | None = Field(default=None, ge=1)


def _address(url: str | None) -> str | None:
    """An address as it may be recorded: experiment.yaml and the report hold it."""
    if url and set("@?#") & set(url):
        raise PydanticCustomError(
            "address", "an address that is recorded may hold no user, password or query; keys come from the environment"
        )
    return url


def _variable(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise PydanticCustomError("variable", "it is the name of an environment variable, never the key itself")
    return name


Address = Annotated[str | None, AfterValidator(_address)]
Variable = Annotated[str | None, AfterValidator(_variable)]


class OpenAIProvider(_Account):
    api: Literal["openai"]
    bounded: bool = True
    base_url: Address = None
    base_url_env: Variable = None
    key_env: Variable
    output_limit: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    dialect: Literal["openai", "openrouter"] = "openai"
    refused: dict[str, list[str]] = {}


class AnthropicProvider(_Account):
    api: Literal["anthropic"]
    bounded: bool = True
    base_url: Address = None
    base_url_env: Variable = None
    key_env: Variable
    max_output_tokens: int = Field(default=8192, gt=0)
    refused: dict[str, list[str]] = {}


class LiteLLMProvider(_Account):
    api: Literal["litellm"]
    bounded: bool = False
    refused: dict[str, list[str]] = {}


class ScriptedProvider(_Settings):
    api: Literal["scripted"]
    scripts: dict[str, list[str | list[str]]] = {}
    refused: dict[str, list[str]] = {}


class SimulatedProvider(_Settings):
    api: Literal["simulated"]
    latency_s: float = Field(default=0.0, ge=0)
    presets: dict[str, dict[str, float]] = {}
    answers: dict[str, str] = {}
    refused: dict[str, list[str]] = {}


class InstalledProvider(BaseModel):
    """A provider that another package brings (entry point `arena.models`): its settings are its own."""

    model_config = ConfigDict(extra="allow")

    api: str
    refused: dict[str, list[str]] = {}


_OURS = {
    "openai": OpenAIProvider,
    "anthropic": AnthropicProvider,
    "litellm": LiteLLMProvider,
    "scripted": ScriptedProvider,
    "simulated": SimulatedProvider,
}


def _provider(settings: Any) -> dict[str, Any]:
    """The settings of a provider, validated by its `api` and completed."""
    if not isinstance(settings, dict) or "api" not in settings:
        raise ValueError("a provider needs `api`")
    api = str(settings["api"])  # pyright: ignore[reportUnknownArgumentType]
    if api in _OURS:
        return _OURS[api].model_validate(settings).model_dump()
    installed = sorted(point.name for point in entry_points(group="arena.models"))
    if api not in installed:
        raise ValueError(f"api can be {', '.join([*_OURS, *installed])}, not {api!r}")
    return InstalledProvider.model_validate(settings).model_dump()


Provider = Annotated[dict[str, Any], BeforeValidator(_provider)]


class Price(_Settings):
    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(default=None, ge=0)
    cache_write: float | None = Field(default=None, ge=0)
    as_of: str | None = None


class RunnerSettings(_Settings):
    kind: Literal["local", "ray"] = "local"
    address: str | None = None
    workers: int | None = Field(default=None, ge=1)
    resources: dict[str, float] = {"CPU": 1.0}
    keys: Literal["driver", "node"] = "driver"
    patience_s: float = Field(default=120.0, gt=0)


class CapSettings(_Settings):
    usd: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    calls: int | None = Field(default=None, ge=0)


class BudgetSettings(CapSettings):
    models: dict[str, CapSettings] = {}
    roles: dict[str, CapSettings] = {}
    output_tokens: int = Field(default=8192, ge=1)
    allow_unpriced: bool = False

    @property
    def bounds_replies(self) -> bool:
        """Whether it matters how long a reply can be."""
        caps = (self, *self.models.values(), *self.roles.values())
        return any(cap.usd is not None or cap.tokens is not None for cap in caps)


class LimitSettings(_Settings):
    concurrency: int = Field(ge=1)
    per_model: int | None = Field(ge=1)
    tries: int = Field(ge=1)
    timeout_s: float = Field(gt=0)
    total_s: float = Field(gt=0)


class Settings(_Settings):
    """A run's whole configuration, as `experiment.yaml` holds it."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    name: str | None
    runs: str
    condition: str
    seed: int
    attempts: int = Field(ge=1)
    matches: str | None
    given: str | None = None
    """Where `arena rejudge` keeps what was said in the matches that are judged again, `arena reread` what is read."""
    joined: str | None = None
    """Where `arena run --join` keeps what was played in the tournament that is joined."""
    recorded: str | None = None
    """The run directory that `arena reread` reads, and whose table of readings it fills."""
    seats: dict[str, Seated]
    agents: dict[str, Named]
    game: Game
    judge: Judge
    families: dict[str, str | None] = {}
    """Pattern of model ids to the family of the models; null for none."""
    topics: Topics
    schedule: Schedule
    provider: dict[str, Provider]
    prices: dict[str, Price]
    limits: LimitSettings
    chaos: float = Field(default=0.0, ge=0, lt=1)
    """The share of the calls that are let go wrong on purpose."""
    budget: BudgetSettings = BudgetSettings()
    runner: RunnerSettings = RunnerSettings()

    @model_validator(mode="after")
    def _safe_name(self) -> Settings:
        for key, word in (("name", self.name), ("condition", self.condition)):
            if word is not None and not re.fullmatch(r"[\w][\w.+=,-]*", word):
                raise ValueError(f"{key}: {word!r} must be a plain word (letters, digits, . _ - + = ,), not a path")
        return self
