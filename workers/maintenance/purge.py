"""Purges rows that have had their day: answers kept for idempotency or cached, workers
that are long gone, sign-ins to the console that have ended, messages of payment providers.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, exists, select, text, tuple_

from shared import clock, console_sessions, db
from shared.db import Database
from shared.db import models as m
from shared.db.models.jobs import RUNNING
from shared.money import payment_notices
from workers.maintenance.chunks import MANY, in_chunks

#: Rows of ended workers are kept for a day.
KEEP_WORKERS_MICROS = 86_400 * clock.MICROS


def purge_idempotency_keys(connection: Connection) -> int:
    """Delete up to MANY answers that are not kept any longer; how many."""
    keys = m.idempotency_keys
    expired = select(keys.c.account_id, keys.c.key).where(keys.c.expires_at < db.now(connection)).limit(MANY)
    over = [tuple(row) for row in connection.execute(expired)]
    if over:
        connection.execute(delete(keys).where(tuple_(keys.c.account_id, keys.c.key).in_(over)))
    return len(over)


def purge_cached_answers(connection: Connection) -> int:
    """Delete up to MANY of what is cached no longer; how many. The answers themselves are their jobs'."""
    cached = m.cached_answers
    expired = select(cached.c.account_id, cached.c.fingerprint).where(cached.c.expires_at < db.now(connection))
    over = [tuple(row) for row in connection.execute(expired.order_by(cached.c.expires_at).limit(MANY))]
    if over:
        now = cached.c.expires_at < db.now(connection)
        connection.execute(delete(cached).where(tuple_(cached.c.account_id, cached.c.fingerprint).in_(over), now))
    return len(over)


def purge_workers(connection: Connection) -> int:
    """Delete up to MANY rows of workers that are long gone and hold nothing; how many."""
    holds = exists().where(m.jobs.c.worker_id == m.workers.c.id, text(RUNNING))
    gone = m.workers.c.lapsed_at < db.now(connection) - KEEP_WORKERS_MICROS
    ids = list(connection.execute(select(m.workers.c.id).where(gone, ~holds).limit(MANY)).scalars())
    if ids:
        connection.execute(delete(m.workers).where(m.workers.c.id.in_(ids)))
    return len(ids)


class Purged(NamedTuple):
    """A table that is purged: which rows of it are to go, as SQL at `:now`, and what deletes up to MANY of them."""

    table: str
    over: str
    purge: Callable[[Connection], int]


#: All that is purged here. The sweeper looks for such rows by the same conditions (`signs`).
PURGED: Final = (
    Purged("idempotency_keys", "expires_at < :now", purge_idempotency_keys),
    Purged("cached_answers", "expires_at < :now", purge_cached_answers),
    Purged("workers", f"lapsed_at < :now - {KEEP_WORKERS_MICROS}", purge_workers),
    Purged("console_sessions", "expires_at <= :now", console_sessions.purge),
    Purged("payment_notices", f"heeded_at < :now - {payment_notices.KEEP_MICROS}", payment_notices.purge),
)


def purge_all(database: Database) -> None:
    """All that is to be purged now."""
    for one in PURGED:
        in_chunks(database, one.purge)
