"""First leases: a job whose caller waits for its whole answer is begun on the word of its doorbell.

Its row says until when nobody else may begin it (`run_at`, GIVEN_MICROS after it came). Whoever takes the message reads
the row, calls at once, and ends the job by the epoch that it has read; only of a call that takes longer is the lease
written, by the same compare-and-set. So one of three write transactions falls away. A message that is lost, or whose
taker dies, costs the rest of that time; one that comes late or twice finds a row that says so. Two processes may call
for one job where one of them stood still for all of that time, or the message came to both; the row takes one answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, func, select, text, update

from shared import clock, db
from shared.db import at_once, hot
from shared.db.among import among
from shared.db.at_once import listed
from shared.db.models import job_payloads, jobs, workers
from shared.db.models.jobs import QUEUED, RUNNING, WOKEN
from shared.jobs.leases import (
    GIVEN,
    GIVEN_MICROS,
    LEASED,
    MAY_LEASE,
    PAYLOAD,
    SHORT,
    Leased,
    alive,
    is_alive,
    may_lease,
)
from shared.queues import provider_of
from shared.submissions.rows import at_once as at_once_of
from shared.submissions.steps.course import COURSE

#: Of the time for which a job is its message's alone, so much has to be left when it is begun, in seconds.
LEAST_SECONDS: Final = 3.0


def give(row: dict[str, Any], request: str) -> None:
    """Make the doorbell of a job that is about to be accepted its first lease; none of one that takes several calls, or
    whose request is long.
    """
    if row["woken_at"] is not None and row["offer"] != COURSE and len(request) <= SHORT:
        row["run_at"] = row["woken_at"] + GIVEN_MICROS


def is_given(row: Mapping[str, Any]) -> bool:
    """Whether it was made so, and still is: it does not wait for credit, and has not been answered from the cache."""
    return row["woken_at"] is not None and row["woken_at"] < row["run_at"]


def are_taken(connection: Connection) -> bool:
    """Whether every worker that lives takes first leases: one of an earlier version leaves such jobs to the feeder."""
    earlier = select(workers.c.id).where(*alive(db.now(connection)), ~workers.c.first_leases)
    return connection.execute(earlier.limit(1)).first() is None


def read(connection: Connection, worker_id: str, wanted: Mapping[str, Sequence[str]]) -> tuple[int, list[Leased]]:
    """Those of the wanted ids (by queue) that may be begun now, and when that is; the others are for `leases.lease`."""
    now = db.now(connection)
    find = _found_on_sqlite if connection.dialect.name == "sqlite" else _found
    rows = [row for queue, ids in wanted.items() for row in find(connection, worker_id, now, queue, ids)]
    return now, [Leased(*row) for row in rows]


def write(connection: Connection, worker_id: str, begun: Mapping[str, int]) -> set[str]:
    """Write the leases of jobs that this incarnation has begun, by when; those that are its own now. Repeatable."""
    now = db.now(connection)
    told = {"b_worker": worker_id, "b_now": now, "b_at_once": at_once_of(now)}
    _WRITE.each(connection, [{**told, "b_id": id, "b_began": at} for id, at in sorted(begun.items())])
    return {id for (id,) in _MINE.rows(connection, {"b_ids": listed(begun), "b_worker": worker_id})}


def _found(connection: Connection, worker: str, now: int, queue: str, ids: Sequence[str]) -> Sequence[Sequence[Any]]:
    given = {"b_worker": worker, "b_now": now, "b_queue": queue, "b_provider": provider_of(queue)}
    return _FIND.rows(connection, {**given, "b_least": now + _LEAST_MICROS, "b_ids": listed(ids)})


def _found_on_sqlite(
    connection: Connection, worker: str, now: int, queue: str, ids: Sequence[str]
) -> Sequence[Sequence[Any]]:
    given = (listed(dict.fromkeys(ids)), queue, worker, now, provider_of(queue), now + _LEAST_MICROS)
    return at_once.rows(connection, _FIND_ON_SQLITE, given)


_LEAST_MICROS = int(LEAST_SECONDS * clock.MICROS)
#: What is given still; a request that is long is read by `leases.lease`.
_TO_BEGIN = f"{WOKEN} AND {GIVEN} AND lease_epoch = 0 AND length(request) <= {SHORT}"


def _find(dialect: str) -> Any:
    columns = (*(jobs.c[name] for name in LEASED), *(job_payloads.c[name] for name in PAYLOAD))
    joined = select(*columns).join(job_payloads, job_payloads.c.job_id == jobs.c.id)
    return joined.where(*may_lease(dialect), text(_TO_BEGIN), jobs.c.run_at >= bindparam("b_least"))


def _write(dialect: str) -> Any:
    return (
        update(jobs)
        .where(jobs.c.id == bindparam("b_id"), jobs.c.lease_epoch == 0, text(QUEUED), is_alive())
        .values(status="running", lease_epoch=1, worker_id=bindparam("b_worker"), deferred_for=None)
        .values(started_at=func.coalesce(jobs.c.started_at, bindparam("b_began")), run_at=bindparam("b_at_once"))
    )


def _mine(dialect: str) -> Any:
    mine = jobs.c.lease_epoch == 1, jobs.c.worker_id == bindparam("b_worker"), text(RUNNING)
    return select(jobs.c.id).where(among(dialect, jobs.c.id, "b_ids"), *mine)


_FIND, _WRITE, _MINE = hot.Statement(_find), hot.Statement(_write), hot.Statement(_mine)
_FIND_ON_SQLITE = f"{MAY_LEASE} AND {_TO_BEGIN} AND jobs.run_at >= ?"
