"""Outbound adapters: one file a wire protocol, found by the `protocol` of a catalogue row.

Such a file has `connect(provider, endpoint, client) -> Upstream`; a provider of a known protocol needs no file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import httpx

from shared.providers.limits import RateLimits
from shared.submissions.catalogue import SANDBOX, Catalogue, Endpoint, endpoint
from shared.submissions.schemas import Offer, Usage
from workers.upstream.time_limits import TimeLimits, limits

__all__ = ["ProviderAnswer", "ProviderCall", "Sink", "TimeLimits", "Upstream", "connect", "limits"]


class Sink(Protocol):
    """Where the chunks of a streamed answer go; never waits, never fails."""

    @property
    def began(self) -> bool:
        """Something visible has been sent, after which nothing else may be said in its place."""

    def send(self, head: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> None:
        """Send the choices of a chunk (`shared.jobs.streams.part`); `head` has the answer's id, created and model."""


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One call to make: the canonical request, and the offer that is to serve it.

    With a `sink` the answer is wanted as it comes, besides the whole; an adapter that cannot stream leaves it alone.
    What is sent must be what the whole will have: the same id, created and model, the same texts in the same order.
    """

    job_id: str
    type: str
    request: dict[str, Any]
    offer: Offer
    sink: Sink | None = None
    limits: TimeLimits = field(default_factory=limits)
    #: Called when a streamed answer has come whole, though its end may not have been passed on yet.
    come: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """A whole, good answer: the canonical result body (without credits), what it used, what was not passed on."""

    body: dict[str, Any]
    usage: Usage
    status_code: int = 200
    ignored: list[str] = field(default_factory=list)
    #: What the provider said of its rate limits.
    limits: RateLimits | None = None


class Upstream(Protocol):
    """One provider, ready to be called."""

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        """Make one attempt within the call's limits; raises ProviderError. Never retries: `running.retry` does."""


def connect(catalogue: Catalogue, client: httpx.AsyncClient) -> dict[str, Upstream]:
    """Every provider that this process can reach: those with a key, the simulated ones, and the sandbox."""
    reachable: dict[str, Upstream] = {}
    for name, provider in catalogue.providers.items():
        where = Endpoint("", "", simulated=False) if name == SANDBOX else endpoint(provider)
        if where is not None:
            module = import_module(f"workers.providers.{provider.protocol}")
            reachable[name] = module.connect(provider, where, client)
    return reachable
