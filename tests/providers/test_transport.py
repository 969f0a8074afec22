"""The providers' client against real sockets: every failure is httpx's, and nothing is followed or kept."""

import asyncio
import gzip
import os
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from shared import network
from tests.receiver import Answer, Receiver
from workers.upstream.exchange import Exchange
from workers.upstream.post import post
from workers.upstream.time_limits import TimeLimits
from workers.upstream.transport import ProviderClient

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#: More than the transport reads ahead, so that what follows fails while the body is streamed.
MUCH = b"x" * 1_000_000


@dataclass(frozen=True)
class Fault:
    """What a broken upstream sends, and how it ends: hang up, reset, or say nothing more."""

    sends: bytes
    ends: str = "close"


FAULTS = {
    "truncated": (Fault(HEAD + b"Content-Length: 100\r\n\r\n{}"), httpx.DecodingError),
    "truncated late": (Fault(HEAD + b"Content-Length: 2000000\r\n\r\n" + MUCH), httpx.DecodingError),
    "truncated chunk": (Fault(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc"), httpx.DecodingError),
    "bad chunk": (Fault(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"), httpx.DecodingError),
    "bad gzip": (Fault(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"), httpx.DecodingError),
    "garbage": (Fault(b"\x00\x01\x02garbage\r\n\r\n"), httpx.DecodingError),
    "two lengths": (Fault(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), httpx.DecodingError),
    "unknown packing": (Fault(HEAD + b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nabcd"), httpx.RequestError),
    "hangs up": (Fault(b""), httpx.NetworkError),
    "resets": (Fault(b"", "reset"), httpx.NetworkError),
    "resets in the body": (Fault(HEAD + b"Content-Length: 100\r\n\r\n{}", "reset"), httpx.NetworkError),
    "silent": (Fault(b"", "stall"), httpx.TimeoutException),
    "stalls in the body": (Fault(HEAD + b"Content-Length: 100\r\n\r\n{}", "stall"), httpx.TimeoutException),
    "stalls late": (Fault(HEAD + b"Content-Length: 2000000\r\n\r\n" + MUCH, "stall"), httpx.TimeoutException),
}


@asynccontextmanager
async def broken(fault: Fault) -> AsyncIterator[str]:
    """The address of an upstream with this fault."""
    stopping = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(fault.sends)
        await writer.drain()
        if fault.ends == "stall":
            await stopping.wait()
        if fault.ends == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        stopping.set()
        server.close()
        await server.wait_closed()


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """The variables that name proxies are read anew."""
    network.routes.cache_clear()
    yield
    network.routes.cache_clear()


async def posted(client: ProviderClient, url: str) -> tuple[int, bytes]:
    """The status and the whole body of an answer to `{}`."""
    async with aclosing(await client.post(url, {}, b"{}")) as answer:
        pieces = []
        while (piece := await answer.piece()) is not None:
            pieces.append(piece)
        return answer.status_code, b"".join(pieces)


@pytest.mark.parametrize("route", ["straight", "through a proxy"])
@pytest.mark.parametrize(("fault", "expected"), FAULTS.values(), ids=FAULTS)
def test_every_failure_is_an_httpx_error(
    fault: Fault, expected: type[httpx.RequestError], route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def call() -> None:
        async with broken(fault) as url, ProviderClient(2, call_seconds=0.5) as client:
            if route == "through a proxy":
                monkeypatch.setenv("HTTP_PROXY", url.removesuffix("/v1"))
                url, unsent = "http://provider.example/v1", (expected, httpx.ProxyError)
            else:
                unsent = (expected,)
            network.routes.cache_clear()
            with pytest.raises(unsent):
                await posted(client, url)

    asyncio.run(call())


def called(use: Callable[[Receiver], str], answer: Answer) -> tuple[tuple[int, bytes], Receiver]:
    """The status and body of the second answer; what the first one set is not sent again."""
    with Receiver() as receiver:
        receiver.answer = answer

        async def call() -> tuple[int, bytes]:
            async with ProviderClient(2) as client:
                await posted(client, use(receiver))
                return await posted(client, use(receiver))

        answered = asyncio.run(call())
        assert all("cookie" not in map(str.lower, one.headers) for one in receiver.deliveries)
        return answered, receiver


def test_an_answer_and_what_was_sent() -> None:
    response, receiver = called(lambda receiver: receiver.url, Answer(headers={"Set-Cookie": "a=b"}))
    assert response == (200, b"{}")
    assert receiver.deliveries[0].body == b"{}"


def test_a_redirect_is_not_followed() -> None:
    with Receiver() as target:
        response, _ = called(lambda receiver: receiver.url, Answer(307, headers={"Location": target.url}))
        assert response[0] == 307
        assert target.connections == 0


def test_a_compressed_answer_is_unpacked_once() -> None:
    answer = Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b'{"a": 1}'))
    assert called(lambda receiver: receiver.url, answer)[0] == (200, b'{"a": 1}')


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert called(lambda receiver: receiver.url, Answer())[0][0] == 200
        assert proxy.connections == 0


async def read_whole(client: ProviderClient, url: str) -> tuple[int, bytes]:
    """The same as adapters ask for it, who do not close what they have read to its end."""
    exchange = Exchange(TimeLimits(5.0, 5.0, 5.0))
    with exchange:
        return await post(client, url, {}, b"{}", exchange)


@pytest.mark.parametrize("ask", [posted, read_whole])
def test_connections_are_kept_for_the_next_calls(ask: Callable[..., Coroutine[Any, Any, Any]]) -> None:
    async def calls(url: str) -> None:
        async with ProviderClient(10) as client:
            for _ in range(4):
                assert await asyncio.gather(*(ask(client, url) for _ in range(10))) == [(200, b"{}")] * 10

    with Receiver() as receiver:
        asyncio.run(calls(receiver.url))
        assert len(receiver.deliveries) == 40
        assert receiver.connections <= 10


def test_a_cancelled_call_leaves_room_for_the_next() -> None:
    async def cancel(url: str, receiver: Receiver) -> None:
        async with ProviderClient(1) as client:
            call = asyncio.create_task(posted(client, url))
            await asyncio.to_thread(receiver.wait_for, lambda deliveries: len(deliveries) == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            receiver.answer = Answer()
            assert (await posted(client, url))[0] == 200

    with Receiver() as receiver:
        receiver.answer = Answer(delay_seconds=60)
        asyncio.run(cancel(receiver.url, receiver))


def test_a_closed_client_refuses() -> None:
    async def call() -> None:
        client = ProviderClient(1)
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await client.post("http://127.0.0.1:1/", {}, b"{}")

    asyncio.run(call())


#: Prints how many threads there are beside the first of each kind, after a stream and after a whole answer.
THREADS = """
import asyncio, os, sys
from contextlib import aclosing
from workers.upstream.transport import ProviderClient

def threads():
    names = (open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task"))
    return sum(name.startswith("pyreqwest-w") for name in names)

async def main():
    url = "http://provider.example/v1"
    async with ProviderClient(2) as client:
        for streamed in (True, False):
            async with aclosing(await client.post(url, {}, b"{}", streamed=streamed)) as answer:
                print(threads())

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="names of threads are read from /proc")
def test_through_a_proxy_a_thread_is_left_to_send_while_another_waits_for_the_interpreter() -> None:
    with Receiver() as receiver:
        printed = subprocess.run(
            [sys.executable, "-c", THREADS],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "HTTP_PROXY": f"http://127.0.0.1:{receiver.port}"},
        ).stdout
    assert printed.split() == ["0", "2"], "a stream has none, whole answers have two, however many cores there are"
