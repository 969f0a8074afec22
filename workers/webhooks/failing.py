"""Webhooks whose receivers have failed for days: noted in their rows as sends are recorded, then disabled.

A spell of failures begins with the first and ends with a success, or with a pause longer than any between two attempts.
A version that does not know these notes neither makes nor ends one, so before a webhook is disabled its deliveries
themselves are asked whether one succeeded since.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from shared import clock
from shared.db import models as m
from shared.settings import settings
from shared.settings_values import LONGEST_PAUSE

#: A spell ends without a success when nothing has failed for so long: no pause between two attempts is longer.
GAP_MICROS: Final = 2 * LONGEST_PAUSE * clock.MICROS
#: How often the newest failure is noted.
NOTED_MICROS: Final = 3600 * clock.MICROS
DAY_MICROS: Final = 86_400 * clock.MICROS


def touched(results: Iterable[Mapping[str, Any]], now: int) -> set[str]:
    """The webhooks whose notes these results change; most change none."""
    return {one["row"]["webhook_id"] for one in results if not one["row"]["callback"] and _changes(one, now)}


def _changes(one: Mapping[str, Any], now: int) -> bool:
    row = one["row"]
    if one["status"] == "delivered":
        return row["failing_since"] is not None
    return row["failing_since"] is None or (row["failed_at"] or 0) <= now - NOTED_MICROS or _is_long(row, now)


def _is_long(row: Mapping[str, Any], now: int) -> bool:
    days = settings().webhook_disable_days
    return bool(days) and row["failing_since"] is not None and now - row["failing_since"] >= days * DAY_MICROS


def note(connection: Connection, standing: Sequence[Mapping[str, Any]], now: int) -> list[Mapping[str, Any]]:
    """Note successes and failures in the webhooks' rows, which are locked; rows of those that failed for too long."""
    ended, failed = dict[str, Mapping[str, Any]](), dict[str, Mapping[str, Any]]()
    changing = touched(standing, now)
    for one in standing:
        id = one["row"]["webhook_id"]
        if id in changing:
            (ended if one["status"] == "delivered" else failed)[id] = one["row"]
    for id in ended:  # a success among failures of the same moment ends the spell
        failed.pop(id, None)
    if ended:
        connection.execute(_ENDED, [{"b_id": id} for id in sorted(ended)])
    return [row for id, row in sorted(failed.items()) if _noted(connection, id, row, now)]


def _noted(connection: Connection, id: str, row: Mapping[str, Any], now: int) -> bool:
    """Note a failure; whether the webhook has failed for too long. `row`: of the send, with the address it went to."""
    notes = connection.execute(_NOTES, {"b_id": id}).first()
    if notes is None or notes.url != row["url"] or notes.status != "enabled":
        return False
    since = notes.failing_since
    if since is None or (notes.failed_at or since) < now - GAP_MICROS:
        since = now
    elif (
        _is_long({"failing_since": since}, now)
        and connection.execute(_SUCCEEDED, {"b_id": id, "b_since": since}).first()
    ):
        since = now
    connection.execute(_FAILED, {"b_id": id, "b_since": since, "b_now": now})
    return _is_long({"failing_since": since}, now)


_NOTES = select(m.webhooks.c.url, m.webhooks.c.status, m.webhooks.c.failing_since, m.webhooks.c.failed_at).where(
    m.webhooks.c.id == bindparam("b_id")
)
_ENDED = update(m.webhooks).where(m.webhooks.c.id == bindparam("b_id")).values(failing_since=None, failed_at=None)
_FAILED = (
    update(m.webhooks)
    .where(m.webhooks.c.id == bindparam("b_id"))
    .values(failing_since=bindparam("b_since"), failed_at=bindparam("b_now"))
)
_SUCCEEDED = (
    select(m.deliveries.c.id)
    .where(m.deliveries.c.webhook_id == bindparam("b_id"), m.deliveries.c.delivered_at >= bindparam("b_since"))
    .limit(1)
)


def reason() -> str:
    """Why such a webhook was disabled, in words."""
    days = settings().webhook_disable_days
    return f"all deliveries have failed for {days:g} day{'' if days == 1 else 's'}"
