"""Which providers have a key, and whether the provider accepts it, checked once."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import httpx

from fusionai.plain import outgoing
from shared import network
from shared.environment import provider_key
from shared.submissions.catalogue import SANDBOX, Catalogue, Endpoint, Provider, base_url, key_headers

#: Seconds for one check, from connecting to the answer.
CHECK_SECONDS = 5.0
#: How many first and last characters of a key are shown, and from which length on.
_SHOWN, _LEAST_LENGTH = 3, 10

Finding = Literal["accepted", "refused", "unreachable", "unclear"]


@dataclass(frozen=True)
class KeyCheck:
    """The check of a provider's key; `status_code` None: it could not be reached, `through` that proxy."""

    provider: Provider
    status_code: int | None
    through: str = ""
    #: The provider says that the key is wrong, whatever its status.
    named: bool = False

    @property
    def finding(self) -> Finding:
        """A rate limit (429) means that the key is good; 404 or 5xx leaves it open."""
        if self.status_code is None:
            return "unreachable"
        if self.named or self.status_code in (401, 402, 403):
            return "refused"
        return "accepted" if self.status_code < 300 or self.status_code == 429 else "unclear"

    @property
    def words(self) -> str:
        """`accepted`, `key refused (401)`, `could not be reached`."""
        words = {"accepted": "accepted", "refused": f"key refused ({self.status_code})"}
        unclear = f"answered {self.status_code}; whether the key is accepted is unknown"
        words |= {"unreachable": f"could not be reached{self.through}", "unclear": unclear}
        return words[self.finding]


def with_key(catalogue: Catalogue) -> list[Provider]:
    """The providers whose keys are in the environment: their calls cost money."""
    return [provider for provider in catalogue.providers.values() if provider.key and provider_key(provider.key)]


def without_key(catalogue: Catalogue) -> list[Provider]:
    """The providers that serve models, need a key and have none; without a simulator their models answer 502."""
    serving = (provider for name, provider in catalogue.providers.items() if name in catalogue.queued)
    return [one for one in serving if one.key and not one.key_optional and not provider_key(one.key)]


def without_need(catalogue: Catalogue) -> list[Provider]:
    """The servers of one's own: providers that need no key and that the environment or their row says the place of."""
    return [one for one in catalogue.providers.values() if (one.key_optional or not one.key) and base_url(one)]


def without_url(catalogue: Catalogue) -> list[Provider]:
    """The providers that serve models and whose place neither the environment nor their row says."""
    serving = (provider for name, provider in catalogue.providers.items() if name in catalogue.queued)
    return [one for one in serving if one.name != SANDBOX and not base_url(one)]


def masked(key: str) -> str:
    """`sk-…nse`: enough to recognise a key."""
    return f"{key[:_SHOWN]}…{key[-_SHOWN:]}" if len(key) >= _LEAST_LENGTH else "…"


def named(provider: Provider) -> str:
    """`openai (OPENAI_API_KEY sk-…nse)`."""
    return f"{provider.name} ({provider.key} {masked(provider_key(provider.key or '') or '')})"


class KeyChecks:
    """Checks every key once, all at the same time in threads of their own."""

    def __init__(self, providers: Sequence[Provider], *, transport: httpx.BaseTransport | None = None) -> None:
        self._providers = list(providers)
        self._transport = transport
        self._found: dict[str, KeyCheck] = {}
        for provider in self._providers:
            threading.Thread(target=self._try, args=(provider,), name=f"key of {provider.name}", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether every check has its answer."""
        return len(self._found) == len(self._providers)

    def found(self, provider: Provider) -> KeyCheck | None:
        """The check of a provider; None while it is under way."""
        return self._found.get(provider.name)

    def _try(self, provider: Provider) -> None:
        self._found[provider.name] = check_key(provider, transport=self._transport)


def check_key(provider: Provider, *, transport: httpx.BaseTransport | None = None) -> KeyCheck:
    """Ask a provider for its models with the key of the environment; it costs nothing."""
    key = provider_key(provider.key or "") or ""
    url = base_url(provider)
    proxy = network.routes().proxy(url)
    way = transport or outgoing.transport(url)
    try:
        with httpx.Client(timeout=CHECK_SECONDS, transport=way, trust_env=False) as client:
            answer = client.get(
                Endpoint(url, key, simulated=False).address("/models"), headers=key_headers(provider, key)
            )
            return KeyCheck(provider, answer.status_code, named=_names_the_key(answer))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError):
        return KeyCheck(provider, None, f" through the proxy {proxy.place}" if proxy else "")


def _names_the_key(answer: httpx.Response) -> bool:
    """Whether a 400 is Google's for a wrong key: ai.google.dev/gemini-api/docs/troubleshooting."""
    return answer.status_code == 400 and b"API_KEY_INVALID" in answer.content
