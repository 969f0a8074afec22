"""The providers' HTTP client, which gives out answers as they come.

pyreqwest reads 64 KB of an answer ahead before it gives any of it out, its head included, which saves 8 us of CPU a
call; but then nobody knows when the head came, and a streamed answer is there at its end. A request that says what
silence it bears (workers.upstream.exchange), or that accepts `text/event-stream`, gets each piece as it arrives.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx

from workers.upstream.event_stream import EVENT_STREAM
from workers.upstream.transport import ProviderTransport, provider_client


def live_client(in_flight: int, *, call_seconds: float | None = None) -> httpx.AsyncClient:
    """`transport.provider_client`, and what is said there, over the transport below."""
    return provider_client(in_flight, call_seconds=call_seconds, transport=LiveTransport)


class LiveTransport(ProviderTransport):
    """The same transport, which reads nothing ahead for whoever watches the answer come."""

    async def _map_response(self, builder: Any, request: httpx.Request) -> httpx.Response:
        if "silence_seconds" not in request.extensions and request.headers.get("accept") != EVENT_STREAM:
            return await super()._map_response(builder, request)
        response = await super()._map_response(builder.streamed_read_buffer_limit(0), request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Pieces(response.stream, response.extensions["pyreqwest_response"].body_reader)
        return response


class _Pieces(httpx.AsyncByteStream):
    """An answer's body in the pieces that the network brings."""

    def __init__(self, stream: httpx.AsyncByteStream, reader: Any) -> None:
        self._stream = stream
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._reader.read_chunk()) is not None:
            yield bytes(piece)

    async def aclose(self) -> None:
        await self._stream.aclose()
