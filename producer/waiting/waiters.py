"""Waits for finished jobs and reads their results: woken by pub/sub, and by one query a second for all of them."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson
from sqlalchemy import Connection, select, text

from shared import clock, errors
from shared.db import Database, hot
from shared.db.among import among
from shared.db.at_once import listed
from shared.db.batcher import Batcher
from shared.db.models import job_results, jobs
from shared.db.models.jobs import UNFINISHED
from shared.errors import Conflict, FusionError, Timeout
from shared.jobs import done_hints
from shared.jobs.outcomes import TERMINAL

log = logging.getLogger(__name__)

#: How often the rows are asked, and how old a waiter must be before it is asked for, in seconds.
ASK_SECONDS = 1.0
#: Ids in one query.
CHUNK = 5000


class Waiters:
    """Everyone in this process who waits for a job to end."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: defaultdict[str, set[Ended]] = defaultdict(set)
        self._since: dict[str, float] = {}
        self._ask = asyncio.Event()
        self.released = False

    def register(self, job_id: str) -> "Ended":
        """A future that is done when the job has ended, as a rule: its value or else the row says how. Register first;
        then `unregister`.
        """
        future = asyncio.get_running_loop().create_future()
        if self.released:
            future.set_result(None)
        self._waiting[job_id].add(future)
        self._since.setdefault(job_id, clock.monotonic())
        return future

    def unregister(self, job_id: str, future: "Ended") -> None:
        """Wait no longer."""
        future.cancel()
        self._waiting[job_id].discard(future)
        if not self._waiting[job_id]:
            del self._waiting[job_id]
            self._since.pop(job_id, None)

    def heard(self, hint: done_hints.Message) -> None:
        """A hint says that jobs have ended, and perhaps with which answer."""
        for id, answer in done_hints.read(hint):
            if id in self._waiting:
                told = JobState(id, "succeeded", answer.response, None, answer.charged_micros) if answer else None
                self._end(id, told)

    def ended(self, job_ids: Iterable[str]) -> None:
        """These jobs have ended, say their rows."""
        for id in job_ids:
            self._end(id, None)

    def _end(self, job_id: str, state: "JobState | None") -> None:
        for future in self._waiting.get(job_id, ()):
            if not future.done():
                future.set_result(state)

    def release_all(self) -> None:
        """Nobody is waited for any more: those who wait, and those who would, go on at once."""
        self.released = True
        self.ended(list(self._waiting))

    def ask_all(self) -> None:
        """Notifications may have been lost: ask for every waiter now."""
        self._since = dict.fromkeys(self._since, 0.0)
        self._ask.set()

    async def run(self) -> None:
        """Ask the rows, once a second, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    await self._ask.wait()
            except TimeoutError:
                pass
            self._ask.clear()
            old = [id for id, since in self._since.items() if clock.monotonic() - since >= ASK_SECONDS]
            try:
                for start in range(0, len(old), CHUNK):
                    self.ended(await self._database.read(ended_among, old[start : start + CHUNK]))
            except Exception as error:
                log.warning("checking %d jobs with waiting requests failed: %s", len(old), type(error).__name__)


#: Done when a job has ended: how it then stands, where that was told.
Ended: TypeAlias = "asyncio.Future[JobState | None]"


@dataclass(frozen=True, slots=True)
class JobState:
    """How a job stands: its status, and once it has ended, the body of a good answer or the error of another end."""

    job_id: str
    status: str
    response: str | None = None
    error: str | None = None
    #: What it cost; None: it has not ended.
    charged_micros: int | None = None

    @property
    def over(self) -> bool:
        """It has ended, somehow."""
        return self.status in TERMINAL

    def refusal(self) -> FusionError:
        """The error for a caller who waited for a job that did not succeed."""
        refusal: FusionError = Timeout(f"job {self.job_id} expired before it finished")
        if self.status == "cancelled":
            refusal = Conflict(f"job {self.job_id} was cancelled")
        elif self.error is not None:
            refusal = errors.from_json(orjson.loads(self.error))
        refusal.job_id = self.job_id
        return refusal


class JobStates:
    """Reads how jobs stand, those that are asked for at the same time in one query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher: Batcher[str, JobState] = Batcher(self._read)

    async def __call__(self, job_id: str) -> JobState:
        """How a job stands that is known to exist."""
        return await self._batcher(job_id)

    async def _read(self, ids: Sequence[str]) -> Sequence[JobState]:
        found = await self._database.read(states_of, ids)
        return [found[id] for id in ids]


def states_of(connection: Connection, ids: Sequence[str]) -> dict[str, JobState]:
    """How these jobs stand, by id."""
    return {row[0]: JobState(*row) for row in _STATES.rows(connection, {"ids": listed(ids)})}


#: Made once: making a statement costs more than running it.
_STATES = hot.Statement(
    lambda dialect: (
        select(jobs.c.id, jobs.c.status, job_results.c.response, job_results.c.error, job_results.c.charged_micros)
        .outerjoin_from(jobs, job_results, job_results.c.job_id == jobs.c.id)
        .where(among(dialect, jobs.c.id, "ids"))
    )
)


def ended_among(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Those of the jobs that have ended."""
    statement = select(jobs.c.id).where(jobs.c.id.in_(ids), text(f"NOT ({UNFINISHED})"))
    return list(connection.execute(statement).scalars())
