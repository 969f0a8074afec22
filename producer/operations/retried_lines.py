"""The lines that a retry of a batch repeats: chosen by how they ended, and written as an input file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from shared.batches import json_lines, line_requests, never_made
from shared.batches.plan_lines import unplanned
from shared.batches.states import Row
from shared.db import Database
from shared.db import models as m
from shared.errors import Conflict, InvalidRequest
from shared.files import blobs
from shared.objects.addresses import batch_url

#: Names of lines, and requests and their bytes, in one read transaction.
NAMES, PAGE, PAGE_BYTES = 5000, 500, 8 * 1024 * 1024
#: Reasons that a 400 names.
MOST_TOLD = 50
#: What is retried unless reasons say otherwise; a customer who cancelled wanted no answer.
_USUAL = ("failed", "expired")


@dataclass(frozen=True, slots=True)
class Repeated:
    """A batch that is over, and all batches that have had its lines, in the order in which they were made."""

    row: Row
    family: Sequence[Row]

    @property
    def root(self) -> str:
        return str(self.family[0]["id"])

    @property
    def later(self) -> Iterator[Row]:
        """Those that were made after it; only they may have its lines."""
        return (one for one in self.family if one["created_at"] > self.row["created_at"])


def write(database: Database, repeated: Repeated, reasons: Sequence[str] | None, blob: str) -> tuple[int, str]:
    """Write the lines to be retried as an input file; how many bytes, and their SHA-256. On a thread.

    400 when there are none, or none of a reason; 409 when one has succeeded in another retry.
    """
    written = 0
    with blobs.writer(blob) as file:
        for line in encoded(database, repeated, reasons):
            written += file.write(line)
    return written, file.sha256


def encoded(database: Database, repeated: Repeated, reasons: Sequence[str] | None) -> Iterator[bytes]:
    """The lines to be retried, as those of an input file; refused as `write` says, before the first. On a thread."""
    there = database.read_sync(reasons_of, repeated.row)
    chosen = _chosen(repeated.row["id"], there, reasons)
    names = dict(_names(database, repeated.row["id"], chosen))
    rest = _rest(repeated.row, chosen)
    _check_unanswered(database, repeated, {*names.values(), *rest})
    return map(json_lines.line, _lines(database, repeated.row, list(names), bool(rest)))


def reasons_of(connection: Connection, batch: Row) -> dict[tuple[str, str], int]:
    """How many lines of a batch did not succeed, by status and reason."""
    reason = func.coalesce(m.job_results.c.reason, m.jobs.c.status)
    statement = select(m.jobs.c.status, reason, func.count()).select_from(_ENDED)
    statement = statement.where(m.jobs.c.batch_id == batch["id"], m.jobs.c.status != "succeeded")
    groups = connection.execute(statement.group_by(m.jobs.c.status, reason))
    counted = {(status, word): number for status, word, number in groups}
    if stopped := never_made.count(batch):
        key = (batch["stopped"], batch["stopped"])
        counted[key] = counted.get(key, 0) + stopped
    return counted


def _chosen(id: str, there: Mapping[tuple[str, str], int], reasons: Sequence[str] | None) -> Sequence[tuple[str, str]]:
    """Which statuses and reasons are retried; 400 when that is nothing."""
    if reasons is None:
        chosen = [(status, word) for status, word in there if status in _USUAL]
        if not chosen:
            cancelled = '; to retry cancelled lines, use "reasons": ["cancelled"]' if there else ""
            raise InvalidRequest(f"batch {id} has no failed or expired lines, nothing to retry{cancelled}")
        return chosen
    known = {word for _, word in there}
    if unknown := sorted(set(reasons) - known):
        told = ", ".join(f"{word} ({number})" for (_, word), number in sorted(there.items())[:MOST_TOLD])
        raise InvalidRequest(
            f"no line of batch {id} failed with reason {unknown[0]!r}; existing reasons: {told or 'none'}",
            param="reasons",
        )
    return [(status, word) for status, word in there if word in set(reasons)]


def _names(database: Database, id: str, chosen: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Id and custom_id of the chosen lines that became jobs, in the order of the input."""
    after, wanted = "", set(chosen)
    while page := database.read_sync(_unanswered, id, after):
        yield from ((job, custom_id) for job, custom_id, status, word in page if (status, word) in wanted)
        after = page[-1][0]


def _unanswered(connection: Connection, id: str, after: str) -> Sequence[tuple[str, str, str, str]]:
    reason = func.coalesce(m.job_results.c.reason, m.jobs.c.status)
    lines = select(m.jobs.c.id, m.jobs.c.custom_id, m.jobs.c.status, reason).select_from(_ENDED)
    lines = lines.where(m.jobs.c.batch_id == id, m.jobs.c.status != "succeeded", m.jobs.c.id > after)
    return [tuple(row) for row in connection.execute(lines.order_by(m.jobs.c.id).limit(NAMES))]


def _rest(batch: Row, chosen: Sequence[tuple[str, str]]) -> list[str]:
    """The custom_ids of chosen lines that never became jobs."""
    if not never_made.count(batch) or (batch["stopped"], batch["stopped"]) not in chosen:
        return []
    try:
        rest = [str(unplanned(line.planned).custom_id) for line in never_made.lines(batch)]
    except FileNotFoundError:
        rest = []
    if len(rest) < (missing := never_made.count(batch)):
        raise Conflict(
            f"{missing:,} lines of batch {batch['id']} never started and are no longer stored; "
            "send them again as a new batch, or retry only the lines with other reasons"
        )
    return rest


def _check_unanswered(database: Database, repeated: Repeated, names: set[str]) -> None:
    """409 when one of the lines has succeeded in a later retry."""
    for batch in repeated.later:
        id, after = batch["id"], ""
        while page := database.read_sync(_succeeded, id, after):
            answered = [custom_id for _, custom_id in page if custom_id in names]
            if answered:
                there = f"batch {id} has already retried these lines, and line {answered[0]!r} succeeded in it"
                raise Conflict(f"{there}; {instead(id, database.read_sync(reasons_of, batch))}")
            after = page[-1][0]


def instead(id: str, left: Mapping[tuple[str, str], int]) -> str:
    """What to ask for once lines have succeeded in this later batch; `left`: how many have not, by status and why."""
    request = f"POST {batch_url(id)}/retry"
    if any(status in _USUAL for status, _ in left):
        return f"retry that batch instead: {request}"
    if left:
        return f'to retry the cancelled lines of that batch: {request} with {{"reasons": ["cancelled"]}}'
    return "that batch has no lines left to retry; to retry only other lines, give their reasons"


def _succeeded(connection: Connection, id: str, after: str) -> Sequence[tuple[str, str]]:
    lines = select(m.jobs.c.id, m.jobs.c.custom_id).where(m.jobs.c.batch_id == id, m.jobs.c.id > after)
    lines = lines.where(m.jobs.c.status == "succeeded").order_by(m.jobs.c.id).limit(NAMES)
    return [(job, custom_id) for job, custom_id in connection.execute(lines)]


def _lines(database: Database, batch: Row, ids: Sequence[str], rest: bool) -> Iterator[dict[str, Any]]:
    """The lines of the new file, from the rows of those that became jobs, from the plan of those that did not."""
    while ids:
        rows = database.read_sync(_requests, ids[:PAGE])
        for row in rows:
            asked = line_requests.of_row(row)
            if asked is None:
                raise Conflict(f"the request of line {row['custom_id']!r} of batch {batch['id']} is no longer stored")
            yield {"custom_id": row["custom_id"], **asked}
        ids = ids[len(rows) :]
    for line in never_made.lines(batch) if rest else ():
        found = unplanned(line.planned)
        yield {"custom_id": found.custom_id, **line_requests.of_plan(found)}


def _requests(connection: Connection, ids: Sequence[str]) -> Sequence[Row]:
    """What the first of these jobs asked, in their order, as many as fit into a page's bytes."""
    sizes = select(m.jobs.c.id, line_requests.length_of(m.job_payloads)).select_from(_ASKED)
    total, last = 0, ""
    for id, size in connection.execute(sizes.where(m.jobs.c.id.in_(ids)).order_by(m.jobs.c.id)):
        total += size
        if last and total > PAGE_BYTES:
            break
        last = id
    rows = select(*(m.jobs.c[name] for name in ("id", "custom_id", "type", "dialect", "model", line_requests.OPTIONS)))
    rows = rows.add_columns(*(m.job_payloads.c[name] for name in line_requests.COLUMNS)).select_from(_ASKED)
    fitting = rows.where(m.jobs.c.id.in_(ids), m.jobs.c.id <= last).order_by(m.jobs.c.id)
    return [dict(row) for row in connection.execute(fitting).mappings()]


_ENDED = m.jobs.join(m.job_results, m.job_results.c.job_id == m.jobs.c.id)
_ASKED = m.jobs.outerjoin(m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
