"""What stands before the web processes: it gives each connection to one of them that says at /readyz that it is ready.

As deploy/proxy/Caddyfile and Kubernetes do. A connection that one refuses goes to the next, since nothing of it was
sent yet; nothing that was sent is ever sent to another.
"""

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from shared import clock

#: Between two looks at a web process, and how long one may take to answer, in seconds.
LOOK_SECONDS, LOOK_MOST_SECONDS = 0.05, 2.0
#: How long a connection waits for a web process that is ready (Caddy's `lb_try_duration`).
TRY_SECONDS = 5.0
_ASK = b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n"


class Balancer:
    """A server in a thread of its own, before those ports; `url` is where clients go."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._turn = 0
        #: Those that have said so at the last look.
        self.ready: set[int] = set()
        #: Connections that nobody took, and those that were given to each port.
        self.unserved = 0
        self.served = dict.fromkeys(ports, 0)
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._stopping = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), name="balancer")
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._take, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        looking = [asyncio.create_task(self._look(port)) for port in self._ports]
        self._started.set()
        await self._stopping.wait()
        server.close()
        for task in looking:
            task.cancel()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*looking, *self._tasks, return_exceptions=True)

    async def _look(self, port: int) -> None:
        while True:
            if await self._is_ready(port):
                self.ready.add(port)
            else:
                self.ready.discard(port)
            await asyncio.sleep(LOOK_SECONDS)

    async def _is_ready(self, port: int) -> bool:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LOOK_MOST_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(_ASK)
                    return b" 200 " in await reader.readline()
                finally:
                    writer.transport.abort()
        return False

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if (behind := await self._connect()) is None:
            self.unserved += 1
        else:
            both = {writer, behind[1]}
            self._open |= both
            await _join(reader, writer, *behind)
            self._open -= both
        writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to one that is ready and takes it; None: there was none in time."""
        deadline = clock.monotonic() + TRY_SECONDS
        while clock.monotonic() < deadline:
            self._turn += 1
            for port in sorted(self.ready, key=lambda port: (port + self._turn) % (len(self._ports) + 1)):
                with suppress(OSError):
                    behind = await asyncio.open_connection("127.0.0.1", port)
                    self.served[port] += 1
                    return behind
            await asyncio.sleep(LOOK_SECONDS)
        return None


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    reader_behind: asyncio.StreamReader,
    writer_behind: asyncio.StreamWriter,
) -> None:
    """Hand on in both directions what comes, until the web process has said all that it will."""
    asking = asyncio.create_task(_hand_on(reader, writer_behind))
    try:
        await _hand_on(reader_behind, writer)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        writer_behind.transport.abort()


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
