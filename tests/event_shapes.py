"""Holds the body of each event that is really sent to its type's example in the catalogue (`GET /events/types`)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, select

from producer.operations.event_types import list_event_types
from shared.db.models import events

EXAMPLES: Final = {one["id"]: one["example"]["data"] for one in list_event_types()["data"]}
#: What only some events of a type have, by the type's beginning: of a line of a batch, of a key, of a purchase.
SOMETIMES: Final = {
    "job": {"job.batch_id", "job.custom_id"},
    "credit": {"key_id"},
    "invoice": {
        f"invoice.{name}"
        for name in ("description", "metadata", "price", "checkout_url", "expires_at", "auto_top_up", "payment_error")
    }
    | {"invoice.refunded", "invoice.how_to_pay"},
}
#: Objects whose fields are the customer's own, or which may be null.
WHOLE: Final = frozenset({"invoice.price", "invoice.metadata", "job.metadata", "batch.metadata"})
#: What the recorded rows of a version to come have more (`tests/integration/test_recorded.py`).
LATER: Final = "invented_later"
#: What tests write themselves, with whatever they like in it.
FREE: Final = "webhook.test"


def faults(type: str, data: Mapping[str, Any]) -> list[str]:
    """Where the body of an event is not shaped as its type's example."""
    real, shown = set(_paths(data)), set(_paths(EXAMPLES[type]))
    odd = (real ^ shown) - SOMETIMES.get(type.partition(".")[0], set())
    return [f"event {type}: {'only' if path in real else 'no'} {path} in {data}" for path in sorted(odd)]


def violations(connection: Connection) -> list[str]:
    """The faults of all events that are there."""
    rows = connection.execute(select(events.c.type, events.c.data).where(events.c.type != FREE))
    return [fault for type, data in rows for fault in faults(type, json.loads(data))]


def _paths(data: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in data.items():
        if name == LATER:
            continue
        if f"{prefix}{name}" in WHOLE:
            yield f"{prefix}{name}"
        elif isinstance(value, dict):
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
