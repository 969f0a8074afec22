"""Recomputes every balance and checks every promise about money, jobs and events, from the rows alone.

A check looks at the rows of one statement (a page of them where they are many), which every database shows as they
were at one instant; so it is right while the system runs, holds no lock, and needs little memory. What retention has
removed (`shared.db.retention_marks`) is not missed.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sqlalchemy import Connection, text

from shared.db import Database
from shared.verify import batches, charges, events, files, grants, invoices, jobs, kept_answers, money, steps
from shared.verify.query import Query

#: A check: what it finds, as a line each.
Check = Callable[[Connection], Iterator[str]]

_QUERIES: tuple[Query, ...] = (
    *money.QUERIES,
    *grants.QUERIES,
    *jobs.QUERIES,
    *steps.QUERIES,
    *batches.QUERIES,
    *events.QUERIES,
    *files.QUERIES,
)
CHECKS: tuple[Check, ...] = (
    *(partial(Query.violations, query) for query in _QUERIES),
    charges.violations,
    grants.violations,
    steps.violations,
    invoices.violations,
    kept_answers.violations,
)


def verify(connection: Connection) -> list[str]:
    """Every violation found, as a line each that names the rows; empty when all of it is exact."""
    return [line for check in CHECKS for line in check(connection)]


def verify_all(
    database: Database, *, stored: bool = False, progress: Callable[[int, int], object] = lambda done, total: None
) -> list[str]:
    """The same, each check in a transaction of its own, so that none is long. `stored`: the bytes of files as well.

    `progress` is called after each check with how many are done, and of how many.
    """
    found: list[str] = []
    for number, check in enumerate(CHECKS, start=1):
        found += database.read_sync(_listed, check)
        progress(number, len(CHECKS))
    return [*found, *files.unlike_their_bytes(database)] if stored else found


def _listed(connection: Connection, check: Check) -> list[str]:
    """What a check finds; what it has to sort or join goes to files, where SQLite would keep it in memory."""
    if connection.dialect.name != "sqlite":
        return list(check(connection))
    connection.exec_driver_sql("PRAGMA temp_store=FILE")
    try:
        return list(check(connection))
    finally:
        connection.exec_driver_sql("PRAGMA temp_store=MEMORY")


def totals(connection: Connection) -> dict[str, Any]:
    """What was looked at: counts of rows, and where the money is, in micro-credits."""
    row = connection.execute(
        text(
            """SELECT (SELECT count(*) FROM accounts) AS accounts, (SELECT count(*) FROM jobs) AS jobs,
               (SELECT count(*) FROM batches) AS batches, (SELECT count(*) FROM invoices) AS invoices,
               (SELECT count(*) FROM transfers) AS transfers, (SELECT count(*) FROM events) AS events,
               (SELECT coalesce(sum(available_micros), 0) FROM accounts) AS available_micros,
               (SELECT coalesce(sum(held_micros), 0) FROM accounts) AS held_micros,
               (SELECT coalesce(sum(amount_micros), 0) FROM transfers WHERE to_purse = 'revenue') AS revenue_micros,
               (SELECT coalesce(sum(amount_micros), 0) FROM transfers WHERE from_purse = 'treasury')
                 AS granted_micros"""
        )
    ).mappings()
    return {name: int(value) for name, value in row.one().items()}
