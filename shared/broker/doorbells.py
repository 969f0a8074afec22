"""A doorbell as Celery's message: what differs from one to the next is put in, the rest is made once.

`Celery.send_task` makes all of it anew, looks up where it goes, and tells signals to which nobody listens. It costs 350
µs of CPU a message on Redis; kombu's own publishing, by which RabbitMQ's messages go, costs 190; the command of Redis's
list alone 50. The format is protocol 2 of https://docs.celeryq.dev/en/stable/internals/protocol.html, as made by
`celery.app.amqp.AMQP.as_task_v2`; in Redis it is in kombu's envelope (`kombu/transport/virtual/base.py`,
`Channel.prepare_message` and `_inplace_augment_message`).
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from celery import Celery
from celery.utils.saferepr import saferepr
from kombu.utils.uuid import uuid

from shared.broker.transport import Channel
from shared.queues import OFFER

#: The argument by which a message says that it is the first lease of its jobs.
FIRST = "first"
#: Characters of the arguments that are shown of a message, as Celery does.
SHOWN = 1024
_PERSISTENT = 2


def publish(app: Celery, producer: Any, task: str, queue: str, ids: Sequence[str], *, first: bool = False) -> None:
    """Put one message to a task on a queue of the app's, which is made when it is not there.

    `first`: it says that it is the first lease of these jobs, which earlier versions pass over.
    """
    if isinstance(producer.channel, Channel):
        producer.channel.put(queue, enveloped(app, task, queue, ids, first=first))
        return
    id, headers, body = _parts(app, task, queue, ids, first)
    producer.publish(
        body,
        exchange="",
        routing_key=queue,
        declare=[app.amqp.queues[queue]],
        serializer="json",
        headers=headers,
        correlation_id=id,
        delivery_mode="persistent",
        retry=False,
    )


def enveloped(app: Celery, task: str, queue: str, ids: Sequence[str], *, first: bool = False) -> bytes:
    """The same message as it stands in Redis, in the list that is called as the queue."""
    return _enveloped(queue, *_parts(app, task, queue, ids, first))


@dataclass(frozen=True, slots=True)
class Doorbell:
    """What a message to `OFFER` says: ids that wait on a queue. `first`: it is their first lease."""

    queue: str
    ids: list[str]
    first: bool


def read(envelope: bytes) -> Doorbell | None:
    """What stands in Redis's list, as this or another version put it there; None: it is no such message."""
    try:
        message = orjson.loads(envelope)
        headers, properties = message["headers"], message["properties"]
        (queue, ids, *_), given, *_ = orjson.loads(base64.b64decode(message["body"]))
        again = headers.get("redelivered") or properties["delivery_info"].get("redelivered")
        # Whoever had it before may have begun these jobs.
        doorbell = Doorbell(queue, ids, given.get(FIRST) is True and not again)
        is_meant = headers["task"] == OFFER and isinstance(queue, str) and isinstance(ids, list)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None
    return doorbell if is_meant and all(isinstance(id, str) for id in ids) else None


def _parts(
    app: Celery, task: str, queue: str, ids: Sequence[str], first: bool
) -> tuple[str, Mapping[str, Any], Sequence[Any]]:
    """A message's id, headers and body."""
    id, args = uuid(), (queue, list(ids))
    shown = repr(args)
    made, embedded = _made_once(app, task)
    given = {"id": id, "root_id": id, "argsrepr": shown if len(shown) <= SHOWN else saferepr(args, SHOWN)}
    return id, {**made, **given}, (args, {FIRST: True} if first else {}, embedded)


@lru_cache(maxsize=16)
def _made_once(app: Celery, task: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The headers of a message to a task, and what its body has beside the arguments."""
    message = app.amqp.as_task_v2("", task, ignore_result=True)
    return message.headers, message.body[2]


def _enveloped(queue: str, id: str, headers: Mapping[str, Any], body: Sequence[Any]) -> bytes:
    properties = {
        "correlation_id": id,
        "delivery_mode": _PERSISTENT,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": id,
    }
    return orjson.dumps(
        {
            "body": base64.b64encode(orjson.dumps(body)).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
    )
