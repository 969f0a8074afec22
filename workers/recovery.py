"""What becomes of workers whose lease has run out, and of the jobs they held: queued again, in ever smaller groups."""

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, func, select, text, update

from shared import clock, crash, db, jobs
from shared import models as m
from shared.jobs import Ending
from shared.queue import PROBATION

log = logging.getLogger(__name__)

#: Jobs taken back in one transaction.
CHUNK = 400
#: Workers that a job must have lost, the last while it ran alone by decision, to be held for their end. Three, so
#: that a power cut or two in the wrong moment do not fail a job.
POISON_LOSSES = 3


def lapse(connection: Connection) -> list[str]:
    """Mark the incarnations whose lease has run out, and how many jobs each was running."""
    now = db.now(connection)
    over = (
        select(m.workers.c.id)
        .where(m.workers.c.lapsed_at.is_(None), m.workers.c.lease_until < now)
        .order_by(m.workers.c.id)
        .with_for_update(skip_locked=True)
    )
    ids = [row.id for row in connection.execute(over)]
    for id in ids:
        lapse_one(connection, id)
    if ids:
        crash.point("lapse.before_commit")
    return ids


def lapse_one(connection: Connection, id: str) -> None:
    """End one incarnation that is known to be dead, whatever its lease says."""
    running = select(func.count()).where(m.jobs.c.worker_id == id, m.jobs.c.status == jobs.RUNNING)
    lost = connection.execute(running).scalar_one()
    alive = update(m.workers).where(m.workers.c.id == id, m.workers.c.lapsed_at.is_(None))
    connection.execute(alive.values(lapsed_at=db.now(connection), lost=lost))
    log.warning("worker %s is gone; it was running %d jobs", id, lost)
    jobs.count(connection, "workers_lapsed", 1)


#: A list of its own: joined, SQLite would walk all jobs for it.
_LAPSED = select(m.workers.c.id).where(m.workers.c.lapsed_at.is_not(None)).scalar_subquery()


def held_by_lapsed(connection: Connection) -> bool:
    """Whether there is anything to take back."""
    held = select(m.jobs.c.id).where(m.jobs.c.status == jobs.RUNNING, m.jobs.c.worker_id.in_(_LAPSED))
    return connection.execute(held.limit(1)).first() is not None


def take_back(connection: Connection) -> tuple[int, list[str]]:
    """Up to CHUNK jobs of lapsed incarnations, queued again or ended; how many, and deliveries now due."""
    held = (
        select(m.jobs, m.workers.c.lost, m.workers.c.probation, m.job_payloads.c.attempts)
        .join(m.workers, m.workers.c.id == m.jobs.c.worker_id)
        .join(m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
        .where(m.jobs.c.status == jobs.RUNNING, m.jobs.c.worker_id.in_(_LAPSED))
        .order_by(m.jobs.c.id)
        .limit(CHUNK)
        .with_for_update(of=m.jobs)
    )
    rows = [dict(row) for row in connection.execute(held).mappings()]
    ends = [ending for row in rows if (ending := _last_end(row)) is not None]
    ended = {ending.job_id for ending in ends}
    back = [row for row in rows if row["id"] not in ended]
    if back:
        connection.execute(_BACK, [_back(row) for row in back])
        connection.execute(_ATTEMPTS, [{"b_id": row["id"], "attempts": _attempts(row)} for row in back])
        jobs.count(connection, "jobs_taken_back", len(back))
    return len(rows), jobs.settle(connection, ends).deliveries if ends else []


def _last_end(row: Mapping[str, Any]) -> Ending | None:
    """The end of a job that cannot go on: flagged for cancel, or alone, by decision, when its process died."""
    attempts = orjson.loads(_attempts(row))
    if row["cancel_requested"]:
        return Ending(row["id"], row["lease_epoch"], "cancelled", takes=True, attempts=attempts)
    losses = sum(attempt["error"] == "worker_lost" for attempt in attempts)
    if row["probation"] and row["lost"] == 1 and row["cohort"] == 1 and losses >= POISON_LOSSES:
        error = {"message": "the job ended every process that ran it", "type": "worker_lost", "code": 500}
        return Ending(row["id"], row["lease_epoch"], "failed", takes=True, error=error, attempts=attempts)
    return None


_BACK = (
    update(m.jobs)
    .where(text("id = :b_id AND lease_epoch = :b_epoch AND status = 'running'"))
    .values(status="queued", worker_id=None, woken_at=None, lease_epoch=m.jobs.c.lease_epoch + 1)
    .values(queue=text(":b_queue"), cohort=text(":b_cohort"))
)
_ATTEMPTS = update(m.job_payloads).where(text("job_id = :b_id")).values(attempts=text(":attempts"))


def _back(row: Mapping[str, Any]) -> dict[str, Any]:
    """A job that lost its worker runs again in a smaller group; after a clean end of its worker, as before."""
    cohort = max(1, row["lost"] // 2) if row["lost"] else row["cohort"]
    queue = PROBATION if row["lost"] else row["queue"]
    return {"b_id": row["id"], "b_epoch": row["lease_epoch"], "b_queue": queue, "b_cohort": cohort}


def _attempts(row: Mapping[str, Any]) -> str:
    before = orjson.loads(row["attempts"]) if row["attempts"] else []
    lost = {"provider": None, "model": row["model"], "started_at": (row["started_at"] or 0) // clock.MICROS}
    lost.update(finished_at=clock.now_seconds(), status_code=None, error="worker_lost")
    return orjson.dumps([*before, lost]).decode()
