"""Which commands a worker takes through the broker: those that ask how it is, none that change what it does.

Celery takes such commands from whoever can write to the broker. Those that Flower shows something by stay; those that
stop a worker, its pool or its queues, end its tasks or write files go: signals, settings and the rows are for that.
"""

from collections.abc import Callable, Set
from typing import Any

from celery.worker.control import Panel

#: What Flower asks a worker.
ASKED = frozenset(
    {"ping", "stats", "conf", "registered", "active", "scheduled", "reserved", "revoked", "active_queues"}
)
#: How Flower, and Celery itself, hear that a worker is there.
HEARD = frozenset({"enable_events", "disable_events", "heartbeat"})


def restrict(on_loop: Callable[[], Set[str]]) -> None:
    """Forget every other command; before the worker starts. `on_loop`: the queues that its event loop takes from."""
    for name in Panel.data.keys() - ASKED - HEARD:
        del Panel.data[name]
    Panel.data["active_queues"] = _active_queues(on_loop)


def _active_queues(on_loop: Callable[[], Set[str]]) -> Callable[..., list[dict[str, Any]]]:
    """Celery's own knows what its consumer takes from, and no more."""

    def active_queues(state: Any, **_: Any) -> list[dict[str, Any]]:
        if (consumer := state.consumer.task_consumer) is None:
            return []
        names = {queue.name for queue in consumer.queues} | on_loop()
        return [dict(state.app.amqp.queues[name].as_dict(recurse=True)) for name in sorted(names)]

    return active_queues
