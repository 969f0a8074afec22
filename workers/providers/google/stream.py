"""A streamed answer of streamGenerateContent?alt=sse: passed on as it comes, and put together to the whole.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent. Each event is a whole
response of the same shape; nothing says that the stream is over, so it is whole when every candidate has its
finishReason. An error may stand in it as an object or a list of one. The usage of the last chunk is the answer's: those
before it count what had come until then.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.errors import ProviderError
from shared.submissions.schemas import Usage
from workers.answers.reading import loads
from workers.answers.shape import lacking
from workers.providers import ProviderCall
from workers.providers.google import usage
from workers.providers.google.answers import CandidateReader
from workers.providers.openai import failure
from workers.providers.openai.stream import Gathering, StreamedAnswer
from workers.upstream.event_stream import ServerSentEvent, follow
from workers.upstream.exchange import Exchange
from workers.upstream.http import HttpClient


class Chunks:
    """Puts the chunks of one call together; the call's sink gets what is visible of them."""

    def __init__(self, call: ProviderCall, exchange: Exchange) -> None:
        self._exchange = exchange
        self._reader = CandidateReader()
        self._usage: Usage | None = None
        self._gathering = Gathering(call)
        #: Nothing says that the stream is over.
        self.stopped = False

    @property
    def begun(self) -> bool:
        """Some of the answer has come."""
        return self._gathering.begun

    @property
    def visible(self) -> bool:
        """The same: all of it is for the caller."""
        return self._gathering.begun

    @property
    def ended(self) -> bool:
        """The end of the last candidate has come."""
        return self._gathering.ended

    def take(self, event: ServerSentEvent) -> None:
        """Take the chunks of the next event."""
        for chunk in read(event):
            self.add(chunk)

    def add(self, chunk: Mapping[str, Any]) -> None:
        """Take the next one; ProviderError when it is an error, or no chunk of this protocol."""
        if chunk.get("error"):
            raise failure(200, chunk)
        try:
            self._gathering.take({"choices": self._reader.choices(chunk)})
            if (used := usage.of(chunk, self._exchange.headers)) is not None:
                self._usage = used
                self._gathering.reported()
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise lacking(error, "stream") from None

    def gathered(self) -> StreamedAnswer:
        """The whole answer; ProviderError when one of its candidates has not ended."""
        found = self._gathering.gathered()
        return StreamedAnswer(found.choices, self._gathering.counting(self._usage, found.choices), found.created)


async def stream(
    client: HttpClient,
    url: str,
    headers: dict[str, str],
    body: bytes,
    call: ProviderCall,
    exchange: Exchange,
) -> StreamedAnswer:
    """The whole answer. ProviderError, or event_stream.NotStreamed, when there is none."""
    chunks = Chunks(call, exchange)
    await follow(chunks, client, url, headers, body, exchange, call.on_whole)
    return chunks.gathered()


def whole(call: ProviderCall, given: Iterable[Mapping[str, Any]], exchange: Exchange) -> StreamedAnswer:
    """The same of chunks that have come at once."""
    chunks = Chunks(call, exchange)
    for chunk in given:
        chunks.add(chunk)
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
