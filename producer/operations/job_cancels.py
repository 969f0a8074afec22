"""Cancelling all jobs that meet a filter, so many a call."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import Field
from sqlalchemy import Connection, select, text, update

from producer.admission.run_once import ring_deliveries
from producer.objects.job_lists import JobsCancelled
from producer.operations.job_filters import MOST_COUNTED, UNFINISHED_STATUSES, FoundJobs, JobFilter, find
from producer.operations.pages import PageQuery, owned_by
from shared import crash
from shared.broker.bell import Bell
from shared.db import Database
from shared.db import models as m
from shared.db.models.jobs import RUNNING
from shared.errors import InvalidRequest
from shared.jobs import transitions
from shared.jobs.outcomes import Ending
from shared.key_holders import KeyHolder
from shared.notifier import CANCEL, DONE, Notifier

#: Jobs cancelled in one transaction, and in one call; a dry run counts up to MOST_COUNTED.
CHUNK: Final = 400
MOST: Final = 2_000
#: How long one call looks for jobs, in seconds.
LOOK_SECONDS: Final = 0.5


class CancelSpec(JobFilter):
    """Which jobs are to be cancelled, of those that are not over: at least one filter. With `dry_run`, they are counted
    and nothing is cancelled. `after`: the `last_id` of the call before.
    """

    dry_run: bool = False
    after: str | None = Field(default=None, min_length=1, max_length=100)

    @property
    def wanted(self) -> JobFilter:
        """The filter; 400 when there is none, or one of jobs that are over."""
        given = self.model_dump(exclude_none=True, exclude={"dry_run", "after"})
        if not given:
            raise InvalidRequest("at least one filter is required, such as status or model")
        statuses = given.get("status") or sorted(UNFINISHED_STATUSES)
        if over := [one for one in statuses if one not in UNFINISHED_STATUSES]:
            raise InvalidRequest(f"status: {over[0]} jobs are over, and cannot be cancelled", param="status")
        return JobFilter.model_validate({**given, "status": statuses})


@dataclass(slots=True)
class _Done:
    """Of one transaction: jobs that have ended as cancelled, those that run and were told to, deliveries now due."""

    cancelled: list[str] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)
    deliveries: list[str] = field(default_factory=list)


async def cancel_jobs(
    database: Database, bell: Bell, notifier: Notifier, holder: KeyHolder, spec: CancelSpec
) -> JobsCancelled:
    """Cancel up to MOST jobs that meet the filter, the oldest first; or count up to MOST_COUNTED.

    Asked again, it does again what is left: jobs that have been cancelled are not found any more.
    """
    wanted, most = spec.wanted, MOST_COUNTED if spec.dry_run else MOST
    page = PageQuery.model_construct(limit=most, after=spec.after, order="asc")
    found = await database.read(_find, holder, wanted, page)
    ids, done = found.ids[:most], _Done()
    for start in range(0, 0 if spec.dry_run else len(ids), CHUNK):
        some = await database.write(_cancel, holder, ids[start : start + CHUNK])
        crash.point("cancel_several.after_commit")
        ring_deliveries(bell, some.deliveries)
        notifier.publish(DONE, some.cancelled)
        notifier.publish(CANCEL, some.flagged)
        done.cancelled += some.cancelled
        done.flagged += some.flagged
    more = len(found.ids) > most
    return {
        "object": "jobs.cancellation",
        "dry_run": spec.dry_run,
        "matched": len(ids),
        "cancelled": len(done.cancelled),
        "cancelling": len(done.flagged),
        "has_more": more or found.until is not None,
        "last_id": (ids[-1] if ids else None) if more else found.until,
    }


def _find(connection: Connection, holder: KeyHolder, wanted: JobFilter, page: PageQuery) -> FoundJobs:
    return find(connection, holder, wanted, page, seconds=LOOK_SECONDS)


def _cancel(connection: Connection, holder: KeyHolder, ids: Sequence[str]) -> _Done:
    """Cancel what is queued, flag what runs; what changes hands meanwhile is left to the next call, or is over."""
    done, where = _Done(), (m.jobs.c.id.in_(ids), *owned_by(holder))
    rows = connection.execute(select(m.jobs.c.id, m.jobs.c.status, m.jobs.c.lease_epoch).where(*where)).all()
    endings = [
        Ending(row.id, row.lease_epoch, "cancelled", came_from="queued", takes=True)
        for row in rows
        if row.status == "queued"
    ]
    if endings:
        settled = transitions.settle(connection, endings)
        done.deliveries = settled.deliveries
        done.cancelled = [one.job_id for one in endings if settled.verdicts[one.job_id] == "done"]
    left = sorted({row.id for row in rows} - set(done.cancelled))
    if left:
        flagged = update(m.jobs).where(m.jobs.c.id.in_(left), *owned_by(holder), text(RUNNING))
        done.flagged = list(connection.execute(flagged.values(cancel_requested=True).returning(m.jobs.c.id)).scalars())
    return done
