"""The event object, as GET /events lists it and as a webhook receives it. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from shared.clock import MICROS
from shared.objects.fields import Count, Time


class Event(TypedDict):
    """An event. `data` has ids, status, counts and the URL of the full object.

    `sequence` numbers the events of the account, separately for live and test keys (`test: true`).
    """

    id: str
    object: Literal["event"]
    type: str
    created_at: Time
    sequence: Count
    data: dict[str, Any]
    test: NotRequired[Literal[True]]


def event_object(row: Mapping[str, Any]) -> Event:
    """An event from its row."""
    shown: Event = {
        "id": row["id"],
        "object": "event",
        "type": row["type"],
        "created_at": row["created_at"] // MICROS,
        "sequence": row["sequence"],
        "data": json.loads(row["data"]),
    }
    if row["test"]:
        shown["test"] = True
    return shown
