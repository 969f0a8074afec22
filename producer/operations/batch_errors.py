"""Why lines of a batch did not succeed: grouped by reason, status and what was said, without what differs by line."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from sqlalchemy import Connection, func, select, text

from producer.objects.batch_progress import BatchErrorGroup, BatchErrors
from producer.operations.kept_counts import KeptCounts
from shared.batches import never_made
from shared.batches.states import Row
from shared.db import Database
from shared.db import models as m
from shared.db.models.jobs import OF_BATCHES, UNSUCCESSFUL
from shared.objects.batches import ENDED_WITHOUT_ANSWER

#: Groups that are shown, the largest first; the rest is summed.
MOST_GROUPS: Final = 50
#: Batches whose groups are remembered.
REMEMBERED: Final = 100
#: Characters of a message by which errors are grouped.
MOST_MESSAGE: Final = 500
#: Statuses of errors which the same request may not meet another time; all of 500 and more, and none at all, as well.
PASSING: Final = frozenset({408, 409, 425, 429})
#: Reasons that say so whatever the status.
NEVER_PASSING: Final = frozenset({"content_filter", "context_length_exceeded"})

_QUOTED: Final = re.compile(r"'[^']{1,200}'|\"[^\"]{1,200}\"")
_IDS: Final = re.compile(r"\b[a-z]{2,12}[_-][0-9A-Za-z-]{8,}\b|\b[0-9a-f]{8,}(-[0-9a-f]{4,}){0,4}\b")
_NUMBERS: Final = re.compile(r"[0-9]+([.,][0-9]+)*")


@dataclass(slots=True)
class _Group:
    count: int
    job_id: str
    said: str


def normalised(message: str) -> str:
    """A message without ids, numbers and quoted values, which differ from line to line.

    >>> normalised("request req_0123456789ab took 31.5 s: 'gpt-9' is not known")
    'request … took N s: … is not known'
    """
    short = message[:MOST_MESSAGE]
    return _NUMBERS.sub("N", _IDS.sub("…", _QUOTED.sub("…", short)))


def retry_may_help(reason: str, status: int | None) -> bool:
    """Whether the same request may succeed another time.

    >>> retry_may_help("invalid_request", 400), retry_may_help("expired", None)
    (False, True)
    """
    if reason in NEVER_PASSING:
        return False
    return status is None or status >= 500 or status in PASSING


@dataclass(slots=True)
class ErrorsReader:
    """One process's groups, by batch and its status, at most a second old: a page may ask all the time."""

    database: Database
    _kept: KeptCounts[tuple[str, str], BatchErrors] = field(default_factory=lambda: KeptCounts(REMEMBERED))

    async def of(self, batch: Row) -> BatchErrors:
        """The groups of a batch."""
        return await self._kept.of((batch["id"], batch["status"]), lambda: self.database.read(read, batch))


def read(connection: Connection, batch: Row) -> BatchErrors:
    """The groups of a batch as they are now, the largest first, each with the first of its lines."""
    groups: dict[tuple[str, int | None, str], _Group] = {}
    for reason, status, error, count, first in connection.execute(_GROUPS, {"batch": batch["id"]}):
        said = _said(reason, error)
        group = groups.setdefault((reason, status, normalised(said)), _Group(0, first, said))
        group.count += count
        if first < group.job_id:
            group.job_id, group.said = first, said
    ordered = sorted(groups.items(), key=lambda one: (-one[1].count, one[1].job_id))
    names = _names(connection, [group.job_id for _, group in ordered[:MOST_GROUPS]])
    shown = [_shown(reason, status, group, names) for (reason, status, _), group in ordered[:MOST_GROUPS]]
    if stopped := never_made.count(batch):
        shown.append(_never_made(str(batch["stopped"]), stopped))
    return {
        "object": "batch.errors",
        "batch_id": batch["id"],
        "total": sum(group.count for group in groups.values()) + stopped,
        "data": sorted(shown, key=lambda one: -one["count"]),
        "others": sum(group.count for _, group in ordered[MOST_GROUPS:]),
    }


_REASON = func.coalesce(m.job_results.c.reason, m.jobs.c.status)
_KINDS = (_REASON, m.job_results.c.status_code, m.job_results.c.error)
_GROUPS = (
    select(*_KINDS, func.count(), func.min(m.jobs.c.id))
    .join_from(m.jobs, m.job_results, m.job_results.c.job_id == m.jobs.c.id)
    .where(text("jobs.batch_id = :batch"), text(f"jobs.{OF_BATCHES}"), text(f"jobs.{UNSUCCESSFUL}"))
    .group_by(*_KINDS)
)


def _said(reason: str, error: str | None) -> str:
    message = orjson.loads(error).get("message") if error else None
    return str(message or ENDED_WITHOUT_ANSWER.get(reason, reason))


def _names(connection: Connection, ids: Iterable[str]) -> Mapping[str, Any]:
    statement = select(m.jobs.c.id, m.jobs.c.custom_id, m.jobs.c.model).where(m.jobs.c.id.in_(list(ids)))
    return {row.id: row for row in connection.execute(statement)}


def _shown(reason: str, status: int | None, group: _Group, names: Mapping[str, Any]) -> BatchErrorGroup:
    row = names.get(group.job_id)
    return {
        "reason": reason,
        "status_code": status,
        "message": group.said[:MOST_MESSAGE],
        "count": group.count,
        "example": {
            "job_id": group.job_id,
            "custom_id": row.custom_id if row else None,
            "model": row.model if row else None,
        },
        "retry_may_help": retry_may_help(reason, status),
    }


def _never_made(reason: str, count: int) -> BatchErrorGroup:
    """The lines that the batch's end has stopped before they became jobs."""
    said = ENDED_WITHOUT_ANSWER.get(reason, reason)
    return {
        "reason": reason,
        "status_code": None,
        "message": said,
        "count": count,
        "example": None,
        "retry_may_help": True,
    }
