"""Streams over real sockets: each piece as it is sent, each way to break with its code, and a hang-up that is heard."""

import asyncio
import socket
import struct
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.errors import ProviderError
from workers.upstream.event_stream import EVENT_STREAM, NotStreamed, events
from workers.upstream.exchange import Exchange
from workers.upstream.time_limits import TimeLimits
from workers.upstream.transport import ProviderClient

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
HEADERS = {"accept": EVENT_STREAM}
PATIENT = TimeLimits(first_seconds=3, idle_seconds=3, whole_seconds=3)


@asynccontextmanager
async def heard(client: ProviderClient, url: str, limits: TimeLimits = PATIENT) -> AsyncIterator[Any]:
    """The events of one exchange, whose first begins the answer."""
    exchange = Exchange(limits)
    with exchange:
        async with aclosing(_events(client, url, exchange)) as coming:
            yield coming


async def _events(client: ProviderClient, url: str, exchange: Exchange) -> AsyncGenerator[bytes, None]:
    async with aclosing(events(client, url, HEADERS, b"{}", exchange)) as coming:
        async for event in coming:
            exchange.begin()
            yield event.data


def piece(data: bytes) -> bytes:
    """A chunk of HTTP's with one event."""
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


@dataclass
class Upstream:
    """A provider that sends what a test says, when it says so; None resets the connection."""

    url: str = ""
    sends: "asyncio.Queue[bytes | None]" = field(default_factory=asyncio.Queue)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        left = asyncio.create_task(self._left(reader))
        while (data := await self.sends.get()) != b"":
            if data is None:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                break
            writer.write(data)
            await writer.drain()
        writer.close()
        left.cancel()

    async def _left(self, reader: asyncio.StreamReader) -> None:
        await reader.read()
        self.gone.set()
        self.sends.put_nowait(b"")


@asynccontextmanager
async def upstream(*sends: bytes | None) -> AsyncIterator[tuple[Upstream, ProviderClient]]:
    """An upstream with this much to send, and a client."""
    provider = Upstream()
    for data in sends:
        provider.sends.put_nowait(data)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with asyncio.timeout(20), ProviderClient(2, call_seconds=3) as client:
        yield provider, client
    provider.sends.put_nowait(b"")
    server.close()
    await server.wait_closed()


def test_each_event_comes_as_it_is_sent() -> None:
    async def main() -> None:
        async with upstream(HEAD) as (provider, client):
            async with heard(client, provider.url) as coming:
                for number in range(20):
                    provider.sends.put_nowait(piece(b"%d" % number))
                    assert await anext(coming) == b"%d" % number
                provider.sends.put_nowait(b"0\r\n\r\n")
                assert [data async for data in coming] == []

    asyncio.run(main())


def test_each_event_of_a_packed_stream_comes_as_it_is_sent() -> None:
    packer = zlib.compressobj(wbits=31)

    def packed(data: bytes, how: int = zlib.Z_SYNC_FLUSH) -> bytes:
        part = packer.compress(data) + packer.flush(how)
        return b"%x\r\n%s\r\n" % (len(part), part)

    async def main() -> None:
        head = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
        async with upstream(head) as (provider, client):
            async with heard(client, provider.url) as coming:
                for number in range(5):
                    provider.sends.put_nowait(packed(b"data: %d\r\r" % number))
                    assert await anext(coming) == b"%d" % number
                provider.sends.put_nowait(packed(b"", zlib.Z_FINISH) + b"0\r\n\r\n")
                assert [data async for data in coming] == []

    asyncio.run(main())


#: How it ends after the first event, and the codes of that: whether a hang-up is seen as one or as a body cut short
#: depends on how much of it has arrived.
ENDS: list[tuple[bytes | None, set[str]]] = [
    (None, {"reset", "protocol"}),
    (b"", {"reset", "protocol"}),
    (b"zz\r\n", {"protocol"}),
    (b"5\r\nab", {"timeout", "idle"}),
]


@pytest.mark.parametrize(("end", "codes"), ENDS, ids=["reset", "hang-up", "garbage", "stall"])
def test_what_breaks_in_mid_stream_has_a_code(end: bytes | None, codes: set[str]) -> None:
    async def main() -> None:
        async with upstream(HEAD, piece(b"one")) as (provider, client):
            with pytest.raises(ProviderError) as error:
                async with heard(client, provider.url) as coming:
                    assert await anext(coming) == b"one"
                    provider.sends.put_nowait(end)
                    await anext(coming)
            assert error.value.code in codes

    asyncio.run(main())


def test_a_long_silence_is_told_as_one() -> None:
    async def main() -> None:
        async with upstream(HEAD, piece(b"one")) as (provider, client):
            began = asyncio.get_running_loop().time()
            with pytest.raises(ProviderError) as error:
                async with heard(client, provider.url, TimeLimits(3, 0.1, 3)) as coming:
                    assert [data async for data in coming]
            assert error.value.code == "idle" and asyncio.get_running_loop().time() - began < 2

    asyncio.run(main())


def test_whoever_has_had_enough_hangs_up() -> None:
    async def main() -> None:
        async with upstream(HEAD, piece(b"one")) as (provider, client):
            async with heard(client, provider.url) as coming:
                await anext(coming)
            await provider.gone.wait()

    asyncio.run(main())


def test_an_error_status_says_how_long_to_wait() -> None:
    head = b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Type: application/json\r\nContent-Length: 33\r\n\r\n"

    async def main() -> None:
        async with upstream(head + b'{"error":{"code":"slow","m":"x"}}') as (provider, client):
            with pytest.raises(ProviderError) as error:
                async with heard(client, provider.url) as coming:
                    _ = [data async for data in coming]
            found = error.value
            assert (found.upstream_status, found.code, found.wait_seconds) == (429, "slow", 7.0)

    asyncio.run(main())


def test_a_whole_answer_is_given_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

    async def main() -> None:
        async with upstream(head) as (provider, client):
            with pytest.raises(NotStreamed) as whole:
                async with heard(client, provider.url) as coming:
                    _ = [data async for data in coming]
            assert (whole.value.status, whole.value.content) == (200, b"{}")

    asyncio.run(main())
