"""What remained of an account's credits at the end of each day, and what came and went on it; UTC."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, literal_column, select, text

from producer import objects
from producer.objects import CreditHistory
from producer.operations.usage import Period, read_day
from shared import clock
from shared.db import models as m
from shared.db.models.money import CORRECTIONS, GIVEN
from shared.errors import InvalidRequest

#: Days of one history at most, and where it is not said how many.
MOST_DAYS: Final = 366
USUAL_DAYS: Final = 30
_DAY_MICROS: Final = 86_400 * clock.MICROS


def read_period(first: str | None, last: str | None) -> Period:
    """The days that `from` and `to` name; default: the 30 days that end today."""
    until = read_day(last, "to") or clock.utc(clock.now_micros()).date()
    since = read_day(first, "from") or until - timedelta(days=USUAL_DAYS - 1)
    if since > until:
        raise InvalidRequest(f"from: {since} is after to ({until})", param="from")
    if until - since >= timedelta(days=MOST_DAYS):
        raise InvalidRequest(f"from: {since} to {until} is longer than the maximum of {MOST_DAYS} days", param="from")
    return Period(since, until)


def history(connection: Connection, account_id: str, period: Period) -> CreditHistory:
    """The days of a period, the oldest first.

    Counted back from what remains now: by the sums of charges by day, and the transfers that are no job's.
    """
    mine = select(m.accounts.c.available_micros + m.accounts.c.held_micros).where(m.accounts.c.id == account_id)
    remaining = int(connection.execute(mine).scalar_one())
    spent, added = _spent(connection, account_id, period), _added(connection, account_id, period)
    last = max([period.last, *spent, *added])
    days = []
    while last >= period.first:
        if last <= period.last:
            days.append(objects.credit_day_object(last, remaining, added[last], spent[last]))
        remaining += spent[last] - added[last]
        last -= timedelta(days=1)
    return objects.credit_history_object(days[::-1])


def _spent(connection: Connection, account_id: str, period: Period) -> defaultdict[date, int]:
    days = m.daily_usage.c
    statement = (
        select(days.day, func.sum(days.charged_micros))
        .where(days.account_id == account_id, days.test.is_(False), days.day >= str(period.first))
        .group_by(days.day)
    )
    return defaultdict(int, {date.fromisoformat(day): int(micros) for day, micros in connection.execute(statement)})


def _added(connection: Connection, account_id: str, period: Period) -> defaultdict[date, int]:
    """What was granted, bought or given back, less what expired or was taken."""
    found: defaultdict[date, int] = defaultdict(int)
    for at, micros in _given(connection, account_id, period):
        found[clock.utc(at).date()] += micros
    return found


def _given(connection: Connection, account_id: str, period: Period) -> Iterator[tuple[int, int]]:
    moved = m.transfers.c
    of_day: Any = literal_column(str(_DAY_MICROS))
    day = moved.created_at // of_day * of_day
    for kinds in (GIVEN, CORRECTIONS):
        statement: Any = (
            select(day, moved.to_purse, func.sum(moved.amount_micros))
            .where(text(kinds), moved.account_id == account_id, moved.created_at >= period.begins)
            .group_by(day, moved.to_purse)
        )
        for at, to, micros in connection.execute(statement):
            yield int(at), int(micros) if to == "available" else -int(micros)
