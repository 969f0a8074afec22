"""Records, once a second, how much of streamed answers has been sent on, in case this process dies."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared import logs
from shared.db import Database
from shared.jobs import relayed
from shared.jobs.leases import Leased
from shared.jobs.outcomes import RelayedPart
from shared.slices import slices
from shared.stopping import stop
from workers.running import outcomes
from workers.running.partial_answer import PartialAnswer

log = logging.getLogger(__name__)

#: Between two looks, in seconds: what was sent on in so long may be lost with the process.
EVERY_SECONDS = 1.0
#: Rows in one transaction.
MOST = 400


@dataclass(slots=True)
class ProgressRecorder:
    """The streamed answers of one process, on its event loop."""

    database: Database
    _open: dict[str, tuple[Leased, PartialAnswer]] = field(default_factory=dict)
    #: What a job's row has noted, in micro-credits.
    _noted: dict[str, int] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look on, until stopped."""
        self._task = asyncio.create_task(self._run())

    def open(self, job: Leased) -> PartialAnswer:
        """A job is called for; what is sent on of its answer is to be noted in the result."""
        partial = PartialAnswer()
        if job.batch_id is not None:  # it is not streamed
            return partial
        self._open[job.id] = job, partial
        return partial

    def close(self, job: Leased) -> None:
        """It is not called for any more."""
        if (found := self._open.get(job.id)) and found[0] is job:
            del self._open[job.id]
            self._noted.pop(job.id, None)

    def whole(self, id: str) -> bool:
        """All of a job's answer has been sent on."""
        return id in self._open and self._open[id][1].whole

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            await stop(self._task)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            fresh = self._fresh()
            for some in slices(fresh, MOST):
                await self._note(some)

    def _fresh(self) -> list[RelayedPart]:
        """Of which answers more has been sent on than their rows know."""
        found = (outcomes.progress(job, partial) for job, partial in self._open.values() if partial.began)
        return [one for one in found if one is not None and one.charge_micros > self._noted.get(one.job_id, 0)]

    async def _note(self, progress: Sequence[RelayedPart]) -> None:
        try:
            await self.database.write(relayed.note, progress)
        except Exception as error:
            log.warning("could not record the progress of %d streamed answers yet: %s", len(progress), logs.kind(error))
            return
        self._noted.update((one.job_id, one.charge_micros) for one in progress if one.job_id in self._open)
