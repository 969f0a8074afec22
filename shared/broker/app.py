"""The Celery app, the names of the queues, and how a queue is woken.

A message is a doorbell: a list of ids and nothing else. The rows are the truth, so a lost, doubled or late message
costs time, never work or money. Options follow from measurements: see deploy/adr/0002-celery-as-doorbell.md.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import Any, Literal

from amqp.exceptions import ChannelError
from celery import Celery, signals
from kombu.entity import Exchange, Queue
from redis import RedisError, from_url
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import clock, crash
from shared.broker import flower_door, transport
from shared.settings import settings
from shared.submissions.catalogue import catalogue

log = logging.getLogger(__name__)

Lane = Literal["realtime", "batch"]
LANES: tuple[Lane, ...] = ("realtime", "batch")
WEBHOOKS = "webhooks"
MAINTENANCE = "maintenance"
#: Jobs that have lost a worker wait here; no broker queue: workers.maintenance.probation takes them from the rows.
PROBATION = "probation"

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

_REDIS = {
    "socket_timeout": 4,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "priority_steps": [0],
    # Seconds of one BRPOP: how long a queue that is consumed again may have to wait for the others' call to end.
    "polling_interval": 0.1,
    "sep": ":",
}


#: Routes by the queue's own name: on Redis nothing but the list itself has to exist, so a wiped broker
#: loses messages, which are only doorbells, and no binding that a later publish would need.
_DEFAULT_EXCHANGE = Exchange("", type="direct")


def queue_name(provider: str, lane: Lane) -> str:
    """`openai.realtime`."""
    return f"{provider}.{lane}"


def provider_of(queue: str) -> str:
    """`openai` of `openai.realtime`."""
    return queue.rpartition(".")[0]


def job_queues() -> list[str]:
    """Every queue that jobs wait on."""
    return [queue_name(name, lane) for name in catalogue().providers for lane in LANES]


def make_app() -> Celery:
    """A Celery app with every queue declared; the same for producers, workers, sweeper and Flower."""
    made = Celery("fusionai", broker=settings().broker_url, set_as_current=False)
    transport.use()
    quorum = not settings().broker_url.startswith(("redis", "memory"))
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 20} if quorum else None
    made.conf.update(
        task_queues=[
            Queue(name, _DEFAULT_EXCHANGE, routing_key=name, queue_arguments=arguments)
            for name in [*job_queues(), WEBHOOKS, MAINTENANCE]
        ],
        task_default_queue=MAINTENANCE,
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=True,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        accept_content=["json"],
        task_serializer="json",
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # or a Redis that is full ends the worker as soon as it connects
        broker_transport_options={"confirm_publish": True} if quorum else dict(_REDIS),
        redis_socket_timeout=4.0,
        redis_socket_connect_timeout=2.0,
        redis_socket_keepalive=True,
        enable_utc=True,
    )
    return made


app = make_app()
signals.import_modules.connect(flower_door.watch)


class Bell:
    """Rings queues from one thread of its own, never from an event loop, each time with a deadline."""

    #: The broker did not take what was last given to it; how often that has changed.
    away = False
    turns = 0

    def __init__(self, celery: Celery | None = None) -> None:
        self._app = celery or app
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bell")
        self._depths: dict[str, tuple[int, float]] = {}
        self._down_until = 0.0

    def ring(self, queue: str, ids: Sequence[str]) -> "Future[bool]":
        """Publish the ids in messages of CHUNK; True when the broker has them, False when it does not answer."""
        return self._thread.submit(self._publish, queue, list(ids))

    def depth(self, queue: str) -> "Future[int | None]":
        """Messages waiting in the broker's queue; None when the broker does not answer."""
        return self._thread.submit(self._depth, queue)

    def check(self) -> "Future[bool]":
        """Whether the broker takes what is written to it: one that is full answers, and takes nothing."""
        return self._thread.submit(self._check)

    def set_aside(self) -> "Future[list[str]]":
        """Rename keys that stand in the way of a queue: see `broker_transport.set_aside`."""
        return self._thread.submit(self._set_aside)

    def has_room(self, queue: str) -> bool:
        """Whether the broker's queue was short when last looked at; never waits, and has a look taken when that is old.

        A queue never looked at, or a broker that does not answer, has room: ringing is how one finds out.
        """
        depth, at = self._depths.get(queue, (0, 0.0))
        if depth >= FULL_MESSAGES and clock.monotonic() - at > LOOK_SECONDS:
            self._depths[queue] = (depth, clock.monotonic())
            self.depth(queue)
        return depth < FULL_MESSAGES

    def close(self) -> None:
        """Publish what was asked for, then stop."""
        self._thread.shutdown(wait=True)

    def _publish(self, queue: str, ids: list[str]) -> bool:
        task = "deliver" if queue == WEBHOOKS else "offer"
        if clock.monotonic() < self._down_until:
            return False
        try:
            with self._producer() as producer:
                for start in range(0, len(ids), CHUNK):
                    self._app.send_task(
                        task,
                        args=(queue, ids[start : start + CHUNK]),
                        queue=queue,
                        producer=producer,
                        ignore_result=True,
                        retry=False,
                    )
                self._count(producer, queue, -(-len(ids) // CHUNK))
        except Exception as error:
            self._lose(error)
            return False
        self._find()
        crash.point("wake.after_publish")
        return True

    def _check(self) -> bool:
        if clock.monotonic() < self._down_until:
            return False
        try:
            with self._producer() as producer:
                _write(producer.channel)
        except Exception as error:
            self._lose(error)
            return False
        self._find()
        return True

    def _set_aside(self) -> list[str]:
        if not settings().broker_url.startswith("redis"):
            return []
        try:
            with from_url(
                settings().broker_url,
                socket_timeout=PUBLISH_DEADLINE_SECONDS,
                socket_connect_timeout=_REDIS["socket_connect_timeout"],
                retry=Retry(NoBackoff(), 0),
            ) as client:
                return transport.set_aside(client, [*job_queues(), WEBHOOKS, MAINTENANCE])
        except (RedisError, OSError):
            return []

    def _lose(self, error: Exception) -> None:
        self._down_until = clock.monotonic() + DOWN_SECONDS
        if not self.away:
            self.away, self.turns = True, self.turns + 1
            log.warning(
                "the broker is away, or full (%s): jobs are taken from the rows, more slowly", type(error).__name__
            )

    def _find(self) -> None:
        if self.away:
            self.away, self.turns = False, self.turns + 1
            log.info("the broker is back")

    def _depth(self, queue: str) -> int | None:
        if clock.monotonic() < self._down_until:
            return None
        try:
            with self._producer() as producer:
                return self._look(producer, queue)
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

    def _producer(self) -> Any:
        return self._app.producer_pool.acquire(block=True, timeout=PUBLISH_DEADLINE_SECONDS)


def _write(channel: Any) -> None:
    """Write something small to the broker; of those that are no Redis, ask for a queue."""
    if hasattr(channel, "client") and hasattr(channel.client, "set"):
        channel.client.set(PROBED, 1, ex=60)
    else:
        with suppress(ChannelError):  # a queue that is not there is an answer
            channel.queue_declare(MAINTENANCE, passive=True)


@lru_cache(maxsize=1)
def bell() -> Bell:
    """This process's bell."""
    return Bell()
