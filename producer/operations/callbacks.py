"""Operations on callbacks: the secret that signs them, and the deliveries of the event of one job, batch or event."""

import secrets
from typing import Any

from sqlalchemy import Connection, select, update

from producer import objects
from producer.objects import CallbackSecret, Delivery, List, NewCallbackSecret
from producer.operations import batches, events, jobs
from producer.operations.pages import PageQuery, owned_by, paged
from producer.operations.webhooks import RotateSpec, with_event_type
from shared import clock, db
from shared.db import models as m
from shared.key_holders import KeyHolder
from shared.objects.batches import BATCH_OVER
from shared.webhooks import callback_secrets, event_search, signing
from shared.webhooks import secrets as webhook_secrets


def show_secret(connection: Connection, holder: KeyHolder) -> CallbackSecret:
    """What is known of the secret, but for itself; it is made when it is asked for the first time."""
    row = _secret(connection, holder)
    return objects.callback_secret(row, len(webhook_secrets.signing(row, db.now(connection))))


def rotate_secret(connection: Connection, holder: KeyHolder, wanted: RotateSpec | None = None) -> NewCallbackSecret:
    """A new secret; for a day, or as long as is wanted, callbacks are signed with each of the old ones too."""
    _secret(connection, holder)
    mine = select(m.callback_secrets).where(*owned_by(holder, m.callback_secrets)).with_for_update()
    row, now = dict(connection.execute(mine).mappings().one()), db.now(connection)
    made = signing.secret_of(secrets.token_bytes(signing.SECRET_BYTES))
    fresh = webhook_secrets.rotated(row, made, now, (wanted or RotateSpec()).overlap_seconds)
    connection.execute(update(m.callback_secrets).where(m.callback_secrets.c.id == row["id"]).values(fresh))
    rotated = {**row, **fresh}
    return objects.new_callback_secret(rotated, len(webhook_secrets.signing(rotated, now)))


def _secret(connection: Connection, holder: KeyHolder) -> dict[str, Any]:
    owner = holder.account_id, holder.test
    return dict(callback_secrets.ensure(connection, {owner})[owner])


def of_job(connection: Connection, holder: KeyHolder, id: str, page: PageQuery) -> List[Delivery]:
    """The deliveries of the event of a job's end, to webhooks and to its callback; none before its end."""
    jobs.show_job(connection, holder, id)
    ended_at = connection.execute(select(m.jobs.c.finished_at).where(m.jobs.c.id == id)).scalar()
    return _of_end(connection, holder, "job", id, ended_at, page)


def of_batch(connection: Connection, holder: KeyHolder, id: str, page: PageQuery) -> List[Delivery]:
    """The same of a batch."""
    row = batches.visible(connection, holder, id)
    ended_at = row[f"{row['status']}_at"] if row["status"] in BATCH_OVER else None
    return _of_end(connection, holder, "batch", id, ended_at, page)


def of_event(connection: Connection, holder: KeyHolder, event_id: str, page: PageQuery) -> List[Delivery]:
    """The deliveries of an event; 404 when the account's keys of this mode have no such event."""
    events.show_event(connection, holder, event_id)
    return _page(connection, event_id, page)


def _of_end(
    connection: Connection, holder: KeyHolder, kind: str, id: str, ended_at: int | None, page: PageQuery
) -> List[Delivery]:
    owner = holder.account_id, holder.test
    event_id = None if ended_at is None else event_search.of_end(connection, owner, kind, id, ended_at)
    return _page(connection, event_id or "", page)


def _page(connection: Connection, event_id: str, page: PageQuery) -> List[Delivery]:
    statement = with_event_type().where(m.deliveries.c.event_id == event_id)
    rows = connection.execute(paged(statement, m.deliveries.c.id, page)).mappings()
    now = clock.now_micros()
    return objects.page([objects.delivery_object(dict(row), now) for row in rows], page.limit)
