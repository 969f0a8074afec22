"""A provider that follows a script, on a real socket: pieces of an answer, pauses, and the ways to end."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

#: What an upstream does, one after the other: send this, wait so many seconds, or end in this way.
Step = bytes | float | str
#: Longer than the tests' limits.
STALL = "stall"


@dataclass
class Upstream:
    """A provider with a script."""

    steps: Sequence[Step]
    url: str = ""
    connections: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    #: The heads of the requests, as they came.
    heads: list[str] = field(default_factory=list)

    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        acting: asyncio.Task[None] | None = None
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n{")).decode("latin-1"))
            self.asked.set()
            acting = asyncio.create_task(self._act(writer))
            while await reader.read(65_536):
                pass
        except ConnectionError:
            pass
        finally:
            if acting is not None:
                acting.cancel()
            writer.transport.abort()
            self.gone.set()

    async def _act(self, writer: asyncio.StreamWriter) -> None:
        for step in self.steps:
            if isinstance(step, bytes):
                writer.write(step)
            elif step == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                break
            else:
                await asyncio.sleep(3600 if step == STALL else float(step))
        writer.close()


@asynccontextmanager
async def serving(steps: Sequence[Step]) -> AsyncIterator[Upstream]:
    upstream = Upstream(steps)
    server = await asyncio.start_server(upstream.connected, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        async with asyncio.timeout(20):
            yield upstream
    finally:
        server.close()
        for task in upstream.serving:
            task.cancel()
        await asyncio.gather(*upstream.serving, return_exceptions=True)
        await asyncio.sleep(0)  # the aborted connections' sockets are closed in the loop's next round
