"""Lost doorbells: finds jobs whose message will not be read, and leaves them to the feeder again.

A message is lost when its queue is empty at every look for a while, or when a job woken much later on the same queue
has been leased.
"""

from collections import deque
from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, and_, func, select, text

from shared import clock, db
from shared.db import models as m
from shared.db.models.jobs import RUNNING, WOKEN
from shared.jobs import leases
from shared.queues import lane_of
from shared.submissions.catalogue import job_queues
from workers.maintenance.chunks import MANY

#: A doorbell rung less than so many seconds ago is not looked for.
YOUNG_SECONDS = 3.0
#: A doorbell this much older than one that has already been answered on the same queue is lost.
OVERTAKEN_MICROS = 60 * clock.MICROS
#: So long after a first lease was over, its job is nobody's.
UNANSWERED_MICROS = clock.MICROS


class DoorbellWatch:
    """Which doorbells of a queue have been out for a while and were not answered, though the queue is empty."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: The newest doorbell of a queue, at each look since the queue was first seen empty.
        self._newest: dict[str, deque[tuple[float, int]]] = {}

    def look(self, newest: Mapping[str, int], now: float) -> dict[str, int]:
        """Take note of the newest doorbell of each queue that is empty; by queue, the newest that is out long enough.

        A queue that is returned is watched anew, so that what is rung now has its time.
        """
        self._newest = {queue: self._newest.get(queue, deque()) for queue in newest}
        old: dict[str, int] = {}
        for queue, looks in self._newest.items():
            if looks and now < looks[-1][0]:
                looks.clear()
            looks.append((now, newest[queue]))
            while len(looks) > 1 and looks[1][0] <= now - self._seconds:
                looks.popleft()
            if looks[0][0] <= now - self._seconds:
                old[queue] = looks[0][1]
                looks.clear()
        return old

    def forget(self) -> None:
        """Nobody could look: what was seen before says nothing, and workers could not write down what they did."""
        self._newest.clear()


def newest_doorbells(connection: Connection) -> dict[str, int]:
    """When a doorbell was last rung, on each queue with jobs that were woken and not yet leased."""
    statement = select(m.jobs.c.queue, func.max(m.jobs.c.woken_at)).where(text(WOKEN)).group_by(m.jobs.c.queue)
    return {queue: at for queue, at in connection.execute(statement)}


def lost_before(connection: Connection, woken_by: Mapping[str, int]) -> dict[str, int]:
    """By queue, up to when doorbells are lost: up to these on empty ones, or long before one that has been answered."""
    overtaken = (
        select(m.jobs.c.queue, func.max(m.jobs.c.woken_at))
        .where(text(RUNNING), m.jobs.c.woken_at.is_not(None))
        .group_by(m.jobs.c.queue)
    )
    limits = {queue: newest - OVERTAKEN_MICROS for queue, newest in connection.execute(overtaken)}
    return limits | {queue: max(limits.get(queue, 0), at + 1) for queue, at in woken_by.items()}


def unwake_lost(connection: Connection, queue: str, limit: int) -> int:
    """Leave up to MANY jobs to the feeder that were woken before then and not leased; how many."""
    lost = select(m.jobs.c.id).where(m.jobs.c.queue == queue, text(WOKEN), m.jobs.c.woken_at < limit)
    ids = list(connection.execute(lost.where(~_being_begun(db.now(connection))).limit(MANY)).scalars())
    if ids:
        leases.unwake(connection, ids)
    return len(ids)


def unanswered(connection: Connection) -> list[str]:
    """Up to MANY jobs whose first lease nobody has taken, or has died with, a while after it was over."""
    late, realtime = (
        db.now(connection) - UNANSWERED_MICROS,
        [name for name in job_queues() if lane_of(name) == "realtime"],
    )
    woken = text(WOKEN), m.jobs.c.queue.in_(realtime), m.jobs.c.woken_at < late  # as the index has them
    found = select(m.jobs.c.id).where(*woken, text(leases.GIVEN), m.jobs.c.run_at < late).limit(MANY)
    return list(connection.execute(found).scalars())


def _being_begun(now: int) -> ColumnElement[bool]:
    """The jobs that are their messages' still; of a clock that was set back since then nobody waits for the end."""
    return and_(text(leases.GIVEN), m.jobs.c.run_at > now, m.jobs.c.woken_at <= now)
