"""How batches hold otherwise than at once and for all their lines: line by line as they become jobs, or later.

A batch with a `hold` is never held for before it has been read: `begin` is followed by `hold`, for all of it, or by one
`release_slice` after another, which hold for lines and make jobs of them in one transaction. What is held never exceeds
what its jobs may cost, so a version that does not know of this can make no job of such a batch: the check
`released_within_hold` refuses it.

Whoever lacks credit waits in line, which is in this order: the account's jobs that wait (`shared.jobs.credit_waits`),
then its batches, those of the highest priority and the oldest first.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, exists, or_, select, text, update

from shared import db
from shared.db.models import accounts, batches, job_payloads, jobs
from shared.db.models.batches import SHORT
from shared.db.models.jobs import AWAITING_CREDIT
from shared.money.ledger import Book

#: Lines that are held for at once; the next of them when fewer than so many have not ended.
SLICE: Final = 1000
#: A line of the plan as the rows of its job and its payload, and where the next begins.
Line = tuple[dict[str, Any], dict[str, Any], int]


def first_hold(connection: Connection, book: Book, row: Mapping[str, Any], bound: int) -> dict[str, Any]:
    """What changes in the row of a batch with a `hold` that has been read, when it begins."""
    if row["hold"] == "slices":
        return {"bound_micros": 0}
    if not _is_first(connection, row) or not book.hold(row["account_id"], ("batch", row["id"]), bound):
        return {"bound_micros": 0, "short_micros": bound}
    return {"bound_micros": bound}


def hold(connection: Connection, id: str) -> list[str]:
    """Hold for all of a batch that waits to be held for, if that can be; deliveries now due."""
    row = _locked(connection, id)
    if row is None or row["hold"] != "later" or row["short_micros"] is None or not _is_first(connection, row):
        return []
    book = Book(connection, [row["account_id"]])
    if book.hold(row["account_id"], ("batch", id), row["short_micros"]):
        _set(connection, id, bound_micros=row["short_micros"], short_micros=None)
    return book.close()


def release_slice(
    connection: Connection, id: str, cursor: int, lines: Sequence[Line]
) -> tuple[int | None, Sequence[str]]:
    """Hold for as many of the next lines of a plan as can be, from the first, and make jobs of them; how many.

    0: it waits for credit. None: they are not the next ones, or it does not go on. And the deliveries now due.
    """
    row = _locked(connection, id)
    if row is None or row["hold"] != "slices" or row["cursor"] != cursor:
        return None, []
    book = Book(connection, [row["account_id"]])
    held = _held(book, row, lines) if _is_first(connection, row) else 0
    if not held:
        _set(connection, id, short_micros=lines[0][0]["bound_micros"])
        return 0, book.close()
    made = lines[:held]
    bound = sum(job["bound_micros"] for job, _, _ in made)
    sums = {name: row[name] + bound for name in ("bound_micros", "released_micros")}
    if row["budget_at"] is not None:  # in the budgets of its key all of it has counted since it began
        sums["budget_rest_micros"] = row["budget_rest_micros"] - bound
    _set(connection, id, cursor=made[-1][2], released=row["released"] + held, short_micros=None, **sums)
    db.insert_rows(connection, jobs, [job for job, _, _ in made])
    db.insert_rows(connection, job_payloads, [payload for _, payload, _ in made])
    return held, book.close()


def _held(book: Book, row: Mapping[str, Any], lines: Sequence[Line]) -> int:
    """Hold for lines up to the first that cannot be held for; how many."""
    for count, (job, _, _) in enumerate(lines):
        if job["bound_micros"] > book.available(row["account_id"]) and count:
            return count  # that it ran short is told when it cannot go on at all
        if not book.hold(row["account_id"], ("job", job["id"]), job["bound_micros"], note=row["id"]):
            return count
    return len(lines)


def _is_first(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Whether nobody is before a batch in its account's line."""
    return connection.execute(_BEFORE, {"b_id": row["id"]}).first() is None


_SHORT = batches.c.short_micros
_OTHER = batches.alias("other")
_JOBS_BEFORE = exists().where(jobs.c.account_id == batches.c.account_id, text(f"jobs.{AWAITING_CREDIT}"))
_BATCHES_BEFORE = exists().where(
    _OTHER.c.account_id == batches.c.account_id,
    text(f"other.{SHORT}"),
    _OTHER.c.status == "in_progress",
    _OTHER.c.stopped.is_(None),
    or_(
        _OTHER.c.priority > batches.c.priority,
        and_(_OTHER.c.priority == batches.c.priority, _OTHER.c.id < batches.c.id),
    ),
)
_BEFORE = select(batches.c.id).where(batches.c.id == bindparam("b_id"), or_(_JOBS_BEFORE, _BATCHES_BEFORE))
_OUTSTANDING = batches.c.released - batches.c.succeeded - batches.c.failed - batches.c.cancelled - batches.c.expired
_HAS_SLICE = and_(
    batches.c.hold == "slices", batches.c.released < batches.c.total, _OUTSTANDING >= bindparam("b_slice")
)
_PAYABLE = exists().where(accounts.c.id == batches.c.account_id, accounts.c.available_micros >= _SHORT)
#: The condition that a batch can go on at `b_now`, as far as it is about its hold, or is past its window.
#: `b_slice`: SLICE.
GOES_ON: Final = or_(
    batches.c.hold.is_(None),
    batches.c.stopped.is_not(None),
    batches.c.expires_at <= bindparam("b_now"),
    and_(~_HAS_SLICE, or_(_SHORT.is_(None), and_(_PAYABLE, ~_JOBS_BEFORE, ~_BATCHES_BEFORE))),
)


def _locked(connection: Connection, id: str) -> dict[str, Any] | None:
    """A batch whose lines may become jobs."""
    going = (batches.c.status == "in_progress", batches.c.stopped.is_(None))
    row = connection.execute(select(batches).where(batches.c.id == id, *going).with_for_update()).mappings().first()
    return None if row is None else dict(row)


def _set(connection: Connection, id: str, **values: Any) -> None:
    connection.execute(update(batches).where(batches.c.id == id).values(**values))
