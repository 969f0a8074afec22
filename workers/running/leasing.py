"""Leases the jobs that were offered to this process, in groups, as far as it has slots for them."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress

from sqlalchemy import Connection

from shared import clock, crash, logs
from shared.db import Database, is_away
from shared.db.on_the_spot import is_little
from shared.jobs import first_leases, leases
from shared.jobs.leases import Leased
from shared.queues import lane_of
from shared.submissions.rows import EARLIER_MICROS
from workers.running.slots import BRAKED_SECONDS, Slots

log = logging.getLogger(__name__)

#: Jobs leased in one transaction.
LEASE_MOST = 400
#: While many run, fewer jobs of batches than these wait for more to be leased with them, for so long: a transaction
#: costs what some fifty jobs in it do.
LEASE_LEAST, GATHER_SECONDS = 200, 0.05
#: While so many jobs run here, those of batches wait a moment for each other to be leased, and to be settled.
MANY = 100


class Leasing:
    """The leasing of one engine.

    `busy`: how many jobs run here; `begin` runs one that was leased, `begin_first` one whose lease is not written yet,
    from an instant on; `is_first`: it runs here so; `leave` leaves ids to the feeder.
    """

    def __init__(
        self,
        database: Database,
        worker_id: str,
        slots: Slots,
        consume: Callable[[str, bool], None],
        *,
        busy: Callable[[], int],
        begin: Callable[[Leased], None],
        begin_first: Callable[[Leased, int], None],
        is_first: Callable[[str], bool],
        leave: Callable[[Sequence[str]], None],
    ) -> None:
        self._database = database
        self._worker_id = worker_id
        self._slots = slots
        self._consume = consume
        self._busy = busy
        self._begin = begin
        self._begin_first = begin_first
        self._is_first = is_first
        self._leave = leave
        self._paused: set[str] = set()
        #: Of the ids that wait, those whose first lease this process has been given.
        self._first: set[str] = set()
        #: Doorbells that rang for jobs while they ran here by a first lease, by id.
        self._rung_again: dict[str, str] = {}
        self._work = asyncio.Event()
        #: Somebody may wait for a job that was offered, or there is nothing to wait for any more.
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: When ids that wait for the next step of a braked queue are looked at again.
        self._again: asyncio.TimerHandle | None = None
        self._stopping = False

    def start(self) -> None:
        """Lease whatever is offered from now on."""
        self._task = asyncio.create_task(self._lease_until_stopped())

    def offer(self, queue: str, ids: Sequence[str], *, first: bool = False) -> None:
        """Take note of ids that may be leased; those there is no room for go back to the feeder. `first`: theirs is the
        first lease.
        """
        if not self._slots.serves(queue):  # another version's message
            self._leave(ids)
            return
        refused = list(ids) if self._stopping else self._slots.add(queue, ids)
        if refused:
            self._leave(refused)
        if first:
            self._first.update(ids)
            self._first.difference_update(refused)
        if self._slots.full(queue) and queue not in self._paused:
            self._paused.add(queue)
            self._consume(queue, False)
        self._work.set()
        if lane_of(queue) == "realtime":
            self._hurry.set()

    def wake(self) -> None:
        """Look again: a slot may be free."""
        self._work.set()

    def stop(self) -> None:
        """Take nothing more."""
        self._stopping = True
        self._work.set()
        self._hurry.set()

    async def stopped(self) -> None:
        """Until nothing is being leased any more, after `stop`."""
        if self._task is not None:
            await self._task

    async def _lease_until_stopped(self) -> None:
        while not self._stopping:
            await self._work.wait()
            self._work.clear()
            await self._gather()
            while not self._stopping and (taken := self._slots.take(LEASE_MOST, clock.monotonic())):
                await self.lease(taken)
                await asyncio.sleep(0)  # others' turn: what was leased on the spot has not waited for anything
                self._resume()
                await self._gather()
            self._resume()
            if self._slots.held_back() and self._again is None:
                self._again = asyncio.get_running_loop().call_later(BRAKED_SECONDS, self._lease_on)

    async def _gather(self) -> None:
        """While many run, let a few batch jobs wait a moment for more to be leased with them."""
        if not self._stopping and self._busy() >= MANY and self._slots.few(LEASE_LEAST):
            self._hurry.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._hurry.wait()

    def _lease_on(self) -> None:
        self._again = None
        self._work.set()

    async def lease(self, taken: Mapping[str, Sequence[str]]) -> None:
        """Lease what has got slots, by queue; what is not leased gives them back."""
        taken = self._without_own(taken)
        if self._first:
            given, taken = _divided(taken, self._first)
            if given:
                await self._take_first(given)
        if taken:
            await self._write_leases(taken)

    def _without_own(self, taken: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
        """Without those that were begun here by a first lease and are not settled: their doorbell rang again. Should
        they be queued after that, it is answered then (`settled`).
        """
        own = {id for ids in taken.values() for id in ids if self._is_first(id)}
        if not own:
            return taken
        self._first -= own
        again, taken = _divided(taken, own)
        for queue, ids in again.items():
            self._slots.give_back(queue, len(ids))
            self._rung_again.update(dict.fromkeys(ids, queue))
        return taken

    def settled(self, id: str) -> None:
        """A job that was begun by a first lease runs here no more."""
        if (queue := self._rung_again.pop(id, None)) is not None:
            self.offer(queue, [id])

    async def _take_first(self, given: Mapping[str, Sequence[str]]) -> None:
        """Begin those jobs whose first lease was given to this process; where that is too late, lease them."""
        self._first.difference_update(*given.values())
        try:
            began_at, jobs = await self._read_first(given)
        except Exception as error:
            log.warning("could not read jobs that are given to this worker, leasing them: %s", logs.kind(error))
            began_at, jobs = 0, []
        crash.point("lease.first")
        for job in jobs:
            self._begin_first(job, began_at)
        _, late = _divided(given, {job.id for job in jobs})
        if late:
            await self._write_leases(late, early_micros=leases.GIVEN_MICROS + EARLIER_MICROS)

    async def _read_first(self, given: Mapping[str, Sequence[str]]) -> tuple[int, list[Leased]]:
        """Few of them on the spot where that is reading a file: waking a thread takes longer than the reading."""
        if self._database.is_sqlite and _are_few(given):
            return self._database.read_sync(first_leases.read, self._worker_id, given)
        return await self._database.read(first_leases.read, self._worker_id, given)

    async def _write_leases(self, taken: Mapping[str, Sequence[str]], *, early_micros: int = 0) -> None:
        try:
            write = self._database.write_few if _are_few(taken) else self._database.write
            leased = await write(_lease, self._worker_id, taken, early_micros=early_micros)
        except Exception as error:
            log.warning("could not lease jobs, trying again: %s", logs.kind(error))
            for queue, ids in taken.items():
                self._slots.give_back(queue, len(ids))
                if is_away(error):
                    self.offer(queue, ids, first=early_micros > 0)  # their doorbell does not ring again
                else:
                    self._leave(ids)  # so that they come in other company
            await asyncio.sleep(0.5)
            return
        crash.point("lease.after_commit")
        for queue, ids in taken.items():
            got = sum(job.queue == queue for job in leased)
            self._slots.give_back(queue, len(ids) - got)
        for job in leased:
            self._begin(job)

    def _resume(self) -> None:
        for queue in [queue for queue in self._paused if self._slots.hungry(queue)]:
            self._paused.discard(queue)
            self._consume(queue, True)


def _are_few(taken: Mapping[str, Sequence[str]]) -> bool:
    return is_little(sum(map(len, taken.values())), ())


def _lease(
    connection: Connection, worker_id: str, taken: Mapping[str, Sequence[str]], *, early_micros: int
) -> list[Leased]:
    leased = leases.lease(connection, worker_id, taken, early_micros=early_micros)
    crash.point("lease.before_commit")
    return leased


def _divided(taken: Mapping[str, Sequence[str]], some: Set[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Those of the ids, by queue, that are among some, and the others."""
    parts: tuple[dict[str, list[str]], dict[str, list[str]]] = {}, {}
    for queue, ids in taken.items():
        for id in ids:
            parts[id not in some].setdefault(queue, []).append(id)
    return parts
