"""Progress of batches: counted from the rows, at most once a second for each batch, however many clients ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson
from sqlalchemy import Connection, func, select, text

from producer import objects
from producer.objects import ProviderProgress, Reason
from producer.operations.kept_counts import KeptCounts
from shared import clock
from shared.batches import never_made
from shared.batches.states import Row
from shared.db import Database
from shared.db import models as m
from shared.db.models.jobs import OF_BATCHES, UNSUCCESSFUL
from shared.objects.batches import BATCH_OVER, ENDED_WITHOUT_ANSWER, ended_lines
from shared.queues import PROBATION, provider_of, queue_name

#: Groups of failures that are told, the largest first.
MOST_REASONS: Final = 20


@dataclass(slots=True)
class Counts:
    """What the jobs of a batch say."""

    providers: list[ProviderProgress]
    reasons: list[Reason]


@dataclass(slots=True)
class ProgressReader:
    """One process's counts, by batch and its status: what was counted before its end is not told after it."""

    database: Database
    _counts: KeptCounts[tuple[str, str], Counts] = field(default_factory=KeptCounts)

    async def of(self, row: Row) -> Counts:
        """The counts of a batch, at most a second old; those of one that is over are made once."""
        key = (row["id"], row["status"])
        return await self._counts.of(key, lambda: self.database.read(count, row), lasts=row["status"] in BATCH_OVER)


def count(connection: Connection, row: Row) -> Counts:
    """Count a batch's jobs; two queries by its own index, the second only when lines have failed."""
    missed = ended_lines(row) > row["succeeded"]
    return Counts(_providers(connection, row["id"]), _reasons(connection, row) if missed else [])


def _providers(connection: Connection, id: str) -> list[ProviderProgress]:
    found: dict[str, ProviderProgress] = {}
    why: dict[str, dict[str, int]] = {}
    for queue, status, deferred_for, number, run_at in _groups(connection, id):
        provider = provider_of(queue)
        one = found.setdefault(provider, objects.provider_progress(provider))
        one["total"] += number
        place: Counted = _PLACES.get(status, "failed")
        one[place] += number
        if status == "queued" and deferred_for is not None:
            waits = why.setdefault(provider, {})
            waits[deferred_for] = waits.get(deferred_for, 0) + number
            one["until"] = min(one["until"] or run_at, run_at)
    for provider, waits in why.items():
        found[provider]["waiting_for"] = max(waits, key=lambda reason: (waits[reason], reason))
    for one in found.values():
        one["until"] = clock.seconds(one["until"])
    return [found[provider] for provider in sorted(found)]


Counted = Literal["completed", "failed", "running", "waiting"]
_PLACES: Final[Mapping[str, Counted]] = {
    "succeeded": "completed",
    "running": "running",
    "queued": "waiting",
}


def _groups(connection: Connection, id: str) -> list[tuple[str, str, str | None, int, int]]:
    """Jobs by queue, status and what they wait for: how many, and the earliest time."""
    columns = (m.jobs.c.queue, m.jobs.c.status, m.jobs.c.deferred_for)
    statement = select(*columns, func.count(), func.min(m.jobs.c.run_at)).where(m.jobs.c.batch_id == id)
    groups = [tuple(row) for row in connection.execute(statement.group_by(*columns))]
    if any(group[0] == PROBATION for group in groups):
        groups = [group for group in groups if group[0] != PROBATION] + _on_probation(connection, id)
    return groups


def _on_probation(connection: Connection, id: str) -> list[Any]:
    """The few that lost a worker, whose queue does not say which provider they are for: a group each."""
    job, payload = m.jobs.c, m.job_payloads.c
    statement = select(job.status, job.deferred_for, job.run_at, job.offer, payload.offers)
    statement = statement.join_from(m.jobs, m.job_payloads, payload.job_id == job.id)
    rows = connection.execute(statement.where(job.batch_id == id, job.queue == PROBATION))
    return [
        (queue_name(orjson.loads(offers)[offer]["provider"], "batch"), status, deferred_for, 1, run_at)
        for status, deferred_for, run_at, offer, offers in rows
    ]


def _reasons(connection: Connection, batch: Row) -> list[Reason]:
    """Lines that did not succeed, by why, the largest groups first, each with what was said to its first line."""
    reason = func.coalesce(m.job_results.c.reason, m.jobs.c.status)
    columns = (reason, m.job_results.c.status_code, m.jobs.c.model)
    number = func.count()
    statement = select(*columns, number, func.min(m.jobs.c.id))
    statement = statement.join_from(m.jobs, m.job_results, m.job_results.c.job_id == m.jobs.c.id)
    unsuccessful = (text(f"jobs.{part}") for part in (OF_BATCHES, UNSUCCESSFUL))
    statement = statement.where(m.jobs.c.batch_id == batch["id"], *unsuccessful).group_by(*columns)
    rows = connection.execute(statement.order_by(number.desc()).limit(MOST_REASONS)).all()
    said = _said(connection, [row[-1] for row in rows])
    groups = {
        (word, status, model): _group(word, status, model, count, said.get(first))
        for word, status, model, count, first in rows
    }
    if stopped := never_made.count(batch):
        key = (batch["stopped"], None, batch["model"])
        groups.setdefault(key, _group(*key, 0))["count"] += stopped
    return sorted(groups.values(), key=lambda group: -group["count"])[:MOST_REASONS]


def _group(word: str, status: int | None, model: str | None, count: int, said: str | None = None) -> Reason:
    message = said or ENDED_WITHOUT_ANSWER.get(word, word)
    return {"reason": word, "status_code": status, "model": model, "count": count, "message": message}


def _said(connection: Connection, ids: list[str]) -> dict[str, str]:
    results = m.job_results.c
    rows = connection.execute(select(results.job_id, results.error).where(results.job_id.in_(ids)))
    return {id: str(orjson.loads(error)["message"]) for id, error in rows if error}
