"""Operations on webhooks: register, list, change, rotate the secret, test, list deliveries, delete.

Live keys see and govern the webhooks that live keys made, test keys those of test keys. A webhook's row is locked while
it is changed, and what is deleted stays so: two changes at once both hold.
"""

import json
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import Connection, insert, or_, select, update

from producer import objects
from producer.objects import DeletedWebhook, Delivery, List, NewSecret, Webhook
from producer.operations.pages import PageQuery, owned_by, paged
from shared import clock, db
from shared.db import models as m
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.key_holders import KeyHolder
from shared.money.ledger import Book
from shared.network import receivers
from shared.submissions.schemas import Shape
from shared.webhooks import events, signing
from shared.webhooks import secrets as webhook_secrets

#: Webhooks that an account's live keys may have, and its test keys.
MOST = 20


class WebhookSpec(Shape):
    """The body of POST /webhooks. Without `events`, the webhook receives all event types."""

    url: str = Field(max_length=2048)
    events: Annotated[list[str], Field(min_length=1, max_length=50)] = Field(default_factory=lambda: ["*"])
    description: str | None = Field(default=None, max_length=500)


class WebhookChange(Shape):
    """The body of PATCH /webhooks/{id}. Absent fields are not changed."""

    url: str | None = Field(default=None, max_length=2048)
    #: Null or empty removes it.
    description: str | None = Field(default=None, max_length=500)
    events: Annotated[list[str], Field(min_length=1, max_length=50)] | None = None
    status: Literal["enabled", "disabled"] | None = None


class RotateSpec(Shape):
    """The body of POST /webhooks/{id}/rotate and /webhook_secret/rotate; it may be left out."""

    overlap_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=webhook_secrets.OVERLAP_SECONDS,
            description="For how long the secrets before the new one sign beside it. 0, for one that has leaked: they "
            "sign nothing any more.",
        ),
    ] = webhook_secrets.OVERLAP_SECONDS


_KNOWN = {*events.TYPES, "*"}
#: What `workers.webhooks.failing` notes, of a webhook that begins anew.
_SPELL_OVER: Final = {"failing_since": None, "failed_at": None}


def create(connection: Connection, holder: KeyHolder, wanted: WebhookSpec) -> NewSecret:
    """Register an address for events; only this answer, and its replays, show the secret."""
    _check_events(wanted.events)
    _check_url(wanted.url)
    lock = select(m.accounts.c.id).where(m.accounts.c.id == holder.account_id)
    connection.execute(lock.with_for_update())  # so that two at once are not both the last one allowed
    having = select(m.webhooks.c.id).where(*owned_by(holder, m.webhooks), m.webhooks.c.status != "deleted")
    if len(connection.execute(having).all()) >= MOST:
        raise Conflict(f"an account can have at most {MOST} webhooks; delete one first")
    row = {
        "id": clock.new_id("wh"),
        "account_id": holder.account_id,
        "test": holder.test,
        "url": wanted.url,
        "description": wanted.description or None,
        "events": json.dumps(sorted(set(wanted.events))),
        "secret": signing.secret_of(secrets.token_bytes(32)),
        "status": "enabled",
        "created_at": clock.now_micros(),
    }
    connection.execute(insert(m.webhooks).values(row))
    return objects.webhook_with_secret(row)


def change(connection: Connection, holder: KeyHolder, id: str, wanted: WebhookChange) -> Webhook:
    """Change where it sends, what, or whether at all; enabling it again sends nothing that it missed."""
    fresh: dict[str, Any] = {}
    if wanted.url is not None:
        _check_url(wanted.url)
        fresh.update(url=wanted.url, paused_until=None, **_SPELL_OVER)
    if "description" in wanted.model_fields_set:
        fresh["description"] = wanted.description or None
    if wanted.events is not None:
        _check_events(wanted.events)
        fresh["events"] = json.dumps(sorted(set(wanted.events)))
    if wanted.status is not None:
        fresh.update(status=wanted.status, disabled_reason=None, **_SPELL_OVER)
    row = locked(connection, holder, id)
    if fresh:
        connection.execute(update(m.webhooks).where(m.webhooks.c.id == id).values(fresh))
    return objects.webhook_object({**row, **fresh})


def show(connection: Connection, holder: KeyHolder, id: str) -> Webhook:
    """One webhook of the account."""
    return objects.webhook_object(_row(connection, holder, id))


def list_all(connection: Connection, holder: KeyHolder, page: PageQuery) -> List[Webhook]:
    """A page of the account's webhooks, newest first."""
    statement = select(m.webhooks).where(*owned_by(holder, m.webhooks), m.webhooks.c.status != "deleted")
    rows = connection.execute(paged(statement, m.webhooks.c.id, page)).mappings()
    return objects.page([objects.webhook_object(dict(row)) for row in rows], page.limit)


def remove(connection: Connection, holder: KeyHolder, id: str) -> DeletedWebhook:
    """Send nothing more to it; only what is under way at this moment may still arrive."""
    locked(connection, holder, id)
    connection.execute(update(m.webhooks).where(m.webhooks.c.id == id).values(status="deleted"))
    return objects.deleted_webhook(id)


def give_up_waiting(connection: Connection, holder: KeyHolder, id: str) -> int:
    """End some of what still waits for one that is not enabled; how many, as `events.give_up` tells."""
    mine = select(m.webhooks.c.status).where(m.webhooks.c.id == id, *owned_by(holder, m.webhooks))
    status = connection.execute(mine).scalar()
    return 0 if status in (None, "enabled") else events.give_up(connection, id, f"the webhook was {status}")


def rotate(connection: Connection, holder: KeyHolder, id: str, wanted: RotateSpec | None = None) -> NewSecret:
    """A new secret; for a day, or as long as is wanted, every delivery is signed with each of the old ones too."""
    row, now = locked(connection, holder, id), db.now(connection)
    overlap = (wanted or RotateSpec()).overlap_seconds
    fresh = webhook_secrets.rotated(row, signing.secret_of(secrets.token_bytes(32)), now, overlap)
    connection.execute(update(m.webhooks).where(m.webhooks.c.id == id).values(fresh))
    return objects.webhook_with_secret({**row, **fresh})


def test(connection: Connection, holder: KeyHolder, id: str) -> tuple[Webhook, list[str]]:
    """Emit a `webhook.test` event to this webhook alone; the webhook, and the delivery now due."""
    row = _row(connection, holder, id)
    book = Book(connection, [holder.account_id])
    book.emit(holder.account_id, "webhook.test", {"webhook": {"id": id}}, webhook_id=id, test=holder.test)
    return objects.webhook_object(row), book.close()


def list_deliveries(connection: Connection, holder: KeyHolder, id: str, page: PageQuery) -> List[Delivery]:
    """A page of what was sent to it, newest first."""
    _row(connection, holder, id)
    statement = with_event_type().where(m.deliveries.c.webhook_id == id)
    rows = connection.execute(paged(statement, m.deliveries.c.id, page)).mappings()
    now = clock.now_micros()
    return objects.page([objects.delivery_object(dict(row), now) for row in rows], page.limit)


def with_event_type() -> Any:
    """A statement for deliveries, each with the type of its event (`event_type`)."""
    joined = m.deliveries.outerjoin(m.events, m.events.c.id == m.deliveries.c.event_id)
    return select(m.deliveries, m.events.c.type.label("event_type")).select_from(joined)


def recipients_of(connection: Connection, holder: KeyHolder, event_id: str) -> list[str]:
    """The webhooks that an event would be sent to again, and of its callback the secret, which counts as one."""
    enabled = select(m.webhooks.c.id).where(*owned_by(holder, m.webhooks), m.webhooks.c.status == "enabled")
    statement = select(m.deliveries.c.webhook_id).where(
        *owned_by(holder, m.deliveries),
        m.deliveries.c.event_id == event_id,
        or_(m.deliveries.c.url.is_not(None), m.deliveries.c.webhook_id.in_(enabled.scalar_subquery())),
    )
    return list(connection.execute(statement.order_by(m.deliveries.c.webhook_id)).scalars())


def _check_events(types: Sequence[str]) -> None:
    if unknown := [type for type in types if type not in _KNOWN]:
        known = ", ".join(sorted(_KNOWN))
        raise InvalidRequest(f"events: unknown event type {unknown[0][:100]!r}; known: {known}", param="events")


def _check_url(url: str) -> None:
    receivers.check(url)


def _row(connection: Connection, holder: KeyHolder, id: str, *, lock: bool = False) -> dict[str, Any]:
    mine = select(m.webhooks).where(
        m.webhooks.c.id == id, *owned_by(holder, m.webhooks), m.webhooks.c.status != "deleted"
    )
    row = connection.execute(mine.with_for_update() if lock else mine).mappings().first()
    if row is None:
        raise NotFound(f"not found: webhook {id[:100]!r}")
    return dict(row)


def locked(connection: Connection, holder: KeyHolder, id: str) -> dict[str, Any]:
    """A webhook's row, locked; 404 when these keys have no such webhook."""
    return _row(connection, holder, id, lock=True)


def types_of(row: dict[str, Any]) -> frozenset[str]:
    """The event types that a webhook subscribes, or `*`."""
    return frozenset(json.loads(row["events"]))
