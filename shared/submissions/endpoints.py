"""Where a provider's calls go, and the headers that carry its key: as its row, the environment and its protocol say.

Sources: platform.claude.com/docs/en/api/overview and ai.google.dev/api (headers of the key);
learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle (Azure's v1 API; in the dated one before it, the
deployment stands in the path, and `api-version` in the query).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from shared.environment import provider_key, provider_url, url_name
from shared.settings import settings
from shared.submissions.catalogue_rows import Provider

#: The header of the key by protocol, of rows that do not name another; of all other protocols OpenAI's.
_KEY_HEADERS: Final[Mapping[str, str]] = {"anthropic": "x-api-key", "google": "x-goog-api-key"}
_BEARER: Final = "authorization"
#: What a protocol demands beside it. Newer features of Anthropic's have needed no other version.
_BESIDE: Final[Mapping[str, Mapping[str, str]]] = {"anthropic": {"anthropic-version": "2023-06-01"}}
#: What the simulator gets for a key. No sentence has it: errors hide the key that their call had.
SIMULATOR_KEY: Final = "simulator-no-key"
#: In an address, where the upstream name of the model goes.
_MODEL: Final = "{model}"


@dataclass(frozen=True)
class Endpoint:
    """Where a provider's calls go, and with which key. What its address has after a `?` goes with every call."""

    base_url: str
    key: str
    simulated: bool

    def address(self, path: str, model: str = "") -> str:
        """The address of an operation.

        >>> Endpoint("https://r.example/deployments/{model}?api-version=1", "k", False).address("/chat", "my gpt")
        'https://r.example/deployments/my%20gpt/chat?api-version=1'
        """
        base, question, query = self.base_url.partition("?")
        return base.rstrip("/").replace(_MODEL, quote(model, safe="")) + path + question + query


def key_headers(provider: Provider, key: str) -> dict[str, str]:
    """The headers with the key, in its row's or its protocol's way; without a key, what else the protocol demands."""
    name = provider.key_header or _KEY_HEADERS.get(provider.protocol, _BEARER)
    headers = {name: f"Bearer {key}" if name == _BEARER else key} if key else {}
    return {**headers, **_BESIDE.get(provider.protocol, {})}


def endpoint(provider: Provider) -> Endpoint | None:
    """The real provider when the environment has its key, or needs none; else the simulator if one is up; else None."""
    url = base_url(provider)
    key = provider_key(provider.key) if provider.key else None
    simulated = _simulated(provider)
    if url and (key or ((provider.key_optional or not provider.key) and simulated is None)):
        return Endpoint(url, key or "", simulated=False)
    return simulated


def base_url(provider: Provider) -> str:
    """Where a provider is: as the environment says, else its row; empty: nowhere."""
    if not (given := provider_url(provider.name, provider.url)):
        return provider.base_url
    base, question, query = given.partition("?")
    base = base.rstrip("/")
    whole = base.endswith(provider.path) or _MODEL in base
    return (base if whole else base + provider.path) + question + query


def url_variable(provider: Provider) -> str:
    """The name in the environment of a provider's base URL."""
    return provider.url or url_name(provider.name)


def _simulated(provider: Provider) -> Endpoint | None:
    if settings().environment == "embedded" and settings().simulator_url and provider.simulated_path:
        return Endpoint(settings().simulator_url.rstrip("/") + provider.simulated_path, SIMULATOR_KEY, simulated=True)
    return None
