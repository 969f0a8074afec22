"""A streamed exchange with a provider: its server-sent events as they come."""

from collections.abc import AsyncGenerator, AsyncIterator

import httpx

from shared.errors import ProviderError
from workers.exchange import Exchange
from workers.wire import content, refusal

#: Bytes of one event, and of an answer that turns out to be no stream.
MOST_BYTES = 64 * 1024 * 1024

EVENT_STREAM = "text/event-stream"


class NotStreamed(Exception):
    """The provider answered whole, as if it had not been asked to stream."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.content = content


async def events(
    client: httpx.AsyncClient, url: httpx.URL, headers: dict[str, str], body: bytes, exchange: Exchange
) -> AsyncGenerator[bytes, None]:
    """POST, then the data of each event until the answer ends, by whatever event the protocol ends with or none.

    An error status is a ProviderError; an answer of another type is NotStreamed; what breaks is left to `exchange`,
    in which the caller is. Close it (`contextlib.aclosing`) when you have had enough.
    """
    async with client.stream("POST", url, content=body, headers=headers, extensions=exchange.extensions()) as response:
        exchange.answered(response)
        if response.status_code >= 400:
            raise await refusal(response, exchange)
        if not response.headers.get("content-type", "").lower().startswith(EVENT_STREAM):
            raise NotStreamed(response.status_code, await content(response, exchange))
        async for data in _parsed(_heard(response.aiter_bytes(), exchange)):
            yield data


async def _heard(parts: AsyncIterator[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    async for part in parts:
        exchange.alive()
        yield part


async def _parsed(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of whole events; one that the end of the stream cuts off is none."""
    rest, data = b"", list[bytes]()
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield b"\n".join(data)
                data = []
        if len(rest) + sum(map(len, data)) > MOST_BYTES:
            raise ProviderError("an event of the provider's stream is too long", code="protocol")
