"""Operations on credits: balance, transfers, thresholds."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Connection, delete, func, insert, select

from producer import objects
from producer.objects import Balance, List, Thresholds, Transfer
from producer.operations.pages import PageQuery, paged
from shared import clock
from shared.clock import MICROS
from shared.db import models as m
from shared.money import unspent
from shared.submissions.schemas import Shape


class ThresholdSpec(Shape):
    kind: Literal["remaining", "spent"]
    credits: float = Field(ge=0, le=1e9)


class ThresholdSpecs(Shape):
    thresholds: list[ThresholdSpec] = Field(max_length=20)


def show_credits(connection: Connection, account_id: str) -> Balance:
    """The balance: what may be spent, what is held, what the month has cost, the thresholds, what will expire."""
    account = dict(connection.execute(select(m.accounts).where(m.accounts.c.id == account_id)).mappings().one())
    now = clock.now_micros()
    if account["expired_micros"]:  # some of it may be there until the sweeper's next look, and cannot be used
        frozen = min(account["available_micros"], unspent.frozen(connection, account_id, now)[0])
        account["available_micros"] -= frozen
    month = clock.month(now)
    spent = select(m.monthly_spend.c.spent_micros).where(
        m.monthly_spend.c.account_id == account_id, m.monthly_spend.c.month == month
    )
    spent_micros = connection.execute(spent).scalar() or 0
    today = select(func.sum(m.daily_usage.c.charged_micros)).where(
        m.daily_usage.c.account_id == account_id,
        m.daily_usage.c.day == clock.day(now),
        ~m.daily_usage.c.test,
    )
    today_micros = int(connection.execute(today).scalar() or 0)
    expiring = [lot for lot in unspent.lots(connection, account_id) if lot.expires_at > now]
    levels = _thresholds(connection, account_id)
    return objects.balance_object(account, month, spent_micros, today_micros, levels, expiring)


def list_transfers(connection: Connection, account_id: str, page: PageQuery) -> List[Transfer]:
    """A page of the account's transfers, newest first."""
    statement = select(m.transfers).where(m.transfers.c.account_id == account_id)
    rows = connection.execute(paged(statement, m.transfers.c.id, page)).mappings()
    return objects.page([objects.transfer_object(dict(row)) for row in rows], page.limit)


def set_thresholds(connection: Connection, account_id: str, wanted: ThresholdSpecs) -> Thresholds:
    """Replace the account's thresholds; a level that stays keeps its state, and one that is given twice is one.

    A new one that is already crossed does not fire now, but at its next crossing.
    """
    lock = select(m.accounts.c.available_micros + m.accounts.c.held_micros).where(m.accounts.c.id == account_id)
    remaining = connection.execute(lock.with_for_update()).scalar_one()
    month = clock.month(clock.now_micros())
    spent = select(func.coalesce(func.sum(m.monthly_spend.c.spent_micros), 0)).where(
        m.monthly_spend.c.account_id == account_id, m.monthly_spend.c.month == month
    )
    spent_micros = connection.execute(spent).scalar_one()
    states = {(row.kind, row.level_micros): (row.armed, row.period) for row in _thresholds(connection, account_id)}
    connection.execute(delete(m.thresholds).where(m.thresholds.c.account_id == account_id))
    for kind, level in dict.fromkeys((spec.kind, round(spec.credits * MICROS)) for spec in wanted.thresholds):
        new = (remaining > level, None) if kind == "remaining" else (True, month if spent_micros >= level else None)
        armed, period = states.get((kind, level), new)
        id = clock.new_id("thr")
        values = {"kind": kind, "level_micros": level, "armed": armed, "period": period}
        connection.execute(insert(m.thresholds).values(id=id, account_id=account_id, **values))
    return objects.thresholds_object(_thresholds(connection, account_id))


def _thresholds(connection: Connection, account_id: str) -> Sequence[Any]:
    statement = select(m.thresholds).where(m.thresholds.c.account_id == account_id).order_by(m.thresholds.c.id)
    return connection.execute(statement).all()
