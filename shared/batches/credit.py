"""How batches hold otherwise than at once and for all their lines: line by line as they become jobs, or later.

A batch with a `hold` is never held for before it has been read: `begin` is followed by `hold`, for all of it, or by one
`release_slice` after another, which hold for lines and make jobs of them in one transaction. What is held never exceeds
what its jobs may cost, so a version that does not know of this can make no job of such a batch: the check
`released_within_hold` refuses it.

Whoever lacks credit waits in line, which is in this order: the account's jobs that wait (`shared.jobs.credit_waits`),
then its batches, those of the highest priority and the oldest first. A batch in slices whose key's budget has no room
for its next line waits for that, and keeps nobody else waiting.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, exists, func, or_, select, text, update

from shared import db
from shared.batches.key_holds import LineHolds
from shared.db.models import accounts, api_keys, batches, job_payloads, jobs, key_spend
from shared.db.models.batches import SHORT
from shared.db.models.jobs import AWAITING_CREDIT
from shared.money.budget_periods import periods
from shared.money.budgets import BUDGET_PERIODS
from shared.money.key_budgets import Excess
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

    0: it waits for credit, or for a budget of its key. None: they are not the next ones, or it does not go on. And the
    deliveries now due.
    """
    row = _locked(connection, id)
    if row is None or row["hold"] != "slices" or row["cursor"] != cursor:
        return None, []
    book = Book(connection, [row["account_id"]])
    budget, first = LineHolds(connection, row, book.now), lines[0][0]["bound_micros"]
    over = budget.excess(first)
    held = _held(book, budget, row, lines) if over is None and _is_first(connection, row) else 0
    if held:
        _release(connection, row, lines[:held], budget)
    else:
        _set(connection, id, **_waiting(first, over), **budget.close())
    return held, book.close()


def _held(book: Book, budget: LineHolds, row: Mapping[str, Any], lines: Sequence[Line]) -> int:
    """Hold for lines up to the first that cannot be held for; how many."""
    for count, (job, _, _) in enumerate(lines):
        bound = job["bound_micros"]
        if budget.excess(bound) or (count and bound > book.available(row["account_id"])):
            return count  # that it ran short is told when it cannot go on at all
        if not book.hold(row["account_id"], ("job", job["id"]), bound, note=row["id"]):
            return count
        budget.hold(bound)
    return len(lines)


def _release(connection: Connection, row: Mapping[str, Any], made: Sequence[Line], budget: LineHolds) -> None:
    """Make jobs of lines that are held for."""
    bound = sum(job["bound_micros"] for job, _, _ in made)
    sums = {name: row[name] + bound for name in ("bound_micros", "released_micros")}
    moved = {"cursor": made[-1][2], "released": row["released"] + len(made), **sums}
    _set(connection, row["id"], **moved, **_NOT_WAITING, **budget.close())
    db.insert_rows(connection, jobs, [{**job, **budget.of_line} for job, _, _ in made])
    db.insert_rows(connection, job_payloads, [payload for _, payload, _ in made])


def _waiting(micros: int, over: Excess | None) -> dict[str, int | None]:
    """What the row of a batch says whose next line waits: for a budget that has no room, or else for credit."""
    if over is None:
        return {**_NOT_WAITING, "short_micros": micros}
    return {**_NOT_WAITING, "budget_short_micros": micros, "budget_until": over.renews_at}


_NOT_WAITING: Final[Mapping[str, None]] = dict.fromkeys(("short_micros", "budget_short_micros", "budget_until"))


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


def _used(period: str) -> Any:
    """What of the present period's budget of a batch's key is used or held; NULL: nothing is."""
    used = select(key_spend.c.held_micros + key_spend.c.spent_micros).where(
        key_spend.c.key_id == batches.c.key_id, key_spend.c.period == bindparam(f"b_{period}")
    )
    return used.correlate(batches).scalar_subquery()


#: A budget of the key of a batch that waits for one has no room, and has not begun anew.
_OUT_OF_BUDGET = and_(
    batches.c.budget_short_micros.is_not(None),
    or_(batches.c.budget_until.is_(None), batches.c.budget_until > bindparam("b_now")),
    exists().where(
        api_keys.c.id == batches.c.key_id,
        or_(
            *(
                api_keys.c[f"budget_{period}_micros"] < func.coalesce(_used(period), 0) + batches.c.budget_short_micros
                for period in BUDGET_PERIODS
            )
        ),
    ),
)
#: The condition that a batch can go on, as far as it is about its hold, or is past its window; for `going_on`.
GOES_ON: Final = or_(
    batches.c.hold.is_(None),
    batches.c.stopped.is_not(None),
    batches.c.expires_at <= bindparam("b_now"),
    and_(~_HAS_SLICE, ~_OUT_OF_BUDGET, or_(_SHORT.is_(None), and_(_PAYABLE, ~_JOBS_BEFORE, ~_BATCHES_BEFORE))),
)


def going_on(now: int) -> dict[str, Any]:
    """What GOES_ON is asked with at an instant."""
    return {"b_now": now, "b_slice": SLICE, **{f"b_{period}": name for period, name in periods(now).items()}}


def _locked(connection: Connection, id: str) -> dict[str, Any] | None:
    """A batch whose lines may become jobs."""
    going = (batches.c.status == "in_progress", batches.c.stopped.is_(None))
    row = connection.execute(select(batches).where(batches.c.id == id, *going).with_for_update()).mappings().first()
    return None if row is None else dict(row)


def _set(connection: Connection, id: str, **values: Any) -> None:
    connection.execute(update(batches).where(batches.c.id == id).values(**values))
