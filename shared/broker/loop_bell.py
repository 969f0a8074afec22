"""A doorbell rung by the event loop itself, at Redis: sent at once, and its answer taken when it comes.

The bell's own thread has to be woken, and then to wait for the interpreter: measured with sixteen synchronous callers
2 ms pass between the commit of their jobs and the message. What is not answered in time, or refused, is rung again by
that thread, which waits for Redis as long as need be.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import redis

from shared import clock, logs
from shared.broker import doorbells
from shared.broker.bell import CHUNK, Bell, published
from shared.broker.transport import CONNECT_SECONDS, is_redis
from shared.queues import OFFER
from shared.redis_pipe import RedisPipe
from shared.settings import settings
from shared.stopping import stop

log = logging.getLogger(__name__)

#: How long an answer may take, in seconds.
ANSWER_SECONDS: Final = 0.5
#: A connection that was of no use for so long is given up, in seconds: on its way it may have been forgotten.
IDLE_SECONDS: Final = 20.0
#: Between two tries to connect, in seconds.
CONNECT_AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Sent:
    queue: str
    ids: Sequence[str]
    first: bool


class LoopBell:
    """Rings from an event loop, where the broker is a Redis. All is called on that loop.

    `again`: rings elsewhere for what was refused or not answered; the latter not as a first lease, since it may have
    been heard, and two workers would begin the job.
    """

    def __init__(self, bell: Bell, again: Callable[[str, Sequence[str], bool], None]) -> None:
        self._bell = bell
        self._again = again
        url = settings().broker_url
        self._pipe = RedisPipe(url, ANSWER_SECONDS, connect_seconds=CONNECT_SECONDS) if is_redis(url) else None
        self._connecting: asyncio.Task[Any] | None = None
        self._connect_at = self._used_at = float("-inf")
        self._unanswered: set[asyncio.Future[Any]] = set()

    def ring(self, queue: str, ids: Sequence[str], *, first: bool = False) -> bool:
        """Ring for some jobs; False: that has to be left to the bell's thread."""
        if (pipe := self._pipe) is None or len(ids) > CHUNK or not self._bell.would_ring(queue):
            return False
        if not self._is_connected(pipe):
            return False
        self._used_at = clock.monotonic()
        envelope = doorbells.enveloped(self._bell.app, OFFER, queue, ids, first=first)
        answer = pipe.send("LPUSH", queue, envelope)
        self._unanswered.add(answer)
        answer.add_done_callback(partial(self._answered, _Sent(queue, ids, first)))
        published()
        return True

    async def close(self) -> None:
        """Until what was sent is answered, or left to the bell's thread."""
        pipe, self._pipe = self._pipe, None
        if self._unanswered:
            await asyncio.wait(list(self._unanswered), timeout=ANSWER_SECONDS)
        if self._connecting is not None:
            await stop(self._connecting)
        if pipe is not None:
            await pipe.aclose()
        while self._unanswered:  # those that were not answered are rung for again
            await asyncio.sleep(0)

    def _is_connected(self, pipe: RedisPipe) -> bool:
        """Whether there is a connection; while there is none, one is made for the next time."""
        now = clock.monotonic()
        if pipe.is_connected:
            if self._unanswered or now - self._used_at <= IDLE_SECONDS:
                return True
            pipe.hang_up("it was idle")
        if now >= self._connect_at and (self._connecting is None or self._connecting.done()):
            self._connect_at = now + CONNECT_AGAIN_SECONDS
            self._connecting = asyncio.create_task(self._connect(pipe))
        return False

    async def _connect(self, pipe: RedisPipe) -> None:
        try:
            await pipe("PING")
            self._used_at = clock.monotonic()
        except Exception as error:  # also of parameters of the URL that kombu alone knows: then the bell's thread rings
            log.debug("no connection to the broker for the event loop: %s", logs.kind(error))

    def _answered(self, sent: _Sent, answer: "asyncio.Future[Any]") -> None:
        """The queue's new length; or an error, or that nobody knows."""
        self._unanswered.discard(answer)
        if (error := answer.exception()) is None:
            self._bell.answered(sent.queue, int(answer.result()))
        else:
            refused = isinstance(error, redis.ResponseError)  # so it was not heard, for certain
            self._again(sent.queue, sent.ids, sent.first and refused)
