"""The connections of webhooks: TLS against whom the operator trusts, and what is kept for the next delivery."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
import uvloop

from shared import settings
from tests.providers.test_outbound import Names, opened
from tests.providers.test_proxied import Company, _fresh, company  # noqa: F401
from tests.receiver import Answer, Receiver
from workers.webhooks import client as outbound

T = TypeVar("T")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#: Workers run uvloop, tests of other rooms asyncio's own.
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


def run(work: Coroutine[Any, Any, T], loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> T:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(work)


async def sent(client: outbound.WebhookClient, url: str) -> outbound.SendResult:
    return await outbound.post(client, url, body=b"{}", headers={"webhook-id": "evt_1"})


class Scripted:
    """A server: of each connection, what it writes for one request after the other; an empty one hangs up."""

    def __init__(self, *connections: list[bytes]) -> None:
        self.left = list(connections)
        self.opened = self.asked = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            for answer in self.left.pop(0):
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2 if head.startswith(b"POST") else 0)
                self.asked += 1
                writer.write(answer)
                if not answer:
                    break
            else:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def delivered(server: Scripted, times: int) -> list[outbound.SendResult]:
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    async with listening:
        async with opened(loopback=True) as client:
            url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/hook"
            came = [await sent(client, url) for _ in range(times)]
        return came


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("host", "trusted", "outcome"),
    [("provider.example", True, 200), ("other.example", True, "connect"), ("provider.example", False, "connect")],
)
def test_tls_is_for_the_name_of_the_url_and_whom_the_operator_trusts(
    company: Company,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    loop: Callable[[], asyncio.AbstractEventLoop],
    host: str,
    trusted: bool,
    outcome: int | str,
) -> None:
    if trusted:
        monkeypatch.setattr(settings.settings(), "ca_file", str(company.authority))
    served = Scripted([OK, OK])

    async def main() -> list[outbound.SendResult]:
        listening = await asyncio.start_server(served, "127.0.0.1", 0, ssl=company.context)
        async with listening:
            async with opened(loopback=True, names=Names(["127.0.0.1"])) as client:
                url = f"https://{host}:{listening.sockets[0].getsockname()[1]}/hook"
                came = [await sent(client, url) for _ in range(2)]
            return came

    came = run(main(), loop)
    assert [one.status or one.failure for one in came] == [outcome] * 2
    assert (served.asked, served.opened) == ((2, 1) if outcome == 200 else (0, 0))
    assert all(one.detail and "127.0.0.1" not in one.detail for one in came if one.failure)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_kept_connection_that_was_hung_up_is_replaced(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """At the moment of its use: the receiver has read the request, and closed."""
    server = Scripted([OK, b""], [OK])
    assert [one.status for one in run(delivered(server, 2), loop)] == [200, 200]
    assert (server.opened, server.asked) == (2, 3)


def test_a_new_connection_that_is_hung_up_is_an_attempt() -> None:
    server = Scripted([b""])
    (only,) = run(delivered(server, 1))
    assert only.failure == "protocol" and server.opened == 1


def test_a_kept_connection_that_answers_half_is_an_attempt() -> None:
    """Something came, so the receiver has seen the event."""
    server = Scripted([OK, b"HTTP/1.1 200 OK\r\nA: garb\x7f\0age\r\nno colon\r\n"])
    first, second = run(delivered(server, 2))
    assert (first.status, second.failure, server.opened) == (200, "protocol", 1)


@pytest.mark.parametrize("more", [OK.replace(b"200", b"500"), b"HTTP/1.1 500 ", b"x"])
def test_what_comes_beside_an_answer_is_nobodys(more: bytes) -> None:
    server = Scripted([OK + more], [OK + more])
    assert [one.status for one in run(delivered(server, 2))] == [200, 200]
    assert server.opened == 2


@pytest.mark.parametrize("loop", LOOPS)
def test_another_protocol_than_was_asked_for_is_no_answer(
    loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    """Nor an error of the loop's, whose log would be the receiver's to fill."""
    server = Scripted([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nraw"])
    (only,) = run(delivered(server, 1), loop)
    assert (only.failure, only.detail) == ("protocol", "the receiver's answer is no HTTP")
    assert "data_received" not in caplog.text


def test_only_some_connections_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "IDLE_EACH", 2)
    with Receiver() as receiver:
        receiver.answer = Answer(delay_seconds=0.05)

        async def main() -> None:
            async with opened(loopback=True) as client:
                for _ in range(2):
                    await asyncio.gather(*(sent(client, receiver.url) for _ in range(5)))
                assert len(client._idle) == 2

        run(main())
        assert receiver.connections == 8
        monkeypatch.setattr(outbound, "IDLE_SECONDS", 0.0)

        async def again() -> None:
            async with opened(loopback=True) as client:
                for _ in range(3):
                    await sent(client, receiver.url)

        run(again())
        assert receiver.connections == 11
    gc.collect()


def test_the_longest_idle_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "IDLE_CONNECTIONS", 2)

    async def main() -> list[int]:
        with Receiver() as first, Receiver() as second, Receiver() as third:
            async with opened(loopback=True) as client:
                for receiver in (first, second, third, second, third, first):
                    await sent(client, receiver.url)
            return [receiver.connections for receiver in (first, second, third)]

    assert run(main()) == [2, 1, 1]


@pytest.mark.parametrize("headers", [{"a": "b\r\nc: d"}, {"a\nb": "c"}, {"a": "b\0"}])
def test_no_header_becomes_two(headers: dict[str, str]) -> None:
    with Receiver() as receiver:

        async def main() -> outbound.SendResult:
            async with opened(loopback=True) as client:
                return await outbound.post(client, receiver.url, body=b"{}", headers=headers)

        assert run(main()).failure == "internal"
        assert receiver.connections == 0


def test_name_and_password_of_an_address_are_sent_as_before() -> None:
    with Receiver() as receiver:
        url = receiver.url.replace("http://", "http://user:p%40ss@") + "?a=b c#d"

        async def main() -> None:
            async with opened(loopback=True) as client:
                assert (await sent(client, url)).status == 200

        run(main())
        (delivery,) = receiver.deliveries
        assert delivery.headers["authorization"] == "Basic dXNlcjpwQHNz"
        assert delivery.headers["host"] == f"127.0.0.1:{receiver.port}" and delivery.path == "/hook?a=b%20c"
