"""Adapters of providers: one module or package a wire protocol, found by the `protocol` of a catalogue row.

A provider of a known protocol needs no code: a row in the catalogue is enough. A new protocol is one module here,
`workers/providers/NAME.py`, or a package of that name, with `connect(provider, endpoint, client) -> Upstream`;
nothing else names it. `tests/providers/protocols/example.py` is a whole one. Its author has to know:

- `Upstream.call` makes one attempt. It never retries and never falls back: `workers.running.retry` decides.
- Whatever waits for the provider stands in `with exchange:`, of an `upstream.exchange.Exchange(call.limits)`: it keeps
  the limits of time, and turns what breaks into ProviderErrors. `upstream.post.post` sends and reads a whole answer,
  `upstream.event_stream.follow` gives one that comes as server-sent events, event by event, to what puts it together,
  and keeps the rules of streams; `events` is the bare stream. Errors leave through `exchange.mark`; what the provider
  calls the call by is `exchange.request_ids`, by which its export of usage is reconciled.
- What fails is a ProviderError, with the provider's status and code. An error status is read by `upstream.post`; an
  error in a 200 by `upstream.error_codes`; what each code means is in `upstream.faults`. An answer of the wrong shape
  is `answers.shape.wrong`, which names the field: asked again, the provider would answer the same and be paid again.
- `call.request` is the canonical request (OpenAI's fields). Only fields that the provider knows are sent; the others
  are listed in the answer's `ignored`.
- The answer is in the canonical shape: `answers.results` makes it, of choices that `answers.choice.Choice` puts
  together, whole or from deltas. Usage that the provider does not report is estimated by `answers.estimates`.
- With a `call.sink` a stream is wanted: `sink.send` each part as it comes. What is sent adds up to the whole answer.
  Call `exchange.begin()` at the first content, `exchange.whole()` and `call.on_whole()` when all of it has come. An
  adapter that cannot stream leaves the sink alone: the whole answer is streamed at its end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any, Protocol

from shared.providers.limits import RateLimits
from shared.submissions.catalogue import SANDBOX, Catalogue, Endpoint, Provider, endpoint
from shared.submissions.offers import Offer
from shared.submissions.schemas import Usage
from shared.submissions.sending import Sending
from workers.upstream.http import HttpClient
from workers.upstream.time_limits import TimeLimits, limits
from workers.upstream.transport import ProviderClient

__all__ = ["ProviderAnswer", "ProviderCall", "Sink", "TimeLimits", "Upstream", "connect", "http_client", "limits"]


class Sink(Protocol):
    """Where the chunks of a streamed answer go; never waits, never fails."""

    @property
    def began(self) -> bool:
        """Something visible has been sent, after which nothing else may be said in its place."""

    def send(self, head: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> None:
        """Send the choices of a chunk (`shared.answers.streams.part`); `head` has its id, created and model."""


@dataclass(slots=True)
class ProviderCall:
    """One call to make: the canonical request, and the offer that is to serve it.

    With a `sink` the answer is wanted as it comes, besides the whole; an adapter that cannot stream leaves it alone.
    What is sent must be what the whole will have: the same id, created and model, the same texts in the same order.
    Nothing changes a call or an answer; they are not frozen, since freezing doubles what making one costs.
    """

    job_id: str
    type: str
    request: dict[str, Any]
    offer: Offer
    sink: Sink | None = None
    limits: TimeLimits = field(default_factory=limits)
    #: Called when a streamed answer has come whole, though its end may not have been passed on yet.
    on_whole: Callable[[], None] = lambda: None
    #: What its model is sent, once that was looked up (`openai.request.sending_of`): the same to its end.
    sending: Sending | None = field(default=None, init=False, repr=False)
    #: Which fields of the request go on, and which are told of (`openai.request.Chosen`), once that was worked out.
    chosen: tuple[tuple[str, ...], tuple[str, ...]] | None = field(default=None, init=False, repr=False)

    @property
    def service_tier(self) -> str | None:
        """The service tier to ask for, in canonical terms (`flex`, `default`); None: nothing is to be said."""
        return self.offer.service_tier or self.request.get("service_tier")


@dataclass(slots=True)
class ProviderAnswer:
    """A whole, good answer: the canonical result body (without credits), what it used, what was not passed on."""

    body: dict[str, Any]
    usage: Usage
    status_code: int = 200
    ignored: list[str] = field(default_factory=list)
    #: What the provider said of its rate limits.
    limits: RateLimits | None = None
    #: By what the provider knows the calls that were made for it, as far as it said.
    request_ids: Sequence[str] = ()


class Upstream(Protocol):
    """One provider, ready to be called."""

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        """Make one attempt within the call's limits; raises ProviderError. Never retries: `running.retry` does."""


def http_client(in_flight: int) -> ProviderClient:
    """The client that all providers of a process are called with; its owner closes it."""
    return ProviderClient(in_flight)


def connect(catalogue: Catalogue, client: HttpClient) -> dict[str, Upstream]:
    """Every provider that this process can reach: those with a key, the simulated ones, and the sandbox."""
    reachable: dict[str, Upstream] = {}
    for name, provider in catalogue.providers.items():
        where = Endpoint("", "", simulated=False) if name == SANDBOX else endpoint(provider)
        if where is not None:
            reachable[name] = _adapter(provider).connect(provider, where, client)
    return reachable


def _adapter(provider: Provider) -> Any:
    """The module that speaks a provider's protocol; without one the process ends with a sentence."""
    module = f"{__name__}.{provider.protocol}"
    if not provider.protocol.isidentifier() or find_spec(module) is None:
        known = ", ".join(sorted(one.name for one in iter_modules(__path__) if one.name != SANDBOX))
        raise SystemExit(f"catalogue: providers.{provider.name}.protocol: {provider.protocol!r} is none of {known}")
    return import_module(module)
