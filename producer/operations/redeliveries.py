"""Redelivers to one webhook what it has not had, or all, since a time: a bounded part of it in each call."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection, and_, select, update

from producer import objects
from producer.objects import Redelivery
from producer.operations import webhooks
from producer.operations.pages import owned_by
from shared import clock, db
from shared.db import models as m
from shared.errors import Conflict, InvalidRequest
from shared.key_holders import KeyHolder
from shared.submissions.schemas import Shape
from shared.webhooks import event_search, late_deliveries
from shared.webhooks.events import delivery

#: Deliveries made due in one call, and events looked at.
MOST: Final = 1000
LOOKED: Final = 5000
#: Events read at once.
PAGE: Final = 500
#: Latest time that can be meant, in seconds: the year 3000.
LATEST: Final = 32_503_680_000


class RedeliverSpec(Shape):
    """The body of POST /webhooks/{id}/redeliver: events since a time, in order."""

    since: Annotated[int, Field(ge=0, le=LATEST, description="Unix time in seconds.")]
    until: Annotated[int, Field(ge=0, le=LATEST, description="Unix time in seconds; absent: until now.")] | None = None
    status: Annotated[
        Literal["failed", "missing", "all"],
        Field(
            description="`failed`: deliveries that were given up. `missing`: events of its types that were never sent "
            "to it, since it was disabled, was created later, or had other types. `all`: these, and those that were "
            "delivered. What is pending is never doubled.",
        ),
    ] = "failed"
    after: Annotated[str, Field(max_length=100, description="`last_id` of the call before, to go on.")] | None = None


def redeliver(
    connection: Connection, holder: KeyHolder, id: str, wanted: RedeliverSpec
) -> tuple[Redelivery, list[str]]:
    """Make due what is wanted of the next events; what came of it, and the deliveries. 409 for one that is disabled."""
    row = webhooks.locked(connection, holder, id)
    if row["status"] != "enabled":
        raise Conflict(f"webhook {id} is disabled; enable it first")
    at, until = _begin(connection, holder, wanted), _until(connection, wanted)
    again, missing, looked, last, more = list[str](), list[str](), 0, wanted.after, True
    while more and looked < LOOKED and len(again) + len(missing) < MOST:
        some = min(PAGE, MOST - len(again) - len(missing))
        rows = connection.execute(_events(holder, id, at).limit(some)).mappings().all()
        more = len(rows) == some
        for event in rows:
            if event["created_at"] >= until:
                more = False
                break
            at, last = event["sequence"], str(event["id"])
            if _is_wanted(event, wanted, webhooks.types_of(row)):
                (again if event["delivery_id"] else missing).append(event["delivery_id"] or last)
        looked += len(rows)
    due = _again(connection, again) + _added(connection, holder, id, missing)
    return objects.redelivery(id, len(due), last, has_more=more), due


def _begin(connection: Connection, holder: KeyHolder, wanted: RedeliverSpec) -> int:
    """The number of the event before the first that is looked at."""
    owner = holder.account_id, holder.test
    if wanted.after is None:
        return event_search.first_since(connection, owner, wanted.since * clock.MICROS) - 1
    sequence = event_search.number_of(connection, owner, wanted.after)
    if sequence is None:
        raise InvalidRequest(f"after: unknown event {wanted.after!r}", param="after")
    return sequence


def _until(connection: Connection, wanted: RedeliverSpec) -> int:
    """Before which instant an event was written, in microseconds."""
    now = db.now(connection) + 1
    return now if wanted.until is None else min(now, wanted.until * clock.MICROS)


def _events(holder: KeyHolder, id: str, at: int) -> Any:
    """The account's events after a number, each with its delivery to the webhook, if there is one."""
    columns = (m.events.c.id, m.events.c.sequence, m.events.c.type, m.events.c.created_at)
    mine = and_(m.deliveries.c.event_id == m.events.c.id, m.deliveries.c.webhook_id == id)
    statement = select(*columns, m.deliveries.c.id.label("delivery_id"), m.deliveries.c.status)
    statement = statement.select_from(m.events.outerjoin(m.deliveries, mine))
    return statement.where(*owned_by(holder, m.events), m.events.c.sequence > at).order_by(m.events.c.sequence)


def _is_wanted(event: Any, wanted: RedeliverSpec, types: frozenset[str]) -> bool:
    if event["created_at"] < wanted.since * clock.MICROS:
        return False
    if event["delivery_id"] is None:
        subscribed = event["type"] in types or "*" in types
        return wanted.status != "failed" and subscribed and event["type"] != "webhook.test"
    return event["status"] in _WANTED[wanted.status]


#: Deliveries that are made due again, by what is asked for.
_WANTED: Final = {"failed": ("failed",), "missing": (), "all": ("failed", "delivered")}


def _again(connection: Connection, ids: list[str]) -> list[str]:
    """Those of these deliveries that are now due; not one that has become so meanwhile."""
    if not ids:
        return []
    again = update(m.deliveries).where(m.deliveries.c.id.in_(sorted(ids)), m.deliveries.c.status != "pending")
    values = {"status": "pending", "attempts": 0, "claims": 0, "last_status": None, "next_at": 0}
    due = again.values(**values, asked_at=db.now(connection)).returning(m.deliveries.c.id)
    return list(connection.execute(due).scalars())


def _added(connection: Connection, holder: KeyHolder, id: str, event_ids: list[str]) -> list[str]:
    """New deliveries of these events."""
    rows = [delivery(event_id, id, holder.account_id, holder.test) for event_id in event_ids]
    return [row["id"] for row in rows if late_deliveries.insert(connection, row)]
