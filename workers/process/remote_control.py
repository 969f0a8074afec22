"""Which commands a worker takes through the broker: those that ask how it is, none that change what it does.

Celery takes such commands from whoever can write to the broker. Those that Flower shows something by stay; those that
stop a worker, its pool or its queues, end its tasks or write files go: signals, settings and the rows are for that.
"""

from celery.worker.control import Panel

#: What Flower asks a worker.
ASKED = frozenset(
    {"ping", "stats", "conf", "registered", "active", "scheduled", "reserved", "revoked", "active_queues"}
)
#: How Flower, and Celery itself, hear that a worker is there.
HEARD = frozenset({"enable_events", "disable_events", "heartbeat"})


def restrict() -> None:
    """Forget every other command; before the worker starts."""
    for name in Panel.data.keys() - ASKED - HEARD:
        del Panel.data[name]
