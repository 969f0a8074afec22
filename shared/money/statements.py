"""Monthly statements: what the single jobs of an account were charged in a calendar month, UTC, once it is over.

A job is of the month in which it was charged. The jobs of batches are on the statements of their batches; these and
the monthly ones add up to what the ledger charged. A month is closed in the transaction that writes its statement, or
that finds that it needs none; it is read before, without a lock, since nothing of a month that is over changes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, exists, func, literal_column, select, text, update

from shared import clock, db
from shared.db import models as m
from shared.db import retention_marks
from shared.db.models.money import CORRECTIONS, OPEN_MONTHS
from shared.money import invoices
from shared.money.ledger import Book
from shared.money.usage import AMOUNTS
from shared.objects.invoices import InvoiceLine, amount_line, invoice_line

#: A month is over for its statement so long after its end. By then each transaction that charges in it has committed:
#: the database ends those that idle for 20 s, and each wait for a lock after 5 s (`shared.db`).
GRACE_MICROS = 3600 * clock.MICROS
#: An id may be behind the time of its row by so much, in microseconds. (After a clock was set back it may be ahead.)
_BEHIND_MICROS = 86_400 * clock.MICROS
#: From a job's id to its end, where jobs are looked for, in microseconds.
_LIFE_MICROS = 9 * 86_400 * clock.MICROS

#: Rows of one statement.
PAGE = 5000

Sums = dict[str, int]


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month, UTC, of an account: `2026-11`; what it was charged in it."""

    account_id: str
    month: str
    spent_micros: int = 0

    @property
    def begins(self) -> int:
        """Its first instant, in microseconds."""
        return int(_first(self.month).timestamp()) * clock.MICROS

    @property
    def ends(self) -> int:
        """The first instant after it."""
        return int(_first((_first(self.month) + timedelta(days=31)).strftime("%Y-%m")).timestamp()) * clock.MICROS


@dataclass(slots=True)
class _Days:
    """What the sums by day say of single jobs: by model, as far as it is known which jobs were single."""

    known: defaultdict[str, Sums] = field(default_factory=lambda: defaultdict(lambda: dict.fromkeys(AMOUNTS, 0)))
    #: By model, where versions that did not tell them apart settled jobs; some may be of batches.
    unknown: defaultdict[str, Sums] = field(default_factory=lambda: defaultdict(lambda: dict.fromkeys(AMOUNTS, 0)))
    unknown_days: set[tuple[str, str]] = field(default_factory=set)


def due(connection: Connection, most: int) -> list[Month]:
    """Up to so many months that are over and not closed, the oldest first."""
    over = clock.month(db.now(connection) - GRACE_MICROS)
    spend = m.monthly_spend.c
    statement = select(spend.account_id, spend.month, spend.spent_micros).where(text(OPEN_MONTHS), spend.month < over)
    return [Month(*row) for row in connection.execute(statement.order_by(spend.month, spend.account_id).limit(most))]


def read(connection: Connection, month: Month) -> list[InvoiceLine]:
    """The lines of a month's statement: the usage of each model by name, then what was given back or corrected."""
    days = _days(connection, month)
    sums, rest = _mended(connection, month, days) if days.unknown_days else (days.known, [])
    lines = [invoice_line({"model": model, **sums[model]}) for model in sorted(sums) if any(sums[model].values())]
    return [*lines, *rest, *_corrections(connection, month)]


def close(connection: Connection, month: Month, lines: list[InvoiceLine]) -> str | None:
    """Close a month with the statement of these lines; its id. None: it needs none, or is closed, or has changed."""
    book = Book(connection, [month.account_id])
    spend = m.monthly_spend.c
    ours = (spend.account_id == month.account_id, spend.month == month.month)
    still = update(m.monthly_spend).where(*ours, spend.stated_at.is_(None), spend.spent_micros == month.spent_micros)
    if not connection.execute(still.values(stated_at=book.now)).rowcount:
        return None
    charged = any(line["credits"] for line in lines)
    id = invoices.state_month(book, connection, month.account_id, month.month, lines) if charged else None
    book.close()
    return id


def _days(connection: Connection, month: Month) -> _Days:
    days = m.daily_usage.c
    statement = select(m.daily_usage).where(
        days.account_id == month.account_id,
        days.test.is_(False),
        days.day.between(f"{month.month}-01", f"{month.month}-31"),
    )
    found = _Days()
    for row in connection.execute(statement).mappings():
        known = row["jobs"] == row["single_jobs"] + row["batch_jobs"]
        sums = (found.known if known else found.unknown)[row["model"]]
        for name in AMOUNTS:
            sums[name] += row[name] - row[f"batch_{name}"]
        if not known:
            found.unknown_days.add((row["day"], row["model"]))
    return found


def _mended(connection: Connection, month: Month, days: _Days) -> tuple[Mapping[str, Sums], list[InvoiceLine]]:
    """The sums with what versions that did not tell single jobs apart have settled: as much as the ledger charged.

    By model as the jobs say, where they are kept, or where all of it was of single jobs; what is left is one line.
    """
    charged, jobs = _charged(connection, month)
    sums: Mapping[str, Sums] = days.known
    if retention_marks.marks(connection)["jobs"] < month.begins:
        sums = _joined(sums, _of_jobs(connection, month, days.unknown_days))
    elif _sum(days.unknown) == charged - _sum(sums):
        sums = _joined(sums, days.unknown)
    if charged < (known := _sum(sums)):
        raise ValueError(f"single jobs of {month.account_id} in {month.month}: {known} known, {charged} charged")
    if charged == known:
        return sums, []
    rest = max(jobs - sum(one["jobs"] for one in sums.values()), 0)
    return sums, [amount_line("usage", "Several models", charged - known, jobs=rest)]


def _charged(connection: Connection, month: Month) -> tuple[int, int]:
    """What the ledger charged for single jobs in the month, and for how many.

    Those with a hold of their own, which names no batch.
    """
    charge, hold = m.transfers.alias("charge"), m.transfers.alias("hold")
    held = exists().where(
        hold.c.subject_id == charge.c.subject_id,
        literal_column("hold.kind") == literal_column("'hold'"),
        literal_column("hold.subject_type") == literal_column("'job'"),
        hold.c.note.is_(None),
    )
    statement = select(charge.c.id, charge.c.amount_micros).where(
        charge.c.account_id == month.account_id,
        charge.c.kind == "charge",
        charge.c.created_at >= month.begins,
        charge.c.created_at < month.ends,
        held,
    )
    micros = jobs = 0
    for page in _pages(connection, statement, charge.c.id, _id_at("tr", month.begins - _BEHIND_MICROS)):
        micros += sum(int(row.amount_micros) for row in page)
        jobs += len(page)
    return micros, jobs


def _of_jobs(connection: Connection, month: Month, days: set[tuple[str, str]]) -> dict[str, Sums]:
    """The same sums from the jobs themselves, of these days and models, where all of them are still kept."""
    jobs, results = m.jobs.c, m.job_results.c
    model = func.coalesce(results.model, jobs.model)
    day = _day(connection)
    statement = (
        select(jobs.id, model, day, *(results[name] for name in AMOUNTS[1:]))
        .join_from(m.jobs, m.job_results, and_(results.job_id == jobs.id))
        .where(jobs.account_id == month.account_id, jobs.test.is_(False), jobs.batch_id.is_(None))
        .where(jobs.finished_at >= month.begins, jobs.finished_at < month.ends)
        .where((jobs.status == "succeeded") | (results.prompt_tokens + results.completion_tokens > 0))
    )
    found: defaultdict[str, Sums] = defaultdict(lambda: dict.fromkeys(AMOUNTS, 0))
    for page in _pages(connection, statement, jobs.id, _id_at("job", month.begins - _LIFE_MICROS)):
        for _, name, when, *amounts in page:
            if (when, name) in days:
                for key, amount in zip(AMOUNTS, (1, *amounts), strict=True):
                    found[name][key] += int(amount)
    return found


def _pages(connection: Connection, statement: Any, by: Any, after: str) -> Iterator[Sequence[Any]]:
    """The rows of a statement whose first column is this id, in its order, after an id, some at a time."""
    while rows := connection.execute(statement.where(by > after).order_by(by).limit(PAGE)).all():
        yield rows
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _corrections(connection: Connection, month: Month) -> Iterable[InvoiceLine]:
    """What was given back or corrected in the month, a line for each kind and way; against the total if given back."""
    moved = m.transfers.c
    statement = (
        select(moved.kind, moved.to_purse, func.sum(moved.amount_micros), func.count())
        .where(text(CORRECTIONS), moved.account_id == month.account_id)
        .where(moved.created_at >= month.begins, moved.created_at < month.ends)
        .group_by(moved.kind, moved.to_purse)
        .order_by(moved.kind.desc(), moved.to_purse)
    )
    for kind, to, micros, count in connection.execute(statement):
        signed = -int(micros) if to == "available" else int(micros)
        if kind == "refund":
            yield amount_line("refund", f"Refunds ({count})", signed, jobs=count)
        else:
            yield amount_line("adjustment", f"Adjustments ({count})", signed)


def _joined(*several: Mapping[str, Sums]) -> dict[str, Sums]:
    whole: dict[str, Sums] = {}
    for sums in several:
        for model, one in sums.items():
            into = whole.setdefault(model, dict.fromkeys(AMOUNTS, 0))
            for name in AMOUNTS:
                into[name] += one[name]
    return whole


def _sum(sums: Mapping[str, Sums]) -> int:
    return sum(one["charged_micros"] for one in sums.values())


def _day(connection: Connection) -> Any:
    finished: Any = m.jobs.c.finished_at
    if connection.dialect.name == "sqlite":
        return func.strftime("%Y-%m-%d", finished / literal_column("1000000"), "unixepoch")
    at = func.to_timestamp(finished / literal_column("1000000")).op("AT TIME ZONE")(literal_column("'UTC'"))
    return func.to_char(at, literal_column("'YYYY-MM-DD'"))


def _first(month: str) -> datetime:
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)


def _id_at(prefix: str, micros: int) -> str:
    """What every id that is made from this instant on is greater than."""
    return f"{prefix}_{max(0, micros) // 1000 << 16:016x}"
