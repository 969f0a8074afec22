"""Operations on jobs: show, list, cancel."""

from collections.abc import Sequence
from typing import Any, Final, cast

import orjson
from sqlalchemy import Connection, RowMapping, Select, null, select, text, update

from producer import objects
from producer.admission.idempotency import Claim
from producer.admission.run_once import ring_deliveries, run_once_due
from producer.objects import Job, JobInput, JobPage
from producer.operations.job_filters import NOTHING, JobFilter, find
from producer.operations.pages import PageQuery, owned_by, paged
from shared import crash
from shared.batches import line_requests
from shared.broker.bell import Bell
from shared.db import Database
from shared.db import models as m
from shared.db.models.jobs import RUNNING
from shared.errors import Conflict, NotFound
from shared.jobs import job_steps, transitions
from shared.jobs.outcomes import TERMINAL, Ending
from shared.key_holders import KeyHolder
from shared.notifier import CANCEL, DONE, Notifier
from shared.submissions.steps.course import has_course

#: Tries of a cancel that meets a job which is just changing hands.
CANCEL_TRIES = 5

#: What a job answered, whole or not.
_ANSWER: Final = ("response", "partial")


def _select(*, results: bool) -> Select[Any]:
    """Jobs with all that their objects are made of, `results` among it or not."""
    of_results = [column for column in m.job_results.c if column.name not in ("job_id", "test", "model")]
    return (
        select(
            *(column for column in m.jobs.c),
            m.jobs.c.bound_micros.label("job_bound"),
            *(column for column in m.job_payloads.c if column.name not in ("job_id", "request", "attempts")),
            text("CASE WHEN jobs.type = 'image' THEN job_payloads.request END AS request"),
            m.job_payloads.c.attempts.label("attempts_before"),
            m.job_results.c.model.label("served_model"),
            *(one if results or one.name not in _ANSWER else null().label(one.name) for one in of_results),
        )
        .join_from(m.jobs, m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
        .outerjoin(m.job_results, m.job_results.c.job_id == m.jobs.c.id)
    )


_JOBS, _JOBS_ALONE = _select(results=True), _select(results=False)

_INPUTS = (
    select(
        *(m.jobs.c[name] for name in ("id", "type", "dialect", "model", "key_id", line_requests.OPTIONS)),
        *(m.job_payloads.c[name] for name in line_requests.COLUMNS),
        m.api_keys.c.name.label("key_name"),
    )
    .join_from(m.jobs, m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
    .outerjoin(m.api_keys, m.api_keys.c.id == m.jobs.c.key_id)
)


def show_job(connection: Connection, holder: KeyHolder, job_id: str) -> Job:
    """The job object; 404 when the account's keys of this mode, live or test, have no such job."""
    row = connection.execute(_JOBS.where(m.jobs.c.id == job_id, *owned_by(holder))).mappings().first()
    if row is None:
        raise NotFound(f"not found: job {job_id[:100]!r}")
    return objects.whole_job(_with_steps(connection, [row])[0])


def show_input(connection: Connection, holder: KeyHolder, job_id: str) -> JobInput:
    """What a job asked; 404 when the account's keys of this mode have no such job."""
    found = connection.execute(_INPUTS.where(m.jobs.c.id == job_id, *owned_by(holder))).mappings().first()
    row = {} if found is None else dict(found)
    asked = line_requests.of_row(row) if row else None
    if asked is None:
        raise NotFound(f"not found: job {job_id[:100]!r}")
    return objects.job_input(row, asked, row["key_name"])


def _with_steps(connection: Connection, rows: Sequence[RowMapping]) -> list[dict[str, Any]]:
    """Rows of jobs; those of several calls that have ended with their `steps`, by which they are charged."""
    ended = [row["id"] for row in rows if has_course(row["offer"]) and row["charged_micros"] is not None]
    steps = job_steps.ended(connection, ended)
    return [{**row, "steps": steps.get(row["id"], ())} for row in rows]


def list_jobs(
    connection: Connection,
    holder: KeyHolder,
    page: PageQuery,
    wanted: JobFilter = NOTHING,
    ids: Sequence[str] = (),
    *,
    results: bool = True,
) -> JobPage:
    """A page of the jobs of the account and mode, newest first: those that meet a filter, of the given ids if any.

    A page that ends before it is full says so (`incomplete`), and is gone on with after its `last_id`. Without
    `results` the `result` of each job is null, and is not read.
    """
    jobs = _JOBS if results else _JOBS_ALONE
    if wanted.empty and not ids:
        rows = connection.execute(paged(jobs.where(*owned_by(holder)), m.jobs.c.id, page)).mappings().all()
        shown = [objects.job_object(row) for row in _with_steps(connection, rows)]
        return cast(JobPage, objects.page(shown, page.limit))
    found = find(connection, holder, wanted, page, ids)
    rows = connection.execute(jobs.where(m.jobs.c.id.in_(found.ids))).mappings().all()
    shown = sorted(
        (objects.job_object(row) for row in _with_steps(connection, rows)),
        key=lambda job: job["id"],
        reverse=page.order == "desc",
    )
    listed = cast(JobPage, objects.page(shown, page.limit))
    if found.until is None:
        return listed
    return {**listed, "has_more": True, "last_id": found.until, "incomplete": True}


def cancel_job(connection: Connection, holder: KeyHolder, job_id: str) -> tuple[Job, list[str]]:
    """Cancel a queued job at once, flag a running one; the job as it is now, and deliveries now due."""
    deliveries: list[str] = []
    for _ in range(CANCEL_TRIES):
        where = (m.jobs.c.id == job_id, *owned_by(holder))
        row = connection.execute(select(m.jobs.c.status, m.jobs.c.lease_epoch).where(*where)).first()
        if row is None:
            raise NotFound(f"not found: job {job_id[:100]!r}")
        if row.status in TERMINAL:
            break
        if row.status == "running":
            flagged = update(m.jobs).where(*where, text(RUNNING)).values(cancel_requested=True)
            if connection.execute(flagged).rowcount:
                break
            continue
        ending = Ending(job_id, row.lease_epoch, "cancelled", came_from="queued", takes=True)
        settled = transitions.settle(connection, [ending])
        if settled.verdicts[job_id] == "done":
            deliveries = settled.deliveries
            break
    else:
        raise Conflict(f"job {job_id} is changing state; retry in a moment", retry_after_seconds=1)
    return show_job(connection, holder, job_id), deliveries


async def cancel(
    database: Database, bell: Bell, notifier: Notifier, claim: Claim | None, holder: KeyHolder, job_id: str
) -> tuple[str, bool]:
    """Cancel a job once, and let its worker hear of it: again when asked again, since a hint may be lost."""
    answer, replayed, deliveries = await run_once_due(database, claim, cancel_job, holder, job_id)
    crash.point("cancel.after_commit")
    ring_deliveries(bell, deliveries)
    ended = orjson.loads(answer)["finished_at"] is not None
    notifier.publish(DONE if ended else CANCEL, [job_id])
    return answer, replayed
