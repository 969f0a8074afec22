"""A cancelled batch's jobs: what waits is ended at once, what runs is asked to end."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, text, update

from shared.db import models as m
from shared.db.models.jobs import QUEUED, RUNNING
from shared.jobs import transitions
from shared.jobs.outcomes import Ending

#: Jobs ended in one transaction, and jobs asked to end in one.
END_CHUNK = 400
FLAG_CHUNK = 1000


def waiting_after(connection: Connection, batch_id: str, after: str) -> list[str]:
    """Up to END_CHUNK of a batch's waiting jobs after an id, in order."""
    waiting = select(m.jobs.c.id).where(m.jobs.c.batch_id == batch_id, text(QUEUED))
    return list(connection.execute(waiting.where(m.jobs.c.id > after).order_by(m.jobs.c.id).limit(END_CHUNK)).scalars())


def cancel_waiting(connection: Connection, ids: Sequence[str]) -> list[str]:
    """End those of these jobs that still wait; deliveries due."""
    waiting = select(m.jobs.c.id, m.jobs.c.lease_epoch).where(m.jobs.c.id.in_(ids), text(QUEUED))
    found = connection.execute(waiting.order_by(m.jobs.c.id)).all()
    endings = [Ending(id, epoch, "cancelled", came_from="queued", takes=True) for id, epoch in found]
    return transitions.settle(connection, endings).deliveries if endings else []


def flag_running(connection: Connection, batch_id: str) -> list[str]:
    """Ask that up to FLAG_CHUNK of a batch's running jobs be cancelled; those that had not been asked before."""
    running = (
        m.jobs.c.batch_id == batch_id,
        text(RUNNING),
        m.jobs.c.cancel_requested.is_(False),
    )
    some = select(m.jobs.c.id).where(*running).limit(FLAG_CHUNK).scalar_subquery()
    flagged = update(m.jobs).where(m.jobs.c.id.in_(some), *running).values(cancel_requested=True).returning(m.jobs.c.id)
    return list(connection.execute(flagged).scalars())
