"""Celery's consumer as a worker of ours runs it: back soon when the broker is, and never waiting for what nobody needs.

With quorum queues Celery binds each queue to exchanges of delayed delivery, which nothing here uses, and warns of each.
Its thread that takes messages also tells Flower every two seconds that the worker lives: by default until the broker
has confirmed that, again and again.
"""

import logging
import threading
from functools import partial
from typing import Any, ClassVar

from amqp.exceptions import AccessRefused, NotAllowed
from celery.events.dispatcher import EventDispatcher
from celery.worker import consumer
from celery.worker.state import maybe_shutdown

from shared import outages
from shared.settings import settings

log = logging.getLogger(__name__)

#: Between two rounds over the broker's nodes, in seconds: the first pause, what each is longer, and the longest.
PAUSES = {"interval_start": 1, "interval_step": 1, "interval_max": 5}
#: Between two tries to be let in.
REFUSED_SECONDS = 2.0
#: Of the connections of this thread: what it publishes is not waited for.
UNCONFIRMED = {"confirm_publish": False}


class Dispatcher(EventDispatcher):  # type: ignore[misc]
    """What tells Flower that the worker lives: once each time, whatever becomes of it."""

    def send(self, *args: Any, retry: bool = False, **fields: Any) -> Any:
        """Publish an event."""
        return super().send(*args, retry=False, **fields)


class CeleryConsumer(consumer.Consumer):  # type: ignore[misc]
    """What connects to the broker, and takes messages from queues."""

    class Blueprint(consumer.Consumer.Blueprint):  # type: ignore[misc]
        """Its parts."""

        default_steps: ClassVar[list[str]] = [
            step for step in consumer.Consumer.Blueprint.default_steps if "delayed_delivery" not in step
        ]

    def connection_for_read(self, heartbeat: float | None = None) -> Any:
        """Where messages come from, and answers to Flower go."""
        return self.ensure_connected(
            self.app.connection_for_read(heartbeat=heartbeat, transport_options=dict(UNCONFIRMED))
        )

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """Where events go."""
        return self.ensure_connected(
            self.app.connection_for_write(url=url, heartbeat=heartbeat, transport_options=dict(UNCONFIRMED))
        )

    def ensure_connected(self, conn: Any) -> Any:
        """Wait until there is a connection; a password that is refused may be put right there."""
        conn.ensure_connection = partial(conn.ensure_connection, **PAUSES)
        while True:
            try:
                return super().ensure_connected(conn)
            except (AccessRefused, NotAllowed) as error:
                place = outages.place(settings().broker_url)
                log.error("cannot connect to the broker at %s: %s", place, outages.why(error))
            threading.Event().wait(REFUSED_SECONDS)
            maybe_shutdown()
