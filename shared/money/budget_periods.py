"""The periods of budgets of keys: days and months, UTC, and all time; named as in `key_spend`."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from shared import clock
from shared.money.budgets import BudgetPeriod


@lru_cache(maxsize=64)
def _periods(day: int) -> dict[BudgetPeriod, str]:
    first = datetime.fromtimestamp(day * 86_400, UTC)
    return {"day": first.strftime("%Y-%m-%d"), "month": first.strftime("%Y-%m"), "total": "total"}


def periods(at: int) -> dict[BudgetPeriod, str]:
    """The periods in which an instant is, in microseconds; UTC.

    >>> periods(1_764_400_000_000_000)
    {'day': '2025-11-29', 'month': '2025-11', 'total': 'total'}
    """
    return _periods(at // (86_400 * clock.MICROS))


def renews_at(period: BudgetPeriod, at: int) -> int | None:
    """When the period after that of an instant begins, in microseconds; None: there is none."""
    if period == "total":
        return None
    day = clock.utc(at).replace(hour=0, minute=0, second=0, microsecond=0)
    following = day + timedelta(days=1) if period == "day" else (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return int(following.timestamp()) * clock.MICROS
