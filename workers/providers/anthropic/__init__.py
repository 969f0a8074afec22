"""Anthropic's own protocol, the Messages API: chat completions, whole or streamed.

Source: platform.claude.com/docs/en/api/messages/create and …/api/overview (headers). What is sent is in `request`, what
comes back in `answers` and `stream`.
"""

from collections.abc import Mapping
from typing import Any

from shared.errors import ProviderError
from shared.submissions.catalogue import Endpoint, Provider, key_headers
from shared.submissions.schemas import Usage
from workers.answers.reading import loads
from workers.answers.shape import lacking, wrong
from workers.providers import ProviderAnswer, ProviderCall
from workers.providers.anthropic import answers
from workers.providers.anthropic.request import composed
from workers.providers.anthropic.stream import of_events, stream
from workers.providers.openai.request import sending_of
from workers.upstream import event_stream
from workers.upstream.event_stream import EVENT_STREAM, NotStreamed
from workers.upstream.exchange import Exchange
from workers.upstream.http import HttpClient
from workers.upstream.json_body import encoded
from workers.upstream.post import post


def connect(provider: Provider, endpoint: Endpoint, client: HttpClient) -> "Anthropic":
    """A provider of this protocol at its endpoint."""
    return Anthropic(endpoint, key_headers(provider, endpoint.key), client)


class Anthropic:
    """One provider that speaks Messages."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str], client: HttpClient) -> None:
        self._client = client
        self._url = endpoint.address("/messages")
        self._headers = {**headers, "content-type": "application/json"}

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        """One POST; see Upstream."""
        exchange = Exchange(call.limits)
        if call.type != "chat.completion":
            raise ProviderError(f"the provider does not serve jobs of the type {call.type}", code="UNIMPLEMENTED")
        asked = composed(call, sending_of(call))
        try:
            body, usage = await self._answer(call, encoded(asked.body), exchange)
        except ProviderError as error:
            raise exchange.mark(error) from None
        ignored = [*asked.ignored, "n"] if (call.request.get("n") or 1) > 1 else asked.ignored
        return ProviderAnswer(body, usage, ignored=ignored, limits=exchange.limits, request_ids=exchange.request_ids)

    async def _answer(self, call: ProviderCall, body: bytes, exchange: Exchange) -> tuple[dict[str, Any], Usage]:
        if call.sink is None:
            with exchange:
                _, content = await post(self._client, self._url, self._headers, body, exchange)
            return read(call, content)
        headers = {**self._headers, "accept": EVENT_STREAM}
        try:
            return await stream(self._client, self._url, headers, body, call, exchange)
        except NotStreamed as whole:
            return read(call, whole.content)


def read(call: ProviderCall, content: bytes) -> tuple[dict[str, Any], Usage]:
    """The result of a 200, and what was used; ProviderError when it is none.

    It may have come as the events of a stream, also where none was asked for.
    """
    if event_stream.are_events(content):
        return of_events(call, event_stream.all_of(content))
    try:
        body = loads(content)
    except ValueError:
        raise ProviderError("the provider's response is not valid JSON", upstream_status=200, code="protocol") from None
    if not isinstance(body, dict):
        raise wrong("it", "is not an object")
    try:
        return answers.read(call, body)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise lacking(error) from None
