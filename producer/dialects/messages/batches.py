"""The routes of message batches: batches made in Anthropic's form, each of whose requests is a message.

Source: platform.claude.com/docs/en/build-with-claude/batch-processing, …/api/messages/batches. The batch kept is a
native one, whose lines have the url /v1/messages. What is wrong with a request is a 400 for the whole batch.
"""

import asyncio
from functools import partial
from io import BytesIO
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from producer.admission import idempotency
from producer.admission.idempotency import KEEP_BATCH_SECONDS
from producer.admission.run_once import run_once
from producer.context import Context
from producer.dialects.messages import batch_making, batch_results, batch_rows, pages
from producer.dialects.messages.batch_making import MessageBatchRequest
from producer.dialects.messages.batch_objects import DeletedMessageBatch, MessageBatch, end_of
from producer.dialects.messages.document import BETA, VERSION
from producer.dialects.messages.version import check_version
from producer.operations import batches, files
from producer.operations.batch_making import make_once
from producer.operations.batches import BatchSpec
from producer.web.body import MOST_BYTES, large, read_body
from producer.web.request import answer, claim_of, enter, enter_to_submit, replayable, valid
from producer.web.router import Router
from producer.web.rows import Answer, Row, one
from shared.errors import Conflict, Forbidden, IdempotencyMismatch, InsufficientCredits, NotFound
from shared.key_holders import KeyHolder
from shared.money import shortage
from shared.money.shortage import Need

router = Router()

_HEADERS = (VERSION, BETA)
_PARAMS = {
    "model": "claude-3-opus",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Hello, world"}],
}


@router.post(
    "/batches",
    doc=Row(
        "Message batches",
        one("The message batch.", MessageBatch),
        "MessageBatchRequest",
        parameters=(*_HEADERS, "IdempotencyKey"),
        errors=(InsufficientCredits, Forbidden, Conflict, IdempotencyMismatch),
        examples={"A request": {"requests": [{"custom_id": "first", "params": _PARAMS}]}},
    ),
)
async def create_message_batch(request: Request) -> Response:
    """Create a message batch; its requests are checked, and accepted or refused together."""
    check_version(request)
    context, holder = await enter_to_submit(request)
    body = await read_body(request, most_bytes=MOST_BYTES)
    spec: BatchSpec = await context.parsers.run(large(request), partial(_spec, body), holder.account_id)
    claim = await asyncio.to_thread(claim_of, request, holder, body, keep_seconds=KEEP_BATCH_SECONDS)
    if not await context.database.read(idempotency.is_known, claim):
        await _check(context, holder, spec, large(request))
    return replayable(*await make_once(context.database, holder, claim, spec, batch_rows.create))


@router.get(
    "/batches",
    doc=Row(
        "Message batches",
        one("A page of message batches.", pages.Listed[MessageBatch]),
        parameters=(*_HEADERS, *pages.PARAMETERS),
    ),
)
async def list_message_batches(request: Request) -> Response:
    """List message batches, newest first."""
    check_version(request)
    context, holder = await enter(request)
    return answer(await context.database.read(batch_rows.list_all, holder, pages.asked(request)))


@router.get(
    "/batches/{id}",
    doc=Row("Message batches", one("The message batch.", MessageBatch), parameters=_HEADERS, errors=(NotFound,)),
)
async def show_message_batch(request: Request, id: str) -> Response:
    """Get a message batch."""
    check_version(request)
    context, holder = await enter(request)
    return answer(await context.database.read(batch_rows.show, holder, id))


@router.get(
    "/batches/{id}/results",
    doc=Row(
        "Message batches",
        {
            200: Answer(
                "A line for each request, as JSON, in any order: `custom_id`, and as `result` an object of the type "
                "`succeeded` with the `message`, `errored` with the `error`, `canceled` or `expired`.",
                {"application/x-jsonl": {"type": "string", "format": "binary"}},
            )
        },
        parameters=_HEADERS,
        errors=(NotFound,),
    ),
)
async def show_results(request: Request, id: str) -> Response:
    """Get the results of a message batch that has ended."""
    check_version(request)
    context, holder = await enter(request)
    row = await context.database.read(batch_rows.visible, holder, id)
    if end_of(row) is None:
        raise NotFound(f"message batch {id} has no results yet: it has not ended")
    first, rest = await batch_results.stream(context.database, holder, row)
    return StreamingResponse(_whole(first, rest), media_type="application/x-jsonl")


@router.post(
    "/batches/{id}/cancel",
    doc=Row(
        "Message batches",
        one("The message batch.", MessageBatch),
        parameters=(*_HEADERS, "IdempotencyKey"),
        errors=(NotFound, Conflict, IdempotencyMismatch),
    ),
)
async def cancel_message_batch(request: Request, id: str) -> Response:
    """Cancel a message batch; requests that have been answered are in its results, and charged."""
    check_version(request)
    context, holder = await enter(request)
    claim = claim_of(request, holder, {})
    return replayable(*await run_once(context.database, claim, batch_rows.cancel, holder, id))


@router.delete(
    "/batches/{id}",
    doc=Row(
        "Message batches",
        one("The message batch was deleted.", DeletedMessageBatch),
        parameters=_HEADERS,
        errors=(NotFound, Conflict),
    ),
)
async def delete_message_batch(request: Request, id: str) -> Response:
    """Delete a message batch that has ended, with its results."""
    check_version(request)
    context, holder = await enter(request)
    for row in await context.database.write(batch_rows.delete, holder, id):
        await files.erase(context.database, row)
    return answer(batch_rows.deleted(id))


def _spec(body: dict[str, Any]) -> BatchSpec:
    asked: MessageBatchRequest = valid(MessageBatchRequest, body)
    return asked.spec()


async def _check(context: Context, holder: KeyHolder, spec: BatchSpec, size: int) -> None:
    """400 for the first request that is wrong, 402 for more than there is credit for."""
    async with context.quoting.turn(holder.account_id, size):
        source = BytesIO(await asyncio.to_thread(batches.lines_of, spec))
        quoted, need = await asyncio.to_thread(batches.dry_run, spec, holder, source, context.linking.lines(holder))
    if quoted["errors"] is not None:
        raise batch_making.refusal(quoted["errors"]["data"])
    if not holder.test:
        await context.database.read(_check_credit, holder.account_id, need)


def _check_credit(connection: Any, account_id: str, need: Need) -> None:
    need.sliceable = False  # of such a batch nobody can say so
    has = shortage.balance(connection, account_id)
    if need.micros > has.available:
        raise shortage.refusal(need, has)


async def _whole(first: bytes, rest: Any) -> Any:
    yield first
    async for piece in rest:
        yield piece
