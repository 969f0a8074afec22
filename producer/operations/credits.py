"""Operations on credits: balance, transfers, thresholds."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Connection, delete, func, insert, select

from producer import objects
from producer.objects import Balance, List, Thresholds, Transfer
from producer.operations.pages import PageQuery, paged
from shared import clock
from shared.db import models as m
from shared.submissions.schemas import Shape


class ThresholdSpec(Shape):
    kind: Literal["remaining", "spent"]
    credits: float = Field(ge=0, le=1e9)


class ThresholdSpecs(Shape):
    thresholds: list[ThresholdSpec] = Field(max_length=20)


def show_credits(connection: Connection, account_id: str) -> Balance:
    """The balance: what may be spent, what is held for unfinished jobs, what the month has cost, the thresholds."""
    account = connection.execute(select(m.accounts).where(m.accounts.c.id == account_id)).mappings().one()
    month = clock.month(clock.now_micros())
    spent = select(m.monthly_spend.c.spent_micros).where(
        m.monthly_spend.c.account_id == account_id, m.monthly_spend.c.month == month
    )
    spent_micros = connection.execute(spent).scalar() or 0
    return objects.balance_object(dict(account), month, spent_micros, _thresholds(connection, account_id))


def list_transfers(connection: Connection, account_id: str, page: PageQuery) -> List[Transfer]:
    """A page of the account's transfers, newest first."""
    statement = select(m.transfers).where(m.transfers.c.account_id == account_id)
    rows = connection.execute(paged(statement, m.transfers.c.id, page)).mappings()
    return objects.page([objects.transfer_object(dict(row)) for row in rows], page.limit)


def set_thresholds(connection: Connection, account_id: str, wanted: ThresholdSpecs) -> Thresholds:
    """Replace the account's thresholds. One already crossed is not armed: it fires at the next crossing."""
    lock = select(m.accounts.c.available_micros + m.accounts.c.held_micros).where(m.accounts.c.id == account_id)
    remaining = connection.execute(lock.with_for_update()).scalar_one()
    month = clock.month(clock.now_micros())
    spent = select(func.coalesce(func.sum(m.monthly_spend.c.spent_micros), 0)).where(
        m.monthly_spend.c.account_id == account_id, m.monthly_spend.c.month == month
    )
    spent_micros = connection.execute(spent).scalar_one()
    connection.execute(delete(m.thresholds).where(m.thresholds.c.account_id == account_id))
    for spec in wanted.thresholds:
        level = round(spec.credits * 1_000_000)
        connection.execute(
            insert(m.thresholds).values(
                id=clock.new_id("thr"),
                account_id=account_id,
                kind=spec.kind,
                level_micros=level,
                armed=remaining > level if spec.kind == "remaining" else True,
                period=month if spec.kind == "spent" and spent_micros >= level else None,
            )
        )
    return objects.thresholds_object(_thresholds(connection, account_id))


def _thresholds(connection: Connection, account_id: str) -> Sequence[Any]:
    statement = select(m.thresholds).where(m.thresholds.c.account_id == account_id).order_by(m.thresholds.c.id)
    return connection.execute(statement).all()
