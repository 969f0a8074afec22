"""Which queues this process's Celery consumer takes from: those for which it has free slots."""

import logging
from typing import Any

from shared import clock
from shared.broker import rabbitmq

log = logging.getLogger(__name__)

#: Between two tries to consume queues that could not be had, in seconds.
AGAIN_SECONDS = 5.0


class Consumer:
    """Turns queues off and on in Celery's own consumer, on its own thread.

    Calls reach that thread in any order, so none says what to change: each brings a queue to the state that is wanted
    by then. `reconcile` does so for all, should one have been lost.
    """

    def __init__(self) -> None:
        self._celery: Any = None
        self._wanted: dict[str, bool] = {}
        self._again_at = 0.0

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
        if self._celery is not None and (self._wanted or rabbitmq.unavailable):
            self._celery.call_soon(self._switch_all)

    def _switch_all(self) -> None:
        for queue in list(self._wanted):
            self._switch(queue)
        if rabbitmq.unavailable and clock.monotonic() > self._again_at and self._celery.task_consumer is not None:
            self._again_at = clock.monotonic() + AGAIN_SECONDS
            for queue in list(rabbitmq.unavailable):
                self._try_again(queue)

    def _try_again(self, queue: str) -> None:
        """Consume a queue that could not be had when this worker connected to the broker."""
        consumer = self._celery.task_consumer
        try:
            self._celery.app.amqp.queues[queue](consumer.channel).queue_declare()
            if queue not in rabbitmq.unavailable and consumer.consuming_from(queue):
                self._celery.cancel_task_queue(queue)
                self._celery.add_task_queue(queue)
        except Exception as error:
            log.warning("could not consume queue %s again: %s", queue, type(error).__name__)

    def _switch(self, queue: str) -> None:
        on, consumer = self._wanted[queue], self._celery.task_consumer
        try:
            if consumer is None or bool(consumer.consuming_from(queue)) == on:
                return  # none while it connects again, which keeps what was turned off
            if on:
                self._celery.add_task_queue(queue)
            else:
                self._celery.cancel_task_queue(queue)
        except Exception as error:
            log.warning("could not %s consuming queue %s: %s", "start" if on else "stop", queue, type(error).__name__)
