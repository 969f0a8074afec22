"""Jobs that wait for credit: accepted without a hold, and not to be leased until their account can hold for them.

Such a job is `queued`, its bound is 0 and `wanted_micros` says what is to be held. For every version it is one that is
deferred until a time that never comes, so none leases or wakes it; it is cancelled and expires as others are, and as
nothing is held, nothing is released. The jobs of an account are let in strictly in the order in which they came.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, func, select, text, update

from shared.db.models import jobs
from shared.db.models.jobs import AWAITING_CREDIT
from shared.errors import FusionError
from shared.money.ledger import Book
from shared.submissions import rows as intake

#: Why it waits, as its row says (`deferred_for`) and as clients are shown.
CREDITS: Final = "credits"
#: Jobs of an account that may wait for credit at once.
MOST: Final = 10_000
#: Accounts that are looked at in one look, and jobs let in in one transaction.
ACCOUNTS: Final = 1000
CHUNK: Final = 400
#: The end of the year 9999, in microseconds: later than any deadline.
_NEVER: Final = 253_402_300_799_000_000


def waiting(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a new job as one that waits for the credit that it was to hold."""
    return {
        **row,
        "bound_micros": 0,
        "wanted_micros": row["bound_micros"],
        "run_at": _NEVER,
        "deferred_for": CREDITS,
        "woken_at": None,
    }


@dataclass(slots=True)
class Lines:
    """The lines of waiting jobs, as one transaction that accepts jobs finds and lengthens them, under their accounts'
    locks.
    """

    connection: Connection
    _lengths: dict[str, int] = field(default_factory=dict)

    def length(self, account_id: str) -> int:
        """How many jobs of an account wait, those among them that this transaction adds."""
        if account_id not in self._lengths:
            self._lengths[account_id] = self.connection.execute(_LENGTH, {"account": account_id}).scalar_one()
        return self._lengths[account_id]

    def join(self, account_id: str, more: int) -> None:
        """So many more of the account's jobs wait from now on."""
        self._lengths[account_id] = self.length(account_id) + more


_LENGTH = select(func.count()).select_from(
    select(jobs.c.id).where(text(f"account_id = :account AND {AWAITING_CREDIT}")).limit(MOST).subquery()
)


def is_any(connection: Connection, account_id: str) -> bool:
    """Whether a job of the account waits."""
    first = select(jobs.c.id).where(jobs.c.account_id == account_id, text(AWAITING_CREDIT)).limit(1)
    return connection.execute(first).first() is not None


def payable(connection: Connection, after: str = "") -> tuple[list[str], str]:
    """The accounts, after one, whose first waiting job could be held for now, and the last that was looked at.

    One statement, and some index probes an account that has waiting jobs, however many. Empty: there are no more.
    """
    rows = connection.execute(_LINES, {"after": after, "most": ACCOUNTS}).all()
    found = [row.account_id for row in rows if row.available_micros >= row.wanted_micros]
    return found, rows[-1].account_id if len(rows) == ACCOUNTS else ""


#: From one account with waiting jobs to the next by the index, not over all their rows.
_LINES = text(
    f"""
    WITH RECURSIVE line(account_id) AS (
        SELECT (SELECT min(account_id) FROM jobs WHERE account_id > :after AND {AWAITING_CREDIT})
        UNION ALL
        SELECT (SELECT min(j.account_id) FROM jobs j WHERE j.account_id > line.account_id AND {AWAITING_CREDIT})
        FROM line WHERE line.account_id IS NOT NULL
    ), looked AS (SELECT account_id FROM line WHERE account_id IS NOT NULL LIMIT :most)
    SELECT looked.account_id, accounts.available_micros, (
        SELECT j.wanted_micros FROM jobs j WHERE j.account_id = looked.account_id AND {AWAITING_CREDIT}
        ORDER BY j.id LIMIT 1
    ) AS wanted_micros
    FROM looked JOIN accounts ON accounts.id = looked.account_id ORDER BY looked.account_id
    """
)


def admit(connection: Connection, account_id: str) -> tuple[list[str], list[str]]:
    """Hold for the account's waiting jobs, in order, up to the first that it cannot hold for; these, for the feeder.

    Up to CHUNK of them; and the deliveries that are now due.
    """
    rows = connection.execute(_NEXT, {"account": account_id}).all()
    if not rows:
        return [], []
    book, let_in = Book(connection, [account_id]), list[str]()
    for row in rows:
        if row.wanted_micros > book.available(account_id):
            break
        book.hold(account_id, ("job", row.id), row.wanted_micros)
        let_in.append(row.id)
    if let_in:
        _begin(connection, let_in, book.now)
    return let_in, book.close()


_NEXT = (
    select(jobs.c.id, jobs.c.wanted_micros)
    .where(text(f"account_id = :account AND {AWAITING_CREDIT}"))
    .order_by(jobs.c.id)
    .limit(CHUNK)
    .with_for_update()
)


def _begin(connection: Connection, ids: list[str], now: int) -> None:
    """Make them jobs like any other; an error if any waits no longer, though its row is locked."""
    changed: dict[str, Any] = {"bound_micros": jobs.c.wanted_micros, "wanted_micros": None, "deferred_for": None}
    statement = update(jobs).where(jobs.c.id.in_(ids), text(AWAITING_CREDIT))
    begun = connection.execute(statement.values(**changed, run_at=intake.at_once(now), woken_at=None)).rowcount
    if begun != len(ids):
        raise FusionError(f"of {len(ids)} jobs that waited for credit only {begun} did")
