"""A streamed answer of streamGenerateContent?alt=sse: passed on as it comes, and put together to the whole.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent. Each event is a whole
response of the same shape; nothing says that the stream is over, so it is whole when every candidate has its
finishReason. An error may stand in it as an object or a list of one. The usage of the last chunk is the answer's: those
before it count what had come until then.
"""

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import Any

import httpx

from shared.errors import ProviderError
from shared.submissions.schemas import Usage
from workers.answers.reading import loads
from workers.answers.shape import lacking
from workers.providers import ProviderCall
from workers.providers.google import usage
from workers.providers.google.answers import Reader
from workers.providers.openai import failure
from workers.providers.openai.stream import Gathering, StreamedAnswer
from workers.upstream.event_stream import ServerSentEvent, events
from workers.upstream.exchange import Exchange


class Chunks:
    """Puts the chunks of one call together; the call's sink gets what is visible of them."""

    def __init__(self, call: ProviderCall, exchange: Exchange) -> None:
        self._exchange = exchange
        self._reader = Reader()
        self._usage: Usage | None = None
        self.gathering = Gathering(call)

    def take(self, chunk: Mapping[str, Any]) -> None:
        """Take the next one; ProviderError when it is an error, or no chunk of this protocol."""
        if chunk.get("error"):
            raise failure(200, chunk)
        try:
            self.gathering.take({"choices": self._reader.choices(chunk)})
            if (used := usage.of(chunk, self._exchange.headers)) is not None:
                self._usage = used
                self.gathering.reported()
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise lacking(error, "stream") from None

    def gathered(self) -> StreamedAnswer:
        """The whole answer; ProviderError when one of its candidates has not ended."""
        found = self.gathering.gathered()
        return StreamedAnswer(found.choices, self.gathering.counting(self._usage, found.choices), found.created)


async def stream(
    client: httpx.AsyncClient,
    url: httpx.URL,
    headers: dict[str, str],
    body: bytes,
    call: ProviderCall,
    exchange: Exchange,
) -> StreamedAnswer:
    """The whole answer. ProviderError, or event_stream.NotStreamed, when there is none."""
    chunks = Chunks(call, exchange)
    gathering = chunks.gathering
    try:
        with exchange:
            async with aclosing(events(client, url, headers, body, exchange)) as coming:
                async for event in coming:
                    for chunk in read(event):
                        chunks.take(chunk)
                    if gathering.begun and not exchange.begun:
                        exchange.passed_on = True
                        exchange.begin()
                    if gathering.ended:
                        exchange.whole()
                        call.on_whole()
    except ProviderError:
        if not gathering.whole or gathering.closed:
            raise
    return chunks.gathered()


def whole(call: ProviderCall, given: Iterable[Mapping[str, Any]], exchange: Exchange) -> StreamedAnswer:
    """The same of chunks that have come at once."""
    chunks = Chunks(call, exchange)
    for chunk in given:
        chunks.take(chunk)
    return chunks.gathered()


def read(event: ServerSentEvent) -> list[Mapping[str, Any]]:
    """The chunks of an event, usually one; none of an empty one, or of OpenAI's end, which gateways add."""
    data = event.data.strip()
    if not data or data == b"[DONE]":
        return []
    try:
        found = loads(data)
    except ValueError:
        found = None
    chunks = found if isinstance(found, list) else [found]
    if not all(isinstance(chunk, Mapping) for chunk in chunks):
        what = "the provider's stream contains an event that is not a JSON object"
        raise ProviderError(what, upstream_status=200, code="protocol")
    return [{"error": chunk} if event.name == "error" and not chunk.get("error") else chunk for chunk in chunks]
