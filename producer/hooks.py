"""What a caller can do with webhooks: register, list, rotate, test, look at deliveries, delete."""

import json
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection, insert, select, update

from producer import views
from producer.operations import Page, paged
from shared import addresses, clock, events, signing
from shared import models as m
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.ledger import Book
from shared.schemas import Shape
from shared.settings import settings

#: Webhooks an account may have.
MOST = 20
#: For how long a rotated secret still signs beside the new one.
OVERLAP_MICROS = 24 * 3600 * clock.MICROS


class WebhookSpec(Shape):
    """A webhook to register; without `events` it gets every type."""

    url: str = Field(max_length=2048)
    events: Annotated[list[str], Field(min_length=1, max_length=50)] = Field(default_factory=lambda: ["*"])
    description: str | None = Field(default=None, max_length=500)


class WebhookChange(Shape):
    """What to change of a webhook; what is absent stays."""

    url: str | None = Field(default=None, max_length=2048)
    events: Annotated[list[str], Field(min_length=1, max_length=50)] | None = None
    status: Literal["enabled", "disabled"] | None = None


#: Types that are written but not yet emitted by this version may be subscribed to.
_KNOWN = {*events.TYPES, "batch.completed", "batch.failed", "batch.expired", "batch.cancelled"}
_KNOWN |= {"invoice.created", "invoice.paid", "*"}


def create(connection: Connection, account_id: str, wanted: WebhookSpec) -> dict[str, Any]:
    """Register an address for events; the answer is the only one that shows the secret."""
    _check_events(wanted.events)
    _check_url(wanted.url)
    having = select(m.webhooks.c.id).where(m.webhooks.c.account_id == account_id, m.webhooks.c.status != "deleted")
    if len(connection.execute(having).all()) >= MOST:
        raise Conflict(f"an account has at most {MOST} webhooks")
    row = {
        "id": clock.new_id("wh"),
        "account_id": account_id,
        "url": wanted.url,
        "events": json.dumps(sorted(set(wanted.events))),
        "secret": signing.secret_of(secrets.token_bytes(32)),
        "status": "enabled",
        "created_at": clock.now_micros(),
    }
    connection.execute(insert(m.webhooks).values(row))
    return views.webhook_view(row, secret=True)


def change(connection: Connection, account_id: str, id: str, wanted: WebhookChange) -> dict[str, Any]:
    """Change where it sends, what, or whether at all; enabling it again sends nothing that it missed."""
    row = _row(connection, account_id, id)
    fresh: dict[str, Any] = {}
    if wanted.url is not None:
        _check_url(wanted.url)
        fresh["url"] = wanted.url
    if wanted.events is not None:
        _check_events(wanted.events)
        fresh["events"] = json.dumps(sorted(set(wanted.events)))
    if wanted.status is not None:
        fresh["status"] = wanted.status
    if wanted.status == "disabled":
        _give_up_waiting(connection, id, "the webhook was disabled")
    if fresh:
        connection.execute(update(m.webhooks).where(m.webhooks.c.id == id).values(fresh))
    return views.webhook_view({**row, **fresh})


def show(connection: Connection, account_id: str, id: str) -> dict[str, Any]:
    """One webhook of the account."""
    return views.webhook_view(_row(connection, account_id, id))


def list_all(connection: Connection, account_id: str, page: Page) -> dict[str, Any]:
    """A page of the account's webhooks, newest first."""
    statement = select(m.webhooks).where(m.webhooks.c.account_id == account_id, m.webhooks.c.status != "deleted")
    rows = connection.execute(paged(statement, m.webhooks.c.id, page)).mappings()
    return views.page([views.webhook_view(dict(row)) for row in rows], page.limit)


def remove(connection: Connection, account_id: str, id: str) -> dict[str, Any]:
    """Send nothing more to it; only what is under way at this moment may still arrive."""
    _row(connection, account_id, id)
    connection.execute(update(m.webhooks).where(m.webhooks.c.id == id).values(status="deleted"))
    _give_up_waiting(connection, id, "the webhook was deleted")
    return {"id": id, "object": "webhook", "deleted": True}


def rotate(connection: Connection, account_id: str, id: str) -> dict[str, Any]:
    """A new secret; for a day every delivery is signed with the old one too."""
    row = _row(connection, account_id, id)
    fresh = {
        "secret": signing.secret_of(secrets.token_bytes(32)),
        "previous_secret": row["secret"],
        "previous_until": clock.now_micros() + OVERLAP_MICROS,
    }
    connection.execute(update(m.webhooks).where(m.webhooks.c.id == id).values(fresh))
    return views.webhook_view({**row, **fresh}, secret=True)


def test(connection: Connection, account_id: str, id: str) -> tuple[dict[str, Any], list[str]]:
    """Emit a `webhook.test` event to this webhook alone; the webhook, and the delivery now due."""
    row = _row(connection, account_id, id)
    book = Book(connection, [account_id])
    book.emit(account_id, "webhook.test", {"webhook": {"id": id}}, webhook_id=id)
    return views.webhook_view(row), book.close()


def list_deliveries(connection: Connection, account_id: str, id: str, page: Page) -> dict[str, Any]:
    """A page of what was sent to it, newest first."""
    _row(connection, account_id, id)
    statement = select(m.deliveries).where(m.deliveries.c.webhook_id == id)
    rows = connection.execute(paged(statement, m.deliveries.c.id, page)).mappings()
    return views.page([views.delivery_view(dict(row)) for row in rows], page.limit)


def _give_up_waiting(connection: Connection, id: str, why: str) -> None:
    waiting = update(m.deliveries).where(m.deliveries.c.webhook_id == id, m.deliveries.c.status == "pending")
    connection.execute(waiting.values(status="failed", last_error=why))


def _check_events(types: Sequence[str]) -> None:
    if unknown := [type for type in types if type not in _KNOWN]:
        raise InvalidRequest(f"events: there is no event type {unknown[0][:100]!r}", param="events")


def _check_url(url: str) -> None:
    addresses.check_url(
        url,
        allow_loopback=settings().webhooks_allow_loopback,
        allow_private=settings().webhooks_allow_private,
    )


def _row(connection: Connection, account_id: str, id: str) -> dict[str, Any]:
    mine = select(m.webhooks).where(m.webhooks.c.id == id, m.webhooks.c.account_id == account_id)
    row = connection.execute(mine.where(m.webhooks.c.status != "deleted")).mappings().first()
    if row is None:
        raise NotFound(f"there is no webhook {id[:100]!r}")
    return dict(row)
