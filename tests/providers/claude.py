"""Calls of the Anthropic adapter: a canonical request in, its answer and what was streamed of it out."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from shared.submissions.catalogue import Endpoint, Provider
from shared.submissions.offers import Offer
from shared.submissions.schemas import read_submission
from shared.submissions.sending import Sending
from tests.providers.heard import Heard
from tests.providers.test_call_limits import PATIENT
from workers.providers import ProviderAnswer, ProviderCall, anthropic
from workers.providers.anthropic.request import Composed, composed
from workers.upstream.transport import ProviderClient

OFFER = Offer(
    provider="anthropic",
    model="claude-3-opus",
    upstream="claude-haiku-4-5",
    input=1,
    output=1,
    version="v",
    bound_micros=1,
    max_output=4096,
)
#: What the shipped row of the provider takes.
TAKES = frozenset({"cache_control", "is_error", "reasoning", "thinking", "thinking_blocks", "top_k"})
SENDING = Sending(takes=TAKES, either=("temperature", "top_p"))


def call(body: Mapping[str, Any], *, upstream: str = OFFER.upstream, sink: Heard | None = None) -> ProviderCall:
    """A call of what a customer asked for, read as the API reads it."""
    asked = read_submission("chat.completion", {"model": "claude", **body})
    request = orjson.loads(asked.json)
    return ProviderCall("job_1", "chat.completion", request, replace(OFFER, upstream=upstream), sink, PATIENT)


def composed_of(
    body: Mapping[str, Any], *, upstream: str = OFFER.upstream, sending: Sending = SENDING, sink: Heard | None = None
) -> Composed:
    """What is sent for a customer's body, and what is not."""
    return composed(call(body, upstream=upstream, sink=sink), sending)


def sent(body: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """What is sent for a customer's body, all of which the provider has a place for."""
    made = composed_of(body, **given)
    assert made.ignored == []
    return made.body


def user(*content: Any) -> dict[str, Any]:
    """A turn of the user."""
    return {"role": "user", "content": content[0] if content and isinstance(content[0], str) else list(content)}


def answer(url: str, one: ProviderCall, key: str = "key") -> ProviderAnswer:
    """The answer of the provider at an address."""

    async def main() -> ProviderAnswer:
        async with ProviderClient(2) as client:
            row = Provider(name="anthropic", protocol="anthropic")
            return await anthropic.connect(row, Endpoint(url, key, False), client).call(one)

    return asyncio.run(main())
