"""Which providers are real here, simulated, or without a key; and whether a provider takes its key, tried once."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import httpx

from producer.client import outgoing
from shared import network
from shared.environment import provider_key
from shared.submissions.catalogue import Catalogue, Provider

#: One trial, from connecting to the answer.
TRIAL_SECONDS = 5.0
#: How a provider is shown its key, where that is not as a bearer.
_HEADERS = {"anthropic": {"x-api-key": "{key}", "anthropic-version": "2023-06-01"}}
#: Of a key are shown: the first and the last; none of it when it is shorter than all of these together.
_SHOWN, _LEAST_LENGTH = 3, 10

Finding = Literal["accepted", "refused", "unreachable", "unclear"]


@dataclass(frozen=True)
class Trial:
    """What came of showing a provider its key; `status_code` None: it could not be reached, `through` that proxy."""

    provider: Provider
    status_code: int | None
    through: str = ""

    @property
    def finding(self) -> Finding:
        """A limit that was met (429) says that the key is good; 404 or 5xx says nothing of the key."""
        if self.status_code is None:
            return "unreachable"
        if self.status_code in (401, 402, 403):
            return "refused"
        return "accepted" if self.status_code < 300 or self.status_code == 429 else "unclear"

    @property
    def words(self) -> str:
        """`accepted`, `key refused (401)`, `could not be reached`."""
        told = {"accepted": "accepted", "refused": f"key refused ({self.status_code})"}
        unclear = f"answered {self.status_code}; it is not known whether the key is accepted"
        told |= {"unreachable": f"could not be reached{self.through}", "unclear": unclear}
        return told[self.finding]


def with_key(catalogue: Catalogue) -> list[Provider]:
    """The providers whose keys are in the environment: their calls cost money."""
    return [provider for provider in catalogue.providers.values() if provider.key and provider_key(provider.key)]


def without_key(catalogue: Catalogue) -> list[Provider]:
    """Those that want one which is not there; without a simulator their models answer 502."""
    return [provider for provider in catalogue.providers.values() if provider.key and not provider_key(provider.key)]


def masked(key: str) -> str:
    """`sk-…nse`: enough to tell one key from another."""
    return f"{key[:_SHOWN]}…{key[-_SHOWN:]}" if len(key) >= _LEAST_LENGTH else "…"


def named(provider: Provider) -> str:
    """`openai (OPENAI_API_KEY sk-…nse)`."""
    return f"{provider.name} ({provider.key} {masked(provider_key(provider.key or '') or '')})"


class Trials:
    """Every key shown to its provider once, at the same time, in threads of their own; nobody has to wait."""

    def __init__(self, providers: Sequence[Provider], *, transport: httpx.BaseTransport | None = None) -> None:
        self._providers = list(providers)
        self._transport = transport
        self._found: dict[str, Trial] = {}
        for provider in self._providers:
            threading.Thread(target=self._try, args=(provider,), name=f"key of {provider.name}", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether each has its answer."""
        return len(self._found) == len(self._providers)

    def found(self, provider: Provider) -> Trial | None:
        """What came of it; None while it is under way."""
        return self._found.get(provider.name)

    def _try(self, provider: Provider) -> None:
        self._found[provider.name] = try_key(provider, transport=self._transport)


def try_key(provider: Provider, *, transport: httpx.BaseTransport | None = None) -> Trial:
    """Ask a provider for its models with the key of the environment; it costs nothing."""
    key = provider_key(provider.key or "") or ""
    given = _HEADERS.get(provider.name, {"authorization": "Bearer {key}"})
    headers = {name: value.format(key=key) for name, value in given.items()}
    proxy = network.routes().proxy(provider.base_url)
    way = transport or outgoing.transport(provider.base_url)
    try:
        with httpx.Client(timeout=TRIAL_SECONDS, transport=way, trust_env=False) as client:
            return Trial(provider, client.get(f"{provider.base_url.rstrip('/')}/models", headers=headers).status_code)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError):
        return Trial(provider, None, f" through the proxy {proxy.place}" if proxy else "")
