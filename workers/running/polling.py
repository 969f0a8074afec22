"""Finds jobs whose doorbell cannot be heard: a worker with free slots for them polls the database itself.

While the broker is away, full or stopped, what is queued is taken from the rows, in turn over the accounts as the
feeder does, at the pace of a look a second; so that its trouble slows jobs down and does not stop them. While it is
well, a queue that has been silent here for long is looked at now and then: a consumer may be deaf and not know it. So
are due webhook deliveries, for which the sweeper rings again and again, to no avail if nobody hears it.
A job that is found is marked, offered and leased like one that was rung for, and a doorbell that comes late finds it
taken.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from sqlalchemy import Connection, func, select, text

from shared import clock, logs
from shared.broker import rabbitmq
from shared.broker.bell import Bell
from shared.db import Database
from shared.db.models import jobs
from shared.db.models.jobs import WOKEN
from shared.jobs.leases import unwake
from shared.jobs.pauses import paused_providers
from shared.jobs.waking import ACCOUNTS, accounts_waiting, mark
from shared.queues import WEBHOOKS

log = logging.getLogger(__name__)

#: Between two checks of the broker; between two looks while they find something, in seconds.
CHECK_SECONDS, LOOK_SECONDS = 1.0, 0.25
#: Jobs of a queue taken in one look.
MOST = 200
#: A doorbell of which nothing has come for so long is not waited for: while the broker, or the queue alone, is away (in
#: a cluster that is split it may be rung on the other side all the same); while it is well.
LATE_SECONDS, DEAF_SECONDS = 5.0, 60.0
#: After so long without an offer a queue with room is looked at though the broker is well.
SILENT_SECONDS = 15.0


class FreeSlots(Protocol):
    """What is asked of the slots."""

    @property
    def queues(self) -> list[str]: ...
    def room(self, queue: str) -> int: ...


class Poller:
    """One worker's; on its event loop. It also sees whom an operator has paused, for all that asks the bell."""

    def __init__(
        self,
        database: Database,
        bell: Bell,
        slots: FreeSlots,
        offer: Callable[[str, Sequence[str]], None],
        deliver: Callable[[Sequence[str]], None],
        due: Callable[[Connection], Sequence[str]] | None = None,
    ) -> None:
        """`due` reads which webhook deliveries are due; None: they are not this worker's."""
        self._database, self._bell, self._slots = database, bell, slots
        self._offer, self._deliver, self._due = offer, deliver, due
        self._after: dict[str, str] = {}
        self._heard = dict.fromkeys([*slots.queues, *([WEBHOOKS] if due else [])], clock.monotonic())

    def heard(self, queue: str) -> None:
        """A doorbell has rung."""
        self._heard[queue] = clock.monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            found = False
            try:
                found = await self.look()
            except Exception as error:
                log.warning("could not poll the database for jobs: %s", logs.kind(error))
            await asyncio.sleep(LOOK_SECONDS if found else CHECK_SECONDS)

    async def look(self) -> bool:
        """Look once, where that is called for; whether anything was found."""
        self._bell.paused = await self._database.read(paused_providers)
        well = await asyncio.wrap_future(self._bell.check())
        found = False
        looked = {*self._silent(), *rabbitmq.unavailable} if well else {*self._slots.queues, WEBHOOKS}
        for queue in looked:
            if queue in self._slots.queues and (room := min(self._slots.room(queue), MOST)):
                deaf = not well or queue in rabbitmq.unavailable
                found = await self._take(queue, room, LATE_SECONDS if deaf else DEAF_SECONDS) or found
        if WEBHOOKS in looked and self._due is not None and (due := await self._database.read(self._due)):
            self._deliver(due)
        return found

    def _silent(self) -> list[str]:
        now = clock.monotonic()
        silent = [queue for queue, at in self._heard.items() if now - at >= SILENT_SECONDS]
        self._heard.update(dict.fromkeys(silent, now))
        return silent

    async def _take(self, queue: str, room: int, late_seconds: float) -> bool:
        if self._bell.is_paused(queue) or not await self._database.read(is_any, queue, late_seconds):
            return False
        await self._database.write(unwake_late, queue, late_seconds)
        accounts = await self._database.read(accounts_waiting, queue, self._after.get(queue, ""))
        self._after[queue] = accounts[-1] if len(accounts) == ACCOUNTS else ""
        ids = await self._database.write(mark, queue, accounts, room) if accounts else []
        if ids:
            self._offer(queue, ids)
        return bool(ids)


def is_any(connection: Connection, queue: str, late_seconds: float) -> bool:
    """Whether any job of a queue waits for its doorbell, or for what should have followed."""
    if accounts_waiting(connection, queue, "", most=1):
        return True
    late = select(func.min(jobs.c.woken_at)).where(jobs.c.queue == queue, text(WOKEN))
    oldest = connection.execute(late).scalar_one()
    return oldest is not None and oldest < _before(late_seconds)


def unwake_late(connection: Connection, queue: str, late_seconds: float) -> int:
    """Leave up to MOST jobs, whose doorbell is that late, to whoever looks; how many."""
    late = (
        select(jobs.c.id)
        .where(jobs.c.queue == queue, text(WOKEN), jobs.c.woken_at < _before(late_seconds))
        .order_by(jobs.c.woken_at)
        .limit(MOST)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(late).scalars())
    if ids:
        unwake(connection, ids)
    return len(ids)


def _before(seconds: float) -> int:
    return clock.now_micros() - int(seconds * clock.MICROS)
