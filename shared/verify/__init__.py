"""Recomputes every balance and checks every promise about money, jobs and events, from the rows alone.

A subject is a module with `CHECKS`; a new check is a `Query` there, or a function of a `Reader` that yields findings.
A check looks at the rows of one statement (a page of them where they are many), which every database shows as they
were at one instant; so it is right while the system runs, holds no lock, needs little memory, and no transaction of it
outlasts a statement. What retention has removed (`shared.db.retention_marks`) is not missed.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from shared.db import Database
from shared.verify import at_rest as rest
from shared.verify import (
    batches,
    charges,
    events,
    files,
    grants,
    invoices,
    jobs,
    kept_answers,
    keys,
    money,
    replay,
    statements,
    steps,
)
from shared.verify.files import unnamed_blobs as unnamed_blobs
from shared.verify.findings import Check, Finding, Reader

T = TypeVar("T")

#: What is checked, in this order; each has `CHECKS`.
_SUBJECTS = (
    *(money, grants, keys, replay, statements, invoices),
    *(jobs, steps, batches, events, files, charges, kept_answers),
)
CHECKS: tuple[Check, ...] = tuple(check for subject in _SUBJECTS for check in subject.CHECKS)


def verify(connection: Connection) -> list[str]:
    """Every violation found, as a line each that names the rows; empty when all of it is exact."""
    return [str(finding) for check in CHECKS for finding in check(lambda work: work(connection))]


def verify_all(
    database: Database,
    *,
    stored: bool = False,
    at_rest: bool = False,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[Finding]:
    """The same as findings, read in transactions of their own.

    `stored`: the bytes of files as well; `at_rest`: also that nothing is under way. `progress` is called after each
    check with how many are done, and of how many.
    """
    checks = [*CHECKS, *(rest.CHECKS if at_rest else ())]
    found: list[Finding] = []
    for number, check in enumerate(checks, start=1):
        found += check(_reader(database))
        progress(number, len(checks))
    return [*found, *files.stored(database)] if stored else found


def _reader(database: Database) -> Reader:
    def read(work: Callable[[Connection], T]) -> T:
        return database.read_sync(_sorting_in_files, work)

    return read


def _sorting_in_files(connection: Connection, work: Callable[[Connection], T]) -> T:
    """What it has to sort or join goes to files, where SQLite would keep it in memory."""
    if connection.dialect.name != "sqlite":
        return work(connection)
    connection.exec_driver_sql("PRAGMA temp_store=FILE")
    try:
        return work(connection)
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
