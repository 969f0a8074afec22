"""Refuses a realtime job that would wait in the queue for longer than its caller does.

Once a second it looks at the oldest job that waits on each realtime queue. How fast that head of the queue moves, in
seconds of arrivals a second, tells how long a job that comes now will wait: the age of the head divided by its speed.
A head that stood because the broker was away says nothing of the provider: it is counted, and measured, anew.
"""

import asyncio
import logging
from collections.abc import Set
from concurrent.futures import Future
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select, text

from shared import clock
from shared.broker.bell import Bell
from shared.db import Database
from shared.db.models import jobs
from shared.db.models.jobs import TO_WAKE, WOKEN
from shared.errors import Unavailable
from shared.jobs import first_leases
from shared.jobs.leases import GIVEN
from shared.jobs.pauses import paused_providers
from shared.queues import lane_of, provider_of
from shared.submissions.catalogue import job_queues

log = logging.getLogger(__name__)

#: Between two looks, in seconds.
LOOK_SECONDS = 1.0
#: A head younger than this is no backlog, whatever its speed, in seconds.
BACKLOG_SECONDS = 5.0
#: When a caller is to come again while the broker is away, and while an operator has paused the provider, in seconds.
AWAY_SECONDS = 2
PAUSED_SECONDS = 10
#: So long after its first lease is over, a job is taken for one that waits, in microseconds: the sweeper gives it up.
LATE_MICROS = 2 * clock.MICROS
#: The share of an estimate that the newest look has.
NEWEST = 0.5


@dataclass(slots=True)
class _Head:
    """The oldest waiting job of a queue, as last seen: when it came, and how fast that has moved."""

    arrived: int
    seen: int
    speed: float = 1.0

    def move(self, arrived: int, now: int) -> None:
        moved = max(0, arrived - self.arrived) / max(1, now - self.seen)
        self.speed += NEWEST * (moved - self.speed)
        self.arrived, self.seen = arrived, now

    def wait_seconds(self, now: int, since: int) -> float:
        age = (now - max(self.arrived, since)) / clock.MICROS
        return 0.0 if age < BACKLOG_SECONDS else age / max(self.speed, 0.001)


class Overload:
    """One process's view of the realtime queues."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database = database
        self._bell = bell
        self._heads: dict[str, _Head] = {}
        #: The broker's comings and goings up to now; since when it has been there, as far as was seen.
        self._turns, self._since = bell.turns, 0
        #: Since when providers that were paused are not any more.
        self._resumed: dict[str, int] = {}
        self._checked: Future[bool] | None = None

    def check(self, queue: str, seconds: float) -> None:
        """503 when a job that is put on a queue now would not be begun within so many seconds.

        Also while an operator has paused the provider: nobody knows how long that lasts.
        """
        if self._bell.is_paused(queue):
            raise Unavailable(
                f"provider {provider_of(queue)} is paused by the operator; retry later, or create a job "
                "(POST /v1/jobs), which waits",
                retry_after_seconds=PAUSED_SECONDS,
            )
        head = self._heads.get(queue)
        since = max(self._since, self._resumed.get(provider_of(queue), 0))
        wait = head.wait_seconds(clock.now_micros(), since) if head else 0.0
        if wait > seconds and self._bell.away:
            raise Unavailable("the job queue is unavailable; retry later", retry_after_seconds=AWAY_SECONDS)
        if wait > seconds:
            retry = min(max(1, round(wait - seconds)), 60)
            raise Unavailable("provider queue is full; retry later", retry_after_seconds=retry)

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                found, paused, self._bell.first_leases = await self._database.read(_look)
                self.pause(paused)
                if (found or self._bell.away) and (self._checked is None or self._checked.done()):
                    self._checked = self._bell.check()  # not waited for: it is known at a later look
                self.look(found)
            except Exception as error:
                log.warning("checking the realtime queues failed: %s", type(error).__name__)

    def pause(self, paused: Set[str]) -> None:
        """Take note of whom an operator has paused; queues that are resumed are counted, and measured, anew."""
        if resumed := set(self._bell.paused) - paused:
            now = clock.now_micros()
            self._resumed |= dict.fromkeys(resumed, now)
            self._heads = {queue: head for queue, head in self._heads.items() if provider_of(queue) not in resumed}
        self._bell.paused = paused

    def look(self, found: dict[str, int]) -> None:
        """Take note of the heads, as `heads` gives them; a queue without one is empty."""
        now = clock.now_micros()
        if self._turns != self._bell.turns:
            self._turns, self._since, self._heads = self._bell.turns, 0 if self._bell.away else now, {}
        self._heads = {queue: self._heads.get(queue) or _Head(arrived, now) for queue, arrived in found.items()}
        for queue, arrived in found.items():
            self._heads[queue].move(arrived, now)


def _look(connection: Connection) -> tuple[dict[str, int], Set[str], bool]:
    """The heads, whom an operator has paused, and whether a doorbell may be a job's first lease."""
    return heads(connection), paused_providers(connection), first_leases.are_taken(connection)


def heads(connection: Connection) -> dict[str, int]:
    """Since when the oldest due job of each realtime queue that has one waits on it, in microseconds.

    That is since it came, or its `run_at` after that: a job put back after a pause that a provider asked for has not
    waited for all of its life. One whose doorbell is its first lease waits from that on; it is called, mostly, and no
    head before it is so late that nobody calls it.
    """
    given, now = text(GIVEN), clock.now_micros()
    came = case((jobs.c.run_at < jobs.c.created_at, jobs.c.created_at), else_=jobs.c.run_at)
    since = case((given, jobs.c.woken_at), else_=came)
    realtime = [queue for queue in job_queues() if lane_of(queue) == "realtime"]
    found: dict[str, int] = {}
    for condition in (TO_WAKE, WOKEN):
        statement = (
            select(jobs.c.queue, func.min(since))
            .where(
                jobs.c.queue.in_(realtime),
                text(condition),
                jobs.c.run_at <= case((given, now - LATE_MICROS), else_=now),
            )
            .group_by(jobs.c.queue)
        )
        for queue, arrived in connection.execute(statement):
            found[queue] = min(arrived, found.get(queue, arrived))
    return found
