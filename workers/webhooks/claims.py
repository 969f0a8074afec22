"""Which due deliveries are this process's to send: claim -> (send) -> record (`workers.webhooks.results`).

A claim is the row's `next_at` moved past the send; a sender that dies leaves nothing but that. What is written of a
claim later, its result or that it was given up, is compared with it, so that nobody undoes what another did since.
Locks are taken webhooks, deliveries, accounts, each by id.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, select, tuple_, update

from shared import clock, db
from shared.db import models as m
from shared.settings import settings
from shared.settings_values import pauses
from shared.webhooks import secrets as webhook_secrets
from workers.webhooks import addressees, traced
from workers.webhooks.schedule import JITTER, whole_seconds

#: For how long a claimed delivery is its sender's, in seconds.
CLAIM_SECONDS: Final = 40
#: For how long a callback is put off of which too many wait for a host that does not answer, in seconds.
POSTPONED_SECONDS: Final = 300
#: So many claims in a row may die with their senders before the next are as far apart as failed attempts are.
LOST_CLAIMS: Final = 10


class Due(NamedTuple):
    """A delivery that may be sent. `open`: it is sent to now; `again`: it has been claimed or tried before."""

    id: str
    #: Of which line it is; a webhook's has its name, callbacks of one host have one of their own.
    line: str
    webhook_id: str
    account_id: str
    url: str
    open: bool
    again: bool


def webhooks_of(connection: Connection, ids: Sequence[str]) -> list[Due]:
    """For which webhooks, or callbacks of which host, these deliveries are, of those that are due.

    Of those whose webhook is not sent to now, a claim ends the delivery, or has it wait on.
    """
    now = db.now(connection)
    found = connection.execute(_DUE, {"b_ids": list(ids), "b_now": now})
    return [
        Due(id, addressees.line_of(webhook_id, url, callback), webhook_id, account_id, url, is_open, next_at > 0)
        for id, webhook_id, account_id, url, callback, is_open, next_at in found
    ]


_DUE = (
    addressees.joined(select(m.deliveries.c.id, m.deliveries.c.webhook_id))
    .add_columns(addressees.ACCOUNT, addressees.URL, addressees.IS_CALLBACK)
    .add_columns(
        and_(addressees.STATUS == "enabled", func.coalesce(m.webhooks.c.paused_until, 0) <= bindparam("b_now")),
        m.deliveries.c.next_at,
    )
    .where(m.deliveries.c.id.in_(bindparam("b_ids", expanding=True)), m.deliveries.c.status == "pending")
    .where(m.deliveries.c.next_at <= bindparam("b_now"), addressees.ACCOUNT.is_not(None))
    .order_by(m.deliveries.c.id)
)


def claim(connection: Connection, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Move `next_at` past the send for those that are due, and load what is to be sent, and where.

    Those that are not to be sent end here, or wait on: see `_refusal`, and webhooks that are paused.
    """
    now = db.now(connection)
    until = now + CLAIM_SECONDS * clock.MICROS
    statement = (
        update(m.deliveries)
        .where(m.deliveries.c.id.in_(ids), m.deliveries.c.status == "pending", m.deliveries.c.next_at <= now)
        .values(next_at=until, claims=m.deliveries.c.claims + 1)
        .returning(m.deliveries.c.id)
    )
    claimed = [row.id for row in connection.execute(statement)]
    rows = [dict(row) for row in connection.execute(_LOAD, {"claimed": claimed}).mappings()] if claimed else []
    sent: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    for row in rows:
        if (change := _not_sent(row, now)) is not None:
            changes.append(change)
            continue
        own = now + _claim_seconds(row["claims"]) * clock.MICROS
        if own != until:
            changes.append(_change(row, next_at=own))
        sent.append({**row, "claimed_until": own, "secrets": webhook_secrets.signing(row, now)})
    if changes:
        connection.execute(_CHANGE, changes)
    traced.add_traces(connection, sent)
    return sent


def _not_sent(row: Mapping[str, Any], now: int) -> dict[str, Any] | None:
    """What is written of a delivery that is due and not sent: it ends, or waits for its webhook; None: it is sent."""
    if (why := _refusal(row, now)) is not None:
        return _change(row, status="failed", last_error=why)
    if (row["paused_until"] or 0) > now:
        spread = int((row["paused_until"] - now) * JITTER * random.random())
        return _change(row, next_at=row["paused_until"] + spread, claims=row["claims"] - 1)
    return None


def _refusal(row: Mapping[str, Any], now: int) -> str | None:
    """Why a delivery that is due is not sent any more; None: it is."""
    if row["hook_status"] != "enabled":
        return "the webhook is no longer enabled"
    if row["test"] != row["hook_test"]:
        return "the event and the webhook have different modes (live, test)"
    schedule = pauses(settings().webhook_schedule)
    if row["attempts"] > len(schedule) or row["claims"] > LOST_CLAIMS + len(schedule) + 1:
        return row["last_error"] or "sending failed"
    asked_at = row["asked_at"] or row["created_at"]
    if row["attempts"] and now - asked_at > whole_seconds(schedule) * clock.MICROS:
        return row["last_error"] or "the receiver was overloaded for too long"
    return None


def _claim_seconds(claims: int) -> int:
    """How long the `claims`-th claim in a row lasts: one that kills its senders is tried less and less often."""
    lost = claims - 1 - LOST_CLAIMS
    schedule = pauses(settings().webhook_schedule)
    return CLAIM_SECONDS if lost < 1 else max(CLAIM_SECONDS, int(schedule[min(lost, len(schedule)) - 1]))


def _change(row: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    kept = {name: row[name] for name in ("claims", "last_error")}
    return {"b_id": row["delivery_id"], "status": "pending", "next_at": row["next_at"], **kept, **values}


_LOAD = addressees.joined(
    select(m.events, m.deliveries.c.id.label("delivery_id"), m.deliveries.c.webhook_id)
    .add_columns(*(m.deliveries.c[name] for name in ("attempts", "claims", "next_at", "asked_at")))
    .add_columns(*(m.deliveries.c[name] for name in ("last_status", "last_error")))
    .add_columns(*addressees.COLUMNS)
    .join_from(m.deliveries, m.events, m.events.c.id == m.deliveries.c.event_id)
    .where(m.deliveries.c.id.in_(bindparam("claimed", expanding=True)))
    .order_by(m.events.c.account_id, m.events.c.sequence)
)
_CHANGE = (
    update(m.deliveries)
    .where(m.deliveries.c.id == bindparam("b_id"))
    .values({name: bindparam(name) for name in ("status", "next_at", "claims", "last_error")})
)


def postpone(connection: Connection, ids: Sequence[str]) -> None:
    """Let what is due, and is not sent for long, be due later: what is due after it is found before it."""
    now = db.now(connection)
    due = (m.deliveries.c.id.in_(ids), m.deliveries.c.status == "pending", m.deliveries.c.next_at <= now)
    later = now + int(POSTPONED_SECONDS * settings().webhook_pace * clock.MICROS)
    connection.execute(update(m.deliveries).where(*due).values(next_at=later))


def release(connection: Connection, claims: Sequence[tuple[str, int]]) -> None:
    """Give up claims, by (id, claimed_until), of what was not sent after all: it is due, and was not attempted."""
    mine = update(m.deliveries).where(
        m.deliveries.c.id.in_([id for id, _ in claims]),
        tuple_(m.deliveries.c.id, m.deliveries.c.next_at).in_(list(claims)),
        m.deliveries.c.status == "pending",
    )
    connection.execute(mine.values(next_at=db.now(connection), claims=m.deliveries.c.claims - 1))
