"""Every open stream of this process, fed from Redis over one connection: by notifications, and once a second anyway.

A Redis that is away feeds nobody; whoever reads is then served from the stored result when the job has ended.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from producer.waiting.stream_script import NEWER, Entry, entries
from shared import clock
from shared.answers.streams import NEW_ENTRIES, key
from shared.db import Database
from shared.db.batcher import Batcher
from shared.db.models import jobs
from shared.notifier import Notifier
from shared.redis_pipe import RedisPipe
from shared.stopping import stop

log = logging.getLogger(__name__)

#: How often every stream is read and every quiet one's row is looked at, in seconds.
ASK_SECONDS = 1.0
#: Entries of one stream in one answer of Redis, and streams in one question.
MOST_ENTRIES = 100
MOST_STREAMS = 500
#: Entries that wait for a slow client; it gets no more until it has taken some.
MOST_WAITING = 500
#: Jobs in one query.
MOST_JOBS = 5000
DEADLINE_SECONDS = 5.0


class OpenStream:
    """One open stream: its job's entries of one epoch, in order and without a gap.

    `lost`: there is a gap, and nothing more comes; `superseded`: the job has left the holder whose entries these are.
    `more`: Redis is known to have further entries, to be asked for when there is room.
    """

    def __init__(self, job_id: str, *, epoch: int, count: int = 0, began: bool = False) -> None:
        self.job_id = job_id
        #: The epoch that is read, or while nothing has come the lowest that may be; the last entry's count.
        self.epoch = epoch
        self.count = count
        self.began = began
        self.entries: deque[tuple[int, bytes]] = deque()
        self.fresh = asyncio.Event()
        self.lost = self.superseded = self.more = False
        self.heard_at = clock.monotonic()

    @property
    def hungry(self) -> bool:
        """It takes more."""
        return len(self.entries) < MOST_WAITING and not (self.lost or self.superseded)

    @property
    def after(self) -> str:
        """The id of the last entry it has."""
        return f"{self.epoch}-{self.count}"

    def take_in(self, found: Iterable[Entry]) -> None:
        """Entries that Redis has after some place, which may be before ours."""
        for epoch, count, chunk in found:
            if (epoch, count) <= (self.epoch, self.count):
                continue
            if epoch > self.epoch and self.began:
                self.superseded = True
            else:
                self._take(epoch, count, chunk)
            if not self.hungry:
                break
        self.heard_at = clock.monotonic()
        self.fresh.set()

    def _take(self, epoch: int, count: int, data: bytes) -> None:
        expected = self.count + 1 if epoch == self.epoch else 1
        self.epoch, self.began = epoch, True
        if count != expected:
            self.lost = True
            return
        self.count = count
        self.entries.append((count, data))


class Readers:
    """Made in the event loop that serves, one a process."""

    def __init__(self, url: str, database: Database, notifier: Notifier) -> None:
        self._redis = RedisPipe(url, DEADLINE_SECONDS, connect_seconds=2)
        self._newer = self._redis.script(NEWER)
        self._database = database
        self._open: dict[str, set[OpenStream]] = {}
        self._wanted: set[OpenStream] = set()
        self._wake = asyncio.Event()
        #: (status, lease epoch) of a job that is known to exist; those asked for at the same time in one query.
        self.standing: Batcher[str, tuple[str, int]] = Batcher(self._standings)
        notifier.listen(NEW_ENTRIES, self.heard, self.missed)
        self._tasks = [asyncio.create_task(loop()) for loop in (self._read_on, self._watch)]

    def open(self, reader: OpenStream) -> None:
        """Feed a reader, with what is there first."""
        self._open.setdefault(reader.job_id, set()).add(reader)
        self.want(reader)

    def close(self, reader: OpenStream) -> None:
        """Feed it no longer."""
        self._wanted.discard(reader)
        if (open := self._open.get(reader.job_id)) is not None:
            open.discard(reader)
            if not open:
                del self._open[reader.job_id]

    def want(self, reader: OpenStream) -> None:
        """It has room for what may be there."""
        self._wanted.add(reader)
        self._wake.set()

    def heard(self, job_ids: Sequence[str]) -> None:
        """These jobs' streams have news."""
        for id in job_ids:
            for reader in self._open.get(id, ()):
                self.want(reader)

    def missed(self) -> None:
        """Notifications may have been lost: read every stream."""
        for reader in self.all():
            self.want(reader)

    def all(self) -> list[OpenStream]:
        """Every open reader."""
        return [reader for readers in self._open.values() for reader in readers]

    async def stop(self) -> None:
        """Feed nobody any more, and hang up."""
        await stop(*self._tasks)
        await self._redis.aclose()

    async def _read_on(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted = self._take_wanted()
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    await self._read(wanted)
            except Exception as error:  # whatever it is, reading goes on; the rows tell of the end
                log.warning("reading %d streams failed: %s", len(wanted), type(error).__name__)
                await asyncio.sleep(ASK_SECONDS)

    def _take_wanted(self) -> list[OpenStream]:
        """Those with room; the others ask again when they have it."""
        wanted, self._wanted = self._wanted, set()
        for reader in wanted:
            reader.more = not reader.hungry
        return [reader for reader in wanted if reader.hungry]

    async def _read(self, wanted: Sequence[OpenStream]) -> None:
        """One round trip for so many of them."""
        for start in range(0, len(wanted), MOST_STREAMS):
            turn = wanted[start : start + MOST_STREAMS]
            keys = [key(reader.job_id) for reader in turn]
            answer = await self._newer(keys=keys, args=[MOST_ENTRIES, *(reader.after for reader in turn)])
            for number, found in entries(answer):
                reader = turn[number]
                reader.take_in(found)
                reader.more = len(found) >= MOST_ENTRIES
                if reader.more and reader.hungry:
                    self.want(reader)

    async def _watch(self) -> None:
        """Once a second: read every stream, and see whether the jobs of quiet ones are still whose they were."""
        while True:
            await asyncio.sleep(ASK_SECONDS)
            self.missed()
            quiet = [reader for reader in self.all() if reader.began and _quiet(reader)]
            try:
                for start in range(0, len(quiet), MOST_JOBS):
                    await self._look(quiet[start : start + MOST_JOBS])
            except Exception as error:
                log.warning("checking %d jobs with open streams failed: %s", len(quiet), type(error).__name__)

    async def _look(self, quiet: Sequence[OpenStream]) -> None:
        found = await self._database.read(standings, [reader.job_id for reader in quiet])
        for reader in quiet:
            status, epoch = found.get(reader.job_id, ("running", 0))
            if status == "queued" or (status == "running" and epoch > reader.epoch):
                reader.superseded = True
                reader.fresh.set()

    async def _standings(self, ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        found = await self._database.read(standings, ids)
        return [found[id] for id in ids]


def standings(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Status and lease epoch of jobs, by id."""
    statement = select(jobs.c.id, jobs.c.status, jobs.c.lease_epoch).where(jobs.c.id.in_(ids))
    return {row.id: (row.status, row.lease_epoch) for row in connection.execute(statement)}


def _quiet(reader: OpenStream) -> bool:
    return clock.monotonic() - reader.heard_at >= ASK_SECONDS
