"""Balances of accounts as rows: locked and read when a Book is opened, written when it is closed, by it alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select, update

from shared.db import hot
from shared.db.among import among
from shared.db.at_once import listed
from shared.db.models import accounts, jobs

#: Whether credit has ended is judged by so many of the account's newest jobs.
LATELY = 100


@dataclass(slots=True)
class LockedBalance:
    """An account's locked row, as it stands after what the book has decided."""

    available: int
    held: int
    sequence: int
    test_sequence: int
    exhausted_armed: bool
    end_armed: bool
    #: What has expired and jobs held at that time, as of the last look at it: at least what of it is frozen.
    expired: int = 0
    #: What of `available` has expired and may not be held; None: not looked up yet.
    frozen: int | None = None
    charged: int = 0
    #: What remains is another amount than before.
    changed: bool = False
    #: Its row has to be written.
    moved: bool = False

    @property
    def remaining(self) -> int:
        return self.available + self.held


def lock(connection: Connection, account_ids: Iterable[str]) -> dict[str, LockedBalance]:
    """The balances of those of these accounts that there are; they stay locked until the transaction ends."""
    rows = _LOCK.rows(connection, {"b_ids": listed(sorted(set(account_ids)))})
    return {id: LockedBalance(*rest) for id, *rest in rows}


def write(connection: Connection, moved: Mapping[str, LockedBalance]) -> None:
    """Write balances that are locked, by their accounts."""
    rows = [
        {
            "b_id": id,
            "available_micros": balance.available,
            "held_micros": balance.held,
            "sequence": balance.sequence,
            "test_sequence": balance.test_sequence,
            "exhausted_armed": balance.exhausted_armed,
            "end_armed": balance.end_armed,
            "expired_micros": balance.expired,
        }
        for id, balance in moved.items()
    ]
    if rows:
        _SET_BALANCES.each(connection, rows)


def least_wanted(connection: Connection, account_id: str) -> int:
    """The least that one of the account's newest jobs was to hold, in micro-credits; 0: it is not known."""
    return int(connection.execute(_LEAST, {"b_account": account_id}).scalar() or 0)


#: Made once: making a statement costs more than running it.
_LOCK = hot.Statement(
    lambda dialect: (
        select(accounts.c.id, accounts.c.available_micros, accounts.c.held_micros, accounts.c.sequence)
        .add_columns(accounts.c.test_sequence, accounts.c.exhausted_armed)
        .add_columns(accounts.c.end_armed, accounts.c.expired_micros)
        .where(among(dialect, accounts.c.id, "b_ids"))
        .order_by(accounts.c.id)
        .with_for_update()
    )
)
_SET_BALANCES = hot.Statement(
    lambda _: (
        update(accounts)
        .where(accounts.c.id == bindparam("b_id"))
        .values({name: bindparam(name) for name in ("available_micros", "held_micros", "sequence", "test_sequence")})
        .values({name: bindparam(name) for name in ("exhausted_armed", "end_armed", "expired_micros")})
    )
)
_NEWEST = (
    select(func.coalesce(jobs.c.wanted_micros, jobs.c.bound_micros).label("micros"))
    .where(jobs.c.account_id == bindparam("b_account"), jobs.c.test.is_(False))
    .order_by(jobs.c.id.desc())
    .limit(LATELY)
    .subquery()
)
_LEAST = select(func.min(_NEWEST.c.micros)).where(_NEWEST.c.micros > 0)
