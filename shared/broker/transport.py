"""kombu's Redis transport without acknowledgements: a message is a doorbell, and the row is the truth.

What a worker has not acknowledged is kept twice in Redis, in pipelines that cost two thirds of the CPU of a message; it
is of use to nobody here, since a lost message costs a second look and never a job. With nothing unacknowledged there is
also nothing to restore, in which Celery 5.7 workers die when Redis goes away (deploy/adr/0012).
"""

import logging
from collections.abc import Iterable
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.utils.json import dumps

log = logging.getLogger(__name__)

#: How long connecting to the broker may take, in seconds.
CONNECT_SECONDS = 2.0
#: Exchanges of which Redis keeps a table, in keys called as kombu calls them.
_EXCHANGES = ("", "celery.pidbox", "reply.celery.pidbox", "celeryev")
_DEADLINES = redis.Channel.keyprefix_binding_deadlines
_TABLES = (redis.Channel.keyprefix_queue, redis.Channel.keyprefix_binding_permanent)
#: What is put at the end of the name of a key that is set aside.
ASIDE = ".not-a-queue"


class QoS(redis.QoS):
    """Keeps no account of what has been delivered; so neither does it limit what is fetched ahead."""

    #: The message that came last, which alone can be put back.
    _latest: Any = None

    def append(self, message: Any, delivery_tag: str) -> None:
        """A message has come."""
        self._latest = message

    def ack(self, delivery_tag: str) -> None:
        """It has been handed on."""

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Put a message back that came after its queue was turned off here; drop one whose task nobody knows.

        When a queue is turned off Redis has been asked for its next message, and may answer after that.
        """
        if requeue and self._latest is not None and self._latest.delivery_tag == delivery_tag:
            self.channel.put_back(self._latest)


class Channel(redis.Channel):
    """A channel of this transport."""

    QoS = QoS

    def put(self, queue: str, envelope: bytes) -> None:
        """Put a message on a queue as it is, the last one to come."""
        with self.conn_or_acquire() as client:
            client.lpush(queue, envelope)

    def put_back(self, message: Any) -> None:
        """Make a message the next one of its queue again, as it was: nobody has had it."""
        with self.conn_or_acquire() as client:
            client.rpush(message.delivery_info["routing_key"], dumps(message.serializable()))


class RedisTransport(redis.Transport):
    """kombu's, with such channels."""

    Channel = Channel


def is_redis(url: str) -> bool:
    """Whether the broker at this address is a Redis, whose lists are the queues."""
    return url.startswith(("redis://", "rediss://"))


def use() -> None:
    """Have every `redis://` and `rediss://` address of this process served by it, under its usual name.

    Celery's setting `broker_transport` would change the addresses that Flower and the logs show.
    """
    TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = f"{__name__}:RedisTransport"


def set_aside(client: Any, queues: Iterable[str]) -> list[str]:
    """Give another name to what stands in the place of a queue, or of a table of the broker's, and is none; which.

    Somebody who shares this Redis wrote it. One such key keeps a worker from every queue that it listens to, and every
    client of the broker from connecting, until it is gone.
    """
    names = list(queues)
    wanted = dict.fromkeys(names, b"list") | {_DEADLINES: b"zset"}
    wanted |= dict.fromkeys((table % name for table in _TABLES for name in (*_EXCHANGES, *names)), b"set")
    with client.pipeline(transaction=False) as pipeline:
        for key in wanted:
            pipeline.type(key)
        types = pipeline.execute()
    foreign = [key for (key, type), there in zip(wanted.items(), types, strict=True) if there not in (type, b"none")]
    for key in foreign:
        client.rename(key, key + ASIDE)
        log.error("Redis key %s is not a queue of FusionAI; renamed to %s", key, key + ASIDE)
    return foreign
