"""One connection to Redis on the event loop, on which commands follow each other without waiting for answers.

redis-py's asyncio client gives each command a connection of a pool, a reading task and timeouts of its own, which costs
more than what most commands here do. It still connects (TLS, passwords, the URL's parameters); what comes then is read
by hiredis as it arrives. Measured: deploy/adr/0028-the-synchronous-path.md.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import redis

from shared import clock, redis_clients

log = logging.getLogger(__name__)

#: Bytes that the system may not have taken of what was sent: more says that nobody reads them.
MOST_UNSENT = 8 * 1024 * 1024


class RedisPipe:
    """A connection, made when it is needed, and made anew when it broke. All is called on one event loop.

    A command that is not answered within `seconds` breaks it: all that wait fail with redis.TimeoutError. Nothing is
    sent again by itself. `heard`: gets answers to nothing, as a subscription has them.
    """

    def __init__(
        self,
        url: str,
        seconds: float,
        *,
        connect_seconds: float | None = None,
        heard: Callable[[Any], None] | None = None,
    ) -> None:
        self._client = redis_clients.connect(url, seconds, connect_seconds=connect_seconds, protocol=2)
        self._seconds = seconds
        self._heard = heard
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def __call__(self, *command: Any) -> Any:
        """Redis's answer to a command; redis.RedisError: there is none, or it is an error."""
        if self._wire is None or self._wire.closed:
            await self._connected()
        return await self.send(*command)

    def send(self, *command: Any) -> "asyncio.Future[Any]":
        """The same on the connection that there is; redis.ConnectionError: there is none."""
        wire = self._wire
        if wire is None or wire.closed:
            raise redis.ConnectionError("not connected")
        return wire.send(hiredis.pack_command(command))

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._wire is not None and not self._wire.closed

    def script(self, text: str) -> "Script":
        """A Lua script that is run by this connection."""
        return Script(self, text)

    async def aclose(self) -> None:
        """Hang up."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._wire is not None:
            self._wire.end(redis.ConnectionError("closed"))
        await self._client.aclose()

    async def _connected(self) -> None:
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
        await asyncio.shield(self._connecting)

    async def _connect(self) -> None:
        connection: Any = self._client.connection_pool.make_connection()
        await connection.connect()
        writer, connection._writer, connection._reader = connection._writer, None, None
        self._wire = _Wire(writer, self._seconds, self._heard)
        writer.transport.set_protocol(self._wire)


class Script:
    """A Lua script, which Redis is sent by its name alone once it knows it."""

    def __init__(self, pipe: RedisPipe, text: str) -> None:
        self._pipe = pipe
        self._text = text
        self._name = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """Its answer; redis.RedisError as for a command."""
        given = (len(keys), *keys, *args)
        try:
            return await self._pipe("EVALSHA", self._name, *given)
        except redis.exceptions.NoScriptError:
            return await self._pipe("EVAL", self._text, *given)


class _Wire(asyncio.Protocol):
    """What is sent and answered on one connection, until it ends."""

    def __init__(self, writer: asyncio.StreamWriter, seconds: float, heard: Callable[[Any], None] | None) -> None:
        self._writer = writer  # which closes its transport when it is forgotten
        self._transport: Any = writer.transport
        self._seconds = seconds
        self._heard = heard
        self._reader = hiredis.Reader(protocolError=redis.InvalidResponse, replyError=_error)
        self._unanswered: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False

    def send(self, packed: bytes) -> "asyncio.Future[Any]":
        future = self._loop.create_future()
        self._unanswered.append((clock.monotonic(), future))
        self._transport.write(packed)
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)
        if self._transport.get_write_buffer_size() > MOST_UNSENT:
            self.end(redis.ConnectionError("Redis reads nothing"))
        return future

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not False:
                self._answered(answer)
        except redis.RedisError as error:
            self.end(error)

    def _answered(self, answer: Any) -> None:
        if not self._unanswered:
            if self._heard is None:
                raise redis.InvalidResponse("an answer to nothing")
            return self._heard(answer)
        _, future = self._unanswered.popleft()
        if future.done():
            return
        if isinstance(answer, redis.RedisError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _look(self) -> None:
        self._timer = None
        if not self._unanswered:
            return
        left = self._unanswered[0][0] + self._seconds - clock.monotonic()
        if left <= 0:
            self.end(redis.TimeoutError("Timeout reading from the server"))
        else:
            self._timer = self._loop.call_later(left, self._look)

    def eof_received(self) -> None:
        self.end(redis.ConnectionError("Connection closed by server."))

    def connection_lost(self, error: Exception | None) -> None:
        self.end(redis.ConnectionError(str(error) if error else "Connection closed by server."))

    def end(self, error: redis.RedisError) -> None:
        """Fail all that wait, and hang up."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._unanswered = self._unanswered, deque()
        for _, future in waiting:
            if not future.done():
                future.set_exception(error)
        self._transport.abort()


def _error(text: str) -> redis.RedisError:
    if text.startswith("NOSCRIPT"):
        return redis.exceptions.NoScriptError(text)
    return redis.ResponseError(text)
