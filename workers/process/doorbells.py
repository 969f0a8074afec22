"""Celery's strategy for tasks that only hand ids on: the thread that takes messages runs them at once.

The usual one (`celery/worker/strategy.py`, `default`) makes a request of each message, gives it to the pool, traces it
there and tells of its end, which costs several times what these tasks do. It is left to whatever needs it: messages
that are to wait or expire, and workers that are asked for events of each task.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson
from celery.worker import state, strategy

from shared import logs
from shared.broker.doorbells import FIRST

log = logging.getLogger(__name__)

#: Headers that ask for more than to be run.
_MORE = ("eta", "expires")


def at_once(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """What takes a task's messages; by Celery's name for it, `Task.Strategy`."""
    usual = strategy.default(task, app, consumer, **options)

    def take(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **more: Any) -> Any:
        if body is not None or is_told_of(consumer) or any(map(message.headers.get, _MORE)):
            return usual(message, body, ack, reject, callbacks, **more)
        body = _body(message)
        ack(log, consumer.connection_errors)  # before it is run: that it was taken is all that it says
        state.all_total_count[0] += 1
        state.total_count[task.name] += 1
        try:
            args, kwargs, *_ = body
            if message.delivery_info.get("redelivered"):  # whoever had it before may have begun these jobs
                kwargs = {name: value for name, value in kwargs.items() if name != FIRST}
            task.run(*args, **kwargs)
        except Exception as error:  # whoever can write to the broker may have made it
            log.error("a message of task %s could not be taken: %s", task.name, logs.trace(error))

    return take


def _body(message: Any) -> Any:
    """What a message says: ours is plain JSON, and kombu looks for its format, and in it for types of its own."""
    if message.content_type == "application/json" and message.content_encoding == "utf-8":
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(message.body)
    return message.payload


def is_told_of(consumer: Any) -> bool:
    """Whether somebody wants events of each task; those of the worker itself are always sent."""
    events = consumer.event_dispatcher
    return bool(events and events.enabled and (not events.groups or "task" in events.groups))
