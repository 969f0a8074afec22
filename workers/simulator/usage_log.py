"""What each provider counts of the calls it has answered, as it would bill them: a row a call, with its request id.

A call is counted when its answer is made, whoever is still there to read it: so a real provider counts the calls of
clients that are killed. Refusals and faults that come instead of an answer cost nothing.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from shared import clock
from workers.simulator.call import SimulatedCall
from workers.simulator.messages import SimulatedReply

Kind = Literal["completions", "embeddings", "images"]
#: The log keeps this many calls; the oldest are dropped.
MOST_BILLED: Final = 500_000
#: From this status on an answer is a refusal.
REFUSED_FROM: Final = 400
#: Where the provider tells the request's id; Google's API tells none.
ID_HEADERS: Final[Mapping[str, bytes]] = {"openai": b"x-request-id", "anthropic": b"request-id"}


@dataclass(frozen=True, slots=True)
class Billed:
    """One call, in disjoint counts of tokens."""

    at: int
    provider: str
    model: str
    request_id: str
    kind: Kind
    input: int = 0
    cached: int = 0
    write_5m: int = 0
    write_1h: int = 0
    output: int = 0
    images: int = 0
    #: Of which size they are, as it was asked for; empty: the provider's own choice.
    size: str = ""


class UsageLog:
    """What was billed since the start; a new script does not forget it."""

    def __init__(self) -> None:
        self._rows: deque[Billed] = deque(maxlen=MOST_BILLED)

    def rows(self, provider: str = "") -> Iterator[Billed]:
        """The calls in the order of their answers."""
        return (row for row in self._rows if provider in ("", row.provider))

    def note(self, call: SimulatedCall, counted: SimulatedReply, id: str) -> None:
        """Count a call by the answer that the provider means to give, whatever becomes of that on its way."""
        if counted.status >= REFUSED_FROM:
            return
        kind, used = _kind(call.request.path), _usage(counted)
        images = _images(counted) if kind == "images" else 0
        if not used and not images:
            return
        size = str(call.request.body.get("size") or "") if images else ""
        row = Billed(
            clock.now_seconds(), call.route.provider, call.model, id, kind, **_tokens(used), images=images, size=size
        )
        self._rows.append(row)


def name(call: SimulatedCall) -> tuple[str, tuple[bytes, bytes] | None]:
    """A fresh id of a call, and the header that tells it, where its provider does."""
    id = clock.new_id("req")
    header = ID_HEADERS.get(call.route.protocol)
    return id, (header, id.encode()) if header else None


def _kind(path: str) -> Kind:
    if path.endswith("/images/generations"):
        return "images"
    return "embeddings" if "mbed" in path else "completions"  # `/embeddings`, `:embedContent`, `:batchEmbedContents`


def _usage(reply: SimulatedReply) -> dict[str, Any]:
    """All that an answer says of usage; in a stream the later word counts."""
    found: dict[str, Any] = {}
    for text in [reply.body] if reply.events is None else reply.events:
        if b'"usage' in text:
            body = orjson.loads(text[text.index(b"{") :] if reply.events is not None else text)
            for place in body if isinstance(body, list) else [body, body.get("message") or {}]:
                found |= place.get("usage") or place.get("usageMetadata") or {}
    return found


def _images(reply: SimulatedReply) -> int:
    return len(orjson.loads(reply.body).get("data") or ())


def _tokens(used: Mapping[str, Any]) -> dict[str, int]:
    """The counts of any protocol's usage, each token in one of them."""
    if "promptTokenCount" in used:
        output = used.get("candidatesTokenCount", 0) + used.get("thoughtsTokenCount", 0)
        cached = used.get("cachedContentTokenCount", 0)
        return {"input": used["promptTokenCount"] - cached, "cached": cached, "output": output}
    if "cache_read_input_tokens" in used:
        written = used.get("cache_creation") or {}
        return {
            "input": used["input_tokens"],
            "cached": used["cache_read_input_tokens"],
            "write_5m": written.get("ephemeral_5m_input_tokens", 0),
            "write_1h": written.get("ephemeral_1h_input_tokens", 0),
            "output": used.get("output_tokens", 0),
        }
    prompt = used.get("prompt_tokens", used.get("input_tokens", 0))
    cached = (used.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    output = used.get("completion_tokens", used.get("output_tokens", 0))
    return {"input": prompt - cached, "cached": cached, "output": output}
