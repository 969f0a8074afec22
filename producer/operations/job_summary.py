"""How the jobs of an account stand, for a page that is looked at all the time: a few counts, at most a second old."""

from typing import Final

from sqlalchemy import Connection, select

from producer.objects.job_lists import JobSummary
from producer.operations.job_filters import JobFilter, count, find
from producer.operations.kept_counts import KeptCounts
from producer.operations.pages import PageQuery
from shared import clock
from shared.accounts import KeyHolder
from shared.db import Database
from shared.db import models as m

#: Seconds in which a job that failed is of late.
LATE: Final = 86_400
_OLDEST: Final = PageQuery(limit=1, order="asc")
_QUEUED: Final = JobFilter(status=["queued"])


class JobSummaries:
    """One process's summaries, by account and mode."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: KeptCounts[tuple[str, bool], JobSummary] = KeptCounts()

    async def of(self, holder: KeyHolder) -> JobSummary:
        """That of a key's account and mode."""
        key = (holder.account_id, holder.test)
        return await self._counts.of(key, lambda: self._database.read(read, holder))


def read(connection: Connection, holder: KeyHolder) -> JobSummary:
    """The summary as it is now."""
    now = clock.now_seconds()
    midnight, late = now - now % LATE, now - LATE
    return {
        "object": "jobs.summary",
        "queued": count(connection, holder, _QUEUED),
        "running": count(connection, holder, JobFilter(status=["running"])),
        "succeeded": count(connection, holder, JobFilter(status=["succeeded"], created_after=midnight)),
        "failed": count(connection, holder, JobFilter(status=["failed", "expired"], created_after=late)),
        "succeeded_since": midnight,
        "failed_since": late,
        "oldest_queued_at": _oldest(connection, holder),
    }


def _oldest(connection: Connection, holder: KeyHolder) -> int | None:
    found = find(connection, holder, _QUEUED, _OLDEST).ids
    created = select(m.jobs.c.created_at).where(m.jobs.c.id == found[0]) if found else None
    return None if created is None else clock.seconds(connection.execute(created).scalar())
