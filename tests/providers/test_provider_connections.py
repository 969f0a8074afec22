"""The connections to providers, on real sockets: what an answer may look like, what is kept, what is hung up."""

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import httpx
import pytest
import uvloop

from tests.providers.test_outbound_connections import Scripted
from tests.receiver import Receiver
from workers.upstream import connection as connections
from workers.upstream import incoming
from workers.upstream.connecting import ProviderConnector
from workers.upstream.transport import ProviderClient
from workers.upstream.unpacking import PIECE_BYTES, Unpacking

T = TypeVar("T")

#: Workers run uvloop, tests of other rooms asyncio's own.
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TEXT = b'{"text": "' + b"word " * 1000 + b'"}'


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, T]], T]:
    """Run a scene on each kind of event loop."""

    def on_loop(work: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(work)

    return on_loop


@asynccontextmanager
async def provider(*connections: list[bytes]) -> AsyncIterator[tuple[str, Scripted, ProviderClient]]:
    """A provider that says this, one connection after the other, and a client."""
    server = Scripted(*connections)
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    async with listening, ProviderClient(4) as client:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", server, client


async def asked(client: ProviderClient, url: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """The status and the whole body of an answer to `{}`."""
    answer = await client.post(url, headers or {}, b"{}")
    pieces = []
    while (piece := await answer.piece()) is not None:
        pieces.append(piece)
    return answer.status_code, b"".join(pieces)


def headed(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""])


def sized(body: bytes, *lines: bytes) -> bytes:
    return headed(b"Content-Length: %d" % len(body), *lines) + body


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    "answer",
    [
        sized(TEXT),
        sized(gzip.compress(TEXT), b"Content-Encoding: gzip"),
        sized(gzip.compress(TEXT), b"Content-Encoding: X-GZIP"),
        sized(gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]) + b"\0\0", b"content-encoding: gzip"),
        sized(zlib.compress(TEXT), b"Content-Encoding: deflate"),
        sized(raw_deflate(TEXT), b"Content-Encoding: deflate"),
        sized(TEXT, b"Content-Encoding: identity"),
        sized(TEXT, b"X-Name: caf\xe9"),
        headed(b"Transfer-Encoding: chunked") + chunk(TEXT[:10]) + chunk(TEXT[10:]) + b"0\r\nX-Trailer: a\r\n\r\n",
        headed(b"Transfer-Encoding: chunked", b"Content-Length: 7") + chunk(TEXT) + b"0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + sized(TEXT),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + sized(TEXT),
        sized(TEXT).replace(b"\r\n", b"\n"),
    ],
)
def test_an_answer_is_read_however_it_is_written(answer: bytes, run: Callable[[Coroutine[Any, Any, T]], T]) -> None:
    async def scene() -> None:
        async with provider([answer, answer]) as (url, server, client):
            assert [await asked(client, url) for _ in range(2)] == [(200, TEXT)] * 2
            assert (server.opened, server.asked) == (1, 2)

    run(scene())


@pytest.mark.parametrize(
    "answer",
    [
        headed(b"Content-Type: text/plain") + TEXT,
        headed(b"Connection: close") + TEXT,
        b"HTTP/1.0 200 OK\r\n\r\n" + TEXT,
        headed(b"Content-Encoding: gzip") + gzip.compress(TEXT),
    ],
)
def test_an_answer_may_end_with_its_connection(answer: bytes, run: Callable[[Coroutine[Any, Any, T]], T]) -> None:
    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(answer)
        writer.close()

    async def scene() -> None:
        async with await asyncio.start_server(closing, "127.0.0.1", 0) as server, ProviderClient(1) as client:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            assert [await asked(client, url) for _ in range(2)] == [(200, TEXT)] * 2

    run(scene())


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_without_a_body_has_none(status: bytes, run: Callable[[Coroutine[Any, Any, T]], T]) -> None:
    async def scene() -> None:
        async with provider([b"HTTP/1.1 %b\r\n\r\n" % status, OK]) as (url, server, client):
            assert (await asked(client, url))[1] == b""
            assert await asked(client, url) == (200, b"ok")
            assert server.opened == 1

    run(scene())


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", b"{}", b"\0"])
def test_what_comes_beside_an_answer_is_nobodys(more: bytes, run: Callable[[Coroutine[Any, Any, T]], T]) -> None:
    async def scene() -> None:
        async with provider([OK + more], [OK]) as (url, server, client):
            assert [await asked(client, url) for _ in range(2)] == [(200, b"ok")] * 2
            assert server.opened == 2

    run(scene())


@pytest.mark.parametrize("heard", [True, False])
def test_a_kept_connection_that_was_hung_up_is_not_used(
    heard: bool, monkeypatch: pytest.MonkeyPatch, run: Callable[[Coroutine[Any, Any, T]], T]
) -> None:
    """Whether the loop has heard of it or not; where the time since its last use is long, the system is asked."""
    monkeypatch.setattr(connections, "BELIEVED_SECONDS", 0.0)

    async def scene() -> None:
        left, right = socket.socketpair()
        left.setblocking(False)
        loop = asyncio.get_running_loop()
        _, kept = await loop.create_connection(lambda: connections.ProviderConnection(left, print), sock=left)
        assert kept.alive
        if heard:
            gone = loop.create_future()
            kept.when_lost = lambda: gone.set_result(None)
            right.close()
            await asyncio.wait_for(gone, 10)
        else:
            right.close()
        assert not kept.alive
        kept.abort()
        await asyncio.sleep(0)

    run(scene())


def test_a_connection_that_says_something_unasked_is_not_used(run: Callable[[Coroutine[Any, Any, T]], T]) -> None:
    async def scene() -> None:
        left, right = socket.socketpair()
        left.setblocking(False)
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        _, kept = await loop.create_connection(lambda: connections.ProviderConnection(left, print), sock=left)
        kept.when_lost = gone.set
        with right:
            right.send(OK)
            await asyncio.wait_for(gone.wait(), 10)
            assert not kept.alive

    run(scene())


def test_a_provider_that_hangs_up_after_each_answer_and_does_not_say_so_costs_one_call(
    run: Callable[[Coroutine[Any, Any, T]], T],
) -> None:
    """What was written to a kept connection may have been served, and is not written again; then none is kept."""

    async def scene() -> None:
        async with provider(*([OK, b""] for _ in range(21))) as (url, server, client):
            failed = 0
            for _ in range(20):
                try:
                    assert await asked(client, url) == (200, b"ok")
                except httpx.ReadError:
                    failed += 1
            assert (failed, server.asked) == (1, 20)

    run(scene())


def test_an_answer_before_the_end_of_its_request_is_the_last_of_its_connection(
    run: Callable[[Coroutine[Any, Any, T]], T],
) -> None:
    """What is left of the request would be taken for the beginning of the next."""
    opened, over = 0, asyncio.Semaphore(0)

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        with suppress(OSError):
            while await reader.read(65_536):
                pass
        writer.close()
        over.release()

    async def scene() -> None:
        async with await asyncio.start_server(early, "127.0.0.1", 0) as server, ProviderClient(1) as client:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            for number in range(3):
                answer = await client.post(url, {}, bytes(50_000_000))
                assert (answer.status_code, opened) == (413, number + 1)
                while await answer.piece():
                    pass
                await asyncio.wait_for(over.acquire(), 10)  # it is hung up

    run(scene())


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (headed(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n", b"X-Trailer: a\r\n"),
        (headed(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\nX: ", b"x"),
        (headed(b"Transfer-Encoding: chunked") + b"2;", b"x"),
    ],
)
def test_what_frames_an_answer_without_end_is_hung_up(
    begin: bytes, more: bytes, run: Callable[[Coroutine[Any, Any, T]], T]
) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(begin)
        with suppress(OSError):
            while not writer.is_closing():
                writer.write(more * (100_000 // len(more)))
                await writer.drain()
        writer.close()

    async def scene() -> None:
        async with await asyncio.start_server(endless, "127.0.0.1", 0) as server, ProviderClient(1) as client:
            with pytest.raises(httpx.DecodingError, match="too long"):
                await asked(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")

    run(scene())


def test_a_cancelled_call_hangs_up_at_once(run: Callable[[Coroutine[Any, Any, T]], T]) -> None:
    async def scene() -> None:
        asked_for, gone = asyncio.Event(), asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            asked_for.set()
            await reader.read()
            writer.close()
            gone.set()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server, ProviderClient(1) as client:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            call = asyncio.create_task(asked(client, url))
            await asked_for.wait()
            call.cancel()
            await asyncio.wait_for(gone.wait(), 10)
            with pytest.raises(asyncio.CancelledError):
                await call

    run(scene())


def test_a_provider_waits_until_what_it_sent_is_read(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[Coroutine[Any, Any, T]], T]
) -> None:
    monkeypatch.setattr(incoming, "UNREAD_BYTES", 100_000)
    size = 64 * 1024 * 1024

    async def scene() -> None:
        sent = 0
        stuck = asyncio.Event()

        async def much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"{}")
            writer.write(headed(b"Content-Length: %d" % size))
            for _ in range(size // 65_536):
                writer.write(bytes(65_536))
                try:
                    async with asyncio.timeout(0.3):
                        await writer.drain()
                except TimeoutError:
                    stuck.set()
                    await writer.drain()
                sent += 65_536
            writer.close()

        async with await asyncio.start_server(much, "127.0.0.1", 0) as server, ProviderClient(1) as client:
            answer = await client.post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {}, b"{}")
            await asyncio.wait_for(stuck.wait(), 20)
            assert sent < size // 2
            came = 0
            while (piece := await answer.piece()) is not None:
                came += len(piece)
            assert came == size

    run(scene())


def test_a_little_that_unpacks_to_much_comes_in_pieces(run: Callable[[Coroutine[Any, Any, T]], T]) -> None:
    packed = gzip.compress(bytes(100 * PIECE_BYTES + 1))

    async def scene() -> None:
        async with provider([sized(packed, b"Content-Encoding: gzip")]) as (url, _, client):
            answer = await client.post(url, {}, b"{}")
            sizes = []
            while (piece := await answer.piece()) is not None:
                sizes.append(len(piece))
            assert max(sizes) == PIECE_BYTES and sum(sizes) == 100 * PIECE_BYTES + 1

    run(scene())


def unpacked(*parts: bytes) -> bytes:
    one, pieces = Unpacking("gzip"), []
    for part in parts:
        one.give(part)
        while piece := one.take():
            pieces.append(piece)
    one.end()
    return b"".join(pieces)


def test_members_of_a_packed_answer_are_read_wherever_it_is_cut() -> None:
    packed = gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:])
    assert {unpacked(packed[:cut], packed[cut:]) for cut in range(len(packed) + 1)} == {TEXT}


def test_what_follows_a_packed_answer_is_passed_over_and_not_kept() -> None:
    one = Unpacking("gzip")
    one.give(gzip.compress(TEXT))
    assert one.take() == TEXT
    for _ in range(1000):
        one.give(b"x" * 1000)
        assert one.take() == b""
    assert one._packed == b""
    one.end()


def test_an_answer_packed_in_many_parts_is_none() -> None:
    """Each part costs a copy of what follows it."""
    with pytest.raises(httpx.DecodingError, match="too many parts"):
        unpacked(gzip.compress(b"") * 50_000)


def test_a_header_is_sent_once(run: Callable[[Coroutine[Any, Any, T]], T]) -> None:
    async def scene(url: str) -> None:
        async with ProviderClient(1) as client:
            await asked(client, url, {"Accept": "text/event-stream", "Authorization": "Bearer k"})
            with pytest.raises(httpx.LocalProtocolError):
                await asked(client, url, {"Content-Length": "7"})

    with Receiver() as receiver:
        run(scene(receiver.url))
        (delivery,) = receiver.deliveries
    assert delivery.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "accept": "text/event-stream",
        "accept-encoding": "gzip, deflate",
        "user-agent": "FusionAI/1",
        "authorization": "Bearer k",
        "content-length": "2",
    }


def test_the_head_of_an_answer_is_bounded(run: Callable[[Coroutine[Any, Any, T]], T]) -> None:
    long = headed(*(b"X-%d: %b" % (number, b"x" * 1000) for number in range(1000)))

    async def scene() -> None:
        async with provider([long]) as (url, _, client):
            with pytest.raises(httpx.DecodingError, match="too long"):
                await asked(client, url)

    run(scene())


def test_the_next_address_is_tried_beside_one_that_does_not_answer(
    run: Callable[[Coroutine[Any, Any, T]], T], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a provider that has IPv6 where the way there has none."""

    async def scene() -> None:
        async with await asyncio.start_server(Scripted([OK]), "127.0.0.1", 0) as server, ProviderClient(1) as client:
            port = server.sockets[0].getsockname()[1]
            with socket.socket() as full, socket.socket() as first, socket.socket() as second:
                full.bind(("127.0.0.2", port))
                full.listen(0)
                for one in (first, second):  # nobody takes them: the next would wait for minutes
                    one.setblocking(False)
                    one.connect_ex(("127.0.0.2", port))

                async def resolved(host: str, port: int) -> Sequence[str]:
                    assert host == "provider.example"
                    return ["127.0.0.2", "127.0.0.1"]

                monkeypatch.setattr(client._connector, "_resolver", resolved)
                async with asyncio.timeout(5):
                    assert await asked(client, f"http://provider.example:{port}/v1") == (200, b"ok")

    run(scene())


@pytest.mark.parametrize("host", ["nobody.invalid", "127.0.0.1"])
def test_a_provider_that_cannot_be_connected_to(host: str, run: Callable[[Coroutine[Any, Any, T]], T]) -> None:
    async def scene() -> None:
        async with ProviderClient(1) as client:
            with pytest.raises(httpx.ConnectError, match="could not connect to the provider"):
                await asked(client, f"http://{host}:9/v1")

    run(scene())


def test_a_name_server_that_does_not_answer_ends_the_call(
    run: Callable[[Coroutine[Any, Any, T]], T], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.upstream.connecting.CONNECT_SECONDS", 0.05)

    async def scene() -> None:
        async def silent(host: str, port: int) -> Sequence[str]:
            return await asyncio.Event().wait() or []

        connector = ProviderConnector()
        monkeypatch.setattr(connector, "_resolver", silent)
        with pytest.raises(httpx.ConnectTimeout):
            await connector.connect(("http", "provider.example", 80), lambda made: asyncio.Protocol())

    run(scene())


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:9/v1", {"a": "b\r\nc: d"}),
        ("http://127.0.0.1:9/v1", {"a": "\u4e00"}),
        ("ftp://127.0.0.1/v1", {}),
        ("http:///v1", {}),
    ],
)
def test_what_cannot_be_sent_is_said_without_its_words(
    url: str, headers: dict[str, str], run: Callable[[Coroutine[Any, Any, T]], T]
) -> None:
    async def scene() -> None:
        async with ProviderClient(1) as client:
            with pytest.raises(httpx.LocalProtocolError, match=r"cannot be sent$"):
                await asked(client, url, headers)

    run(scene())
