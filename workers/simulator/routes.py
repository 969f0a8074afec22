"""Who answers a path, and in whose protocol. The surface is data: TABLE has one row for each operation."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from workers.simulator import anthropic, data_hub, google, media, openai, web_search
from workers.simulator.messages import Protocol, SimulatedReply, SimulatedRequest, Twist

Handler = Callable[[SimulatedRequest, Twist], SimulatedReply]

_LIKE_OPENAI = r"/(?P<provider>[^/]+)(?:/v1(?:beta)?)?(?:/openai)?(?:/v1)?"
_GEMINI = r"/(?P<provider>google)/v1(?:beta)?/models/(?P<name>[^:/]+):"

#: The whole surface: method, path, protocol, handler. The first row that matches answers.
TABLE: tuple[tuple[str, str, Protocol, Handler], ...] = (
    ("POST", r"/(?P<provider>anthropic)/v1/messages", "anthropic", anthropic.messages),
    ("POST", r"/(?P<provider>anthropic)/v1/messages/count_tokens", "anthropic", anthropic.count_tokens),
    ("POST", _GEMINI + "generateContent", "google", google.generate),
    ("POST", _GEMINI + "streamGenerateContent", "google", google.stream),
    ("POST", _GEMINI + "countTokens", "google", google.count_tokens),
    ("POST", _GEMINI + "embedContent", "google", google.embed),
    ("POST", _GEMINI + "batchEmbedContents", "google", google.batch_embed),
    ("GET", r"/(?P<provider>google)/v1(?:beta)?/models", "google", media.models),
    ("GET", r"/(?P<provider>datahub)/entities/(?P<name>[^/]+/.+)", "openai", data_hub.entity),
    ("GET", r"/(?P<provider>searxng)/search", "openai", web_search.searxng),
    ("GET", r"/(?P<provider>brave)/res/v1/web/search", "openai", web_search.brave),
    ("POST", r"/(?P<provider>tavily)/search", "openai", web_search.tavily),
    ("POST", _LIKE_OPENAI + "/chat/completions", "openai", openai.chat),
    ("POST", _LIKE_OPENAI + "/embeddings", "openai", media.embeddings),
    ("POST", _LIKE_OPENAI + "/images/generations", "openai", media.images),
    ("GET", _LIKE_OPENAI + "/models", "openai", media.models),
    ("GET", _LIKE_OPENAI + "/models/(?P<name>.+)", "openai", media.model),
)
_ROWS = [(method, re.compile(pattern), protocol, handler) for method, pattern, protocol, handler in TABLE]


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers a path, and in whose protocol; without a handler, the status that says why nobody does."""

    provider: str
    protocol: Protocol
    handler: Handler | None = None
    name: str = ""
    status: int = 404


@lru_cache(maxsize=4096)
def find(method: str, path: str) -> Route:
    """Find who answers; an unknown path is refused in its provider's own shape."""
    status = 404
    for wanted, pattern, protocol, handler in _ROWS:
        if found := pattern.fullmatch(path):
            groups = found.groupdict()
            protocol = "google-openai" if protocol == "openai" and groups["provider"] == "google" else protocol
            if wanted == method:
                return Route(groups["provider"], protocol, handler, groups.get("name") or "")
            status = 405
    provider = path.split("/")[1]
    own: dict[str, Protocol] = {"anthropic": "anthropic", "google": "google"}
    return Route(provider, own.get(provider, "openai"), status=status)
