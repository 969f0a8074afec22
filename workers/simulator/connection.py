"""The connection under a reply: sending it whole or event by event, and ending it in ways that ASGI has no word for."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from workers.simulator.messages import SimulatedReply

Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]


@dataclass(slots=True)
class SimulatedConnection:
    """The connection under a reply; `transport` is uvicorn's own, for what ASGI cannot say."""

    send: Send
    receive: Receive
    transport: asyncio.Transport

    async def start(self, reply: SimulatedReply, length: int | None) -> None:
        """Send the head; without a length the body is chunked."""
        headers = [(b"content-type", reply.content_type), *reply.headers]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        await self.send({"type": "http.response.start", "status": reply.status, "headers": headers})

    async def part(self, data: bytes, *, last: bool) -> None:
        """Send a part of the body."""
        await self.send({"type": "http.response.body", "body": data, "more_body": not last})

    async def gone(self) -> None:
        """Wait until the client (or we) closed the connection."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def gone_within(self, seconds: float) -> bool:
        """The same for so long at most; whether it is closed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gone(), seconds)
            return True
        return False

    async def close(self) -> None:
        """Close the connection in good manners, whatever was promised."""
        self.transport.close()
        await self.gone()

    async def reset(self) -> None:
        """Close it with a TCP reset."""
        if (pseudo := self.transport.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError), socket.fromfd(pseudo.fileno(), pseudo.family, pseudo.type) as real:
                real.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.transport.abort()
        await self.gone()


async def deliver(exchange: SimulatedConnection, reply: SimulatedReply) -> None:
    """Send a reply as a sound provider does."""
    if reply.events is None:
        await exchange.start(reply, len(reply.body))
        await exchange.part(reply.body, last=True)
        return
    await exchange.start(reply, None)
    for data in reply.events:
        await exchange.part(data, last=False)
    await exchange.part(b"", last=True)
