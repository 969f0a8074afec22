"""How the jobs of an account stand, for a page that is looked at all the time: a few counts, at most a second old."""

from collections import Counter
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select, text

from producer.objects.job_lists import BatchesUnderWay, JobSummary
from producer.operations.job_filters import JobFilter, count, find
from producer.operations.kept_counts import KeptCounts
from producer.operations.pages import PageQuery
from shared import clock
from shared.db import Database
from shared.db import models as m
from shared.db.models.batches import UNFINISHED
from shared.key_holders import KeyHolder
from shared.objects.batches import waits_for

#: Seconds in which a job that failed is of late.
LATE: Final = 86_400
#: Unfinished batches that are looked at.
MOST_BATCHES: Final = 1000
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
        "batches": _batches(connection, holder),
    }


def _batches(connection: Connection, holder: KeyHolder) -> BatchesUnderWay:
    """What is told of a batch that waits is what its page says."""
    rows = connection.execute(under_way(holder)).mappings().all()
    waits = Counter(waits_for(dict(row)) for row in rows)
    return {
        "unfinished": len(rows),
        "waiting_for_credits": waits["credits"],
        "waiting_for_budget": waits["budget"],
    }


def under_way(holder: KeyHolder) -> Select[Any]:
    """The unfinished batches of a key's account and mode.

    `coalesce` keeps SQLite from the index of all batches that the account ever had: those under way are far fewer.
    """
    b = m.batches.c
    told = (b.status, b.stopped, b.short_micros, b.budget_short_micros)
    own = (func.coalesce(b.account_id, "") == holder.account_id, b.test == holder.test, text(UNFINISHED))
    return select(*told).where(*own).limit(MOST_BATCHES)


def _oldest(connection: Connection, holder: KeyHolder) -> int | None:
    found = find(connection, holder, _QUEUED, _OLDEST).ids
    created = select(m.jobs.c.created_at).where(m.jobs.c.id == found[0]) if found else None
    return None if created is None else clock.seconds(connection.execute(created).scalar())
