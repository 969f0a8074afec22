"""Operations on events: list, show, redeliver."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, or_, select, update

from producer import objects
from producer.objects import Event, List
from producer.operations.pages import SEARCHED, PageQuery, owned_by, searched
from shared import db
from shared.db import models as m
from shared.errors import InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.webhooks import event_search, events


def list_events(
    connection: Connection,
    holder: KeyHolder,
    page: PageQuery,
    *,
    newest_first: bool = False,
    types: Collection[str] = (),
) -> List[Event]:
    """Every event after the one given, in order: usually oldest first, so that a reader who follows misses none.

    Of the key's mode alone: live and test events are numbered apart, each from 1 without gaps. `types`: of these alone,
    among the next SEARCHED events.
    """
    statement = select(m.events).where(*owned_by(holder, m.events))
    if page.after is not None:
        sequence = event_search.number_of(connection, (holder.account_id, holder.test), page.after)
        if sequence is None:
            raise InvalidRequest(f"after: unknown event {page.after!r}", param="after")
        number = m.events.c.sequence
        statement = statement.where(number < sequence if newest_first else number > sequence)
    in_order = m.events.c.sequence.desc() if newest_first else m.events.c.sequence
    if types:
        if unknown := [type for type in types if type not in events.TYPES]:
            raise InvalidRequest(f"type: unknown type {unknown[0][:50]!r}", param="type")
        return _of_types(connection, statement.order_by(in_order), page, types)
    rows = connection.execute(statement.order_by(in_order).limit(page.limit + 1)).mappings()
    return objects.page([objects.event_object(dict(row)) for row in rows], page.limit)


def _of_types(connection: Connection, statement: Any, page: PageQuery, types: Collection[str]) -> List[Event]:
    """A page of some types; `has_more` with fewer than a page: the next ones have not been searched yet."""
    narrow = statement.with_only_columns(m.events.c.id, m.events.c.type).limit(SEARCHED)
    rows = connection.execute(narrow).all()
    ids = [row.id for row in rows if row.type in types][: page.limit + 1]
    found = connection.execute(statement.where(m.events.c.id.in_(ids))).mappings()
    return searched(objects.page([objects.event_object(dict(row)) for row in found], page.limit), rows)


def show_event(connection: Connection, holder: KeyHolder, event_id: str) -> Event:
    """The event object; 404 when the account's keys of this mode have no such event."""
    mine = select(m.events).where(*owned_by(holder, m.events), m.events.c.id == event_id)
    row = connection.execute(mine).mappings().first()
    if row is None:
        raise NotFound(f"not found: event {event_id[:100]!r}")
    return objects.event_object(dict(row))


def redeliver_event(connection: Connection, holder: KeyHolder, event_id: str) -> tuple[Event, list[str]]:
    """Make an event's deliveries due again, to its callback and to the webhooks that are still enabled."""
    event = show_event(connection, holder, event_id)
    enabled = select(m.webhooks.c.id).where(*owned_by(holder, m.webhooks), m.webhooks.c.status == "enabled")
    now = db.now(connection)
    again = (
        update(m.deliveries)
        .where(m.deliveries.c.event_id == event_id)
        .where(or_(m.deliveries.c.url.is_not(None), m.deliveries.c.webhook_id.in_(enabled.scalar_subquery())))
        .values(status="pending", attempts=0, claims=0, last_status=None, next_at=0, asked_at=now)
        .returning(m.deliveries.c.id)
    )
    return event, list(connection.execute(again).scalars())
