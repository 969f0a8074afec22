"""Leases belong to the process: one row an incarnation, one heartbeat a beat for all its jobs.

The beat comes from a thread of its own, but only while the event loop still ticks, so that a process that hangs lapses.
An incarnation that could not renew, or finds itself lapsed, is over: it stops calling before its lease ends, and exits.
"""

import logging
import math
import os
import socket
import threading
from collections.abc import Callable

from sqlalchemy import Connection, func, select, text, update

from shared import clock, db
from shared.db import is_away
from shared.db import models as m
from shared.db.models.jobs import RUNNING
from shared.settings import settings

log = logging.getLogger(__name__)

#: How long before the end of an unrenewed lease the process stops calling, in seconds.
MARGIN_SECONDS = 3.0
#: Between two tries to get a lease of a database that is away, in seconds.
START_AGAIN_SECONDS = 0.5


class Incarnation:
    """This process's lease. `lost` is called once, from the beat's thread, when it is over."""

    def __init__(
        self,
        database: db.Database,
        *,
        probation: bool = False,
        id: str | None = None,
        lost: Callable[[str], None] = lambda reason: None,
        cancelled: Callable[[list[str]], None] = lambda ids: None,
        held: Callable[[list[tuple[str, int]]], None] = lambda jobs: None,
    ) -> None:
        self.id = id or clock.new_id("wrk")
        self._database = database
        self._probation = probation
        self._lost = lost
        self._cancelled = cancelled
        self._held = held
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name="beat", daemon=True)
        self._ticked = clock.monotonic()
        #: When the lease was last asked for that it has; before it has one, none can run out.
        self._renewed = math.inf
        #: The last renewal failed because the database did: what ends then is explained.
        self._away = False

    def start(self) -> None:
        """Write the row, as soon as the database takes it, then beat; blocks."""
        while not self._registered():
            threading.Event().wait(START_AGAIN_SECONDS)
        self._thread.start()

    def _registered(self) -> bool:
        asked = 0.0

        def begin(connection: Connection) -> None:
            nonlocal asked
            asked = clock.monotonic()
            register(connection, self.id, self._probation)

        try:
            self._database.write_sync(begin)
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("no lease yet, trying again: the database is away (%s)", type(error).__name__)
            return False
        self._renewed = asked
        return True

    def tick(self) -> None:
        """The event loop says, about once a second, that it is still turning."""
        self._ticked = clock.monotonic()

    @property
    def expiring(self) -> bool:
        """Whether so little of an unrenewed lease is left that calling has to stop; the event loop asks, which no
        database that hangs can hold up.
        """
        left = settings().lease_seconds - (clock.monotonic() - self._renewed)
        return left < min(MARGIN_SECONDS, settings().lease_seconds / 4)

    def stop(self) -> None:
        """Stop beating and give the lease up; whatever is still running here is the sweeper's."""
        self._stop.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)
        self._database.write_sync(resign, self.id)

    def explain_end(self, seconds: float) -> None:
        """Record that the lease ended because the database was away, as soon as it is back; blocks."""
        until = clock.monotonic() + seconds
        while self._away and clock.monotonic() < until:
            try:
                self._database.write_sync(end_explained, self.id)
                return
            except Exception as error:
                log.warning("could not record yet why this lease ended: %s", type(error).__name__)
            threading.Event().wait(0.2)

    def _beat_until_stopped(self) -> None:
        while not self._stop.wait(self._pause()):
            reason = self._beat()
            if reason is not None:
                log.error("worker %s stops: %s", self.id, reason)
                self._lost(reason)
                return

    def _pause(self) -> float:
        """A beat, or less when the last one failed."""
        since = clock.monotonic() - self._renewed
        return settings().beat_seconds if since < settings().beat_seconds / 2 else min(1.0, settings().beat_seconds)

    def _beat(self) -> str | None:
        """One renewal; why it is over, or None."""
        if clock.monotonic() - self._ticked < settings().beat_seconds:
            asked = clock.monotonic()
            try:
                cancelled = self._database.write_sync(renew, self.id, sure=not self.expiring)
                held = self._database.read_sync(held_by, self.id)
            except Exception as error:
                self._away = True
                log.warning("could not renew the lease: %s", type(error).__name__)
            else:
                if cancelled is None:
                    return "its lease has expired"
                self._renewed, self._away = asked, False
                self._cancelled(cancelled)
                self._held(held)
        else:
            self._away = False
            log.warning("the event loop is stuck: the lease is not renewed")
        return "it could not renew its lease in time" if self.expiring else None


def register(connection: Connection, id: str, probation: bool) -> None:
    """A new incarnation, its lease running; again, should a first time have taken effect without a word."""
    now = db.now(connection)
    lease = {"lease_until": now + _lease_micros()}
    row = {"id": id, "host": socket.gethostname(), "pid": os.getpid(), "probation": probation, "started_at": now}
    made = db.insert(connection.dialect.name, m.workers).values(**row, **lease, lost=0, first_leases=True)
    connection.execute(made.on_conflict_do_update(index_elements=["id"], set_=lease))


def renew(connection: Connection, id: str, *, sure: bool = False) -> list[str] | None:
    """Extend the lease of a living incarnation; ids of its jobs that are to be cancelled, or None: it is over.

    `sure`: it knows by its own steady clock that the lease still runs, should the database's clock have been set.
    """
    now = db.now(connection)
    alive = update(m.workers).where(m.workers.c.id == id, m.workers.c.lapsed_at.is_(None))
    if not sure:
        alive = alive.where(m.workers.c.lease_until > now)
    if not connection.execute(alive.values(lease_until=now + _lease_micros())).rowcount:
        return None
    wanted = select(m.jobs.c.id).where(m.jobs.c.worker_id == id, text(RUNNING), m.jobs.c.cancel_requested)
    return [row.id for row in connection.execute(wanted)]


def held_by(connection: Connection, id: str) -> list[tuple[str, int]]:
    """What the rows say an incarnation is running: ids and epochs."""
    statement = select(m.jobs.c.id, m.jobs.c.lease_epoch).where(m.jobs.c.worker_id == id, text(RUNNING))
    return [(row.id, row.lease_epoch) for row in connection.execute(statement)]


def resign(connection: Connection, id: str) -> None:
    """A clean end: no lease is left to run out."""
    alive = update(m.workers).where(m.workers.c.id == id, m.workers.c.lapsed_at.is_(None))
    connection.execute(alive.values(lapsed_at=db.now(connection), ended="stopped"))


def end_explained(connection: Connection, id: str) -> None:
    """It ended because the database was away, also where a sweeper took it for lost: its jobs are not suspect."""
    mine = update(m.workers).where(m.workers.c.id == id, m.workers.c.ended.is_distinct_from("stopped"))
    over = func.coalesce(m.workers.c.lapsed_at, db.now(connection))
    connection.execute(mine.values(lapsed_at=over, lost=0, ended="lease_over"))


def _lease_micros() -> int:
    return int(settings().lease_seconds * clock.MICROS)
