"""Jobs that somebody else has to end: past their deadline, or flagged for cancel when they came back to the queue."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, select, text

from shared import db
from shared.db import models as m
from shared.db.models.jobs import QUEUED, TO_CANCEL, UNFINISHED
from shared.jobs import transitions
from shared.jobs.outcomes import Ending, Terminal

#: Rows changed in one transaction.
CHUNK = 400


def overdue(connection: Connection, besides: Sequence[str] = ()) -> list[str]:
    """Up to CHUNK jobs to end, but for some."""
    return [
        id
        for condition in _overdue(db.now(connection))
        for id in connection.execute(
            select(m.jobs.c.id).where(condition, m.jobs.c.id.not_in(besides)).limit(CHUNK // 2)
        ).scalars()
    ]


def end_overdue(connection: Connection, only: Sequence[str] | None = None) -> tuple[int, list[str]]:
    """Up to CHUNK jobs (of these) expired, or cancelled where a flagged job is queued again."""
    columns = (m.jobs.c.id, m.jobs.c.lease_epoch, m.jobs.c.status, m.jobs.c.cancel_requested)
    endings: dict[str, Ending] = {}
    for condition in _overdue(db.now(connection)):
        statement = select(*columns).where(condition)
        if only is not None:
            statement = statement.where(m.jobs.c.id.in_(only))
        for row in connection.execute(statement.limit(CHUNK // 2)):
            status: Terminal = "cancelled" if row.cancel_requested else "expired"
            endings[row.id] = Ending(row.id, row.lease_epoch, status, came_from=row.status, takes=True)
    if not endings:
        return 0, []
    return len(endings), transitions.settle(connection, list(endings.values())).deliveries


def _overdue(now: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return (
        and_(text(UNFINISHED), m.jobs.c.expires_at <= now),
        and_(text(f"{TO_CANCEL} AND {QUEUED}")),
    )
