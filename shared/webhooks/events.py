"""The outbox: events and their deliveries, written in the transaction of the change that they report."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select, update

from shared import clock, db
from shared.db import hot
from shared.db.among import among
from shared.db.at_once import listed
from shared.db.models import deliveries, events, webhooks
from shared.strict_json import dumps
from shared.webhooks import callback_secrets

TYPES: Final = (
    "job.completed",
    "job.failed",
    "job.cancelled",
    "job.expired",
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "credit.threshold",
    "credit.exhausted",
    "credit.expiring",
    "invoice.created",
    "invoice.paid",
    "invoice.payment_failed",
    "webhook.disabled",
    "webhook.test",
)


@dataclass(slots=True)
class NewEvent:
    """An event that has its number, about to be written. Nothing changes one; not frozen, as `Ending` is not."""

    account_id: str
    sequence: int
    type: str
    data: Mapping[str, Any]
    #: Only to this webhook (`webhook.test`); None: to each that subscribes.
    webhook_id: str | None = None
    #: Of the account's test keys: for their webhooks and readers alone.
    test: bool = False
    #: Where it is sent beside the webhooks that subscribe it: what its job or batch names.
    callback_url: str | None = None

    @property
    def readers(self) -> tuple[str, bool]:
        """Whose it is: the account, and which keys of it."""
        return self.account_id, self.test


@dataclass(slots=True)
class Drafted:
    """An event as its row, in which only its number may still be missing, and the rows of its deliveries."""

    row: dict[str, Any]
    due: list[dict[str, Any]]


#: Deliveries that are given up in one statement.
CHUNK: Final = 1000


def write(connection: Connection, new: Sequence[NewEvent], now: int, ready: Sequence[Drafted] = ()) -> list[str]:
    """Write events, `ready` ones before the others, and their deliveries; the ids of the deliveries."""
    made = [*ready, *drafted(connection, new, now)]
    db.insert_rows(connection, events, [one.row for one in made])
    due = [row for one in made for row in one.due]
    db.insert_rows(connection, deliveries, due)
    return [row["id"] for row in due]


def drafted(connection: Connection, new: Sequence[NewEvent], now: int) -> list[Drafted]:
    """The rows of events: one pending delivery each for each webhook that wants it."""
    if not new:
        return []
    named = list(zip(clock.new_ids("evt", len(new)), new, strict=True))
    due: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _deliveries(connection, named):
        due[row["event_id"]].append(row)
    return [Drafted(_row(id, event, len(due.get(id, ())), now), due.get(id, [])) for id, event in named]


def _row(id: str, event: NewEvent, deliveries: int, now: int) -> dict[str, Any]:
    return {
        "id": id,
        "account_id": event.account_id,
        "test": event.test,
        "sequence": event.sequence,
        "type": event.type,
        "data": dumps(event.data),
        "created_at": now,
        "deliveries": deliveries,
    }


def give_up(connection: Connection, webhook_id: str, why: str) -> int:
    """End up to CHUNK deliveries that wait for a webhook; how many: as many as CHUNK means that there may be more.

    What is left of them ends when it is due, since the webhook is no longer enabled.
    """
    waiting = (deliveries.c.webhook_id == webhook_id, deliveries.c.status == "pending")
    some = select(deliveries.c.id).where(*waiting).limit(CHUNK).scalar_subquery()
    ended = update(deliveries).where(*waiting, deliveries.c.id.in_(some))
    return connection.execute(ended.values(status="failed", last_error=why)).rowcount


def _deliveries(connection: Connection, new: Sequence[tuple[str, NewEvent]]) -> list[dict[str, Any]]:
    hooks = _hooks(connection, {event.account_id for _, event in new})
    due = [
        delivery(id, hook_id, *event.readers)
        for id, event in new
        for hook_id, wanted in hooks.get(event.readers, ())
        if (event.webhook_id or hook_id) == hook_id and (event.webhook_id or event.type in wanted or "*" in wanted)
    ]
    if owners := {event.readers for _, event in new if event.callback_url}:
        secrets = callback_secrets.ensure(connection, owners)
        due += [
            delivery(id, str(secrets[event.readers]["id"]), *event.readers, url=event.callback_url)
            for id, event in new
            if event.callback_url
        ]
    return due


def delivery(event_id: str, to: str, account_id: str, test: bool, *, url: str | None = None) -> dict[str, Any]:
    """A new delivery, due at once; `to`: a webhook, or with a `url` the account's callback secret."""
    return {
        "id": clock.new_id("dlv"),
        "event_id": event_id,
        "webhook_id": to,
        "account_id": account_id,
        "test": test,
        "status": "pending",
        "attempts": 0,
        "next_at": 0,
        "url": url,
    }


def _hooks(connection: Connection, account_ids: set[str]) -> dict[tuple[str, bool], list[tuple[str, frozenset[str]]]]:
    """The webhooks that are enabled, with the types that each wants, by account and mode."""
    found: dict[tuple[str, bool], list[tuple[str, frozenset[str]]]] = {}
    for account_id, test, id, wanted in _HOOKS.rows(connection, {"b_accounts": listed(account_ids)}):
        found.setdefault((account_id, bool(test)), []).append((id, frozenset(json.loads(wanted))))
    return found


_HOOKS = hot.Statement(
    lambda dialect: (
        select(webhooks.c.account_id, webhooks.c.test, webhooks.c.id, webhooks.c.events)
        .where(among(dialect, webhooks.c.account_id, "b_accounts"))
        .where(webhooks.c.status == "enabled")
    )
)
