"""Takes the doorbells of realtime queues on the event loop itself, while Redis is the broker.

Celery's consumer reads them on a thread of its own, which has to be woken, and then to wake the event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import redis

from shared import logs, outages
from shared.broker import doorbells
from shared.redis_pipe import RedisPipe
from shared.settings import settings
from workers.process.consumer import Consumer

log = logging.getLogger(__name__)

#: How long Redis is asked to wait for a message: while all queues are wanted, and while one may be wanted again soon.
WAIT_SECONDS, BRIEF_SECONDS = 1.0, 0.1
#: How much longer its answer may take.
ANSWER_SECONDS = 4.0
AGAIN_SECONDS = 2.0


class LoopConsumer:
    def __init__(
        self, consumer: Consumer, queues: Sequence[str], offer: Callable[[str, Sequence[str], bool], None]
    ) -> None:
        self._consumer = consumer
        self._wanted = dict.fromkeys(queues, True)
        self._offer = offer
        self._order = list(queues)

    def __call__(self, queue: str, on: bool) -> None:
        if queue in self._wanted:
            self._wanted[queue] = on
        self._consumer(queue, on)

    async def run(self) -> None:
        while True:
            pipe = RedisPipe(settings().broker_url, WAIT_SECONDS + ANSWER_SECONDS, connect_seconds=2)
            try:
                await self._take(pipe)
            except Exception as error:
                log.warning("cannot take messages on the event loop: %s", outages.why(error))
            finally:
                self._consumer.leave_to_loop(())
                await pipe.aclose()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _take(self, pipe: RedisPipe) -> None:
        await pipe("PING")
        while True:
            self._consumer.leave_to_loop(self._wanted)
            wanted = [queue for queue in self._order if self._wanted[queue]]
            if not wanted:
                await asyncio.sleep(BRIEF_SECONDS)
                continue
            seconds = WAIT_SECONDS if len(wanted) == len(self._order) else BRIEF_SECONDS
            got = await pipe("BRPOP", *wanted, seconds)
            if got is None:
                continue
            queue = got[0].decode()
            self._order.remove(queue)
            self._order.append(queue)
            heard = doorbells.heard(got[1])
            if heard is not None:
                self._offer(*heard)
