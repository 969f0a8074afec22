"""What is unspent of an account's grants that expire, what jobs hold of it still, and what may not be held any more."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, text

from shared.db.models import accounts, batches, credit_grants, jobs, monthly_spend, transfers
from shared.db.models.jobs import UNFINISHED
from shared.db.models.money import OPEN_GRANTS, once
from shared.money.lots import Lot, expiring, spent

_PAID = func.coalesce(func.sum(monthly_spend.c.spent_micros), 0)


def lots(connection: Connection, account_id: str) -> list[Lot]:
    """What is unspent now of the account's grants that expire, by expiry; without a lock, as of one instant."""
    return lots_and_remaining(connection, account_id)[0]


def lots_and_remaining(connection: Connection, account_id: str) -> tuple[list[Lot], int]:
    """The same, and what remains in all, as of the same instant; 0 of an account without open grants."""
    rows = open_rows(connection, account_id)
    return ([lot for lot in derived(rows) if lot.unspent], int(rows[0]["remaining"])) if rows else ([], 0)


def open_rows(connection: Connection, account_id: str) -> list[dict[str, Any]]:
    """The rows of the account's open grants by expiry, each with what its account has `paid`, what is
    `remaining`, and what of it is known to have expired (`kept`).
    """
    return [dict(row) for row in connection.execute(_OPEN, {"b_account": account_id}).mappings()]


def derived(rows: Sequence[Mapping[str, Any]], taken: int = 0) -> list[Lot]:
    """The lots of an account's open grants now, from their rows, which are all as of the same charge."""
    known = [Lot(row["id"], row["expires_at"], row["unspent_micros"]) for row in rows]
    return spent(known, int(rows[0]["paid"]) - min(row["counted_micros"] for row in rows) + taken)


def frozen(connection: Connection, account_id: str, now: int) -> tuple[int, int]:
    """Of what is available: how much has expired and may not be held; and how much has expired in all, held or not.

    The account's row is locked. What was held when it expired is in the second alone, until it is released.
    """
    rows = open_rows(connection, account_id)
    found = derived(rows) if rows else []
    free = sum(free for _, free in expiring(found, now, lambda at: still_held(connection, account_id, at)))
    return free, sum(lot.unspent for lot in found if lot.expires_at <= now)


def still_held(connection: Connection, account_id: str, at: int) -> int:
    """How much is held still of what was held at an instant, in micro-credits; the account's row is locked.

    Of a batch, what was held first is what its ended lines have resolved.
    """
    of_jobs = (
        select(func.coalesce(func.sum(transfers.c.amount_micros), 0))
        .join_from(_OPEN_JOBS, transfers, transfers.c.subject_id == _OPEN_JOBS.c.id)
        .where(_OPEN_JOBS.c.account_id == account_id, text(once("hold", "job")))
        .where(transfers.c.created_at <= at)
    )
    holds = (
        select(batches.c.resolved_micros, func.sum(transfers.c.amount_micros).label("held"))
        .join_from(batches, transfers, transfers.c.subject_id == batches.c.id)
        .where(batches.c.account_id == account_id, batches.c.resolved_micros < batches.c.bound_micros)
        .where(text(once("hold", "batch")), transfers.c.created_at <= at)
        .group_by(batches.c.id, batches.c.resolved_micros)
        .subquery()
    )
    rest = holds.c.held - holds.c.resolved_micros
    of_batches = select(func.coalesce(func.sum(rest), 0)).where(rest > 0)
    return int(connection.execute(of_jobs).scalar_one()) + int(connection.execute(of_batches).scalar_one())


def charged(connection: Connection, account_id: str) -> int:
    """What the account has been charged in all, in micro-credits."""
    return int(connection.execute(select(_PAID).where(monthly_spend.c.account_id == account_id)).scalar_one())


#: By the index of unfinished jobs alone: SQLite would look through all jobs of the account that are kept.
_OPEN_JOBS = (
    select(jobs.c.id, jobs.c.account_id)
    .where(text(UNFINISHED), jobs.c.expires_at > 0)
    .cte("open_jobs")
    .prefix_with("MATERIALIZED", dialect="sqlite")
)
#: Made once: making a statement costs more than running it.
_OPEN = (
    select(credit_grants)
    .add_columns(
        select(_PAID).where(monthly_spend.c.account_id == bindparam("b_account")).scalar_subquery().label("paid"),
        (accounts.c.available_micros + accounts.c.held_micros).label("remaining"),
        accounts.c.expired_micros.label("kept"),
    )
    .join_from(credit_grants, accounts, accounts.c.id == credit_grants.c.account_id)
    .where(credit_grants.c.account_id == bindparam("b_account"), text(OPEN_GRANTS))
    .order_by(credit_grants.c.expires_at, credit_grants.c.id)
)
