"""A new batch of the lines of an earlier one that did not succeed: chosen, written as an input file, and bought once.

A line belongs to the batch that was first, by its custom_id, through any number of retries of retries. Of these but one
is unfinished at a time, and none takes a line that has succeeded in another: whoever comes second is told which.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Connection, func, insert, select

from producer.admission import idempotency
from producer.admission.idempotency import Claim
from producer.admission.run_once import run_once
from producer.operations import batches, files
from shared import clock
from shared.accounts import KeyHolder
from shared.batches import json_lines, line_requests, never_made
from shared.batches import transitions as shared_batches
from shared.batches.lines import unplanned
from shared.batches.transitions import TERMINAL, Row
from shared.db import Database, keeping
from shared.db import models as m
from shared.errors import Conflict, InvalidRequest
from shared.files import blobs
from shared.strict_json import dumps
from shared.submissions.schemas import Shape, read_labels

#: Names of lines, and requests and their bytes, in one read transaction.
NAMES, PAGE, PAGE_BYTES = 5000, 500, 8 * 1024 * 1024
#: How long the writing of the lines may take, in seconds.
WRITE_SECONDS = 300.0
#: Reasons that a 400 names.
MOST_TOLD = 50
#: What is retried unless reasons say otherwise; a customer who cancelled wanted no answer.
_USUAL = ("failed", "expired")


class RetrySpec(Shape):
    """The body of POST /batches/{id}/retry. All fields are optional."""

    #: Only the lines that failed so: `reason` of GET /batches/{id}/progress, or `expired`, or `cancelled`.
    reasons: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(
        default=None, min_length=1, max_length=100
    )
    #: That of the earlier batch unless you say.
    completion_window: str | None = None
    metadata: Any = None

    def check(self) -> None:
        """What the shape alone does not say; 400 with the parameter."""
        read_labels(self.metadata)
        if self.completion_window is not None:
            batches.hours_of(self.completion_window)


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


async def retry(
    database: Database, writing: asyncio.Semaphore, holder: KeyHolder, claim: Claim | None, id: str, spec: RetrySpec
) -> tuple[str, bool]:
    """The new batch as JSON, and whether an earlier request of the claim made it. `writing`: turns at that."""
    if await database.read(idempotency.is_known, claim):
        try:
            return await run_once(database, claim, _forgotten)
        except _ForgottenError:
            pass  # it is made as if it had never been asked for
    async with writing:
        repeated = await database.read(repeatable, holder, id)
        unless_done_by = clock.now_micros() + files.UPLOAD_MICROS
        named: dict[str, Any] = {"filename": f"{id}_retry.jsonl", "purpose": files.PURPOSE}
        file = await database.write(files.begin, holder, **named, expires_at=unless_done_by)
        try:
            bytes = await files.stored_within(WRITE_SECONDS, write, database, repeated, spec.reasons, file["blob"])
            answer, replayed = await run_once(database, claim, create, holder, spec, repeated, file["id"], bytes)
        except Exception:
            await files.drop(database, file)
            raise
        if replayed:
            await files.drop(database, file)
        return answer, replayed


def repeatable(connection: Connection, holder: KeyHolder, id: str) -> Repeated:
    """A batch that can be retried: 404 for none, 409 while it, or another retry of its lines, is unfinished."""
    row = batches.visible(connection, holder, id)
    if row["status"] not in TERMINAL:
        raise Conflict(f"batch {id} is {row['status']}; only a finished batch can be retried")
    if not row["total"]:
        raise InvalidRequest(f"batch {id} ended before any of its lines started, nothing to retry; create a new batch")
    repeated = Repeated(row, shared_batches.family(connection, row))
    _check_kept(repeated)
    if repeated.family[-1]["status"] not in TERMINAL:
        raise _repeats_already(repeated.family[-1])
    return repeated


def _check_kept(repeated: Repeated) -> None:
    if any(_ended_at(one) < keeping.jobs_until() for one in repeated.family):
        raise Conflict(f"the lines of batch {repeated.row['id']} are no longer stored; send them again as a new batch")


def _ended_at(row: Row) -> int:
    return int(row.get(f"{row['status']}_at") or clock.now_micros())


def write(database: Database, repeated: Repeated, reasons: Sequence[str] | None, blob: str) -> int:
    """Write the lines to be retried as an input file; how many bytes. On a thread.

    400 when there are none, or none of a reason; 409 when one has succeeded in another retry.
    """
    there = database.read_sync(reasons_of, repeated.row)
    chosen = _chosen(repeated.row["id"], there, reasons)
    names = dict(_names(database, repeated.row["id"], chosen))
    rest = _rest(repeated.row, chosen)
    _check_unanswered(database, repeated, {*names.values(), *rest})
    written = 0
    with blobs.writer(blob) as file:
        for line in _lines(database, repeated.row, list(names), bool(rest)):
            written += file.write(json_lines.line(line))
    return written


def create(
    connection: Connection, holder: KeyHolder, spec: RetrySpec, repeated: Repeated, file_id: str, bytes: int
) -> dict[str, Any]:
    """The batch that repeats the file's lines, unless another has been made of them meanwhile, which is a 409."""
    connection.execute(select(m.batches.c.id).where(m.batches.c.id == repeated.root).with_for_update())
    family = shared_batches.family(connection, repeated.row)
    if len(family) != len(repeated.family):
        raise _repeats_already(family[-1])
    _check_kept(repeated)  # retention may have taken them while the file was written
    files.finish(connection, file_id, bytes)
    before, window = repeated.row, spec.completion_window or repeated.row["completion_window"]
    labels = read_labels(spec.metadata)
    # Later than every other, whatever this machine's clock says: their order is that of these times.
    created_at = max(clock.now_micros(), family[-1]["created_at"] + 1)
    row = {
        "id": clock.new_id("batch"),
        "account_id": holder.account_id,
        "key_id": holder.key_id,
        "test": holder.test,
        "status": "validating",
        "input_file_id": file_id,
        "completion_window": window,
        "labels": before["labels"] if labels is None else dumps(labels) if labels else None,
        "retry_of": before["id"],
        "retry_root": repeated.root,
        "created_at": created_at,
        "expires_at": created_at + batches.hours_of(window) * 3600 * clock.MICROS,
        **{name: before[name] for name in ("endpoint", "notify_each", "priority", "output_expires_seconds")},
    }
    connection.execute(insert(m.batches), [row])
    return batches.show(connection, holder, row["id"])


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
    request = f"POST /v1/batches/{id}/retry"
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
    sizes = select(m.jobs.c.id, func.coalesce(func.length(m.job_payloads.c.request), 0)).select_from(_ASKED)
    total, last = 0, ""
    for id, size in connection.execute(sizes.where(m.jobs.c.id.in_(ids)).order_by(m.jobs.c.id)):
        total += size
        if last and total > PAGE_BYTES:
            break
        last = id
    rows = select(*(m.jobs.c[name] for name in ("id", "custom_id", "type", "model")))
    rows = rows.add_columns(*(m.job_payloads.c[name] for name in ("request", "labels", "routing"))).select_from(_ASKED)
    fitting = rows.where(m.jobs.c.id.in_(ids), m.jobs.c.id <= last).order_by(m.jobs.c.id)
    return [dict(row) for row in connection.execute(fitting).mappings()]


_ENDED = m.jobs.join(m.job_results, m.job_results.c.job_id == m.jobs.c.id)
_ASKED = m.jobs.outerjoin(m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)


def _repeats_already(other: Row) -> Conflict:
    return Conflict(f"batch {other['id']} already retries lines of this batch; its status is {other['status']}")


class _ForgottenError(Exception):
    """The first answer to a request has been forgotten since it was looked for."""


def _forgotten(connection: Connection) -> dict[str, Any]:
    raise _ForgottenError
