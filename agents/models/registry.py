"""Providers by name: opens a provider's client when the first of its models is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from agents.models.scripted import ScriptedModel
from agents.models.simulated import Preset, SimulatedModel
from arena.mistake import Mistake
from arena.types import Model

LOCAL = ("simulated", "scripted")
"""The kinds of provider that need neither network nor money."""


class ProviderError(Mistake):
    """A provider that is not there or not set up. The message says what to do."""


class Models:
    """The models of a run, by id (`provider/model`)."""

    def __init__(
        self,
        providers: Mapping[str, Mapping[str, Any]],
        timeout_s: float,
        *,
        ceilings: Mapping[str, Mapping[str, float]] | None = None,
        wrap: Callable[[Model], Model] | None = None,
    ):
        """`ceilings` are the most that a model may cost in USD per million tokens of `input` and `output`, by id, for the
        providers that heed it. `wrap` is put around every client that is opened."""
        self._providers = providers
        self._timeout_s = timeout_s
        self._ceilings = ceilings or {}
        self._wrap = wrap
        self._open: dict[str, Model] = {}

    def model(self, name: str) -> Model:
        """The model that completes requests for `name`; its client belongs to the running event loop.

        Raises `ProviderError`.
        """
        provider = name.partition("/")[0]
        if provider not in self._open:
            self.known(name)
            try:
                model = self._connect(provider)
            except ProviderError:
                raise
            except OSError as problem:
                raise ProviderError(
                    f"provider {provider!r} cannot be called: the certificates that SSL_CERT_FILE or SSL_CERT_DIR names "
                    f"cannot be read: {problem}"
                ) from problem
            except ValueError as problem:
                raise ProviderError(f"provider {provider!r} cannot be called: {problem}") from problem
            self._open[provider] = model if self._wrap is None else self._wrap(model)
        return self._open[provider]

    def known(self, name: str) -> None:
        """Raises `ProviderError` if there is no such provider or preset. Nothing is connected, no key is needed."""
        provider, _, rest = name.partition("/")
        if not rest:
            raise ProviderError(f"{name!r} is no model id: it is `provider/model`, for instance openai/gpt-4o")
        if provider in self._open:
            return
        settings = self._providers.get(provider)
        if settings is None:
            there = ", ".join(sorted(self._providers))
            raise ProviderError(f"{name!r} names the provider {provider!r}, which is not in conf/provider: {there}")
        if settings["api"] == "simulated":
            presets, preset = settings["presets"], rest.partition(":")[0]
            if preset not in presets:
                raise ProviderError(f"there is no preset {preset!r} for {name}; there are {', '.join(sorted(presets))}")

    def add(self, provider: str, model: Model) -> None:
        """Answer a provider's ids with this model, whatever the configuration says. For tests and notebooks."""
        self._open[provider] = model

    async def close(self) -> None:
        for model in self._open.values():
            close = getattr(model, "close", None)
            if close is not None:
                await close()
        self._open.clear()

    def _connect(self, provider: str) -> Model:
        settings = self._providers[provider]
        api = settings["api"]
        if api == "openai":
            return _openai(provider, settings, self._timeout_s, self._ceilings)
        if api in _BUILDERS:
            return _BUILDERS[api](provider, settings, self._timeout_s)
        for point in entry_points(group="arena.models", name=api):
            return point.load()(settings, self._timeout_s)
        raise ProviderError(
            f"provider.{provider}.api is {api!r}; it can be {', '.join(sorted(['openai', *_BUILDERS]))}"
        )


def _simulated(provider: str, settings: Mapping[str, Any], timeout_s: float) -> Model:
    presets = {name: Preset(**values) for name, values in settings["presets"].items()}
    return SimulatedModel(presets, settings["latency_s"], settings["answers"])


def _scripted(provider: str, settings: Mapping[str, Any], timeout_s: float) -> Model:
    return ScriptedModel(settings["scripts"])


def _openai(
    provider: str, settings: Mapping[str, Any], timeout_s: float, ceilings: Mapping[str, Mapping[str, float]]
) -> Model:
    from agents.models.openai import OpenAIModel

    return OpenAIModel(
        api_key=_key(provider, settings),
        base_url=_base_url(settings),
        timeout_s=timeout_s,
        output_limit=settings["output_limit"],
        dialect=settings["dialect"],
        ceilings=ceilings if settings["dialect"] == "openrouter" else None,
    )


def _anthropic(provider: str, settings: Mapping[str, Any], timeout_s: float) -> Model:
    from agents.models.anthropic import AnthropicModel

    return AnthropicModel(
        api_key=_key(provider, settings),
        base_url=_base_url(settings),
        timeout_s=timeout_s,
        max_output_tokens=settings["max_output_tokens"],
    )


def _litellm(provider: str, settings: Mapping[str, Any], timeout_s: float) -> Model:
    from agents.models.litellm import LiteLLMModel

    try:
        return LiteLLMModel(timeout_s=timeout_s)
    except ImportError as problem:
        raise ProviderError(str(problem)) from problem


_BUILDERS: dict[str, Callable[[str, Mapping[str, Any], float], Model]] = {
    "anthropic": _anthropic,
    "litellm": _litellm,
    "simulated": _simulated,
    "scripted": _scripted,
}


def _key(provider: str, settings: Mapping[str, Any]) -> str:
    variable = settings["key_env"]
    if variable is None:
        return "none"
    key = os.environ.get(variable)
    if not key:
        raise ProviderError(
            f"provider {provider!r} needs a key: set {variable} in the environment or in .env "
            "(any word will do for a server of your own that asks for none)"
        )
    return key


def _base_url(settings: Mapping[str, Any]) -> str | None:
    variable = settings["base_url_env"]
    return settings["base_url"] or (os.environ.get(variable) if variable else None) or None
