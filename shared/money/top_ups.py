"""Automatic top-ups: who wants credit bought at a level, and the invoice that is made when less is available.

Nothing is done when money moves: a sweeper finds in the rows who has too little, as often as it looks. One top-up of an
account is open at a time; what one buys is never less than the level, so that one is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, exists, func, insert, select, text, update

from shared import clock
from shared.db.models import accounts, auto_top_ups, invoices, purchases, saved_payments
from shared.db.models.purchases import OPEN_TOP_UP, WANTED_TOP_UPS
from shared.money.purchases import NewPurchase, create

#: Accounts that are looked through in one look, and that are topped up then.
LOOKED: Final = 10_000
MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """What an account wants, in micro-credits."""

    enabled: bool
    threshold: int
    credits: int
    #: What top-ups may buy in a calendar month, UTC.
    monthly: int


def change(connection: Connection, account_id: str, wish: Wish) -> None:
    """Replace an account's wish; top-ups that were stopped are made again."""
    row = {
        "enabled": wish.enabled,
        "threshold_micros": wish.threshold,
        "credits_micros": wish.credits,
        "monthly_micros": wish.monthly,
        "stopped": None,
        "changed_at": clock.now_micros(),
    }
    lock = select(accounts.c.id).where(accounts.c.id == account_id)
    connection.execute(lock.with_for_update())
    mine = update(auto_top_ups).where(auto_top_ups.c.account_id == account_id)
    if not connection.execute(mine.values(row)).rowcount:
        connection.execute(insert(auto_top_ups).values(account_id=account_id, **row))


def shown(connection: Connection, account_id: str) -> dict[str, Any] | None:
    """An account's wish and what has come of it: its row, with `bought_micros` of the month; None: it has none."""
    row = connection.execute(select(auto_top_ups).where(auto_top_ups.c.account_id == account_id)).mappings().first()
    return None if row is None else {**row, "bought_micros": bought(connection, account_id)}


def bought(connection: Connection, account_id: str) -> int:
    """What automatic top-ups of the calendar month, UTC, have bought or are about to, in micro-credits."""
    return int(connection.execute(_bought(account_id)).scalar_one())


def lacking(connection: Connection, besides: Sequence[str] = (), after: str = "") -> tuple[list[str], str]:
    """Accounts, but for some, that want a top-up now, as far as can be seen without a lock; and where it goes on.

    Of those that have top-ups switched on, LOOKED after one are looked at, at an index probe each. Empty: there are
    no more.
    """
    looked = (
        select(auto_top_ups.c.account_id)
        .where(text(WANTED_TOP_UPS), auto_top_ups.c.account_id > after)
        .order_by(auto_top_ups.c.account_id)
        .limit(LOOKED)
        .cte("looked")
        .prefix_with("MATERIALIZED", dialect="sqlite")
    )
    open_one = exists().where(purchases.c.account_id == auto_top_ups.c.account_id, text(f"purchases.{OPEN_TOP_UP}"))
    statement = (
        select(auto_top_ups.c.account_id)
        .join_from(looked, auto_top_ups, auto_top_ups.c.account_id == looked.c.account_id)
        .join(accounts, accounts.c.id == auto_top_ups.c.account_id)
        .where(auto_top_ups.c.account_id.not_in(besides))
        .where(accounts.c.available_micros < auto_top_ups.c.threshold_micros, ~open_one)
        .where(
            _bought(auto_top_ups.c.account_id).scalar_subquery() + auto_top_ups.c.credits_micros
            <= auto_top_ups.c.monthly_micros
        )
        .order_by(auto_top_ups.c.account_id)
        .limit(MOST)
    )
    found = list(connection.execute(statement).scalars())
    if len(found) == MOST:
        return found, found[-1]
    last = select(func.count(), func.max(looked.c.account_id))
    number, end = connection.execute(last).one()
    return found, end if number == LOOKED else ""


def make(connection: Connection, account_id: str, provider: str) -> list[str]:
    """Make an account's top-up, if it still wants one; the webhook deliveries that are due.

    Where its way to pay is saved, that is charged; otherwise the invoice waits for the customer, or the operator.
    """
    lock = select(accounts.c.available_micros).where(accounts.c.id == account_id).with_for_update()
    available = connection.execute(lock).scalar_one()
    wish = shown(connection, account_id)
    if wish is None or not wish["enabled"] or wish["stopped"] or available >= wish["threshold_micros"]:
        return []
    mine = select(purchases.c.invoice_id).where(purchases.c.account_id == account_id, text(OPEN_TOP_UP))
    if connection.execute(mine).first() or wish["bought_micros"] + wish["credits_micros"] > wish["monthly_micros"]:
        return []
    saved = select(saved_payments.c.customer).where(
        saved_payments.c.account_id == account_id, saved_payments.c.provider == provider
    )
    is_saved = connection.execute(saved).first() is not None
    wanted = NewPurchase(
        micros=wish["credits_micros"],
        provider=provider,
        description="Automatic top-up",
        saves_method=True,  # paid at a page, the card is there for the next one
        auto_top_up=True,
        method="saved" if is_saved else "checkout",
    )
    return create(connection, account_id, wanted)[1]


def _bought(account_id: Any) -> Any:
    begin = clock.day_begin(f"{clock.month(clock.now_micros())}-01")
    return (
        select(func.coalesce(func.sum(invoices.c.total_micros), 0))
        .join_from(purchases, invoices, invoices.c.id == purchases.c.invoice_id)
        .where(purchases.c.account_id == account_id, purchases.c.auto_top_up)
        .where(
            invoices.c.status.in_(("open", "paid")),
            invoices.c.created_at >= begin,
        )
    )
