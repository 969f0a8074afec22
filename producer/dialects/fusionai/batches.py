"""Batches: OpenAI's, and also inline `requests`, mixed endpoints, other windows and `dry_run`."""

import asyncio
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO

from starlette.requests import Request
from starlette.responses import Response

from producer.admission import idempotency
from producer.admission.idempotency import KEEP_BATCH_SECONDS
from producer.context import MOST_BYTES, Desk, large, read_body
from producer.operations import batch_progress, batch_retries, batches, files
from producer.operations.batch_retries import RetrySpec
from producer.operations.batches import BatchSpec
from producer.web.request import answer, claim_of, enter, enter_to_submit, has_body, page_of, said_once, valid
from producer.web.router import Router
from shared import clock
from shared.accounts import KeyHolder
from shared.errors import StorageAway
from shared.files import blobs

router = Router()


@router.post("/batches")
async def create_batch(request: Request) -> Response:
    """Create a batch. Its lines are validated afterwards; problems are reported in its `errors`."""
    desk, holder = await enter_to_submit(request)
    body = await read_body(request, most_bytes=MOST_BYTES)
    spec: BatchSpec = await desk.apart(large(request), partial(valid, BatchSpec, body), holder.account_id)
    spec.check()
    if spec.dry_run:
        return answer(await _quoted(desk, holder, spec, large(request)))
    claim = await asyncio.to_thread(claim_of, request, holder, body, keep_seconds=KEEP_BATCH_SECONDS)
    fresh = spec.requests and not await desk.database.read(idempotency.is_known, claim)
    inline = await _written(desk, holder, spec) if fresh else {}
    try:
        made = await desk.once(claim, batches.create, holder, spec, inline)
    except batches.UnwrittenError:  # the earlier answer has just been forgotten
        made = await desk.once(claim, batches.create, holder, spec, await _written(desk, holder, spec))
    return said_once(*made)


@router.get("/batches")
async def list_batches(request: Request) -> Response:
    """List batches, newest first."""
    desk, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await desk.database.read(batches.list_all, holder, page))


@router.get("/batches/{id}")
async def show_batch(request: Request, id: str) -> Response:
    """Get a batch."""
    desk, holder = await enter(request)
    return answer(await desk.database.read(batches.show, holder, id))


@router.get("/batches/{id}/progress")
async def show_progress(request: Request, id: str) -> Response:
    """Get the progress of a batch: counts by provider, and reasons of failed lines."""
    desk, holder = await enter(request)
    row = await desk.database.read(batches.visible, holder, id)
    return answer(batch_progress.view(row, await desk.progress.of(row)))


@router.post("/batches/{id}/retry")
async def retry_batch(request: Request, id: str) -> Response:
    """Create a batch from the failed and expired lines of a finished batch; its output has the results of both."""
    desk, holder = await enter_to_submit(request)
    body = await read_body(request) if has_body(request) else {}
    spec: RetrySpec = valid(RetrySpec, body)
    spec.check()
    claim = claim_of(request, holder, body, keep_seconds=KEEP_BATCH_SECONDS)
    return said_once(*await batch_retries.retry(desk, holder, claim, id, spec))


@router.post("/batches/{id}/cancel")
async def cancel_batch(request: Request, id: str) -> Response:
    """Cancel a batch; lines that have finished are returned and charged."""
    desk, holder = await enter(request)
    return said_once(*await desk.once(claim_of(request, holder, {}), batches.cancel, holder, id))


async def _size(desk: Desk, holder: KeyHolder, spec: BatchSpec, asked: int) -> int:
    """How many bytes the lines of a batch have; `asked`: those of the request, in which they may be."""
    if spec.input_file_id is None:
        return asked
    return int((await desk.database.read(files.visible, holder, spec.input_file_id))["bytes"])


async def _quoted(desk: Desk, holder: KeyHolder, spec: BatchSpec, asked: int) -> dict[str, Any]:
    async with desk.quoting.turn(holder.account_id, await _size(desk, holder, spec, asked)):
        source = await _source(desk, holder, spec)
        quoted, need = await asyncio.to_thread(batches.dry_run, spec, holder, source)
    if holder.test:  # it holds nothing, and a live balance is not its to see
        return {**quoted, "credits_available": None, "shortage": None}
    return {**quoted, **await desk.database.read(batches.afforded, holder.account_id, need)}


async def _source(desk: Desk, holder: KeyHolder, spec: BatchSpec) -> BinaryIO:
    """The lines of a batch, to be read."""
    if spec.input_file_id is None:
        return BytesIO(await asyncio.to_thread(batches.lines_of, spec))
    blob = await desk.database.read(batches.input_blob, holder, spec.input_file_id)
    try:
        return await files.stored(blobs.reader, blob)
    except FileNotFoundError:  # its row says that it is there
        raise StorageAway from None


async def _written(desk: Desk, holder: KeyHolder, spec: BatchSpec) -> dict[str, Any]:
    """Inline requests as an input file like any other, not yet visible."""
    lines = await asyncio.to_thread(batches.lines_of, spec)
    wanted: dict[str, Any] = {"filename": "requests.jsonl", "purpose": files.PURPOSE}
    unless_done_by = clock.now_micros() + files.UPLOAD_MICROS
    row = await desk.database.write(files.begin, holder, **wanted, expires_at=unless_done_by, bytes=len(lines))
    try:
        seconds = files.STORAGE_SECONDS + len(lines) / files.LEAST_BYTES_A_SECOND
        await files.stored_within(seconds, _write, row["blob"], lines)
    except Exception:
        await files.drop(desk, row)
        raise
    return {"id": row["id"], "bytes": len(lines)}


def _write(blob: str, content: bytes) -> None:
    with blobs.writer(blob) as file:
        file.write(content)
