"""Retries of batches: a new batch of the lines that did not succeed, made once.

A line belongs to the batch that was first, by its custom_id, through any number of retries of retries. Of these but one
is unfinished at a time, and none takes a line that has succeeded in another: whoever comes second is told which.
"""

import asyncio
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, cast

from pydantic import Field
from sqlalchemy import Connection, insert, select

from producer.admission import idempotency
from producer.admission.idempotency import Claim
from producer.admission.run_once import run_once
from producer.objects import Batch, Quoted
from producer.operations import batches, files, retried_lines
from producer.operations.batches import BatchSpec
from producer.operations.retried_lines import Repeated
from shared import clock
from shared.batches import states
from shared.batches.linked_lines import LinkedLines
from shared.batches.states import Row
from shared.db import Database, retention_periods
from shared.db import models as m
from shared.db.models.batches import unread
from shared.errors import Conflict, InvalidRequest
from shared.key_holders import KeyHolder
from shared.money.shortage import Need
from shared.network import receivers
from shared.network.urls import URL_LIMIT
from shared.objects.batches import BATCH_OVER, shown_status
from shared.strict_json import dumps
from shared.submissions.schemas import Shape, read_labels

#: How long the writing of the lines may take, in seconds.
WRITE_SECONDS = 300.0
#: Bytes of them that a dry run keeps in memory; more go to the disk.
SPOOL_BYTES = 4 * 1024 * 1024


class RetrySpec(Shape):
    """The body of POST /batches/{id}/retry. All fields are optional."""

    #: Only the lines that failed so: `reason` of GET /batches/{id}/progress, or `expired`, or `cancelled`.
    reasons: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(
        default=None, min_length=1, max_length=100
    )
    #: That of the earlier batch unless you say.
    completion_window: str | None = None
    metadata: Any = None
    #: That of the earlier batch unless you say.
    callback_url: str | None = Field(default=None, max_length=URL_LIMIT)
    #: Create nothing; respond with what the retry would cost.
    dry_run: bool = False

    def check(self) -> None:
        """What the shape alone does not say; 400 with the parameter."""
        read_labels(self.metadata)
        receivers.callback(self.callback_url)
        if self.completion_window is not None:
            batches.hours_of(self.completion_window)


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
            written = await files.stored_within(
                WRITE_SECONDS, retried_lines.write, database, repeated, spec.reasons, file["blob"]
            )
            answer, replayed = await run_once(database, claim, create, holder, spec, repeated, file["id"], written)
        except Exception:
            await files.drop(database, file)
            raise
        if replayed:
            await files.drop(database, file)
        return answer, replayed


async def quote(
    database: Database, writing: asyncio.Semaphore, holder: KeyHolder, id: str, spec: RetrySpec, link: LinkedLines
) -> tuple[Quoted, Need]:
    """What the dry run of a batch says of the lines that would be retried, at current prices; nothing is made."""
    async with writing:
        repeated = await database.read(repeatable, holder, id)
        return await asyncio.to_thread(_quoted, database, holder, repeated, spec, link)


def _quoted(
    database: Database, holder: KeyHolder, repeated: Repeated, spec: RetrySpec, link: LinkedLines
) -> tuple[Quoted, Need]:
    file = SpooledTemporaryFile(SPOOL_BYTES)
    try:
        for line in retried_lines.encoded(database, repeated, spec.reasons):
            file.write(line)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    asked = BatchSpec(endpoint=repeated.row["endpoint"])
    return batches.dry_run(asked, holder, cast(BinaryIO, file), link)


def repeatable(connection: Connection, holder: KeyHolder, id: str) -> Repeated:
    """A batch that can be retried: 404 for none, 409 while it, or another retry of its lines, is unfinished."""
    row = batches.visible(connection, holder, id)
    if row["status"] not in BATCH_OVER:
        raise Conflict(f"batch {id} is {shown_status(row)}; only a finished batch can be retried")
    if not row["total"]:
        raise InvalidRequest(f"batch {id} ended before any of its lines started, nothing to retry; create a new batch")
    repeated = Repeated(row, states.family(connection, row))
    _check_kept(repeated)
    if repeated.family[-1]["status"] not in BATCH_OVER:
        raise _repeats_already(repeated.family[-1])
    return repeated


def _check_kept(repeated: Repeated) -> None:
    if any(_ended_at(one) < retention_periods.jobs_until() for one in repeated.family):
        raise Conflict(f"the lines of batch {repeated.row['id']} are no longer stored; send them again as a new batch")


def _ended_at(row: Row) -> int:
    return int(row.get(f"{row['status']}_at") or clock.now_micros())


def create(
    connection: Connection,
    holder: KeyHolder,
    spec: RetrySpec,
    repeated: Repeated,
    file_id: str,
    written: tuple[int, str],
) -> Batch:
    """The batch that repeats the file's lines, unless another has been made of them meanwhile, which is a 409.

    `written`: how many bytes the file has, and their SHA-256.
    """
    connection.execute(select(m.batches.c.id).where(m.batches.c.id == repeated.root).with_for_update())
    family = states.family(connection, repeated.row)
    if len(family) != len(repeated.family):
        raise _repeats_already(family[-1])
    _check_kept(repeated)  # retention may have taken them while the file was written
    files.finish(connection, file_id, *written)
    before, window = repeated.row, spec.completion_window or repeated.row["completion_window"]
    labels = read_labels(spec.metadata)
    callback_url = spec.callback_url or before["callback_url"]
    # Later than every other, whatever this machine's clock says: their order is that of these times.
    created_at = max(clock.now_micros(), family[-1]["created_at"] + 1)
    row = {
        "id": clock.new_id("batch"),
        "account_id": holder.account_id,
        "key_id": holder.key_id,
        "test": holder.test,
        "status": unread(before["hold"], limited=batches.is_limited(holder)),
        "hold": before["hold"],
        "input_file_id": file_id,
        "completion_window": window,
        "labels": before["labels"] if labels is None else dumps(labels) if labels else None,
        "retry_of": before["id"],
        "retry_root": repeated.root,
        "callback_url": callback_url,
        "callback_owed": callback_url is not None,
        "created_at": created_at,
        "expires_at": created_at + batches.hours_of(window) * 3600 * clock.MICROS,
        **{name: before[name] for name in ("endpoint", "notify_each", "priority", "output_expires_seconds")},
    }
    connection.execute(insert(m.batches), [row])
    return batches.show(connection, holder, row["id"])


def _repeats_already(other: Row) -> Conflict:
    return Conflict(f"batch {other['id']} already retries lines of this batch; its status is {shown_status(other)}")


class _ForgottenError(Exception):
    """The first answer to a request has been forgotten since it was looked for."""


def _forgotten(connection: Connection) -> Batch:
    raise _ForgottenError
