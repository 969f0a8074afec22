"""Counts in budgets of keys what processes of an earlier version ended without: jobs, and parts of batches."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, text, update

from shared.db.models import job_results, jobs
from shared.db.models.jobs import UNCOUNTED
from shared.money import key_budgets
from shared.money.ledger import Book

_COLUMNS = tuple(jobs.c[name] for name in "id account_id key_id bound_micros wanted_micros budget_at".split())


def uncounted(connection: Connection, most: int, besides: Sequence[str] = ()) -> list[str]:
    """Jobs, but for some, that have ended and still count as held."""
    statement = select(jobs.c.id).where(text(UNCOUNTED), jobs.c.id.not_in(besides))
    return list(connection.execute(statement.order_by(jobs.c.id).limit(most)).scalars())


def count(connection: Connection, ids: Sequence[str]) -> tuple[int, list[str]]:
    """Count the ends of those of these jobs that still have to be: how many, and no deliveries."""
    owing = update(jobs).where(jobs.c.id.in_(sorted(ids)), text(UNCOUNTED))
    rows = connection.execute(owing.values(budget_open=False).returning(*_COLUMNS)).mappings().all()
    if not rows:
        return 0, []
    results = select(job_results.c.job_id, job_results.c.charged_micros).where(job_results.c.job_id.in_([*ids]))
    charged = {row.job_id: row.charged_micros for row in connection.execute(results)}
    book = Book(connection, [row["account_id"] for row in rows])
    key_budgets.settle(connection, book, [(dict(row), charged.get(row["id"], 0)) for row in rows])
    return len(rows), book.close()
