"""Which queues this process's Celery consumer takes from: those for which it has free slots."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared import clock
from shared.broker import rabbitmq
from shared.settings import settings

log = logging.getLogger(__name__)

#: Between two tries to consume queues that could not be had, in seconds.
AGAIN_SECONDS = 5.0
#: How long after a queue of RabbitMQ is consumed it is consumed anew, once: by then a cluster in which a node hangs has
#: chosen other leaders (`deploy/cluster.md`). And the time between two such queues, in seconds.
SETTLED_SECONDS, RENEW_SECONDS = 30.0, 2.0


class Consumer:
    """Turns queues off and on in Celery's own consumer, on its own thread.

    Calls reach that thread in any order, so none says what to change: each brings a queue to the state that is wanted
    by then. `reconcile` does so for all, should one have been lost.

    RabbitMQ can lose a consumer without telling it, when a queue is deleted while workers come to consume it. So each
    queue is consumed anew once, some time after this process has connected, or has come back to the queue.
    """

    def __init__(self) -> None:
        self._celery: Any = None
        self._wanted: dict[str, bool] = {}
        self._again_at = self._renew_at = 0.0
        #: What messages are taken by, until Celery connects again; when each of its queues is to be consumed anew.
        self._renewing: Any = None
        self._renew_after: dict[str, float] = {}
        self._renews = rabbitmq.is_rabbitmq(settings().broker_url)

    def ready(self, celery_consumer: Any) -> None:
        """Celery's consumer is there."""
        self._celery = celery_consumer

    def __call__(self, queue: str, on: bool) -> None:
        """Consume a queue, or stop; from any thread."""
        self._wanted[queue] = on
        if self._celery is not None:
            self._celery.call_soon(self._switch, queue)

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
        """The queues to consume anew: those that could not be had, and one that has been consumed for long enough."""
        now, consumed = clock.monotonic(), list(self._celery.app.amqp.queues.consume_from)
        if self._renewing is not self._celery.task_consumer:
            self._renewing = self._celery.task_consumer
            self._renew_after = dict.fromkeys(consumed, now + SETTLED_SECONDS)
        due = set[str]()
        if now > self._again_at:
            self._again_at = now + AGAIN_SECONDS
            due |= rabbitmq.unavailable.intersection(consumed)
            self._renew_after |= dict.fromkeys(due, now + SETTLED_SECONDS)
        settled = [queue for queue in consumed if self._renew_after.get(queue, now) < now]
        if settled and now > self._renew_at:
            self._renew_at = now + RENEW_SECONDS
            del self._renew_after[settled[0]]
            due.add(settled[0])
        return due

    def _renew(self, queue: str) -> None:
        """Consume a queue anew; it is declared where it is gone."""
        consumer = self._celery.task_consumer
        with self._logged(f"consume queue {queue} anew"):
            consumer.cancel_by_queue(queue)
            consumer.add_queue(self._celery.app.amqp.queues[queue])
            consumer.consume()

    def _switch(self, queue: str) -> None:
        on, consumer = self._wanted[queue], self._celery.task_consumer
        with self._logged(f"{'start' if on else 'stop'} consuming queue {queue}"):
            if consumer is None or bool(consumer.consuming_from(queue)) == on:
                return  # none while it connects again, which keeps what was turned off
            if on:
                self._celery.add_task_queue(queue)
                self._renew_after[queue] = clock.monotonic() + SETTLED_SECONDS
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
