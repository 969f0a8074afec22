"""Recovery from lost workers: ends their leases and queues their jobs again, in ever smaller groups.

Only a death that nothing explains speaks against a job. Incarnations that fall silent together, or when the database
was away, have a common cause: their jobs go on as before.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, func, select, text, update

from shared import clock, crash, db
from shared.db import counters
from shared.db import models as m
from shared.db.models.jobs import RUNNING
from shared.errors import WorkerLost
from shared.jobs import transitions
from shared.jobs.outcomes import Ending
from shared.queues import PROBATION
from shared.settings import settings

log = logging.getLogger(__name__)

#: Jobs taken back in one transaction.
CHUNK = 400
#: Workers that a job must have lost, the last while it ran alone by decision, to be held for their end. Three, so
#: that a power cut or two in the wrong moment do not fail a job.
POISON_LOSSES = 3
#: A job that was there at so many explained ends is no longer taken for a mere witness.
MOST_EXCUSED = 5
#: In how large a group such a job runs again, if it never lost a worker by itself.
SUSPECTS = 500
#: How far apart the leases end of workers that died at the same time, in beats.
TOGETHER_BEATS = 1.2


def living(connection: Connection) -> dict[str, int]:
    """Until when the lease of each incarnation runs that has not ended."""
    statement = select(m.workers.c.id, m.workers.c.lease_until).where(m.workers.c.lapsed_at.is_(None))
    return {id: until for id, until in connection.execute(statement)}


def lapse(
    connection: Connection,
    over: Mapping[str, int] | None = None,
    *,
    late: Collection[str] = (),
    excused: bool = False,
) -> list[str]:
    """Mark incarnations whose lease has run out, and how many jobs each was running.

    `over`: those that have been watched not to renew for a whole lease, with what that lease says; without it, all
    whose lease is over in the database's time. `late`: others that are about to. `excused`: there is a cause, such as
    a database that was away.
    """
    now = db.now(connection)
    lapsed = m.workers.c.lease_until < now if over is None else m.workers.c.id.in_(list(over))
    statement = (
        select(m.workers.c.id, m.workers.c.lease_until)
        .where(m.workers.c.lapsed_at.is_(None), lapsed)
        .order_by(m.workers.c.id)
        .with_for_update(skip_locked=True)
    )
    found = connection.execute(statement).all()
    ids = [id for id, until in found if over is None or over[id] == until]
    explained = excused or len({*ids, *late}) > 1 or (bool(ids) and _any_ended_since(connection, now - _together()))
    for id in ids:
        lapse_one(connection, id, explained=explained)
    if ids:
        crash.point("lapse.before_commit")
    return ids


def _together() -> int:
    return int(TOGETHER_BEATS * settings().beat_seconds * clock.MICROS)


def _any_ended_since(connection: Connection, since: int) -> bool:
    """Whether another incarnation has ended otherwise than in good order."""
    ended = select(m.workers.c.id).where(
        m.workers.c.lapsed_at > since, m.workers.c.ended.in_(("lost", "together", "lease_over")), ~m.workers.c.probation
    )
    return connection.execute(ended.limit(1)).first() is not None


def lapse_one(connection: Connection, id: str, *, explained: bool = False) -> None:
    """End one incarnation that is known to be dead, whatever its lease says."""
    running = select(func.count()).where(m.jobs.c.worker_id == id, text(RUNNING))
    held = connection.execute(running).scalar_one()
    alive = update(m.workers).where(m.workers.c.id == id, m.workers.c.lapsed_at.is_(None))
    ended = {"lost": 0, "ended": "together"} if explained else {"lost": held, "ended": "lost"}
    connection.execute(alive.values(lapsed_at=db.now(connection), **ended))
    why = " together with others" if explained else ""
    log.warning("worker %s was lost%s while running %d jobs", id, why, held)
    counters.count(connection, "workers_lapsed", 1)


#: A list of its own: joined, SQLite would walk all jobs for it.
_LAPSED = select(m.workers.c.id).where(m.workers.c.lapsed_at.is_not(None)).scalar_subquery()


def held_by_lapsed(connection: Connection, besides: Sequence[str] = ()) -> list[str]:
    """Up to CHUNK jobs to take back, but for some."""
    held = select(m.jobs.c.id).where(text(RUNNING), m.jobs.c.worker_id.in_(_LAPSED))
    if besides:
        held = held.where(m.jobs.c.id.not_in(besides))
    return list(connection.execute(held.order_by(m.jobs.c.id).limit(CHUNK)).scalars())


def take_back(connection: Connection, only: Sequence[str] | None = None) -> tuple[int, list[str]]:
    """Up to CHUNK jobs of lapsed incarnations (of these), queued again or ended; how many, and deliveries now due."""
    held = (
        select(m.jobs, m.workers.c.lost, m.workers.c.ended, m.workers.c.probation, m.job_payloads.c.attempts)
        .join(m.workers, m.workers.c.id == m.jobs.c.worker_id)
        .join(m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
        .where(text(RUNNING), m.jobs.c.worker_id.in_(_LAPSED))
        .order_by(m.jobs.c.id)
        .limit(CHUNK)
        .with_for_update(of=m.jobs)
    )
    if only is not None:
        held = held.where(m.jobs.c.id.in_(only))
    rows = [dict(row) for row in connection.execute(held).mappings()]
    ends = [ending for row in rows if (ending := _last_end(row)) is not None]
    ended = {ending.job_id for ending in ends}
    back = [row for row in rows if row["id"] not in ended]
    if back:
        connection.execute(_BACK, [_back(row) for row in back])
        connection.execute(_ATTEMPTS, [{"b_id": row["id"], "attempts": _attempts(row)} for row in back])
        counters.count(connection, "jobs_taken_back", len(back))
    return len(rows), transitions.settle(connection, ends).deliveries if ends else []


def _last_end(row: Mapping[str, Any]) -> Ending | None:
    """The end of a job that cannot go on: flagged for cancel, or alone, by decision, when its process died."""
    attempts = orjson.loads(_attempts(row))
    if row["cancel_requested"]:
        return Ending(row["id"], row["lease_epoch"], "cancelled", takes=True, attempts=attempts)
    if row["probation"] and row["lost"] == 1 and row["cohort"] == 1 and _ends(attempts, LOST) >= POISON_LOSSES:
        error = WorkerLost("the job crashed every worker process that ran it").as_json()
        return Ending(row["id"], row["lease_epoch"], "failed", takes=True, error=error, attempts=attempts)
    return None


_BACK = (
    update(m.jobs)
    .where(text(f"id = :b_id AND lease_epoch = :b_epoch AND {RUNNING}"))
    .values(status="queued", worker_id=None, woken_at=None, lease_epoch=m.jobs.c.lease_epoch + 1)
    .values(queue=text(":b_queue"), cohort=text(":b_cohort"))
)
_ATTEMPTS = update(m.job_payloads).where(text("job_id = :b_id")).values(attempts=text(":attempts"))


def _back(row: Mapping[str, Any]) -> dict[str, Any]:
    """Where a job runs again: as before after an explained end of its worker, and after the first that is not; from the
    second on, in a smaller group, in probation.
    """
    queue, cohort = row["queue"], row["cohort"]
    if row["lost"]:
        queue, cohort = PROBATION if cohort else queue, max(1, row["lost"] // 2)
    elif _ends(orjson.loads(_attempts(row)), STOPPED) > MOST_EXCUSED:
        queue, cohort = PROBATION, cohort or SUSPECTS
    return {"b_id": row["id"], "b_epoch": row["lease_epoch"], "b_queue": queue, "b_cohort": cohort}


def _attempts(row: Mapping[str, Any]) -> str:
    before = orjson.loads(row["attempts"]) if row["attempts"] else []
    over = {"provider": None, "model": row["model"], "started_at": (row["started_at"] or 0) // clock.MICROS}
    over.update(finished_at=clock.now_seconds(), status_code=None, error=LOST if row["lost"] else STOPPED)
    return orjson.dumps([*before, over]).decode()


#: What an attempt that ended with its worker says: that nothing explains it, or that something does.
LOST, STOPPED = "worker_lost", "worker_stopped"


def _ends(attempts: Sequence[Mapping[str, Any]], how: str) -> int:
    return sum(attempt.get("error") == how for attempt in attempts)
