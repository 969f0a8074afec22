"""Google's Gemini API in its own protocol: generateContent, whole or streamed; embeddings; images.

Source: https://ai.google.dev/api/generate-content, https://ai.google.dev/api/embeddings. The key goes in the header
`x-goog-api-key`, never into the address. What is sent is in `request` and `contents`, what comes back in `answers` and
`stream`; `embeddings` and `images` have both sides of theirs.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from shared import clock
from shared.errors import ProviderError
from shared.submissions.catalogue import Endpoint, Provider, key_headers
from shared.submissions.schemas import Usage
from workers.answers.reading import loads
from workers.answers.shape import lacking, wrong
from workers.providers import ProviderAnswer, ProviderCall
from workers.providers.google import embeddings, images, stream, usage
from workers.providers.google.answers import CandidateReader
from workers.providers.google.generations import resource
from workers.providers.google.request import ignored, payload
from workers.providers.openai import answers as canonical
from workers.providers.openai import failure
from workers.providers.openai.stream import StreamedAnswer
from workers.upstream import event_stream
from workers.upstream.event_stream import EVENT_STREAM, NotStreamed
from workers.upstream.exchange import Exchange
from workers.upstream.http import HttpClient
from workers.upstream.post import post

Body = Mapping[str, Any]
Result = tuple[dict[str, Any], Usage]

#: What reading an answer of a wrong shape raises where no check foresaw it.
_SHAPELESS = (KeyError, TypeError, ValueError, AttributeError, RecursionError, IndexError)


def connect(provider: Provider, endpoint: Endpoint, client: HttpClient) -> "Google":
    """A provider of this protocol at its endpoint."""
    return Google(endpoint, key_headers(provider, endpoint.key), client)


class Google:
    """One provider of the Gemini API."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str], client: HttpClient) -> None:
        self._client = client
        self._endpoint = endpoint
        self._headers = {**headers, "content-type": "application/json"}

    async def call(self, call: ProviderCall) -> ProviderAnswer:
        """One attempt; see Upstream. Many embeddings are several requests, as are several images."""
        exchange = Exchange(call.limits)
        try:
            if call.type == "embedding":
                left_out, (result, used) = embeddings.left_out(call), await self._embed(call, exchange)
            elif call.type == "image":
                left_out, (result, used) = images.left_out(call), await self._draw(call, exchange)
            else:
                left_out, (result, used) = ignored(call), await self._chat(call, exchange)
        except ProviderError as error:
            raise exchange.mark(error) from None
        except _SHAPELESS as error:
            raise exchange.mark(lacking(error)) from None
        if canonical.given(result) < canonical.wanted(call):
            left_out.append("n")
        return ProviderAnswer(result, used, 200, left_out, exchange.limits, exchange.request_ids)

    async def _chat(self, call: ProviderCall, exchange: Exchange) -> Result:
        if call.sink is None:
            with exchange:
                content = await self._post(call, "generateContent", payload(call), exchange)
            return _read(call, content, exchange)
        url = self._url(call, "streamGenerateContent")
        url += "&alt=sse" if "?" in url else "?alt=sse"
        headers = {**self._headers, "accept": EVENT_STREAM}
        try:
            found = await stream.stream(self._client, url, headers, payload(call), call, exchange)
        except NotStreamed as whole:
            return _read(call, whole.content, exchange)
        return _streamed(call, found)

    async def _embed(self, call: ProviderCall, exchange: Exchange) -> Result:
        bodies = []
        with exchange:
            for asked in embeddings.payloads(call):
                content = await self._post(call, embeddings.METHOD, asked, exchange)
                bodies.append(_object(content))
        return embeddings.read(call, bodies, exchange.headers)

    async def _draw(self, call: ProviderCall, exchange: Exchange) -> Result:
        """As many pictures at once as were asked for; those that came, if any did."""
        asked = images.payload(call)
        with exchange:
            drawing = (self._picture(call, asked, exchange) for _ in range(canonical.wanted(call)))
            found = await asyncio.gather(*drawing, return_exceptions=True)
            pictures = [one for one in found if not isinstance(one, BaseException)]
            for one in found:
                if isinstance(one, BaseException) and not pictures:
                    raise one
        return images.read(call, pictures)

    async def _picture(self, call: ProviderCall, asked: bytes, exchange: Exchange) -> dict[str, Any]:
        return images.picture(_object(await self._post(call, images.METHOD, asked, exchange)))

    async def _post(self, call: ProviderCall, method: str, body: bytes, exchange: Exchange) -> bytes:
        _, content = await post(self._client, self._url(call, method), self._headers, body, exchange)
        return content

    def _url(self, call: ProviderCall, method: str) -> str:
        return self._endpoint.address(f"/{resource(call.offer.upstream)}:{method}")


def _read(call: ProviderCall, content: bytes, exchange: Exchange) -> Result:
    """A chat completion that came whole: one response, the events of a stream, or a list of its chunks."""
    if event_stream.are_events(content):
        chunks = (chunk for event in event_stream.all_of(content) for chunk in stream.read(event))
        return _streamed(call, stream.whole(call, chunks, exchange))
    body = _json(content)
    if isinstance(body, list) and len(body) > 1:
        return _streamed(call, stream.whole(call, body, exchange))
    return _whole(call, _checked(body), exchange.headers)


def _whole(call: ProviderCall, body: Body, headers: Mapping[str, str]) -> Result:
    choices = []
    found = sorted(CandidateReader().choices(body), key=lambda one: int(one["index"]))
    for given in found[: canonical.wanted(call)]:
        made = canonical.choice(call, given["index"])
        made.take_whole(given["delta"])
        made.take_likely(given["logprobs"])
        made.end(given["finish_reason"])
        made.close()
        choices.append(made.shown())
    return canonical.chat(call, choices, usage.of(body, headers), clock.now_seconds())


def _streamed(call: ProviderCall, found: StreamedAnswer) -> Result:
    return canonical.chat(call, found.choices, found.usage, found.created)


def _object(content: bytes) -> Body:
    return _checked(_json(content))


def _json(content: bytes) -> Any:
    try:
        return loads(content)
    except ValueError:
        what = "the provider's response is not valid JSON"
        raise ProviderError(what, upstream_status=200, code="protocol") from None


def _checked(body: Any) -> Body:
    """A body as the object that it is, in a list at times; ProviderError when it is an error."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        raise wrong("it", "is not an object")
    if body.get("error"):
        raise failure(200, body)
    return body
