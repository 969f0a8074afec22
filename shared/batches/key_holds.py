"""The hold of a batch in the budgets of its key: taken with the batch's hold, handed on to its lines, released.

`budget_rest_micros` is what of it no line has got yet. Processes of earlier versions know nothing of it: `mend` puts
right what they leave. A batch in slices takes none: each line counts when it becomes a job (`LineHolds`). Versions that
count such a batch whole, and would hand on to its lines what it has not, are refused by `budget_rest_not_negative`.
"""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, and_, or_, select, text, update

from shared.batches.line_files import FaultError
from shared.db.models import batches, jobs
from shared.db.models.batches import COUNTED
from shared.db.models.jobs import OF_BATCHES
from shared.key_limits import of_key
from shared.money import key_budgets
from shared.money.key_budgets import Counted, Excess, KeySpend
from shared.money.ledger import Book
from shared.money.shortage import Need
from shared.objects.batches import Fault

#: Lines that are put right in one transaction.
MOST_LINES: Final = 1000


def excess(connection: Connection, batch: Mapping[str, Any], need: Need, now: int) -> Fault | None:
    """What is wrong with a batch that does not fit in a budget of its key; under the lock of its account."""
    limits = of_key(connection, batch["key_id"])
    if batch["test"] or batch["hold"] == "slices" or not limits.budgets:
        return None
    one = Counted(batch["account_id"], batch["key_id"], now)
    over = KeySpend(connection, [one]).excess(one, limits.budgets, need.micros)
    if over is None:
        return None
    message, fields = key_budgets.explain(need, over)
    fault: Fault = {**FaultError(key_budgets.EXCEEDED, message).as_json(), **fields}
    return fault


def hold(connection: Connection, batch: Mapping[str, Any], micros: int, now: int) -> dict[str, int]:
    """Count the hold of a batch, if its key is counted; the columns of the batch that say so."""
    if batch["test"] or not of_key(connection, batch["key_id"]).counted:
        return {}
    if batch["hold"] == "slices":
        return {"budget_at": now}
    one = Counted(batch["account_id"], batch["key_id"], now)
    spend = KeySpend(connection, [one])
    spend.hold(one, micros)
    spend.close()
    return {"budget_at": now, "budget_rest_micros": micros}


class LineHolds:
    """What the next lines of a batch in slices count in the budgets of its key; under the lock of its account.

    One that an earlier version began counts whole from its beginning, which ends here.
    """

    def __init__(self, connection: Connection, batch: Mapping[str, Any], now: int) -> None:
        limits = of_key(connection, batch["key_id"])
        self._budgets = limits.budgets
        self._line = Counted(batch["account_id"], batch["key_id"], now)
        self._counts = limits.counted and not batch["test"]
        rest, whole = int(batch["budget_rest_micros"]), key_budgets.counted(batch)
        self._spend = KeySpend(connection, [self._line, *([whole] if whole and rest else [])] if self._counts else [])
        if whole and rest and self._counts:
            self._spend.settle(whole, held=rest, charge=0)

    def excess(self, micros: int) -> Excess | None:
        """The first budget that has no room for a line; None: it may become a job."""
        return self._spend.excess(self._line, self._budgets, micros) if self._counts else None

    def hold(self, micros: int) -> None:
        """Count a line."""
        if self._counts:
            self._spend.hold(self._line, micros)

    def close(self) -> dict[str, int]:
        """Write what counts; the columns of the batch that say so."""
        self._spend.close()
        return {"budget_at": self._line.at, "budget_rest_micros": 0} if self._counts else {}

    @property
    def of_line(self) -> dict[str, Any]:
        """The columns of a job that say in which periods it counts."""
        return {"budget_at": self._line.at, "budget_open": True} if self._counts else {}


def release(connection: Connection, batch: Mapping[str, Any], micros: int) -> None:
    """End so much of the hold of a batch, for lines that never become jobs; under the lock of its account."""
    if micros and (one := key_budgets.counted(batch)):
        spend = KeySpend(connection, [one])
        spend.settle(one, held=micros, charge=0)
        spend.close()


def kept(connection: Connection, batch: Mapping[str, Any]) -> int:
    """How much of the hold of a batch still counts when it is stopped, in micro-credits; its row is locked.

    Nothing; or all, where a process of an earlier version has made lines that count nowhere yet: only `mend`, which
    lets them count, knows what is too much.
    """
    rest = int(batch["budget_rest_micros"])
    if batch["hold"] == "slices" or rest <= batch["bound_micros"] - batch["released_micros"]:
        return 0
    return rest if connection.execute(_uncounted_lines(batch["id"]).limit(1)).first() else 0


def unmended(connection: Connection, most: int) -> list[str]:
    """Batches of which a process of an earlier version has made lines, or released the rest."""
    statement = select(batches.c.id).where(text(COUNTED), _IS_WRONG).order_by(batches.c.id).limit(most)
    return list(connection.execute(statement).scalars())


#: A batch that holds later counts with all its lines from its beginning; so does one in slices that an earlier version
#: began, until its next lines become jobs.
_HOLDS_LATER = and_(batches.c.stopped.is_(None), or_(batches.c.hold == "slices", batches.c.short_micros.is_not(None)))
_IS_WRONG = and_(
    batches.c.budget_rest_micros > batches.c.bound_micros - batches.c.released_micros,
    or_(batches.c.hold.is_(None), ~_HOLDS_LATER),
)


def mend(connection: Connection, id: str) -> bool:
    """Let lines that count nowhere count as their batch does, then release what is too much; whether more is left."""
    found = connection.execute(select(batches.c.budget_at).where(batches.c.id == id, text(COUNTED))).scalar()
    if found is None:
        return False
    adopted = (
        update(jobs)
        .where(jobs.c.id.in_(_uncounted_lines(id).limit(MOST_LINES)))
        .values(budget_at=found, budget_open=True)
        .returning(jobs.c.bound_micros)
    )
    rest = sum(connection.execute(adopted).scalars())
    row = connection.execute(select(batches).where(batches.c.id == id).with_for_update()).mappings().one()
    more = connection.execute(_uncounted_lines(id).limit(1)).first() is not None
    rest = row["budget_rest_micros"] - rest
    if not more:
        Book(connection, [row["account_id"]])
        surplus = max(0, rest - (row["bound_micros"] - row["released_micros"]))
        release(connection, dict(row), surplus)
        rest -= surplus
    connection.execute(update(batches).where(batches.c.id == id).values(budget_rest_micros=rest))
    return more


def _uncounted_lines(id: str) -> Any:
    """The lines of a batch that count nowhere, by id."""
    return (
        select(jobs.c.id).where(jobs.c.batch_id == id, text(OF_BATCHES), jobs.c.budget_at.is_(None)).order_by(jobs.c.id)
    )
