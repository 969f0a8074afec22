"""One call of a provider over HTTP, and what comes of it, for the upstream zoo and the conformance suite."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final, TypeVar
from urllib.request import Request, urlopen

import orjson

from shared.errors import ProviderError
from shared.providers.states import ANY, name_of
from shared.submissions.catalogue import Endpoint, catalogue
from shared.submissions.offers import Offer
from shared.submissions.schemas import read_submission
from tests.providers.heard import Heard
from tests.providers.test_call_limits import PATIENT
from workers.pacing import Pace, PaceStore
from workers.pacing.gate import Gate, Go
from workers.pacing.pace import Permit
from workers.providers import ProviderAnswer, ProviderCall, TimeLimits, Upstream, anthropic, google, openai
from workers.upstream.transport import ProviderClient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spoken:
    """A wire protocol: its adapter, its place at the simulator, and a model that speaks it there."""

    name: str
    adapter: ModuleType
    path: str
    model: str
    upstream: str


#: The three, of which the provider has the name of the protocol.
PROTOCOLS: Final = {
    one.name: one
    for one in (
        Spoken("openai", openai, "/openai/v1", "gpt-4", "gpt-4o"),
        Spoken("anthropic", anthropic, "/anthropic/v1", "claude-3-opus", "claude-haiku-4-5"),
        Spoken("google", google, "/google/v1beta", "gemini-pro", "gemini-2.5-flash"),
    )
}


class Caller:
    """Makes calls at one simulator, all on one loop and with one client."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._runner = asyncio.Runner()
        self._client = self.run(self._connected())

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """Run it to its end."""
        return self._runner.run(what)

    def close(self) -> None:
        """Hang up."""
        self.run(self._client.aclose())
        self._runner.close()

    def script(self, *rules: Mapping[str, Any]) -> None:
        """Set the simulator's script."""
        urlopen(Request(f"{self.url}/_simulator/script", orjson.dumps({"rules": rules}), method="POST")).close()

    def upstream(self, spoken: Spoken, key: str = "simulated") -> Upstream:
        """The provider of a protocol."""
        endpoint = Endpoint(f"{self.url}{spoken.path}", key, simulated=True)
        made: Upstream = spoken.adapter.connect(catalogue().providers[spoken.name], endpoint, self._client)
        return made

    def try_call(self, spoken: Spoken, call: ProviderCall, key: str = "simulated") -> ProviderAnswer | ProviderError:
        """Its answer, or its error."""
        try:
            return self.run(self.upstream(spoken, key).call(call))
        except ProviderError as error:
            return error

    async def _connected(self) -> Any:
        return ProviderClient(8)


def call_of(
    spoken: Spoken,
    body: Mapping[str, Any],
    *,
    type: Any = "chat.completion",
    sink: Heard | None = None,
    limits: TimeLimits = PATIENT,
    offer: Offer | None = None,
) -> ProviderCall:
    """A call of what a customer asked for, read as the API reads it."""
    request = orjson.loads(read_submission(type, {"model": spoken.model, **body}).json)
    return ProviderCall("job_1", type, request, offer or offer_of(spoken), sink, limits)


def offer_of(spoken: Spoken, **other: Any) -> Offer:
    """What the call is sold as: a micro-credit a token of input, two a token of output."""
    offer = Offer(
        provider=spoken.name, model=spoken.model, upstream=spoken.upstream, input=1_000_000, output=2_000_000,
        version="v", bound_micros=5_000, max_output=500,
    )  # fmt: skip
    return replace(offer, **other)


def breaker(error: ProviderError) -> str:
    """What the pace of the provider learns of a failed first call.

    `well`: it is there; `nothing`; `slower`: less of it, `busy`: the same, and a step towards a pause; `down`: a step
    towards a pause; `barred`, `model barred`: a pause at once, of the provider or of the one model.
    """
    pace = Pace(PaceStore("redis://unused"), "worker")
    whole, one = Gate(name_of("p", ANY), "worker"), Gate(name_of("p", "m"), "worker")
    pace._gates.update({whole.name: whole, one.name: one})
    one.in_flight = 1
    pace.failed(Permit(pace, one, Go(one.state.version), whole.state.version), error)
    if whole.report.barred or one.report.barred:
        return "barred"
    if one.report.refused:
        return "busy" if one.report.failed else "slower"
    if one.report.failed or whole.report.failed:
        return "down"
    return "well" if one.report.admitted else "nothing"
