"""Takes the doorbells of realtime queues on the event loop itself, where Redis is the broker.

Celery's consumer takes messages on a thread of its own, which has to be woken, to wait for the interpreter, and then to
wake the event loop. So it is left all other queues, and these too while the event loop cannot take from them, or while
somebody wants events of each task, which only Celery sends. A message is Celery's in any case (`broker.doorbells`).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from shared import logs, outages
from shared.broker import doorbells
from shared.broker.transport import CONNECT_SECONDS, is_redis
from shared.redis_pipe import RedisPipe
from shared.settings import settings
from workers.process.consumer import Consumer

log = logging.getLogger(__name__)

#: How long Redis is asked to wait for a message, in seconds: as long as a stop may take; shorter while some queue is
#: turned off, which may be turned on meanwhile.
WAIT_SECONDS, BRIEF_SECONDS = 0.5, 0.1
#: How much longer its answer may take, and between two tries.
ANSWER_SECONDS, AGAIN_SECONDS = 4.0, 2.0

#: Takes a queue, ids that wait on it, and whether their first lease is given with them.
Offer: TypeAlias = Callable[[str, Sequence[str], bool], None]


def is_possible() -> bool:
    """Whether the broker is a Redis whose lists can be read so."""
    return is_redis(settings().broker_url)


class LoopConsumer:
    """Of some queues. `consumer` turns them off and on at Celery; `offer` is given what comes."""

    def __init__(self, consumer: Consumer, queues: Sequence[str], offer: Offer) -> None:
        self._consumer = consumer
        self._offer = offer
        #: Those to take from, the one that had a message last at the end: no queue is kept from its turn.
        self._order = list(queues)
        self._off: set[str] = set()
        self._stopping = self._said = False

    def switch(self, queue: str, on: bool) -> None:
        """Take from a queue, or stop, here and at Celery."""
        if queue in self._order:
            (self._off.discard if on else self._off.add)(queue)
        self._consumer(queue, on)

    def stop(self) -> None:
        """Take nothing more; from any thread."""
        self._stopping = True

    async def run(self) -> None:
        """Take until it is stopped: half a second later at most; what Redis hands out meanwhile is put back."""
        while not self._stopping:
            pipe: RedisPipe | None = None
            try:
                pipe = RedisPipe(settings().broker_url, WAIT_SECONDS + ANSWER_SECONDS, connect_seconds=CONNECT_SECONDS)
                while not self._stopping:
                    await self._turn(pipe)
            except Exception as error:
                if not self._said:
                    self._said = True
                    log.info("Celery takes the messages of realtime queues for now: %s", outages.why(error))
            finally:
                self._consumer.leave(())
                if pipe is not None:
                    await pipe.aclose()
            if not self._stopping:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _turn(self, pipe: RedisPipe) -> None:
        """One message, or none. Once Redis has answered, Celery leaves the queues to this."""
        if not self._consumer.is_ready or self._consumer.is_told_of_tasks:
            self._consumer.leave(())
            await asyncio.sleep(BRIEF_SECONDS)
            return
        wanted = [queue for queue in self._order if queue not in self._off]
        if not wanted:
            await asyncio.sleep(BRIEF_SECONDS)
            return
        seconds = BRIEF_SECONDS if self._off else WAIT_SECONDS
        found = await pipe("BRPOP", *wanted, seconds)
        self._said = False
        self._consumer.leave(self._order)
        if found is not None:
            await self._take(pipe, found[0].decode(), found[1])

    async def _take(self, pipe: RedisPipe, queue: str, envelope: bytes) -> None:
        if self._stopping or queue in self._off:  # since Redis was asked: nobody has had it, and others have room
            await pipe("RPUSH", queue, envelope)
            return
        self._order.remove(queue)
        self._order.append(queue)
        if (doorbell := doorbells.read(envelope)) is None:  # whoever can write to the broker may have made it
            log.error("a message of queue %s could not be taken: it is no doorbell", queue)
            return
        try:
            self._offer(doorbell.queue, doorbell.ids, doorbell.first)
        except Exception as error:
            log.error("a message of queue %s could not be taken: %s", queue, logs.trace(error))
