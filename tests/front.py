"""The web process's end of its connections, served over real sockets to a small application of the test's own."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from producer.server.connections import Bounds, Connections
from producer.server.protocol import BoundedProtocol
from shared.stopping import stop
from tests.conditions import await_condition

App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: So wide that nothing meets them but what a test narrows.
WIDE = Bounds(65_536, 60, 60, 60, 60, 60, connections=100, per_address=100)


class Front:
    """A running server; `connect()` makes a client's end."""

    def __init__(self, app: App, bounds: Bounds) -> None:
        self.connections = Connections(bounds)
        protocol: Any = partial(BoundedProtocol, connections=self.connections)
        config = uvicorn.Config(app, port=0, http=protocol, ws="none", lifespan="off", log_config=None)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    async def _run(self) -> None:
        looking = asyncio.create_task(self.connections.run())
        await self._server.serve()
        await stop(looking)

    def start(self) -> None:
        self._thread.start()
        await_condition(lambda: self._server.started, what="the server")
        self._address = self._server.servers[0].sockets[0].getsockname()

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(20)

    def connect(self, *, buffer_bytes: int | None = None) -> socket.socket:
        """A connection; with a receive buffer of so many bytes."""
        client = socket.socket()
        if buffer_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        client.settimeout(20)
        client.connect(self._address)
        return client

    @property
    def open(self) -> int:
        """How many connections are counted."""
        return len(self.connections._open)


@contextmanager
def served(app: App, **narrowed: Any) -> Iterator[Front]:
    """A server of `app`, whose bounds are WIDE but for those given."""
    front = Front(app, replace(WIDE, **narrowed))
    front.start()
    try:
        yield front
    finally:
        front.stop()


def read_all(client: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    try:
        while part := client.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
