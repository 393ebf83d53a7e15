"""For trying experiments without paying: a loopback endpoint, OpenAI- and Anthropic-compatible, with latency, seeded faults
and counters, and models that are scripts or functions. From a shell the endpoint is `python -m arena.testing`."""

from agents.models.scripted import FunctionModel, ScriptedModel
from arena.testing.endpoint import Counts, Endpoint, Served, serve_in_thread
from arena.testing.faults import KINDS, Faults
from arena.testing.responders import Answered, Api, Exchange, Responder, fill_in, replies

__all__ = [
    "KINDS",
    "Answered",
    "Api",
    "Counts",
    "Endpoint",
    "Exchange",
    "Faults",
    "FunctionModel",
    "Responder",
    "ScriptedModel",
    "Served",
    "fill_in",
    "replies",
    "serve_in_thread",
]
