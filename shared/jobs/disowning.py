"""After a restore: no process of before holds a job, and no epoch is given out a second time.

A worker may still run a job under an epoch that the restored row does not know yet, and its stream may be in Redis:
were the epoch given out again, its answer and its chunks would be taken for those of the new holder.
"""

from typing import Any, Final

from sqlalchemy import Connection, select, text, tuple_, update

from shared import db
from shared.db.models import jobs, workers
from shared.db.models.jobs import UNFINISHED

#: More leases than a job has had in the time that was undone: one a second would be twelve days.
EPOCHS: Final = 1_000_000
#: Jobs in one transaction.
CHUNK: Final = 1000

#: Where a page ends: an account, a mode, a job.
Place = tuple[str, bool, str]
FIRST: Final[Place] = ("", False, "")


def end_leases(connection: Connection) -> int:
    """End every lease, which tells against no job; how many. Jobs are the sweeper's to take back."""
    over: dict[str, Any] = {"lapsed_at": db.now(connection), "lost": 0, "ended": "together"}
    return connection.execute(update(workers).where(workers.c.lapsed_at.is_(None)).values(over)).rowcount


def raise_epochs(connection: Connection, after: Place) -> tuple[int, Place | None]:
    """Raise those of the next CHUNK unfinished jobs, of whose doorbells nothing is known any more.

    How many, and where to go on; None: these were the last.
    """
    place = (jobs.c.account_id, jobs.c.test, jobs.c.id)
    page = select(*place).where(text(UNFINISHED), tuple_(*place) > tuple_(*after)).order_by(*place).limit(CHUNK)
    rows = connection.execute(page).all()
    if not rows:
        return 0, None
    these = (jobs.c.id.in_([row.id for row in rows]), text(UNFINISHED))
    connection.execute(select(jobs.c.id).where(*these).order_by(jobs.c.id).with_for_update())
    raised = update(jobs).where(*these).values(lease_epoch=jobs.c.lease_epoch + EPOCHS, woken_at=None)
    last = rows[-1]
    return connection.execute(raised).rowcount, (last.account_id, last.test, last.id) if len(rows) == CHUNK else None
