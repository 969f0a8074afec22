"""Jobs that were begun on the word of their doorbell, whose leases are not written yet (`shared.jobs.first_leases`).

A job that ends soon needs none. Of the others the leases are written together, WRITE_SECONDS after the first of them
was begun; one that is refused, since its job was cancelled or is somebody else's, has its call interrupted.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from shared import crash, logs
from shared.background import BackgroundTasks
from shared.db import Database, is_away
from shared.db.batcher import Batcher
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
    writing: "asyncio.Task[None] | None" = None


class UnwrittenLeases:
    """Those of one engine, on its event loop. `refused`: a job is not this worker's any more."""

    def __init__(self, database: Database, worker_id: str, refused: Callable[[str], None]) -> None:
        self._database = database
        self._worker_id = worker_id
        self._refused = refused
        self._begun: dict[str, _Begun] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._batcher: Batcher[_Begun, bool] = Batcher(self._flush)
        self._writing = BackgroundTasks(log, "could not write the lease of a job that has begun: %s")

    def add(self, job: Leased, at: int) -> None:
        """A job has been begun, at an instant of the rows' time."""
        self._begun[job.id] = _Begun(job, at)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._write_all)

    async def ended(self, job: Leased, outcome: JobOutcome) -> JobOutcome:
        """What came of a job, as it is to be settled: by the epoch that it has now, or with no lease ever written."""
        begun = self._begun.get(job.id)
        if begun is not None:
            if begun.writing is None and isinstance(outcome, Ending):
                del self._begun[job.id]
            else:
                await asyncio.shield(self._write(begun))
            if job.epoch == 0 and isinstance(outcome, Ending):  # refused, it may be queued still: the row decides
                return replace(outcome, came_from="queued", began_at=begun.at)
        return outcome if outcome.epoch == job.epoch else replace(outcome, epoch=job.epoch)

    def _write_all(self) -> None:
        self._timer = None
        for begun in self._begun.values():
            self._write(begun)

    def _write(self, begun: _Begun) -> "asyncio.Task[None]":
        """The writing of a lease, which is begun where it was not."""
        if begun.writing is None:
            begun.writing = self._writing.start(self._write_one(begun))
        return begun.writing

    async def _write_one(self, begun: _Begun) -> None:
        written = await self._written(begun)
        del self._begun[begun.job.id]
        if written:
            begun.job.epoch = 1
        else:
            log.info("job %s was cancelled, or is not this worker's any more: its call ends", begun.job.id)
            self._refused(begun.job.id)

    async def _written(self, begun: _Begun) -> bool:
        """Whether its lease is written, however long the database is away."""
        while True:
            try:
                return await self._batcher(begun)
            except Exception as error:
                log.warning("could not write the lease of job %s yet: %s", begun.job.id, logs.kind(error))
                if not is_away(error):
                    return False
            await asyncio.sleep(AGAIN_SECONDS)

    async def _flush(self, some: Sequence[_Begun]) -> Sequence[bool]:
        written = await self._database.write(_write, self._worker_id, {begun.job.id: begun.at for begun in some})
        crash.point("lease.after_late")
        return [begun.job.id in written for begun in some]


def _write(connection: Connection, worker_id: str, begun: Mapping[str, int]) -> set[str]:
    written = first_leases.write(connection, worker_id, begun)
    crash.point("lease.before_late")
    return written
