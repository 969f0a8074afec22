"""A web process that stops, over real sockets: no connection is reset whose client has sent a request, or will."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from producer.server import listeners
from producer.server.connections import Connections
from producer.server.protocol import BoundedProtocol
from producer.server.serve import Server
from shared.settings import settings
from tests.conditions import await_condition
from tests.front import WIDE, read_all

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


async def hello(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


class Stopping:
    """A server in a thread."""

    def __init__(self) -> None:
        self.connections = Connections(WIDE)
        protocol: Any = partial(BoundedProtocol, connections=self.connections)
        config = uvicorn.Config(hello, port=0, http=protocol, ws="none", lifespan="off", log_config=None)
        context: Any = SimpleNamespace(stopping=False, stop_waiting=lambda: None)
        self.server = Server(config, lambda: context, self.connections)
        self._thread = threading.Thread(target=lambda: uvloop.run(self.server.serve()))

    def start(self) -> None:
        self._thread.start()
        await_condition(lambda: self.server.started, what="the server")
        self.address = self.server.servers[0].sockets[0].getsockname()

    def join(self) -> None:
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopping]:
    """Such a server, whose notice is over at once."""
    monkeypatch.setattr(settings(), "stop_notice_seconds", 0)
    made = Stopping()
    made.start()
    yield made
    made.join()


def answered(client: socket.socket) -> None:
    """One answer, which says that the connection ends, and its end."""
    said = read_all(client)
    assert said.startswith(b"HTTP/1.1 200 ") and said.endswith(b"hello"), said
    assert b"connection: close\r\n" in said


@pytest.fixture
def last_moment(running: Stopping, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Stop the server, and do something as the last thing before it would take, or close, what is there."""

    def stop(*, before: Callable[[], object] = lambda: None, after: Callable[[], object] = lambda: None) -> None:
        async def take(servers: list[asyncio.Server]) -> None:
            before()
            await listeners.take_no_more(servers)
            after()

        monkeypatch.setattr("producer.server.serve.take_no_more", take)
        running.server.should_exit = True

    return stop


def test_a_connection_that_was_made_and_not_yet_taken_is_served(
    running: Stopping, last_moment: Callable[..., None]
) -> None:
    clients: list[socket.socket] = []

    def connect() -> None:
        client = running.connect()
        client.sendall(GET)
        clients.append(client)

    last_moment(before=connect)
    await_condition(lambda: clients, what="the connection")
    with clients[0] as client:
        answered(client)


def test_a_request_that_comes_a_moment_after_its_connection_is_served(running: Stopping) -> None:
    with running.connect() as client:
        await_condition(lambda: running.server.server_state.connections, what="the connection")
        running.server.should_exit = True
        await_condition(lambda: refuses(running), what="the end of listening")
        client.sendall(GET[:9])
        client.sendall(GET[9:])
        answered(client)


def test_one_that_never_asks_does_not_hold_the_stop_up(running: Stopping) -> None:
    with running.connect() as client:
        await_condition(lambda: running.server.server_state.connections, what="the connection")
        running.server.should_exit = True
        assert read_all(client) == b""


@pytest.mark.parametrize("begun", [GET[:9], b"\r\n"])
def test_one_that_sends_a_part_of_a_request_does_not_hold_the_stop_up(running: Stopping, begun: bytes) -> None:
    with running.connect() as client:
        client.sendall(begun)
        await_condition(lambda: running.server.server_state.connections, what="the connection")
        running.server.should_exit = True
        said = read_all(client)
        assert said.startswith(b"HTTP/1.1 503 ") and b"the server is shutting down" in said


def test_one_kept_alive_is_served_when_its_next_request_is_there(
    running: Stopping, last_moment: Callable[..., None]
) -> None:
    with running.connect() as client:
        client.sendall(GET)
        said = b""
        while not said.endswith(b"hello"):
            said += client.recv(1000)
        assert b"connection: close" not in said
        last_moment(after=lambda: client.sendall(GET))
        answered(client)


def test_one_kept_alive_is_closed_when_nothing_comes(running: Stopping) -> None:
    with running.connect() as client:
        client.sendall(GET)
        said = b""
        while not said.endswith(b"hello"):
            said += client.recv(1000)
        running.server.should_exit = True
        assert read_all(client) == b""


def refuses(running: Stopping) -> bool:
    try:
        with socket.create_connection(running.address, timeout=0.2):
            return False
    except ConnectionRefusedError:
        return True
    except TimeoutError:  # held off
        return False


def test_no_connection_is_made_any_more_once_the_last_are_taken(running: Stopping) -> None:
    """Whoever comes then hears nothing until the socket is closed, instead of a reset."""
    asyncio.run(listeners.take_no_more(running.server.servers))
    with pytest.raises(TimeoutError):
        socket.create_connection(running.address, timeout=0.1)
