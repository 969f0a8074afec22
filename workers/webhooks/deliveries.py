"""The rows of deliveries: claim -> (send) -> record, each retried from its row for about three days.

A claim is the row's `next_at` moved past the send; a sender that dies leaves nothing but that. What is written of a
claim later, its result or that it was given up, is compared with it, so that nobody undoes what another did since.
Locks are taken webhooks, deliveries, accounts, each by id.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, func, not_, select, tuple_, update

from shared import clock, db
from shared.db import counters
from shared.db import models as m
from shared.jobs import metrics
from shared.money.ledger import Book
from shared.settings import settings
from shared.webhooks import events
from shared.webhooks import secrets as webhook_secrets
from workers.webhooks.client import Answer

#: Pauses in seconds after the first, second, … failed attempt; the sum is about three days.
SCHEDULE: Final = (5, 30, 300, 1800, 7200, 18_000, 36_000, 57_600, 64_800, 72_000)
#: A pause is stretched by up to this part of itself, so that a receiver that comes back is not met by all at once.
JITTER: Final = 0.2
#: After so long a delivery that was tried, and waits for a receiver which is busy again and again, is given up.
WHOLE_SECONDS: Final = 2 * sum(SCHEDULE)
#: For how long a claimed delivery is its sender's, in seconds.
CLAIM_SECONDS: Final = 40
#: So many claims in a row may die with their senders before the next are as far apart as failed attempts are.
LOST_CLAIMS: Final = 10
#: The statuses whose Retry-After is about the receiver, not the event; and the longest that is waited for, in seconds.
BUSY: Final = frozenset({429, 503})
MOST_PAUSE_SECONDS: Final = 3600.0
#: What is said of the deliveries that waited for a webhook whose receiver answered 410.
GONE: Final = "the webhook was disabled"
#: Characters of a Location, and of any error, that are kept.
MOST_LOCATION, MOST_ERROR = 200, 500


def webhooks_of(connection: Connection, ids: Sequence[str]) -> list[Any]:
    """For which webhooks these deliveries are, of those that are due: id, webhook_id, account_id, url, open.

    `open`: the webhook is sent to now; for others a claim ends the delivery, or has it wait on.
    """
    now = db.now(connection)
    paused = func.coalesce(m.webhooks.c.paused_until, 0) > now
    is_open = and_(m.webhooks.c.status == "enabled", not_(paused)).label("open")
    statement = (
        select(m.deliveries.c.id, m.deliveries.c.webhook_id, m.webhooks.c.account_id, m.webhooks.c.url, is_open)
        .join_from(m.deliveries, m.webhooks, m.webhooks.c.id == m.deliveries.c.webhook_id)
        .where(m.deliveries.c.id.in_(ids), m.deliveries.c.status == "pending")
        .where(m.deliveries.c.next_at <= now)
    )
    return list(connection.execute(statement.order_by(m.deliveries.c.id)))


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
        if (why := _refusal(row, now)) is not None:
            changes.append(_change(row, status="failed", last_error=why))
        elif (row["paused_until"] or 0) > now:
            spread = int((row["paused_until"] - now) * JITTER * random.random())
            changes.append(_change(row, next_at=row["paused_until"] + spread, claims=row["claims"] - 1))
        else:
            own = now + _claim_seconds(row["claims"]) * clock.MICROS
            if own != until:
                changes.append(_change(row, next_at=own))
            sent.append({**row, "claimed_until": own, "secrets": webhook_secrets.signing(row, now)})
    if changes:
        connection.execute(_CHANGE, changes)
    return sent


def _refusal(row: Mapping[str, Any], now: int) -> str | None:
    """Why a delivery that is due is not sent any more; None: it is."""
    if row["hook_status"] != "enabled":
        return "the webhook is no longer enabled"
    if row["test"] != row["hook_test"]:
        return "the event and the webhook have different modes (live, test)"
    if row["attempts"] > len(SCHEDULE) or row["claims"] > LOST_CLAIMS + len(SCHEDULE) + 1:
        return row["last_error"] or "sending failed"
    asked_at = row["asked_at"] or row["created_at"]
    if row["attempts"] and now - asked_at > WHOLE_SECONDS * clock.MICROS:
        return row["last_error"] or "the receiver was overloaded for too long"
    return None


def _claim_seconds(claims: int) -> int:
    """How long the `claims`-th claim in a row lasts: one that kills its senders is tried less and less often."""
    lost = claims - 1 - LOST_CLAIMS
    return CLAIM_SECONDS if lost < 1 else max(CLAIM_SECONDS, SCHEDULE[min(lost, len(SCHEDULE)) - 1])


def _change(row: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    kept = {name: row[name] for name in ("claims", "last_error")}
    return {"b_id": row["delivery_id"], "status": "pending", "next_at": row["next_at"], **kept, **values}


_LOAD = (
    select(m.events, m.deliveries.c.id.label("delivery_id"), m.deliveries.c.webhook_id)
    .add_columns(*(m.deliveries.c[name] for name in ("attempts", "claims", "next_at", "asked_at")))
    .add_columns(*(m.deliveries.c[name] for name in ("last_status", "last_error")))
    .add_columns(*(m.webhooks.c[name] for name in ("url", "secret", "old_secrets", "previous_secret")))
    .add_columns(m.webhooks.c.previous_until, m.webhooks.c.paused_until)
    .add_columns(m.webhooks.c.status.label("hook_status"), m.webhooks.c.test.label("hook_test"))
    .join_from(m.deliveries, m.events, m.events.c.id == m.deliveries.c.event_id)
    .join(m.webhooks, m.webhooks.c.id == m.deliveries.c.webhook_id)
    .where(m.deliveries.c.id.in_(bindparam("claimed", expanding=True)))
    .order_by(m.events.c.account_id, m.events.c.sequence)
)
_CHANGE = (
    update(m.deliveries)
    .where(m.deliveries.c.id == bindparam("b_id"))
    .values({name: bindparam(name) for name in ("status", "next_at", "claims", "last_error")})
)


def leave(connection: Connection, claims: Sequence[tuple[str, int]]) -> None:
    """Give up claims, by (id, claimed_until), of what was not sent after all: it is due, and was not attempted."""
    mine = update(m.deliveries).where(
        m.deliveries.c.id.in_([id for id, _ in claims]),
        tuple_(m.deliveries.c.id, m.deliveries.c.next_at).in_(list(claims)),
        m.deliveries.c.status == "pending",
    )
    connection.execute(mine.values(next_at=db.now(connection), claims=m.deliveries.c.claims - 1))


def record(connection: Connection, results: Sequence[Mapping[str, Any]]) -> None:
    """Write what came of sends, of claims that still stand.

    A webhook whose receiver says 410 is disabled, and its account told; one whose receiver is busy is left alone for
    as long as that says. Neither is done for the answer of an address that the webhook no longer has.
    """
    urls = _locked(connection, results)
    now = db.now(connection)
    standing = [_of_address(one, urls) for one in _standing(connection, results)]
    if standing:
        connection.execute(_RECORD, [_written(one, now) for one in standing])
    for id in sorted({one["row"]["webhook_id"] for one in standing if one["last_status"] == 410}):
        _disable(connection, next(one["row"] for one in standing if one["row"]["webhook_id"] == id))
    _pause(connection, standing, urls, now)
    outcomes = Counter(_OUTCOMES[one["status"]] for one in standing)
    counters.add(connection, {metrics.key("webhook_deliveries", name): count for name, count in outcomes.items()})


_OUTCOMES: Final = {"delivered": "delivered", "pending": "retried", "failed": "failed"}


def _locked(connection: Connection, results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The addresses of the webhooks that may have to change, with their rows locked."""
    ids = {one["row"]["webhook_id"] for one in results if one["last_status"] == 410 or one["busy_seconds"]}
    if not ids:
        return {}
    statement = select(m.webhooks.c.id, m.webhooks.c.url).where(m.webhooks.c.id.in_(ids)).order_by(m.webhooks.c.id)
    return {row.id: row.url for row in connection.execute(statement.with_for_update())}


def _of_address(one: Mapping[str, Any], urls: Mapping[str, str]) -> Mapping[str, Any]:
    """A 410 of an address that the webhook no longer has is a failure like any other: it is sent to the new one."""
    if one["last_status"] != 410 or urls.get(one["row"]["webhook_id"]) == one["row"]["url"]:
        return one
    again = pause_seconds(one["row"]["attempts"] + 1, random.random())
    status = "failed" if again is None else "pending"
    return {
        **one,
        "status": status,
        "pause": _paced(again or 0),
        "last_status": None,
        "last_error": "the previous URL returned 410",
    }


def _standing(connection: Connection, results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those whose claim still stands: not recorded before an ambiguous COMMIT, nor asked for anew during the send."""
    statement = select(m.deliveries.c.id, m.deliveries.c.next_at).where(
        m.deliveries.c.id.in_([one["b_id"] for one in results]), m.deliveries.c.status == "pending"
    )
    claims = {
        row.id: row.next_at for row in connection.execute(statement.order_by(m.deliveries.c.id).with_for_update())
    }
    return [one for one in results if claims.get(one["b_id"]) == one["row"]["claimed_until"]]


def _written(one: Mapping[str, Any], now: int) -> dict[str, Any]:
    return {
        **{name: one[name] for name in ("b_id", "status", "last_status", "last_error")},
        "next_at": now + int(one["pause"] * clock.MICROS),
        "delivered_at": now if one["status"] == "delivered" else None,
    }


_RECORD = (
    update(m.deliveries)
    .where(m.deliveries.c.id == bindparam("b_id"), m.deliveries.c.status == "pending")
    .values({name: bindparam(name) for name in ("status", "next_at", "last_status", "last_error", "delivered_at")})
    .values(attempts=m.deliveries.c.attempts + 1, claims=0)
)


def pause_seconds(attempts: int, jitter: float) -> float | None:
    """The pause after the `attempts`-th failed attempt; None when that was the last. `jitter` is random, 0–1.

    >>> pause_seconds(1, 0.0), pause_seconds(len(SCHEDULE) + 1, 0.0)
    (5.0, None)
    """
    if attempts < 1:
        raise ValueError(f"no retry after {attempts} attempts")
    if attempts > len(SCHEDULE):
        return None
    return SCHEDULE[attempts - 1] * (1 + JITTER * jitter)


def result(row: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """What is to be recorded of a send.

    `pause`: seconds until its next one; `busy_seconds`: until any to this webhook.
    """
    seen = {"b_id": row["delivery_id"], "row": row, "last_status": answer.status, "pause": 0.0, "busy_seconds": 0.0}
    if answer.status is not None and 200 <= answer.status < 300:
        return {**seen, "status": "delivered", "last_error": None}
    seen["last_error"] = printable(_told(answer), MOST_ERROR)
    pause = None if _is_final(row, answer) else pause_seconds(row["attempts"] + 1, random.random())
    if pause is None:
        return {**seen, "status": "failed"}
    busy = busy_seconds(answer)
    return {**seen, "status": "pending", "pause": max(_paced(pause), busy), "busy_seconds": busy}


def busy_seconds(answer: Answer) -> float:
    """For how long a busy receiver wants nothing, as far as that is honoured; 0 when it did not say."""
    return min(answer.retry_seconds or 0.0, MOST_PAUSE_SECONDS) if answer.status in BUSY else 0.0


def printable(text: str, most: int) -> str:
    """A stranger's words as they may be stored and shown: one line, no control characters, cut."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:most])


def _told(answer: Answer) -> str:
    if answer.detail:
        return answer.detail
    if _redirects(answer.status) and answer.location:
        to = answer.location[:MOST_LOCATION]
        return f"the receiver redirects to {to}; redirects are not followed, register that URL instead"
    return f"the receiver returned status {answer.status}"


def _is_final(row: Mapping[str, Any], answer: Answer) -> bool:
    """Whether to try again is of no use: gone; or redirected twice, which nobody but the address's owner can mend."""
    return answer.status == 410 or (_redirects(answer.status) and _redirects(row["last_status"]))


def _redirects(status: int | None) -> bool:
    return status is not None and 300 <= status < 400


def _paced(pause: float) -> float:
    return pause * settings().webhook_pace


def _pause(connection: Connection, standing: Sequence[Mapping[str, Any]], urls: Mapping[str, str], now: int) -> None:
    busy: defaultdict[str, float] = defaultdict(float)
    for one in standing:
        id = one["row"]["webhook_id"]
        if one["busy_seconds"] and urls.get(id) == one["row"]["url"]:
            busy[id] = max(busy[id], one["busy_seconds"])
    for id, seconds in sorted(busy.items()):
        until = now + int(seconds * clock.MICROS)
        statement = update(m.webhooks).where(m.webhooks.c.id == id)
        later = m.webhooks.c.paused_until.is_(None) | (m.webhooks.c.paused_until < until)
        connection.execute(statement.where(later).values(paused_until=until))


def _disable(connection: Connection, row: Mapping[str, Any]) -> None:
    enabled = update(m.webhooks).where(
        m.webhooks.c.id == row["webhook_id"], m.webhooks.c.status == "enabled", m.webhooks.c.url == row["url"]
    )
    if not connection.execute(enabled.values(status="disabled")).rowcount:
        return
    events.give_up(connection, row["webhook_id"], GONE)
    book = Book(connection, [row["account_id"]])
    data = {"webhook": {"id": row["webhook_id"], "url": row["url"]}, "reason": "the receiver returned status 410"}
    book.emit(row["account_id"], "webhook.disabled", data, test=row["test"])
    book.close()


def give_up_disabled(connection: Connection, webhook_id: str) -> int:
    """End some of what still waits for a webhook that was disabled; how many, as `events.give_up` tells."""
    enabled = select(m.webhooks.c.id).where(m.webhooks.c.id == webhook_id, m.webhooks.c.status == "enabled")
    return 0 if connection.execute(enabled).first() else events.give_up(connection, webhook_id, GONE)
