"""Which queues this process's Celery consumer takes from: those for which it has free slots, unless its loop does."""

import logging
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from typing import Any

from shared import clock
from shared.broker import rabbitmq
from shared.settings import settings
from workers.process import doorbells

log = logging.getLogger(__name__)

#: Between two tries to consume queues that could not be had, in seconds.
AGAIN_SECONDS = 5.0
#: Between two queues of RabbitMQ that are consumed anew, in seconds: each of sixteen has its turn within a minute.
RENEW_SECONDS = 2.0


class Consumer:
    """Turns queues off and on in Celery's own consumer, on its own thread.

    Calls reach that thread in any order, so none says what to change: each brings a queue to the state that is wanted
    by then. `reconcile` does so for all, should one have been lost. Those that the event loop takes from by itself are
    off here (`leave`).

    RabbitMQ can lose a consumer without telling it, when queues are deleted while workers come to consume them. So each
    queue is consumed anew from time to time, in turn.
    """

    def __init__(self) -> None:
        self._celery: Any = None
        self._wanted: dict[str, bool] = {}
        self._again_at = self._renew_at = 0.0
        #: When each queue was last consumed anew.
        self._renewed: dict[str, float] = {}
        #: Queues that the event loop takes from by itself.
        self._left: frozenset[str] = frozenset()
        self._renews = rabbitmq.is_rabbitmq(settings().broker_url)

    def ready(self, celery_consumer: Any) -> None:
        """Celery's consumer is there."""
        self._celery = celery_consumer

    def __call__(self, queue: str, on: bool) -> None:
        """Consume a queue, or stop; from any thread."""
        self._wanted[queue] = on
        if self._celery is not None:
            self._celery.call_soon(self._switch, queue)

    def leave(self, queues: Iterable[str]) -> None:
        """Leave these queues and no others to the event loop, which takes from them by itself; from any thread."""
        if self._celery is None or (left := frozenset(queues)) == self._left:
            return
        for queue in left:
            self._wanted.setdefault(queue, True)
        changed, self._left = left ^ self._left, left
        for queue in changed:
            self._celery.call_soon(self._switch, queue)

    def on_loop(self) -> Set[str]:
        """The queues that the event loop takes from at this time."""
        return {queue for queue in self._left if self._wanted[queue]}

    @property
    def is_ready(self) -> bool:
        """Whether Celery's consumer is there, so that queues can be left to the event loop."""
        return self._celery is not None

    @property
    def is_told_of_tasks(self) -> bool:
        """Whether somebody wants events of each task, which only Celery sends."""
        return self._celery is not None and doorbells.is_told_of(self._celery)

    def reconcile(self) -> None:
        """See that every queue is as it is wanted; from any thread."""
        if self._celery is not None and (self._wanted or self._renews):
            self._celery.call_soon(self._switch_all)

    def _switch_all(self) -> None:
        for queue in list(self._wanted):
            self._switch(queue)
        if self._renews and self._celery.task_consumer is not None:
            for queue in self._due():
                self._renew(queue)

    def _due(self) -> set[str]:
        """The queues to consume anew: those that could not be had, and the one that has not been for longest."""
        due, now, consumed = set[str](), clock.monotonic(), list(self._celery.app.amqp.queues.consume_from)
        if now > self._again_at:
            self._again_at = now + AGAIN_SECONDS
            due |= rabbitmq.unavailable.intersection(consumed)
        if consumed and now > self._renew_at:
            self._renew_at = now + RENEW_SECONDS
            due.add(min(consumed, key=lambda queue: self._renewed.get(queue, 0.0)))
        self._renewed |= dict.fromkeys(due, now)
        return due

    def _renew(self, queue: str) -> None:
        """Consume a queue anew; it is declared where it is gone."""
        consumer = self._celery.task_consumer
        with self._logged(f"consume queue {queue} anew"):
            consumer.cancel_by_queue(queue)
            consumer.add_queue(self._celery.app.amqp.queues[queue])
            consumer.consume()

    def _switch(self, queue: str) -> None:
        on, consumer = self._wanted[queue] and queue not in self._left, self._celery.task_consumer
        with self._logged(f"{'start' if on else 'stop'} consuming queue {queue}"):
            if consumer is None or bool(consumer.consuming_from(queue)) == on:
                return  # none while it connects again, which keeps what was turned off
            if on:
                self._celery.add_task_queue(queue)
            else:
                self._celery.cancel_task_queue(queue)

    @contextmanager
    def _logged(self, what: str) -> Iterator[None]:
        """Log a failure. The broker's own is raised as well: it may concern all queues, and Celery connects again."""
        try:
            yield
        except Exception as error:
            log.warning("could not %s: %s", what, type(error).__name__)
            if isinstance(error, (*self._celery.connection_errors, *self._celery.channel_errors)):
                raise
