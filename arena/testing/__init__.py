"""For trying experiments without paying: a loopback endpoint, OpenAI- and Anthropic-compatible, with latency, seeded faults,
limits and counters; models that are scripts or functions; and faults from inside for any model. From a shell the endpoint is
`python -m arena.testing`."""

from agents.models.scripted import FunctionModel, ScriptedModel
from arena.testing.capacity import Capacity
from arena.testing.chaos import Chaos
from arena.testing.endpoint import Counts, Endpoint, Served, serve_in_thread
from arena.testing.faults import KINDS, Faults
from arena.testing.responders import Answered, Api, Exchange, Responder, fill_in, replies, seeded

__all__ = [
    "KINDS",
    "Answered",
    "Api",
    "Capacity",
    "Chaos",
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
    "seeded",
    "serve_in_thread",
]
