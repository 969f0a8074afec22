"""What has been sent on of an answer in the making, in its job's row: it is paid for, whoever ends the job."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, text, update

from shared.db.models import jobs
from shared.db.models.jobs import RUNNING
from shared.jobs.outcomes import RelayedPart
from shared.strict_json import dumps


def note(connection: Connection, progress: Sequence[RelayedPart]) -> None:
    """Write down what has been sent on of answers in the making, so that it is paid for whoever ends their jobs.

    Of a job that runs again the most that any run has sent on stands; what is not its holder's any more is left.
    """
    if progress:
        rows = [
            {"p_id": one.job_id, "p_epoch": one.epoch, "p_micros": one.charge_micros, "p_served": dumps(_served(one))}
            for one in sorted(progress, key=lambda one: one.job_id)
        ]
        connection.execute(_NOTE, rows)


def _served(part: RelayedPart) -> dict[str, Any]:
    return {name: getattr(part, name) for name in _SERVED}


_NOTE = (
    update(jobs)
    .where(
        jobs.c.id == bindparam("p_id"),
        jobs.c.lease_epoch == bindparam("p_epoch"),
        text(RUNNING),
        jobs.c.relayed_micros < bindparam("p_micros"),
    )
    .values(relayed_micros=bindparam("p_micros"), relayed=bindparam("p_served"))
)

#: What a job's row knows of an answer that was sent on, beside its price.
_SERVED = ("provider", "model", "prompt_tokens", "completion_tokens")
