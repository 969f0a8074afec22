"""Deliveries to callbacks that an earlier version, which does not know them, has not written with their event.

The event is there: it is looked for by when it was written, once for all that ended at one instant. Deliveries are
unique by event and addressee, so whoever comes second adds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, update

from shared import db
from shared.db.models import deliveries, events
from shared.webhooks import callback_secrets, event_search
from shared.webhooks.events import delivery


@dataclass(frozen=True, slots=True)
class OwedCallback:
    """A job or batch (`kind`: as its events call it) that has ended, and whose callback was not told."""

    account_id: str
    test: bool
    kind: str
    id: str
    ended_at: int
    url: str


def add(connection: Connection, owed: Sequence[OwedCallback]) -> list[str]:
    """Write the deliveries that are owed of events that are still kept; the ids of those that are now due."""
    if not owed:
        return []
    secrets = callback_secrets.ensure(connection, {(one.account_id, one.test) for one in owed})
    made: list[str] = []
    ends = {(one.account_id, one.test, one.kind, one.ended_at) for one in owed}
    told = {end: event_search.of_ends(connection, end[:2], *end[2:]) for end in ends}
    for one in owed:
        owner = one.account_id, one.test
        if event_id := told[*owner, one.kind, one.ended_at].get(one.id):
            row = delivery(event_id, str(secrets[owner]["id"]), *owner, url=one.url)
            made += [str(row["id"])] if insert(connection, row) else []
    return made


def insert(connection: Connection, row: dict[str, object]) -> bool:
    """Add a delivery to an event that was written before, which counts it; False when it is there already."""
    statement = db.insert(connection.dialect.name, deliveries)
    statement = statement.on_conflict_do_nothing(index_elements=["event_id", "webhook_id"])
    if connection.execute(statement.returning(deliveries.c.id), row).first() is None:
        return False
    counted = update(events).where(events.c.id == row["event_id"], events.c.deliveries.is_not(None))
    connection.execute(counted.values(deliveries=events.c.deliveries + 1))
    return True
