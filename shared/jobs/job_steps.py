"""The rows of the steps of jobs that take several calls: written as each ends, read by whoever runs the next.

Such a job is one row like any other, which goes from the queue of one step's provider to that of the next.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from shared import clock, db
from shared.db.models import job_steps
from shared.jobs.outcomes import StepEnd
from shared.strict_json import dumps

Row = Mapping[str, Any]

_OF = job_steps.c.job_id.in_(bindparam("b_ids", expanding=True))
_ENDED = select(job_steps).where(_OF).order_by(job_steps.c.number)
_FORGET = update(job_steps).where(_OF, job_steps.c.answer.is_not(None)).values(answer=None)


def ended(connection: Connection, ids: Sequence[str]) -> dict[str, list[Row]]:
    """The steps of these jobs that have ended, in their order."""
    found: dict[str, list[Row]] = {}
    for row in connection.execute(_ENDED, {"b_ids": list(ids)}).mappings() if ids else ():
        found.setdefault(row["job_id"], []).append(dict(row))
    return found


def keep(connection: Connection, made: Sequence[tuple[str, StepEnd]]) -> None:
    """Write down steps that have ended, each with its job's id, in the transaction that changes the job."""
    db.insert_rows(connection, job_steps, [_row(id, step) for id, step in made])


def forget_answers(connection: Connection, ids: Sequence[str]) -> None:
    """These jobs have ended: the answers of their steps are of no more use."""
    if ids:
        connection.execute(_FORGET, {"b_ids": list(ids)})


def _row(job_id: str, end: StepEnd) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "step": end.step,
        "number": end.number,
        "answer": end.answer,
        "provider": end.provider,
        "model": end.model,
        "offer": end.offer,
        **end.counted,
        "estimated": end.estimated,
        "used": dumps(end.used),
        "cost_micros": end.cost_micros,
        "finished_at": clock.now_micros(),
    }
