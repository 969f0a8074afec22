"""Jobs that were begun on the word of their doorbell, whose leases are not written yet (`shared.jobs.first_leases`).

A job that ends soon needs none. Of the others the leases are written together, WRITE_SECONDS after the first of them
was begun; one that is refused, since its job was cancelled or is somebody else's, has its call interrupted.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from shared import crash, logs
from shared.background import BackgroundTasks
from shared.db import Database
from shared.jobs import first_leases
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Ending
from workers.running.settler import JobOutcome

log = logging.getLogger(__name__)

#: After so long the lease of a job that still runs is written, in seconds: long before it is anybody else's to begin.
WRITE_SECONDS = 0.5
#: Between two tries of a database that is away, in seconds.
AGAIN_SECONDS = 0.5


@dataclass(slots=True)
class _Begun:
    job: Leased
    at: int
    #: Its lease is being written.
    written: "asyncio.Future[None] | None" = None


class UnwrittenLeases:
    """Those of one engine, on its event loop. `refused`: a job is not this worker's any more."""

    def __init__(self, database: Database, worker_id: str, refused: Callable[[str], None]) -> None:
        self._database = database
        self._worker_id = worker_id
        self._refused = refused
        self._begun: dict[str, _Begun] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing = BackgroundTasks(log, "could not write the leases of jobs that have begun: %s")

    def add(self, job: Leased, at: int) -> None:
        """A job has been begun, at an instant of the rows' time."""
        self._begun[job.id] = _Begun(job, at)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._write_all)

    async def ended(self, job: Leased, outcome: JobOutcome) -> JobOutcome:
        """What came of a job, as it is to be settled: by the epoch that it has now, or with no lease ever written."""
        begun = self._begun.get(job.id)
        if begun is not None and begun.job is job:
            if begun.written is None and isinstance(outcome, Ending):
                del self._begun[job.id]
                return replace(outcome, came_from="queued", began_at=begun.at)
            await self._write({job.id: begun})
        return outcome if outcome.epoch == job.epoch else replace(outcome, epoch=job.epoch)

    def _write_all(self) -> None:
        self._timer = None
        if some := {id: begun for id, begun in self._begun.items() if begun.written is None}:
            self._writing.start(self._write(some))

    async def _write(self, some: Mapping[str, _Begun]) -> None:
        """Write these leases, or wait until they are, however long the database is away."""
        mine = {id: begun for id, begun in some.items() if begun.written is None}
        if mine:
            future = asyncio.get_running_loop().create_future()
            for begun in mine.values():
                begun.written = future
            try:
                self._note(mine, await self._written({id: begun.at for id, begun in mine.items()}))
            finally:
                future.set_result(None)
        for begun in some.values():
            if begun.written is not None:
                await asyncio.shield(begun.written)

    async def _written(self, begun: Mapping[str, int]) -> set[str]:
        while True:
            try:
                written = await self._database.write(_write, self._worker_id, begun)
            except Exception as error:
                log.warning("could not write the leases of %d jobs, trying again: %s", len(begun), logs.kind(error))
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                crash.point("lease.after_late")
                return written

    def _note(self, begun: Mapping[str, _Begun], written: set[str]) -> None:
        for id, one in begun.items():
            del self._begun[id]
            if id in written:
                one.job.epoch = 1
            else:
                log.info("job %s was cancelled, or is not this worker's any more: its call ends", id)
                self._refused(id)


def _write(connection: Connection, worker_id: str, begun: Mapping[str, int]) -> set[str]:
    written = first_leases.write(connection, worker_id, begun)
    crash.point("lease.before_late")
    return written
