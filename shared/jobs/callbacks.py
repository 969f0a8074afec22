"""The `callback_url` of jobs: a delivery of the event of their end, beside those to webhooks that subscribe it.

A job that has one says so (`jobs.owed_events`) until the transaction that writes the delivery, which is the one that
ends the job; unless that is an earlier version's: then it is the sweeper's.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, text, update

from shared.db.models import job_payloads, jobs
from shared.db.models.jobs import UNTOLD
from shared.submissions.job_types import CALLBACK
from shared.webhooks import late_deliveries
from shared.webhooks.late_deliveries import OwedCallback


def urls(connection: Connection, ended: Collection[Mapping[str, Any]]) -> dict[str, str]:
    """The addresses of those of these jobs that owe a delivery, by their ids."""
    owing = [job["id"] for job in ended if job["owed_events"] == CALLBACK]
    if not owing:
        return {}
    return {id: url for id, url in connection.execute(_URLS, {"b_ids": owing}) if url}


def settled(connection: Connection, ended: Collection[Mapping[str, Any]]) -> None:
    """These jobs owe none any more; in the transaction that writes the deliveries."""
    if told := [job["id"] for job in ended if job["owed_events"] == CALLBACK]:
        connection.execute(update(jobs).where(jobs.c.id.in_(told)).values(owed_events=None))


def untold(connection: Connection, most: int, besides: Sequence[str] = ()) -> list[str]:
    """Jobs, but for some, that were ended by a version that does not know callbacks."""
    statement = select(jobs.c.id).where(text(UNTOLD), jobs.c.owed_events == CALLBACK, jobs.c.id.not_in(besides))
    return list(connection.execute(statement.order_by(jobs.c.id).limit(most)).scalars())


def tell(connection: Connection, ids: Sequence[str]) -> tuple[int, list[str]]:
    """Write the deliveries of those of these jobs that still owe them: how many jobs, and the deliveries."""
    columns = (jobs.c.id, jobs.c.account_id, jobs.c.test, jobs.c.finished_at)
    owing = update(jobs).where(jobs.c.id.in_(sorted(ids)), text(UNTOLD), jobs.c.owed_events == CALLBACK)
    rows = connection.execute(owing.values(owed_events=None).returning(*columns)).mappings().all()
    if not rows:
        return 0, []
    named: dict[str, str | None] = dict(tuple(row) for row in connection.execute(_URLS, {"b_ids": [*ids]}))
    owed = [
        OwedCallback(row["account_id"], bool(row["test"]), "job", row["id"], row["finished_at"], url)
        for row in sorted(rows, key=lambda row: str(row["id"]))
        if (url := named.get(row["id"]))
    ]
    return len(rows), late_deliveries.add(connection, owed)


_URLS = select(job_payloads.c.job_id, job_payloads.c.callback_url).where(
    job_payloads.c.job_id.in_(bindparam("b_ids", expanding=True))
)
