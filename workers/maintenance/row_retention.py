"""Rows that are older than they are kept: finished jobs with what was asked and answered, events, files.

Each step is a few transactions of up to a thousand rows, oldest first. Money stays: transfers, sums of usage, invoices,
and the batches that they are of. What has gone is noted where `verify` looks (`shared.db.retention_marks`).
"""

from collections.abc import Sequence
from itertools import takewhile

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select, text, update

from shared import db
from shared.db import Database, retention_marks, retention_periods
from shared.db import models as m
from shared.db.models.batches import WITH_CALLBACK
from shared.slices import slices

#: Jobs looked at, and jobs (with their rows) or events (with their deliveries) deleted in one transaction.
LOOKED = 1000
JOBS, EVENTS = 300, 300
#: Transactions of one step, and accounts looked at in one.
ROUNDS, ACCOUNTS = 10, 100
#: Files that are set to expire in one transaction.
FILES = 500

#: A batch is over.
TERMINAL = ("completed", "failed", "expired", "cancelled")
#: When it ended, one way or another.
_ENDED = tuple(m.batches.c[f"{status}_at"] for status in TERMINAL)


class JobRetention:
    """Deletes jobs, from the oldest on; remembers where it is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._after = ""

    def some(self) -> bool:
        """A step; whether there is more."""
        until = retention_periods.jobs_until()
        for _ in range(ROUNDS if until else 0):
            ids = self._database.read_sync(next_jobs, self._after, until)
            if not ids:
                self._after = ""
                return self._database.write_sync(forget_callbacks, until) == FILES
            over = self._database.read_sync(deletable, ids, until)
            for some in slices(over, JOBS):
                self._database.write_sync(delete_jobs, some, until)
            self._after = ids[-1]
        return until != retention_periods.NEVER


class EventRetention:
    """Deletes events, account by account; remembers whose turn it is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._after = ""

    def some(self) -> bool:
        """A step; whether there is more."""
        until = retention_periods.events_until()
        accounts = self._database.read_sync(_accounts, self._after) if until else []
        for account in accounts:
            for test in (False, True):
                for _ in range(ROUNDS):
                    ids = self._database.read_sync(old_events, account, test, until)
                    if ids:
                        self._database.write_sync(delete_events, ids, until)
                    if len(ids) < EVENTS:
                        break
        self._after = accounts[-1] if accounts else ""
        return len(accounts) == ACCOUNTS


class FileExpiry:
    """Tells old files to expire; what then removes them is the retention of files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def some(self) -> bool:
        """A step; whether there is more."""
        until = retention_periods.files_until()
        return bool(until) and self._database.write_sync(expire_files, until) == FILES


def next_jobs(connection: Connection, after: str, until: int) -> list[str]:
    """The next jobs, by id, which is to say by time; none once all of so many were accepted later than then."""
    statement = select(m.jobs.c.id, m.jobs.c.created_at).where(m.jobs.c.id > after)
    rows = connection.execute(statement.order_by(m.jobs.c.id).limit(LOOKED)).all()
    return [id for id, _ in rows] if any(created_at <= until for _, created_at in rows) else []


def deletable(connection: Connection, ids: Sequence[str], until: int) -> list[str]:
    """Those of these jobs that ended by then, with their batch, and whose batch nobody is repeating."""
    over = select(m.jobs.c.id).where(m.jobs.c.id.in_(ids), _over(until)).order_by(m.jobs.c.id)
    return list(connection.execute(over).scalars())


def delete_jobs(connection: Connection, ids: Sequence[str], until: int) -> None:
    """Delete these jobs with what was asked and what came of it."""
    retention_marks.raise_to(connection, "jobs", until)
    connection.execute(delete(m.job_payloads).where(m.job_payloads.c.job_id.in_(ids)))
    connection.execute(delete(m.job_results).where(m.job_results.c.job_id.in_(ids)))
    connection.execute(delete(m.job_steps).where(m.job_steps.c.job_id.in_(ids)))
    connection.execute(delete(m.jobs).where(m.jobs.c.id.in_(ids), m.jobs.c.finished_at <= until))


def forget_callbacks(connection: Connection, until: int) -> int:
    """Forget where the ends of batches by then were to be told, which the rows that stay need no more; how many."""
    ended = and_(m.batches.c.status.in_(TERMINAL), *(or_(at.is_(None), at <= until) for at in _ENDED))
    old = select(m.batches.c.id).where(text(WITH_CALLBACK), ended, m.batches.c.callback_owed.is_(False)).limit(FILES)
    ids = list(connection.execute(old).scalars())
    if ids:
        connection.execute(update(m.batches).where(m.batches.c.id.in_(ids)).values(callback_url=None))
    return len(ids)


def _over(until: int) -> ColumnElement[bool]:
    other = m.batches.alias("other")
    root = func.coalesce(m.batches.c.retry_root, m.batches.c.id)
    repeated = exists().where(other.c.retry_root == root, other.c.status.not_in(TERMINAL))
    ended = and_(m.batches.c.status.in_(TERMINAL), *(or_(at.is_(None), at <= until) for at in _ENDED))
    of_batch = exists().where(m.batches.c.id == m.jobs.c.batch_id, ended, ~repeated)
    return and_(m.jobs.c.finished_at <= until, or_(m.jobs.c.batch_id.is_(None), of_batch))


def _accounts(connection: Connection, after: str) -> list[str]:
    statement = select(m.accounts.c.id).where(m.accounts.c.id > after).order_by(m.accounts.c.id).limit(ACCOUNTS)
    return list(connection.execute(statement).scalars())


def old_events(connection: Connection, account_id: str, test: bool, until: int) -> list[str]:
    """The oldest events of an account, in their order, up to the first that is not old, or not yet delivered."""
    mine = select(m.events.c.id, m.events.c.created_at).where(
        m.events.c.account_id == account_id, m.events.c.test.is_(test)
    )
    rows = connection.execute(mine.order_by(m.events.c.sequence).limit(EVENTS)).all()
    old = [id for id, _ in takewhile(lambda row: row.created_at <= until, rows)]
    if not old:
        return []
    pending = select(m.deliveries.c.event_id).where(
        m.deliveries.c.event_id.in_(old), m.deliveries.c.status == "pending"
    )
    waiting = set(connection.execute(pending).scalars())
    return list(takewhile(lambda id: id not in waiting, old))


def delete_events(connection: Connection, ids: Sequence[str], until: int) -> None:
    """Delete these events and what became of their deliveries."""
    retention_marks.raise_to(connection, "events", until)
    retention_marks.raise_to(connection, "deliveries", until)
    connection.execute(delete(m.deliveries).where(m.deliveries.c.event_id.in_(ids)))
    connection.execute(delete(m.events).where(m.events.c.id.in_(ids)))


def expire_files(connection: Connection, until: int) -> int:
    """Let files made by then that would be kept for ever expire now, but for those that a batch reads; how many."""
    reading = exists().where(m.batches.c.input_file_id == m.files.c.id, m.batches.c.status.not_in(TERMINAL))
    old = select(m.files.c.id).where(
        m.files.c.expires_at.is_(None), m.files.c.status == "processed", m.files.c.created_at <= until, ~reading
    )
    ids = list(connection.execute(old.limit(FILES)).scalars())
    if ids:
        connection.execute(update(m.files).where(m.files.c.id.in_(ids)).values(expires_at=db.now(connection)))
    return len(ids)
