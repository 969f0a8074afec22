"""The doorbell: wakes a queue from one thread, each call with a deadline.

A message is a list of ids and nothing else. The rows are the truth, so a lost, doubled or late message costs time,
never work or money.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, TypeVar

from amqp import Message
from amqp.exceptions import ChannelError, NotFound
from celery import Celery
from kombu.transport import pyamqp
from redis import RedisError

from shared import clock, crash, outages, redis_clients
from shared.broker import doorbells, transport
from shared.broker.rabbitmq import is_rabbitmq
from shared.broker.transport import CONNECT_SECONDS
from shared.queues import MAINTENANCE, OFFER, TASKS, provider_of
from shared.settings import settings
from shared.submissions.catalogue import job_queues

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Ids in one message.
CHUNK = 100
#: Messages of a queue above which a producer leaves waking to the feeder.
FULL_MESSAGES = 32
#: How old a look at a full queue may be before another is taken, in seconds.
LOOK_SECONDS = 0.25
#: Seconds after which a publish is given up; the feeder will wake those jobs.
PUBLISH_DEADLINE_SECONDS = 5.0
#: For how long a broker that did not answer is not asked again, so that no backlog of rings waits for deadlines.
DOWN_SECONDS = 1.0

#: What a check writes.
PROBED = "fusionai.probed"


class Bell:
    """Rings queues from one thread of its own, never from an event loop, each time with a deadline."""

    #: The broker did not take what was last given to it; how often that has changed.
    away = False
    turns = 0
    #: The providers that an operator has paused, as far as this process has seen: their queues are not rung.
    paused: Collection[str] = frozenset()
    #: A doorbell may be a job's first lease (`shared.jobs.first_leases`): all workers take it so, as far as was seen.
    first_leases = False

    def __init__(self, celery: Celery | None = None) -> None:
        self.app = celery or _app()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bell")
        self._depths: dict[str, tuple[int, float]] = {}
        self._down_until = 0.0

    def ring(self, queue: str, ids: Sequence[str], *, first: bool = False) -> "Future[bool]":
        """Publish the ids in messages of CHUNK; True when the broker has them. `first`: as the jobs' first leases.

        False when it does not answer, or the queue is paused: then the jobs are the feeder's.
        """
        return self._thread.submit(self._publish, queue, list(ids), first)

    def depth(self, queue: str) -> "Future[int | None]":
        """Messages waiting in the broker's queue; None when the broker does not answer."""
        return self._thread.submit(self._depth, queue)

    def check(self) -> "Future[bool]":
        """Whether the broker takes what is written to it: one that is full answers, and takes nothing."""
        return self._thread.submit(self._check)

    def greet(self) -> None:
        """Try a RabbitMQ once, so that the log of a process that begins says what is wrong with it."""
        if is_rabbitmq(settings().broker_url):
            self.check()

    def set_aside(self) -> "Future[list[str]]":
        """Rename keys that stand in the way of a queue: see `transport.set_aside`."""
        return self._thread.submit(self._set_aside)

    def is_paused(self, queue: str) -> bool:
        """Whether an operator has paused the queue's provider, as far as this process has seen."""
        return bool(self.paused) and provider_of(queue) in self.paused

    def has_room(self, queue: str) -> bool:
        """Whether the broker's queue was short when last looked at; never waits, and has a look taken when that is old.

        A queue never looked at, or a broker that does not answer, has room: ringing is how one finds out.
        """
        if self.is_paused(queue):
            return False
        depth, at = self._depths.get(queue, (0, 0.0))
        if depth >= FULL_MESSAGES and clock.monotonic() - at > LOOK_SECONDS:
            self._depths[queue] = (depth, clock.monotonic())
            self.depth(queue)
        return depth < FULL_MESSAGES

    def would_ring(self, queue: str) -> bool:
        """Whether `ring` would try: the queue is known and not paused, and the broker was not just found away.

        A queue of a provider that this process does not know is another version's to ring.
        """
        return not self.is_paused(queue) and clock.monotonic() >= self._down_until and queue in self.app.amqp.queues

    def answered(self, queue: str, depth: int) -> None:
        """The broker took a message that this bell's thread did not send; now so many are in the queue."""
        self._depths[queue] = (depth, clock.monotonic())
        self._find()

    def close(self) -> None:
        """Publish what was asked for, then stop."""
        self._thread.shutdown(wait=True)

    def _publish(self, queue: str, ids: list[str], first: bool) -> bool:
        task = TASKS.get(queue, OFFER)
        if not self.would_ring(queue):
            return False
        try:
            self._ask(partial(self._send, task, queue, ids, first))
        except NotFound:  # of a queue that is not replicated, its node is away
            return False
        except Exception as error:
            self._lose(error)
            return False
        self._find()
        published()
        return True

    def _send(self, task: str, queue: str, ids: list[str], first: bool, producer: Any) -> None:
        for start in range(0, len(ids), CHUNK):
            doorbells.publish(self.app, producer, task, queue, ids[start : start + CHUNK], first=first)
        self._count(producer, queue, -(-len(ids) // CHUNK))

    def _check(self) -> bool:
        if clock.monotonic() < self._down_until:
            return False
        try:
            self._ask(lambda producer: _write(producer.channel))
        except Exception as error:
            self._lose(error)
            return False
        self._find()
        return True

    def _set_aside(self) -> list[str]:
        if not settings().broker_url.startswith("redis"):
            return []
        try:
            with redis_clients.connect_sync(
                settings().broker_url,
                PUBLISH_DEADLINE_SECONDS,
                connect_seconds=CONNECT_SECONDS,
            ) as client:
                return transport.set_aside(client, [*job_queues(), *TASKS])
        except (RedisError, OSError):
            return []

    def _lose(self, error: Exception) -> None:
        self._down_until = clock.monotonic() + DOWN_SECONDS
        if not self.away:
            self.away, self.turns = True, self.turns + 1
            log.warning(
                "the broker at %s is unavailable or full (%s): jobs are polled from the database, with more delay",
                outages.place(settings().broker_url),
                outages.why(error),
            )

    def _find(self) -> None:
        if self.away:
            self.away, self.turns = False, self.turns + 1
            log.info("the broker is available again")

    def _depth(self, queue: str) -> int | None:
        if clock.monotonic() < self._down_until:
            return None
        try:
            return self._ask(lambda producer: self._look(producer, queue))
        except Exception as error:
            self._lose(error)
            return None

    def _count(self, producer: Any, queue: str, messages: int) -> None:
        """Note messages just put; a look costs as much as a message, so one is taken when there may be many."""
        depth, at = self._depths.get(queue, (FULL_MESSAGES, 0.0))
        if depth + messages < FULL_MESSAGES // 2 and clock.monotonic() - at < LOOK_SECONDS:
            self._depths[queue] = (depth + messages, at)
        else:
            self._look(producer, queue)

    def _look(self, producer: Any, queue: str) -> int:
        """Messages in a queue; on Redis an empty one does not exist."""
        try:
            depth = int(producer.channel.queue_declare(queue, passive=True).message_count)
        except ChannelError:
            depth = 0
        self._depths[queue] = (depth, clock.monotonic())
        return depth

    def _ask(self, work: Callable[[Any], T]) -> T:
        """Do it with a producer; once more when its connection was dead: other nodes of the broker may be well."""
        try:
            with self._producer() as producer:
                return work(producer)
        except Exception as error:
            if not outages.is_hung_up(error):
                raise
        with self._producer() as producer:
            return work(producer)

    def _producer(self) -> Any:
        return self.app.producer_pool.acquire(block=True, timeout=PUBLISH_DEADLINE_SECONDS)


def published() -> None:
    """A message has just been sent to the broker, by the bell's thread or by an event loop's own."""
    crash.point("wake.after_publish")


def _app() -> Celery:
    """This process's app, made of its settings when it is first asked for."""
    from shared.broker.app import app

    return app


def _write(channel: Any) -> None:
    """Write something small to the broker: to RabbitMQ, which takes it all the same, for a queue that is not there."""
    if hasattr(channel, "client") and hasattr(channel.client, "set"):
        channel.client.set(PROBED, 1, ex=60)
    elif isinstance(channel, pyamqp.Channel):
        channel.basic_publish(Message(""), routing_key=PROBED)
    else:
        with suppress(ChannelError):  # a queue that is not there is an answer
            channel.queue_declare(MAINTENANCE, passive=True)


@lru_cache(maxsize=1)
def bell() -> Bell:
    """This process's bell."""
    return Bell()
