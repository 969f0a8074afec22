"""The spans of deliveries: each try goes on from the span in which the event's job was accepted."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

import orjson
from sqlalchemy import Connection, bindparam, select

from shared import telemetry
from shared.db.models import job_payloads
from workers.webhooks.client import SendResult

_TRACES = select(job_payloads.c.job_id, job_payloads.c.trace).where(
    job_payloads.c.job_id.in_(bindparam("b_ids", expanding=True)), job_payloads.c.trace.is_not(None)
)


def add_traces(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Put the `trace` of its job into each claimed row that is of one; nothing where traces are off."""
    if not telemetry.on():
        return
    jobs = {row["id"]: id for row in rows if (id := _job(row))}
    found = dict(connection.execute(_TRACES, {"b_ids": sorted(set(jobs.values()))}).tuples().all()) if jobs else {}
    for row in rows:
        row["trace"] = found.get(jobs.get(row["id"], ""))


def _job(row: Mapping[str, Any]) -> str | None:
    """Of which job an event is; None: of something else."""
    if not row["type"].startswith("job."):
        return None
    try:
        id = orjson.loads(row["data"])["job"]["id"]
    except (ValueError, LookupError, TypeError):  # of a version that says it otherwise: it is delivered all the same
        return None
    return str(id)


def send(row: Mapping[str, Any]) -> AbstractContextManager[telemetry.Span]:
    """One try of a delivery. Of its address the host alone is told: the rest may be a secret."""
    if not telemetry.on():
        return telemetry.OFF
    return telemetry.span(
        "POST",
        "client",
        parent=row.get("trace"),
        root=True,
        http__request__method="POST",
        http__request__resend_count=row["attempts"] or None,
        server__address=_host(row["url"]),
        fusionai__event__id=row["id"],
        fusionai__event__type=row["type"],
        fusionai__delivery__id=row["delivery_id"],
    )


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def sent(span: telemetry.Span, answer: SendResult) -> None:
    """What it came to."""
    span.set(http__response__status_code=answer.status)
    if not answer.good:
        span.fail((answer.failure or "internal") if answer.status is None else str(answer.status))
