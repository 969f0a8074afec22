"""Queued jobs of a paused provider that another offer can serve go on with that one."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Connection, bindparam, select, text, update

from shared.db.models import job_payloads, jobs
from shared.db.models.jobs import QUEUED, TO_WAKE
from shared.queues import LANES, Lane, queue_name
from shared.submissions.steps.course import has_course

#: Jobs looked at in one transaction.
CHUNK: Final = 400
#: Ids read at once.
MOST: Final = 20_000


def waiting_at(connection: Connection, queue: str, after: str) -> list[str]:
    """Up to MOST jobs that wait on a queue, by id, of those after one."""
    statement = select(jobs.c.id).where(jobs.c.queue == queue, jobs.c.id > after, text(TO_WAKE))
    return list(connection.execute(statement.order_by(jobs.c.id).limit(MOST)).scalars())


def turn(connection: Connection, queue: str, ids: Sequence[str], paused: Collection[str]) -> int:
    """Put those of the ids that still wait on this queue, and have a later offer at a provider that is not paused, on
    that provider's queue; how many.

    A job that takes several calls is left where it is: its conductor says who is called.
    """
    moves = [one for row in _waiting(connection, queue, ids) if (one := _move(row, paused)) is not None]
    if moves:
        connection.execute(_TURN, moves)
    return len(moves)


def _waiting(connection: Connection, queue: str, ids: Sequence[str]) -> Sequence[Any]:
    statement = (
        select(jobs.c.id, jobs.c.lane, jobs.c.offer, job_payloads.c.offers)
        .join_from(jobs, job_payloads, job_payloads.c.job_id == jobs.c.id)
        .where(jobs.c.id.in_(ids), jobs.c.queue == queue, text(TO_WAKE))
        .with_for_update(skip_locked=True, of=jobs)
    )
    return connection.execute(statement).all()


def _move(row: Any, paused: Collection[str]) -> dict[str, Any] | None:
    """The parameters of `_TURN` for a job; None: it stays."""
    if has_course(row.offer):
        return None
    offers = orjson.loads(row.offers)
    for index in range(row.offer + 1, len(offers)):
        if (provider := offers[index]["provider"]) not in paused:
            lane: Lane = "realtime" if row.lane == "realtime" else "batch"
            return {"b_id": row.id, "b_queue": queue_name(provider, lane), "b_offer": index}
    return None


_TURN = (
    update(jobs)
    .where(jobs.c.id == bindparam("b_id"), text(QUEUED))
    .values(queue=bindparam("b_queue"), offer=bindparam("b_offer"), failures=0)
    .values(lease_epoch=jobs.c.lease_epoch + 1)  # whoever should have begun it by a first lease calls another offer
)


def queues_of(paused: Collection[str]) -> list[str]:
    """The queues of providers, in their order."""
    return [queue_name(provider, lane) for provider in sorted(paused) for lane in LANES]
