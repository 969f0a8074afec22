"""Looks in one statement for what there is to do at all, so that a sweeper with nothing to do asks for nothing else."""

from typing import Final, Literal

from sqlalchemy import Connection, text

from shared import clock, db
from shared.db.models.batches import COUNTED, OWING_CALLBACK
from shared.db.models.jobs import DEFERRED, RUNNING, TO_CANCEL, TO_WAKE, UNCOUNTED, UNFINISHED, UNTOLD, WOKEN
from shared.db.models.money import OPEN_GRANTS
from workers.maintenance.purge import PURGED

Sign = Literal["held", "overdue", "untold", "uncounted", "callbacks", "grants", "paused", "purge"]

#: Queries, by the work that is done if one of them finds a row. Each finds whatever the work itself looks for, or more.
SIGNS: Final[dict[Sign, tuple[str, ...]]] = {
    "held": (f"jobs WHERE {RUNNING} AND worker_id IN (SELECT id FROM workers WHERE lapsed_at IS NOT NULL)",),
    # Flagged and running, too: it may be in the queue again by the time that it is looked for.
    "overdue": (f"jobs WHERE {UNFINISHED} AND expires_at <= :now", f"jobs WHERE {TO_CANCEL}"),
    "untold": (f"jobs WHERE {UNTOLD}",),
    "uncounted": (f"jobs WHERE {UNCOUNTED}", f"batches WHERE {COUNTED}"),
    "callbacks": (f"jobs WHERE {UNTOLD}", f"batches WHERE {OWING_CALLBACK}"),
    "grants": (f"credit_grants WHERE {OPEN_GRANTS} AND (due_at <= :now OR warn_at <= :now)",),
    "paused": ("queue_pauses",),
    "purge": tuple(f"{one.table} WHERE {one.over}" for one in PURGED),
}


def seen(connection: Connection) -> set[Sign]:
    """The kinds of work of which there may be some."""
    now = db.now(connection)
    row = connection.execute(_SEEN, {"now": now}).mappings().one()
    return {sign for sign in SIGNS if row[sign]}


def is_any_queued(connection: Connection) -> bool:
    """Whether a job is to be woken, or has been and is not leased, or waits for a time that has come."""
    return connection.execute(_ANY_QUEUED, {"now": clock.now_micros()}).first() is not None


def _any_of(*queries: str) -> str:
    return " OR ".join(f"EXISTS (SELECT 1 FROM {query})" for query in queries)


_SEEN: Final = text("SELECT " + ", ".join(f"({_any_of(*queries)}) AS {sign}" for sign, queries in SIGNS.items()))
_ANY_QUEUED: Final = text(
    "SELECT 1 WHERE "
    + _any_of(f"jobs WHERE {TO_WAKE}", f"jobs WHERE {WOKEN}", f"jobs WHERE {DEFERRED} AND run_at <= :now")
)
