"""Rows that are not kept: deleted by and by, in transactions so small that no other writer waits for long."""

from collections.abc import Callable

from sqlalchemy import Connection, delete, exists, select, text, tuple_

from shared import clock, db
from shared.db import Database
from shared.db import models as m
from shared.db.models.jobs import RUNNING

#: Rows changed in one transaction, and transactions of one kind in one sweep.
MANY, ROUNDS = 1000, 20
#: Rows of ended workers are kept for a day.
KEEP_WORKERS_MICROS = 86_400 * clock.MICROS


def forget_all(database: Database) -> None:
    """Retention: answers kept for idempotency past their day, and the rows of long-gone workers."""
    in_rounds(database, forget_answers)
    in_rounds(database, forget_workers)


def forget(connection: Connection) -> None:
    """One round of both."""
    forget_answers(connection)
    forget_workers(connection)


def forget_answers(connection: Connection) -> int:
    """Delete up to MANY answers that are not kept any longer; how many."""
    keys = m.idempotency_keys
    expired = select(keys.c.account_id, keys.c.key).where(keys.c.expires_at < db.now(connection)).limit(MANY)
    over = [tuple(row) for row in connection.execute(expired)]
    if over:
        connection.execute(delete(keys).where(tuple_(keys.c.account_id, keys.c.key).in_(over)))
    return len(over)


def forget_workers(connection: Connection) -> int:
    """Delete up to MANY rows of workers that are long gone and hold nothing; how many."""
    holds = exists().where(m.jobs.c.worker_id == m.workers.c.id, text(RUNNING))
    gone = m.workers.c.lapsed_at < db.now(connection) - KEEP_WORKERS_MICROS
    ids = list(connection.execute(select(m.workers.c.id).where(gone, ~holds).limit(MANY)).scalars())
    if ids:
        connection.execute(delete(m.workers).where(m.workers.c.id.in_(ids)))
    return len(ids)


def in_rounds(database: Database, work: Callable[[Connection], int]) -> None:
    """Transaction after transaction of up to MANY rows, so that no other writer waits for long."""
    for _ in range(ROUNDS):
        if database.write_sync(work) < MANY:
            return
