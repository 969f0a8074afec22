"""A cancelled batch's jobs: what waits is ended at once, what runs is asked to end."""

from sqlalchemy import Connection, select, update

from shared import jobs
from shared import models as m
from shared.jobs import Ending

#: Jobs ended in one transaction.
END_CHUNK = 400


def cancel_waiting(connection: Connection, batch_id: str, after: str) -> tuple[str | None, list[str]]:
    """End up to END_CHUNK of a batch's waiting jobs after an id; the last of them (None: no more), deliveries due."""
    columns = (m.jobs.c.id, m.jobs.c.lease_epoch)
    waiting = select(*columns).where(m.jobs.c.batch_id == batch_id, m.jobs.c.status == jobs.QUEUED)
    found = connection.execute(waiting.where(m.jobs.c.id > after).order_by(m.jobs.c.id).limit(END_CHUNK)).all()
    if not found:
        return None, []
    endings = [Ending(id, epoch, "cancelled", came_from="queued", takes=True) for id, epoch in found]
    return found[-1].id, jobs.settle(connection, endings).deliveries


def flag_running(connection: Connection, batch_id: str) -> list[str]:
    """Ask that a batch's running jobs be cancelled; those that had not been asked before."""
    running = (m.jobs.c.batch_id == batch_id, m.jobs.c.status == jobs.RUNNING, m.jobs.c.cancel_requested.is_(False))
    flagged = update(m.jobs).where(*running).values(cancel_requested=True).returning(m.jobs.c.id)
    return list(connection.execute(flagged).scalars())
