"""A doorbell rung on the event loop's own thread: what is sent fits into the socket, and its answer is read later.

The bell's own thread has to be woken, and then to wait for the interpreter: measured with sixteen synchronous callers
2 ms pass between the commit of their jobs and the message. So few and short messages are under way here at any time
that the socket takes each at once, also while Redis does nothing. What is not answered in time, or refused, is rung
again by the bell's thread, which waits for Redis as long as need be.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import redis

from shared import clock, logs, redis_clients
from shared.broker import doorbells
from shared.broker.bell import Bell, published
from shared.broker.transport import CONNECT_SECONDS
from shared.queues import OFFER
from shared.settings import settings

log = logging.getLogger(__name__)

#: Messages whose answers have not come, and the ids of one: together less than what a socket takes at once.
MOST_UNANSWERED: Final = 8
MOST_IDS: Final = 32
#: How long an answer may take, in seconds; and what else a socket does: sending, the rest of an answer, and each answer
#: while connecting. At a Redis that is further away the bell's thread rings.
ANSWER_SECONDS: Final = 0.5
REST_SECONDS: Final = 0.02
#: A connection that was of no use for so long is given up, in seconds: on its way it may have been forgotten.
IDLE_SECONDS: Final = 20.0
#: Between two tries to connect, in seconds.
CONNECT_AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Sent:
    queue: str
    ids: Sequence[str]
    first: bool
    at: float


@dataclass(frozen=True, slots=True)
class _Connected:
    """A connection, which lasts as long as its client."""

    client: redis.Redis
    connection: Any


class LoopBell:
    """Rings from an event loop's thread, at a Redis without TLS.

    `again`: rings elsewhere for what was refused or not answered; the latter not as a first lease, since it may have
    been heard, and two workers would begin the job.
    """

    def __init__(self, bell: Bell, again: Callable[[str, Sequence[str], bool], None]) -> None:
        self._bell = bell
        self._again = again
        self._enabled = settings().broker_url.startswith("redis://")
        self._connected: _Connected | None = None
        self._connecting: Future[_Connected | None] | None = None
        self._connect_at = self._used_at = 0.0
        self._unanswered: deque[_Sent] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def ring(self, queue: str, ids: Sequence[str], *, first: bool = False) -> bool:
        """Ring for some jobs; False: that has to be left to the bell's thread."""
        if not self._enabled or len(ids) > MOST_IDS or not self._bell.would_ring(queue):
            return False
        self._read_answers()
        connected = self._connection()
        if connected is None or len(self._unanswered) >= MOST_UNANSWERED:
            return False
        self._used_at = clock.monotonic()
        self._unanswered.append(_Sent(queue, ids, first, self._used_at))  # before: what fails may have been sent
        try:
            envelope = doorbells.enveloped(self._bell.app, OFFER, queue, ids, first=first)
            connected.send_packed_command(connected.pack_command("LPUSH", queue, envelope), check_health=False)
        except Exception as error:
            self._lose(error)
            return True
        published()
        self._watch()
        return True

    async def close(self) -> None:
        """Until what was sent is answered, or left to the bell's thread."""
        until = clock.monotonic() + ANSWER_SECONDS
        while self._unanswered and clock.monotonic() < until:
            self._read_answers()
            await asyncio.sleep(0.001)
        self._lose(None)
        self._enabled = False
        if self._connecting is not None:
            self._connecting.add_done_callback(lambda made: _disconnect(made.result()))
        if self._timer is not None:
            self._timer.cancel()

    def _connection(self) -> Any:
        """The connection; while there is none, one is made on the bell's thread, for the next time."""
        if not self._unanswered and clock.monotonic() - self._used_at > IDLE_SECONDS:
            self._hang_up()
        if self._connecting is not None and self._connecting.done():
            connecting, self._connecting = self._connecting, None
            self._connected, self._used_at = connecting.result(), clock.monotonic()
        if self._connected is None and self._connecting is None and clock.monotonic() > self._connect_at:
            self._connect_at = clock.monotonic() + CONNECT_AGAIN_SECONDS
            self._connecting = self._bell.on_thread(_connect)
        return self._connected.connection if self._connected is not None else None

    def _read_answers(self) -> None:
        """Read the answers that have come; an error, or an answer to nothing, ends the connection."""
        try:
            while self._connected is not None and self._connected.connection.can_read(0):
                self._read_answer(self._connected.connection)
        except Exception as error:
            self._lose(error)

    def _read_answer(self, connection: Any) -> None:
        try:
            depth = int(connection.read_response())
            self._bell.answered(self._unanswered.popleft().queue, depth)  # an IndexError: it answers nothing
        except redis.ResponseError:  # so this one was not heard, for certain
            sent = self._unanswered.popleft()
            self._again(sent.queue, sent.ids, sent.first)

    def _watch(self) -> None:
        """Look again when the oldest message is to be answered."""
        if self._timer is None and self._unanswered:
            left = self._unanswered[0].at + ANSWER_SECONDS - clock.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(left, 0.001), self._check_answers)

    def _check_answers(self) -> None:
        """Give up the connection when the oldest message is not answered by now."""
        self._timer = None
        self._read_answers()
        if self._unanswered and clock.monotonic() - self._unanswered[0].at >= ANSWER_SECONDS:
            self._lose(TimeoutError("no answer"))
        self._watch()

    def _lose(self, error: Exception | None) -> None:
        """Hang up. What is not answered is rung for again, which says nothing of leases: it may have been heard."""
        self._hang_up()
        if error is not None:
            log.debug("the broker's connection of the event loop is given up: %s", error)
        lost = list(self._unanswered)
        self._unanswered.clear()
        for sent in lost:
            self._again(sent.queue, sent.ids, False)

    def _hang_up(self) -> None:
        connected, self._connected = self._connected, None
        _disconnect(connected)


def _connect() -> "_Connected | None":
    """A connection of its own to the broker; None when there is none."""
    try:
        # Of RESP 3 a managed Redis makes use to announce its maintenance, of which redis-py then makes longer waits.
        client = redis_clients.connect_sync(
            settings().broker_url, REST_SECONDS, connect_seconds=CONNECT_SECONDS, protocol=2
        )
        connection = client.connection_pool.get_connection()  # and not later, on the loop
        return _Connected(client, connection)
    except Exception as error:  # also of parameters of the URL that kombu alone knows: then the bell's thread rings
        log.debug("no connection to the broker for the event loop: %s", logs.kind(error))
        return None


def _disconnect(connected: _Connected | None) -> None:
    if connected is not None:
        with suppress(redis.RedisError, OSError):
            connected.connection.disconnect()
