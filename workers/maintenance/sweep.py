"""The sweeper: what was left undone by whoever died is found in the rows and put right, each second.

`run_once` is the whole of it, harmless when several run at once. `python -m workers.maintenance.sweep` runs
until SIGTERM.
"""

import argparse
import logging
import signal
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from sqlalchemy import ColumnElement, Connection, and_, func, select, text

from shared import clock, crash, db, logs
from shared.broker.app import job_queues
from shared.broker.bell import FULL_MESSAGES, Bell, bell
from shared.db import Database
from shared.db import models as m
from shared.db.models.jobs import QUEUED, RUNNING, TO_CANCEL, UNFINISHED, WOKEN
from shared.jobs import leases, transitions
from shared.jobs.outcomes import Ending, Terminal
from shared.queues import WEBHOOKS
from shared.settings import keep_private, settings
from workers.maintenance import recovery
from workers.maintenance.feeder import Feeder
from workers.maintenance.forgetting import MANY, forget_all, in_rounds
from workers.maintenance.forgetting import forget as forget
from workers.maintenance.isolate import Isolator, steps
from workers.maintenance.probation import ProbationSupervisor
from workers.maintenance.retention import Retention
from workers.maintenance.watching import Doorbells, Due, Leases
from workers.webhooks.due import DUE_SECONDS, due_deliveries

log = logging.getLogger(__name__)

#: Rows changed in one transaction.
CHUNK = 400
#: A doorbell that has been out for less is not looked for, in seconds.
YOUNG_SECONDS = 3.0
#: A doorbell this much older than one that has already been answered on the same queue is lost.
OVERTAKEN_MICROS = 60 * clock.MICROS
#: A sweeper that waited so long to write has others wait as well, in seconds.
HELD_UP_SECONDS = 1.0


class Sweeper:
    """One sweeping process's state: what it has watched, which rows it passes over. Any number may run at once."""

    def __init__(self, database: Database, ring: Bell, probation: ProbationSupervisor | None = None) -> None:
        self._database = database
        self._bell = ring
        self._probation = probation
        self.feeder = Feeder(database, ring)
        self.retention = Retention(database)
        self._leases = Leases()
        #: Until when whoever falls silent is excused: the database could not be written to.
        self._excused_until = 0.0
        self._doorbells = Doorbells(YOUNG_SECONDS)
        self._due = Due(DUE_SECONDS)
        self._taking: Isolator[tuple[int, list[str]]] = Isolator("taking back")
        self._ending: Isolator[tuple[int, list[str]]] = Isolator("the overdue end")

    def run_once(self) -> None:
        """Everything once: lapses, expiries, cancels, lost doorbells, due deliveries, feeding, retention."""
        every: dict[str, Callable[[], object]] = {
            "lapsing workers": self.lapse,
            "taking jobs back": self.take_back,
            "ending overdue jobs": self.end_overdue,
            "setting foreign keys aside": lambda: self._bell.set_aside().result(),
            "finding lost doorbells": self.find_lost_doorbells,
            "ringing for due deliveries": self.ring_due_deliveries,
            "feeding": self.feed,
            "forgetting": lambda: forget_all(self._database),
        }
        if self._probation is None:
            every["retention"] = self.retention.run_once
        else:
            every.update({"retention": self.retention.turn, "probation": self._probation.run_once})
        try:
            steps(every)
        except Exception:
            self._doubt()
            raise

    def lapse(self) -> None:
        """End incarnations that have been watched, without a pause, not to renew their lease for all its length."""
        asked, whole = clock.elapsed(), settings().lease_seconds
        leases = self._database.read_sync(recovery.living)
        silent = self._leases.look(leases, asked, clock.elapsed())
        over = {id: leases[id] for id, seconds in silent.items() if seconds >= whole}
        if not over:
            return
        late = {id for id, seconds in silent.items() if seconds >= whole - self._beats()} - over.keys()
        excused = asked < self._excused_until
        lapsed = self._database.write_sync(_lapse, over, late, excused=excused, asked=clock.monotonic())
        if lapsed is None:
            self._doubt()
        elif lapsed:
            crash.point("lapse.after_commit")

    def take_back(self) -> None:
        """Queue again what lapsed incarnations still hold."""
        while ids := self._database.read_sync(recovery.held_by_lapsed, self._taking.besides()):
            if not self._end(self._taking, ids, recovery.take_back):
                break

    def end_overdue(self) -> None:
        """End jobs past their deadline, and flagged ones that came back to the queue."""
        while ids := self._database.read_sync(overdue, self._ending.besides()):
            ended = self._end(self._ending, ids, end_overdue)
            crash.point("expire.after_commit")
            if ended < CHUNK // 2:
                break

    def find_lost_doorbells(self) -> None:
        """Leave jobs whose message is lost to the feeder: queue empty at every look for a while, or overtaken."""
        newest = self._database.read_sync(newest_doorbells)
        empty = {queue: at for queue, at in newest.items() if self._bell.depth(queue).result() == 0}
        before = self._doorbells.look(empty, clock.elapsed())
        if newest:
            limits = self._database.read_sync(lost_before, before)
            for queue, limit in sorted(limits.items()):
                in_rounds(self._database, partial(unwake_lost, queue=queue, limit=limit))

    def ring_due_deliveries(self) -> None:
        """Ring for deliveries that nobody is sending, while their queue has room."""
        due = self._database.read_sync(due_deliveries)
        there = self._due.look((id for id, new in due if new), clock.elapsed())
        waiting = [id for id, new in due if not new or id in there]
        depth = self._bell.depth(WEBHOOKS).result() if waiting else None
        if waiting and depth is not None and depth < FULL_MESSAGES:
            self._bell.ring(WEBHOOKS, waiting).result()

    def feed(self) -> None:
        """Top up the broker's window."""
        self.feeder.run_once(job_queues())

    def _end(
        self,
        isolator: Isolator[tuple[int, list[str]]],
        ids: Sequence[str],
        work: Callable[[Connection, Sequence[str]], tuple[int, list[str]]],
    ) -> int:
        done = isolator.each(ids, lambda some: self._database.write_sync(work, some))
        if deliveries := [id for _, due in done for id in due]:
            self._bell.ring(WEBHOOKS, deliveries).result()
        return sum(touched for touched, _ in done)

    def _doubt(self) -> None:
        """The database cannot be written to, so nobody can renew: give them a beat for it, and excuse who has ended."""
        now, whole = clock.elapsed(), settings().lease_seconds
        self._leases.doubt(whole - self._beats(), now)
        self._excused_until = now + whole + self._beats()

    def _beats(self) -> float:
        return recovery.TOGETHER_BEATS * settings().beat_seconds


def _lapse(
    connection: Connection, over: Mapping[str, int], late: Collection[str], *, excused: bool, asked: float
) -> list[str] | None:
    """Lapse them, unless this very write was held up (None): so may have been theirs."""
    if clock.monotonic() - asked > HELD_UP_SECONDS:
        return None
    return recovery.lapse(connection, over, late=late, excused=excused)


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
    lost = select(m.jobs.c.id).where(m.jobs.c.queue == queue, text(WOKEN), m.jobs.c.woken_at < limit).limit(MANY)
    ids = list(connection.execute(lost).scalars())
    if ids:
        leases.unwake(connection, ids)
    return len(ids)


def main() -> None:
    """Sweep until SIGTERM, feeding more often; or once, with `--once`."""
    parser = argparse.ArgumentParser(prog="workers.maintenance.sweep")
    parser.add_argument("--once", action="store_true", help="one sweep, then exit")
    once = parser.parse_args().once
    logs.start()
    keep_private()
    database = Database(settings().database_url)
    probation = None if once else ProbationSupervisor(database, recovery.lapse_one)
    sweeper = Sweeper(database, bell(), probation)
    if probation is None:
        sweeper.run_once()
    else:
        _sweep_until_stopped(sweeper)
        probation.stop()
    sweeper.retention.close()
    bell().close()
    database.close()


def _sweep_until_stopped(sweeper: Sweeper) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    swept = 0.0
    while not stop.wait(settings().feed_seconds):
        try:
            if clock.monotonic() - swept >= settings().sweep_seconds:
                swept = clock.monotonic()
                sweeper.run_once()
            else:
                sweeper.feed()
        except Exception as error:
            log.error("this sweep is left to the next: %s", logs.kind(error))


if __name__ == "__main__":
    main()
