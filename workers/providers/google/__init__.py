"""Google's Gemini API in its own protocol: generateContent, whole or streamed; embeddings; images.

Source: https://ai.google.dev/api/generate-content, https://ai.google.dev/api/embeddings. The key goes in the header
`x-goog-api-key`, never into the address. What is sent is in `request` and `contents`, what comes back in `answers`.
"""

from collections.abc import Mapping
from typing import Any

import httpx

from shared import clock
from shared.errors import ProviderError
from shared.submissions.catalogue import Endpoint, Provider
from shared.submissions.schemas import Usage
from workers.answers.reading import loads
from workers.answers.shape import lacking, wrong
from workers.providers import ProviderAnswer, ProviderCall
from workers.providers.google import usage
from workers.providers.google.answers import Reader
from workers.providers.google.request import ignored, payload
from workers.providers.openai import answers as canonical
from workers.providers.openai import failure
from workers.upstream.exchange import Exchange
from workers.upstream.post import post


def connect(provider: Provider, endpoint: Endpoint, client: httpx.AsyncClient) -> "Google":
    """A provider of this protocol at its endpoint."""
    return Google(endpoint, client)


class Google:
    """One provider of the Gemini API."""

    def __init__(self, endpoint: Endpoint, client: httpx.AsyncClient) -> None:
        self._client = client
        self._base = endpoint.base_url.rstrip("/")
        self._headers = {"x-goog-api-key": endpoint.key, "content-type": "application/json"}

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        """One POST; see Upstream."""
        exchange = Exchange(call.limits)
        try:
            with exchange:
                url = self._url(call, "generateContent")
                status, content = await post(self._client, url, self._headers, payload(call), exchange)
            result, used = _whole(call, status, content, exchange)
        except ProviderError as error:
            raise exchange.mark(error) from None
        left_out = ignored(call)
        if canonical.given(result) < canonical.wanted(call):
            left_out.append("n")
        return ProviderAnswer(result, used, status, left_out, exchange.limits)

    def _url(self, call: ProviderCall, method: str) -> httpx.URL:
        return httpx.URL(f"{self._base}/models/{call.offer.upstream}:{method}")


def _whole(call: ProviderCall, status: int, content: bytes, exchange: Exchange) -> tuple[dict[str, Any], Usage]:
    body = read(content)
    if body.get("error"):
        raise failure(status, body)
    try:
        return chat(call, body, exchange.headers)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise lacking(error) from None


def read(content: bytes) -> Mapping[str, Any]:
    """A body as the object that it is; an error comes in a list at times."""
    try:
        body = loads(content)
    except ValueError:
        raise ProviderError("the provider's response is not valid JSON", upstream_status=200, code="protocol") from None
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        raise wrong("it", "is not an object")
    return body


def chat(call: ProviderCall, body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[dict[str, Any], Usage]:
    """The chat completion that a whole answer is, and what it used."""
    choices = []
    for given in Reader().choices(body)[: canonical.wanted(call)]:
        made = canonical.choice(call, given["index"])
        made.take_whole(given["delta"])
        made.take_likely(given["logprobs"])
        made.end(given["finish_reason"])
        made.close()
        choices.append(made.shown())
    return canonical.chat(call, choices, usage.of(body, headers), clock.now_seconds())
