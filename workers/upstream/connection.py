"""A connection to a provider, which carries one request after the other, for `workers.upstream.transport`.

What comes over it is read on the event loop, by no other thread: a client whose threads hand each answer over has to
wait for the interpreter each time (ADR 4).
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

import httpx

from shared import clock
from workers.upstream.connecting import UNREACHED
from workers.upstream.incoming import IncomingAnswer

#: So long after an answer the loop is believed that nobody has hung up: to ask the system costs a turn of the
#: interpreter's lock, 10 us and more where threads contend for it.
BELIEVED_SECONDS: Final = 0.1


class ProviderConnection(asyncio.Protocol):
    """Use: `await ask(...)`, then read the answer to its end, or close it. `keep` is given what may serve again."""

    def __init__(self, connected: socket.socket, keep: Callable[["ProviderConnection"], None]) -> None:
        self.idle_since = 0.0
        self.when_lost: Callable[[], None] | None = None
        self._socket = connected
        self._keep = keep
        self._lost = False
        self._answer: IncomingAnswer | None = None

    @property
    def alive(self) -> bool:
        """The provider has neither hung up nor said anything unasked, as far as the loop, later the system, knows."""
        if self._lost or clock.monotonic() - self.idle_since < BELIEVED_SECONDS:
            return not self._lost
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def ask(self, head: bytes, body: bytes, seconds: float) -> IncomingAnswer:
        """POST: the answer once its head has come, all of it within `seconds`. httpx.RequestError."""
        if self._lost:
            raise httpx.ConnectError(f"{UNREACHED}: it closed the connection at once")
        answer = self._answer = IncomingAnswer(self, seconds)
        self._transport.writelines((head, body))
        try:
            await answer.head()
        except BaseException:
            await answer.aclose()
            raise
        return answer

    def abort(self) -> None:
        """Hang up, whatever is under way."""
        self._answer, self._lost = None, True
        self._transport.abort()

    def release(self, *, reusable: bool) -> None:
        """The answer has come whole. Of a request that is still being sent, the rest would stand before the next."""
        self._answer = None
        if reusable and not self._lost and not self._transport.get_write_buffer_size():
            self._keep(self)
        else:
            self.abort()

    def pause(self) -> None:
        """Have the provider wait."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Let it go on."""
        if not self._lost:
            self._transport.resume_reading()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        if self._answer is not None:
            self._answer.feed(data)
        elif not self._lost:
            self._let_go()

    def connection_lost(self, error: Exception | None) -> None:
        answer = self._answer
        self._let_go()
        if answer is not None:
            answer.lost(error)

    def _let_go(self) -> None:
        self.abort()
        if self.when_lost is not None:
            self.when_lost()
