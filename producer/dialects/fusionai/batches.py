"""Routes of batches: OpenAI's, and also inline `requests`, mixed endpoints, other windows and `dry_run`."""

import asyncio
from functools import partial
from io import BytesIO
from typing import BinaryIO, cast, get_args

from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.admission.idempotency import KEEP_BATCH_SECONDS
from producer.admission.run_once import run_once
from producer.context import Context
from producer.objects import Afforded, DryRun, Quoted
from producer.operations import batch_results, batch_retries, batches, files, job_filters
from producer.operations.batch_making import make_once
from producer.operations.batch_retries import RetrySpec
from producer.operations.batches import BatchSpec
from producer.web.body import MOST_BYTES, large, read_body
from producer.web.request import answer, claim_of, enter, enter_to_submit, has_body, page_of, replayable, valid
from producer.web.router import Router
from producer.web.rows import PAGE, Row, one, query
from shared.errors import Conflict, Forbidden, InvalidRequest, NotFound, StorageAway
from shared.files import blobs
from shared.key_holders import KeyHolder
from shared.money.shortage import Need
from shared.objects.batches import BatchStatus, ended_lines

router = Router()

#: Bytes that a line is taken to have, before it is written.
LINE_BYTES = 1000
_LINE = {
    "custom_id": "line-1",
    "method": "POST",
    "url": "/v1/embeddings",
    "body": {"model": "text-embedding-3-large", "input": "Search this knowledge base"},
}


@router.post(
    "/batches",
    doc=Row(
        "Batches",
        one("The batch or, for a dry run, its maximum cost.", objects.Batch | objects.DryRun),
        "BatchSpec",
        errors=(NotFound, Forbidden),
        once=True,
        examples={
            "Inline": {"requests": [_LINE], "completion_window": "24h", "metadata": {"run": "nightly"}},
            "Maximum cost (dry run)": {"requests": [_LINE], "dry_run": True},
        },
    ),
)
async def create_batch(request: Request) -> Response:
    """Create a batch. Its lines are validated afterwards; problems are reported in its `errors`."""
    context, holder = await enter_to_submit(request)
    body = await read_body(request, most_bytes=MOST_BYTES)
    spec: BatchSpec = await context.parsers.run(large(request), partial(valid, BatchSpec, body), holder.account_id)
    spec.check()
    if spec.dry_run:
        return answer(await _quoted(context, holder, spec, large(request)))
    claim = await asyncio.to_thread(claim_of, request, holder, body, keep_seconds=KEEP_BATCH_SECONDS)
    return replayable(*await make_once(context.database, holder, claim, spec))


@router.get(
    "/batches",
    doc=Row(
        "Batches",
        one("A page of batches.", objects.List[objects.Batch]),
        parameters=(
            *PAGE,
            query("status", {"type": "string", "enum": list(get_args(BatchStatus))}, "Only batches with this status."),
            query(
                "metadata.NAME",
                {"type": "string"},
                "Only batches whose metadata has this value under this name: `metadata.run=nightly`; may be repeated. "
                "A page may then have fewer than `limit` though `has_more` is true: go on with `after=last_id`.",
            ),
        ),
    ),
)
async def list_batches(request: Request) -> Response:
    """List batches, newest first."""
    context, holder = await enter(request)
    names = [name for name in request.query_params if name.startswith(job_filters.LABEL)]
    page, rest = page_of(request, "status", *names)
    status, labels = rest.get("status"), job_filters.read_labels(rest)
    return answer(await context.database.read(batches.list_all, holder, page, status=status, labels=labels))


@router.get("/batches/{id}", doc=Row("Batches", one("The batch.", objects.Batch), errors=(NotFound,)))
async def show_batch(request: Request, id: str) -> Response:
    """Get a batch."""
    context, holder = await enter(request)
    return answer(await context.database.read(batches.show, holder, id))


@router.get(
    "/batches/{id}/progress",
    doc=Row(
        "Batches",
        one("The progress of the batch, at most one second old.", objects.BatchProgress),
        errors=(NotFound,),
    ),
)
async def show_progress(request: Request, id: str) -> Response:
    """Get the progress of a batch: counts by provider, and reasons of failed lines."""
    context, holder = await enter(request)
    row = await context.database.read(batches.visible, holder, id)
    counts = await context.progress.of(row)
    return answer(objects.progress_object(row, counts.providers, counts.reasons))


@router.get(
    "/batches/{id}/errors",
    doc=Row(
        "Batches",
        one("The errors of the batch so far, grouped by reason.", objects.BatchErrors),
        errors=(NotFound,),
    ),
)
async def show_errors(request: Request, id: str) -> Response:
    """Get the errors of a batch: lines that did not succeed, grouped by reason and message, while it runs as well."""
    context, holder = await enter(request)
    row = await context.database.read(batches.visible, holder, id)
    return answer(await context.errors.of(row))


@router.get(
    "/batches/{id}/results",
    doc=Row(
        "Batches",
        one(
            "A page of lines, each as in the output or the error file (there with its `request` as well), in the order "
            "in which they ended. Lines that never became jobs are in the error file alone.",
            objects.List[objects.BatchResult],
        ),
        parameters=("limit", "after"),
        errors=(NotFound,),
    ),
)
async def list_results(request: Request, id: str) -> Response:
    """List the lines of a batch that have ended, while it runs as well: to go on, ask for what is after `last_id`."""
    context, holder = await enter(request)
    page, _ = page_of(request)
    if "order" in request.query_params:
        raise InvalidRequest("order: lines come in the order in which they ended", param="order")
    return answer(await context.database.read(batch_results.list_results, holder, id, page))


@router.post(
    "/batches/{id}/retry",
    doc=Row(
        "Batches",
        one(
            "The new batch or, for a dry run, its maximum cost. Credits are held for its own lines, at current prices. "
            "Its input file contains the lines "
            "that are retried. Its output file contains their results together with those of the original batch (and "
            "of earlier retries), in the order of the original input file; its error file contains the lines that "
            "still failed. Its `request_counts` and its statement cover its own lines only. A 409 names the batch "
            "that already retries these lines.",
            objects.Batch | objects.DryRun,
        ),
        "RetrySpec",
        errors=(NotFound, Conflict, Forbidden),
        once=True,
        optional=True,
        examples={
            "All failed lines": {},
            "Only some failure reasons": {"reasons": ["invalid_request"], "completion_window": "48h"},
            "Maximum cost (dry run)": {"dry_run": True},
        },
    ),
)
async def retry_batch(request: Request, id: str) -> Response:
    """Create a batch from the failed and expired lines of a finished batch; its output has the results of both."""
    context, holder = await enter_to_submit(request)
    body = await read_body(request) if has_body(request) else {}
    spec: RetrySpec = valid(RetrySpec, body)
    spec.check()
    if spec.dry_run:
        return answer(await _retry_quoted(context, holder, id, spec))
    claim = claim_of(request, holder, body, keep_seconds=KEEP_BATCH_SECONDS)
    return replayable(*await batch_retries.retry(context.database, context.retrying, holder, claim, id, spec))


@router.post(
    "/batches/{id}/cancel",
    doc=Row("Batches", one("The batch.", objects.Batch), errors=(NotFound, Conflict), once=True),
)
async def cancel_batch(request: Request, id: str) -> Response:
    """Cancel a batch; lines that have finished are returned and charged."""
    context, holder = await enter(request)
    return replayable(*await run_once(context.database, claim_of(request, holder, {}), batches.cancel, holder, id))


async def _size(context: Context, holder: KeyHolder, spec: BatchSpec, asked: int) -> int:
    """How many bytes the lines of a batch have; `asked`: those of the request, in which they may be."""
    if spec.input_file_id is None:
        return asked
    return int((await context.database.read(files.visible, holder, spec.input_file_id))["bytes"])


async def _quoted(context: Context, holder: KeyHolder, spec: BatchSpec, asked: int) -> DryRun:
    async with context.quoting.turn(holder.account_id, await _size(context, holder, spec, asked)):
        source = await _source(context, holder, spec)
        quoted, need = await asyncio.to_thread(batches.dry_run, spec, holder, source, context.linking.lines(holder))
    return await _with_credit(context, holder, quoted, need)


async def _retry_quoted(context: Context, holder: KeyHolder, id: str, spec: RetrySpec) -> DryRun:
    row = await context.database.read(batches.visible, holder, id)
    size = (ended_lines(row) - int(row["succeeded"])) * LINE_BYTES
    async with context.quoting.turn(holder.account_id, size):
        link = context.linking.lines(holder)
        quoted, need = await batch_retries.quote(context.database, context.retrying, holder, id, spec, link)
    return await _with_credit(context, holder, quoted, need)


async def _with_credit(context: Context, holder: KeyHolder, quoted: Quoted, need: Need) -> DryRun:
    """A dry run with what it says of the account's credit."""
    if holder.test:  # it holds nothing, and a live balance is not its to see
        afforded: Afforded = {"credits_available": None, "shortage": None}
    else:
        afforded = await context.database.read(batches.afforded, holder, need)
    return cast(DryRun, dict(quoted) | dict(afforded))


async def _source(context: Context, holder: KeyHolder, spec: BatchSpec) -> BinaryIO:
    """The lines of a batch, to be read."""
    if spec.input_file_id is None:
        return BytesIO(await asyncio.to_thread(batches.lines_of, spec))
    blob = await context.database.read(batches.input_blob, holder, spec.input_file_id)
    try:
        return await files.stored(blobs.reader, blob)
    except FileNotFoundError:  # its row says that it is there
        raise StorageAway from None
