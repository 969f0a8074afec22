"""One connection to Redis on the event loop, on which a command is sent without waiting for the answers of others.

redis-py's asyncio client gives each command a connection of its pool, a lock, streams and timeouts of its own, which
costs more than most commands here do. It still makes the connection (TLS, passwords, the URL's parameters); hiredis
reads what comes over it as it arrives. What that gains is measured in deploy/adr/0028-the-synchronous-path.md.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import hiredis
import redis
from redis import exceptions
from redis._parsers import BaseParser

from shared import clock, redis_clients
from shared.stopping import stop

#: For how long it is read once more before an answer is given up, in seconds.
READ_SECONDS: Final = 0.01
#: What a server answers that is not to be asked again: it follows another by now, or is not ready. Another connection
#: may lead to the one that is.
_ELSEWHERE: Final = (exceptions.ReadOnlyError, exceptions.BusyLoadingError, exceptions.MasterDownError)


class RedisPipe:
    """A connection that is made when it is needed, and anew after it broke. All is called on one event loop.

    A command that is not answered within `seconds` breaks it, and fails all that wait there. None is sent again by
    itself. `heard` gets what is no answer to a command, as a subscription has it; what it raises breaks the connection.
    """

    def __init__(
        self,
        url: str,
        seconds: float,
        *,
        connect_seconds: float | None = None,
        heard: Callable[[Any], None] | None = None,
    ) -> None:
        self._client = redis_clients.connect(url, seconds, connect_seconds=connect_seconds)
        self._seconds = seconds
        self._heard = heard
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_closed = False

    async def __call__(self, *command: Any) -> Any:
        """Redis's answer to a command, texts as bytes; redis.RedisError: it is an error, or there is none."""
        if not self.is_connected:
            await self._connect_once()
        return await self.send(*command)

    def send(self, *command: Any) -> "asyncio.Future[Any]":
        """The same over the connection that there is: its answer to come. redis.ConnectionError: there is none."""
        if self._wire is None:
            raise redis.ConnectionError("not connected")
        return self._wire.send(hiredis.pack_command(command))

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._wire is not None and not self._wire.ended

    def script(self, text: str) -> "PipedScript":
        """A Lua script to be run over this connection."""
        return PipedScript(self, text)

    async def lost(self) -> None:
        """Until the connection that there is has broken: redis.RedisError, or what `heard` raised, says why."""
        if self._wire is None:
            raise redis.ConnectionError("not connected")
        await asyncio.shield(self._wire.over)

    def tell(self, *command: Any) -> None:
        """The same for whom the answer is nothing, nor that there is none."""
        self.send(*command).add_done_callback(_forget)

    def hang_up(self, why: str = "closed") -> None:
        """Break the connection, or give up making one; the next command makes another."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._wire is not None:
            self._wire.end(redis.ConnectionError(why))

    async def aclose(self) -> None:
        """Hang up for good: who waits, and who comes later, gets redis.ConnectionError."""
        self._is_closed = True
        if self._connecting is not None:
            await stop(self._connecting)
        self.hang_up()
        await self._client.aclose()

    async def _connect_once(self) -> None:
        """Connect, together with all who want to at this time."""
        if self._is_closed:
            raise redis.ConnectionError("closed")
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_forget)
        connecting = self._connecting
        await asyncio.wait([connecting])
        if connecting.cancelled():
            raise redis.ConnectionError("given up")
        connecting.result()

    async def _connect(self) -> None:
        connection: Any = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()
        writer, connection._writer, connection._reader = connection._writer, None, None  # ours from now on
        self._wire = _Wire(writer, self._seconds, self._heard)


class PipedScript:
    """A Lua script, of which Redis is told the name alone once it knows it."""

    def __init__(self, pipe: RedisPipe, text: str) -> None:
        self._pipe = pipe
        self._text = text
        self._name = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """Its answer; redis.RedisError as for a command."""
        given = (len(keys), *keys, *args)
        try:
            return await self._pipe("EVALSHA", self._name, *given)
        except exceptions.NoScriptError:
            return await self._pipe("EVAL", self._text, *given)


class _Wire(asyncio.Protocol):
    """What is sent and answered over one connection, until it ends."""

    def __init__(self, writer: asyncio.StreamWriter, seconds: float, heard: Callable[[Any], None] | None) -> None:
        self._writer = writer  # which would close its transport when it is forgotten
        self._transport: Any = writer.transport
        self._seconds = seconds
        self._heard = heard
        self._reader = hiredis.Reader(protocolError=redis.InvalidResponse, replyError=BaseParser.parse_error)
        self._unanswered: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        #: Done, with what was wrong, once it has ended.
        self.over: asyncio.Future[None] = self._loop.create_future()
        self.over.add_done_callback(_forget)
        self._transport.set_protocol(self)
        if self._transport.is_closing():  # broken before it was ours
            self.end(redis.ConnectionError("connection closed by Redis"))

    @property
    def ended(self) -> bool:
        """It is of no use any more."""
        return self.over.done()

    def send(self, packed: bytes) -> "asyncio.Future[Any]":
        """Send a command; its answer to come."""
        answer = self._loop.create_future()
        if self.ended:
            answer.set_exception(_as_redis_error(self.over.exception()))
            return answer
        self._unanswered.append((clock.monotonic(), answer))
        self._transport.write(packed)
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)
        return answer

    def data_received(self, data: bytes) -> None:
        """Some of an answer, or several of them."""
        try:
            self._reader.feed(data)
            while not self.ended and (answer := self._reader.gets()) is not False:
                self._take(answer)
        except Exception as error:
            self.end(error)

    def _take(self, answer: Any) -> None:
        if not self._unanswered:
            if self._heard is None:
                raise redis.InvalidResponse("an answer to nothing")
            self._heard(answer)
            return
        _, waiting = self._unanswered.popleft()
        if not waiting.done():
            if isinstance(answer, Exception):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)
        if isinstance(answer, _ELSEWHERE):
            raise answer

    def _look(self, *, again: bool = False) -> None:
        """Whether the oldest command has been answered in time; before it has not, read once more (`again`): after a
        pause of this process the answer is there, and what Redis has handed out with it would be lost.
        """
        self._timer = None
        if not self._unanswered:
            return
        left = self._unanswered[0][0] + self._seconds - clock.monotonic()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        elif not again:
            self._timer = self._loop.call_later(READ_SECONDS, partial(self._look, again=True))
        else:
            self.end(redis.TimeoutError(f"no answer within {self._seconds:g} s"))

    def eof_received(self) -> None:
        """Redis has hung up."""
        self.end(redis.ConnectionError("connection closed by Redis"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection broke."""
        self.end(redis.ConnectionError(str(exc) if exc else "connection closed by Redis"))

    def end(self, error: Exception) -> None:
        """Hang up; all that wait fail."""
        if self.ended:
            return
        self.over.set_exception(error)
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        given = _as_redis_error(error)
        for _, waiting in self._unanswered:
            if not waiting.done():
                waiting.set_exception(given)
                waiting.add_done_callback(_forget)
        self._unanswered.clear()


def _as_redis_error(error: BaseException | None) -> redis.RedisError:
    """What those get who wait for a connection that has ended; a refusal of one command says nothing of theirs."""
    if isinstance(error, redis.RedisError) and not isinstance(error, redis.ResponseError):
        return error
    return redis.ConnectionError(str(error))


def _forget(done: "asyncio.Future[Any]") -> None:
    """Whoever is left to hear of a failure has heard of it."""
    if not done.cancelled():
        done.exception()
