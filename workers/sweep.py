"""The sweeper: what was left undone by whoever died is found in the rows and put right, each second.

`run_once` is the whole of it, harmless when several run at once. `python -m workers.sweep` runs until SIGTERM.
"""

import argparse
import logging
import signal
import threading
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, exists, func, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from shared import clock, crash, jobs, logs
from shared import models as m
from shared.db import AmbiguousCommitError, Database
from shared.jobs import Ending
from shared.models.jobs import WOKEN
from shared.queue import FULL_MESSAGES, WEBHOOKS, Bell, bell, job_queues
from shared.settings import keep_private, settings
from workers import recovery
from workers.feeder import Feeder, woken_by_queue
from workers.probation import Nursery
from workers.retention import Retention

log = logging.getLogger(__name__)

#: Rows changed in one transaction.
CHUNK = 400
#: A doorbell younger than this is not looked for, in microseconds.
YOUNG_MICROS = 3 * clock.MICROS
#: A doorbell this much older than one that has already been answered on the same queue is lost.
OVERTAKEN_MICROS = 60 * clock.MICROS
#: A delivery due for longer than this has lost its doorbell, or its sender.
DUE_MICROS = clock.MICROS
#: Deliveries of one webhook rung for in one sweep, so that one that does not take them crowds no other out.
DUE_EACH = 100
#: A pause between two sweeps after which this sweeper no longer trusts what it sees as lapsed, in seconds.
MISSED_SECONDS = 10.0
#: Rows of ended workers are kept for a day.
KEEP_WORKERS_MICROS = 86_400 * clock.MICROS


class Sweeper:
    """One sweeping process's state: since when it has kept its beat, and which queues its last look saw empty."""

    def __init__(self, database: Database, ring: Bell, nursery: Nursery | None = None) -> None:
        self._database = database
        self._bell = ring
        self._nursery = nursery
        self.feeder = Feeder(database, ring)
        self._last = self._steady_since = clock.now_micros()
        self._empty_at: dict[str, int] = {}
        self.retention = Retention(database)

    def run_once(self) -> None:
        """Everything once: lapses, expiries, cancels, lost doorbells, due deliveries, feeding, retention."""
        self.lapse()
        self.take_back()
        self.end_overdue()
        self.find_lost_doorbells()
        self.ring_due_deliveries()
        self.feed()
        self._database.write_sync(forget)
        if self._nursery is None:
            self.retention.run_once()
        else:
            self.retention.turn()
            self._nursery.run_once()

    def lapse(self) -> None:
        """End incarnations whose lease ran out, unless this sweeper itself has missed beats of late."""
        now = clock.now_micros()
        if now - self._last > MISSED_SECONDS * clock.MICROS:
            self._steady_since = now
        self._last = now
        if now - self._steady_since >= settings().lease_seconds * clock.MICROS:
            if self._database.write_sync(recovery.lapse):
                crash.point("lapse.after_commit")

    def take_back(self) -> None:
        """Queue again what lapsed incarnations still hold."""
        while self._database.read_sync(recovery.held_by_lapsed):
            if not self._end(self._database.write_sync(recovery.take_back)):
                break

    def end_overdue(self) -> None:
        """End jobs past their deadline, and flagged ones that came back to the queue."""
        while ended := self._end(self._database.write_sync(end_overdue)):
            crash.point("expire.after_commit")
            if ended < CHUNK // 2:
                break

    def find_lost_doorbells(self) -> None:
        """Leave jobs whose message is lost to the feeder: queue empty in two sweeps, or overtaken."""
        woken = self._database.read_sync(woken_by_queue)
        now = clock.now_micros()
        empty = {queue for queue in woken if self._bell.depth(queue).result() == 0}
        before = {queue: min(self._empty_at[queue], now - YOUNG_MICROS) for queue in empty & self._empty_at.keys()}
        self._empty_at = dict.fromkeys(empty, now)
        if woken:
            self._database.write_sync(unwake_lost, before)

    def ring_due_deliveries(self) -> None:
        """Ring for deliveries that nobody is sending, while their queue has room."""
        due = self._database.read_sync(due_deliveries)
        depth = self._bell.depth(WEBHOOKS).result() if due else None
        if due and depth is not None and depth < FULL_MESSAGES:
            self._bell.ring(WEBHOOKS, due).result()

    def feed(self) -> None:
        """Top up the broker's window."""
        self.feeder.run_once(job_queues())

    def _end(self, swept: tuple[int, list[str]]) -> int:
        touched, deliveries = swept
        if deliveries:
            self._bell.ring(WEBHOOKS, deliveries).result()
        return touched


def end_overdue(connection: Connection) -> tuple[int, list[str]]:
    """Up to CHUNK jobs expired, or cancelled where a flagged job is queued again."""
    columns = (m.jobs.c.id, m.jobs.c.lease_epoch, m.jobs.c.status, m.jobs.c.cancel_requested)
    overdue = select(*columns).where(text("status IN ('queued', 'running')"), m.jobs.c.expires_at <= clock.now_micros())
    flagged = select(*columns).where(text("cancel_requested AND status IN ('queued', 'running') AND status = 'queued'"))
    endings = {
        row.id: Ending(
            row.id,
            row.lease_epoch,
            "cancelled" if row.cancel_requested else "expired",
            came_from=row.status,
            takes=True,
        )
        for statement in (overdue, flagged)
        for row in connection.execute(statement.limit(CHUNK // 2))
    }
    if not endings:
        return 0, []
    return len(endings), jobs.settle(connection, list(endings.values())).deliveries


def unwake_lost(connection: Connection, woken_before: Mapping[str, int]) -> int:
    """Leave to the feeder what was woken before the given time on an empty queue, or has been overtaken."""
    overtaken = (
        select(m.jobs.c.queue, func.max(m.jobs.c.woken_at))
        .where(m.jobs.c.status == jobs.RUNNING, m.jobs.c.woken_at.is_not(None))
        .group_by(m.jobs.c.queue)
    )
    limits = {queue: newest - OVERTAKEN_MICROS for queue, newest in connection.execute(overtaken)}
    for queue, before in woken_before.items():
        limits[queue] = max(limits.get(queue, 0), before)
    return sum(
        connection.execute(
            update(m.jobs)
            .where(m.jobs.c.queue == queue, text(WOKEN))
            .where(m.jobs.c.woken_at < limit)
            .values(woken_at=None)
        ).rowcount
        for queue, limit in sorted(limits.items())
    )


def due_deliveries(connection: Connection) -> Sequence[str]:
    """Deliveries that are due and were not taken when their doorbell rang: the oldest, of each webhook a few."""
    turn = func.row_number().over(partition_by=m.deliveries.c.webhook_id, order_by=m.deliveries.c.next_at)
    due = (
        select(m.deliveries.c.id, turn.label("turn"))
        .where(text("status = 'pending'"), m.deliveries.c.next_at <= clock.now_micros() - DUE_MICROS)
        .subquery()
    )
    statement = select(due.c.id).where(due.c.turn <= DUE_EACH).order_by(due.c.turn).limit(CHUNK)
    return [row.id for row in connection.execute(statement)]


def forget(connection: Connection) -> None:
    """Retention: answers kept for idempotency past their day, and the rows of long-gone workers."""
    now = clock.now_micros()
    connection.execute(delete(m.idempotency_keys).where(m.idempotency_keys.c.expires_at < now))
    holds = exists().where(m.jobs.c.worker_id == m.workers.c.id, m.jobs.c.status == jobs.RUNNING)
    connection.execute(delete(m.workers).where(m.workers.c.lapsed_at < now - KEEP_WORKERS_MICROS, ~holds))


def main() -> None:
    """Sweep until SIGTERM, feeding more often; or once, with `--once`."""
    parser = argparse.ArgumentParser(prog="workers.sweep")
    parser.add_argument("--once", action="store_true", help="one sweep, then exit")
    once = parser.parse_args().once
    logs.start()
    keep_private()
    database = Database(settings().database_url)
    nursery = None if once else Nursery(database, recovery.lapse_one)
    sweeper = Sweeper(database, bell(), nursery)
    if nursery is None:
        sweeper.run_once()
    else:
        _sweep_until_stopped(sweeper)
        nursery.stop()
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
        except (SQLAlchemyError, AmbiguousCommitError) as error:
            log.error("this sweep is left to the next: %s", logs.kind(error))


if __name__ == "__main__":
    main()
