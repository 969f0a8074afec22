"""Records the results of sends in the rows of deliveries: delivered, to be tried again, or failed.

Only a claim that still stands is written to (`workers.webhooks.claims`). Locks are taken webhooks, deliveries,
accounts, each by id.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from shared import clock, db
from shared.db import counters
from shared.db import models as m
from shared.jobs import metrics
from shared.money.ledger import Book
from shared.settings import settings
from shared.settings_values import pauses
from shared.webhooks import events
from workers.webhooks import attempt_log
from workers.webhooks import failing as failing_webhooks
from workers.webhooks.client import SendResult
from workers.webhooks.schedule import pause_seconds

#: The statuses whose Retry-After is about the receiver, not the event; and the longest that is waited for, in seconds.
BUSY: Final = frozenset({429, 503})
MOST_PAUSE_SECONDS: Final = 3600.0
#: The error of the deliveries that waited for a webhook which was disabled.
GONE: Final = "the webhook was disabled"


def record(connection: Connection, results: Sequence[Mapping[str, Any]]) -> None:
    """Write what came of sends, of claims that still stand.

    A webhook whose receiver says 410, or has failed for days, is disabled, and its account notified; one whose receiver
    is busy is left alone for as long as that says. Neither is done for the answer of an address that the webhook no
    longer has, nor for a callback, whose address is of one job alone.
    """
    now = db.now(connection)
    urls = _locked(connection, results, now)
    logs = _standing(connection, results)
    standing = [_of_address(one, urls) for one in results if one["b_id"] in logs]
    if standing:
        connection.execute(_RECORD, [_written(one, logs[one["b_id"]], now) for one in standing])
    of_webhooks = [one for one in standing if not one["row"]["callback"]]
    gone = {one["row"]["webhook_id"]: one["row"] for one in of_webhooks if one["last_status"] == 410}
    failing = {row["webhook_id"]: row for row in failing_webhooks.note(connection, of_webhooks, now)}
    _disable(connection, {**failing, **gone}, dict.fromkeys(gone, "the receiver returned status 410"))
    _pause(connection, standing, urls, now)
    outcomes = Counter(_OUTCOMES[one["status"]] for one in standing)
    counters.add(connection, {metrics.key("webhook_deliveries", name): count for name, count in outcomes.items()})


_OUTCOMES: Final = {"delivered": "delivered", "pending": "retried", "failed": "failed"}


def _locked(connection: Connection, results: Sequence[Mapping[str, Any]], now: int) -> dict[str, str]:
    """The addresses of the webhooks that may have to change, with their rows locked."""
    ids = {one["row"]["webhook_id"] for one in results if one["last_status"] == 410 or one["busy_seconds"]}
    ids |= failing_webhooks.touched(results, now)
    if not ids:
        return {}
    statement = select(m.webhooks.c.id, m.webhooks.c.url).where(m.webhooks.c.id.in_(ids)).order_by(m.webhooks.c.id)
    return {row.id: row.url for row in connection.execute(statement.with_for_update())}


def _of_address(one: Mapping[str, Any], urls: Mapping[str, str]) -> Mapping[str, Any]:
    """A 410 of an address that the webhook no longer has is a failure like any other: it is sent to the new one."""
    if one["last_status"] != 410 or one["row"]["callback"] or urls.get(one["row"]["webhook_id"]) == one["row"]["url"]:
        return one
    again = _pause_after(one["row"]["attempts"] + 1)
    status = "failed" if again is None else "pending"
    return {
        **one,
        "status": status,
        "pause": _paced(again or 0),
        "last_status": None,
        "last_error": "the previous URL returned 410",
    }


def _standing(connection: Connection, results: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """Those whose claim still stands, by id, with their attempts before.

    Not one that was recorded before an ambiguous COMMIT, nor one that was asked for anew during the send.
    """
    claimed = {one["b_id"]: one["row"]["claimed_until"] for one in results}
    statement = select(m.deliveries.c.id, m.deliveries.c.next_at, m.deliveries.c.log).where(
        m.deliveries.c.id.in_(claimed), m.deliveries.c.status == "pending"
    )
    rows = connection.execute(statement.order_by(m.deliveries.c.id).with_for_update())
    return {row.id: row.log for row in rows if claimed[row.id] == row.next_at}


def _written(one: Mapping[str, Any], log: str | None, now: int) -> dict[str, Any]:
    return {
        **{name: one[name] for name in ("b_id", "status", "last_status", "last_error")},
        "log": attempt_log.added(log, {**one["attempt"], "at": now}),
        "next_at": now + int(one["pause"] * clock.MICROS),
        "delivered_at": now if one["status"] == "delivered" else None,
    }


_RECORD = (
    update(m.deliveries)
    .where(m.deliveries.c.id == bindparam("b_id"), m.deliveries.c.status == "pending")
    .values(
        {name: bindparam(name) for name in ("status", "next_at", "last_status", "last_error", "delivered_at", "log")}
    )
    .values(attempts=m.deliveries.c.attempts + 1, claims=0)
)


def result(row: Mapping[str, Any], answer: SendResult) -> dict[str, Any]:
    """What is to be recorded of a send.

    `pause`: seconds until its next one; `busy_seconds`: until any to this webhook; `attempt`: what its log says of it.
    """
    error = (
        None if answer.good else attempt_log.printable(attempt_log.redacted(_reason(answer)), attempt_log.MOST_ERROR)
    )
    seen = {
        "b_id": row["delivery_id"],
        "row": row,
        "last_status": answer.status,
        "last_error": error,
        "pause": 0.0,
        "busy_seconds": 0.0,
        "attempt": attempt_log.entry(0, answer.status, answer.seconds, error, answer.body, answer.location),
    }
    if answer.good:
        return {**seen, "status": "delivered"}
    pause = None if _is_final(row, answer) else _pause_after(row["attempts"] + 1)
    if pause is None:
        return {**seen, "status": "failed"}
    busy = busy_seconds(answer)
    return {
        **seen,
        "status": "pending",
        "pause": max(_paced(pause), busy),
        "busy_seconds": 0.0 if row["callback"] else busy,
    }


def _pause_after(attempts: int) -> float | None:
    """The pause after so many failed attempts, before it is paced; None after the last."""
    return pause_seconds(attempts, random.random(), pauses(settings().webhook_schedule))


def busy_seconds(answer: SendResult) -> float:
    """For how long a busy receiver wants nothing, as far as that is honoured; 0 when it did not say."""
    return min(answer.retry_seconds or 0.0, MOST_PAUSE_SECONDS) if answer.status in BUSY else 0.0


def _reason(answer: SendResult) -> str:
    if answer.detail:
        return answer.detail
    if _redirects(answer.status) and (to := attempt_log.location(answer.location)):
        return f"the receiver redirects to {to}; redirects are not followed, register that URL instead"
    return f"the receiver returned status {answer.status}"


def _is_final(row: Mapping[str, Any], answer: SendResult) -> bool:
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


def _disable(connection: Connection, rows: Mapping[str, Mapping[str, Any]], reasons: Mapping[str, str]) -> None:
    """Disable webhooks, by id, for their reasons, or since they fail; their deliveries first, then all in one Book."""
    why = {id: reasons.get(id) or failing_webhooks.reason() for id in rows}
    disabled = [row for id, row in sorted(rows.items()) if _set_disabled(connection, row, why[id])]
    for row in disabled:
        events.give_up(connection, row["webhook_id"], GONE)
    if not disabled:
        return
    book = Book(connection, [row["account_id"] for row in disabled])
    for row in disabled:
        data = {"webhook": {"id": row["webhook_id"], "url": row["url"]}, "reason": why[row["webhook_id"]]}
        book.emit(row["account_id"], "webhook.disabled", data, test=row["test"])
    book.close()


def _set_disabled(connection: Connection, row: Mapping[str, Any], why: str) -> bool:
    """Disable one webhook, unless it has been or has another address; whether that was done."""
    enabled = update(m.webhooks).where(
        m.webhooks.c.id == row["webhook_id"], m.webhooks.c.status == "enabled", m.webhooks.c.url == row["url"]
    )
    return connection.execute(enabled.values(status="disabled", disabled_reason=why)).rowcount > 0


def give_up_disabled(connection: Connection, webhook_id: str) -> int:
    """End some of what still waits for a webhook that was disabled; how many, as `events.give_up` counts."""
    enabled = select(m.webhooks.c.id).where(m.webhooks.c.id == webhook_id, m.webhooks.c.status == "enabled")
    return 0 if connection.execute(enabled).first() else events.give_up(connection, webhook_id, GONE)
