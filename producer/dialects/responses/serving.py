"""Answers about one response: made and waited for, in the background, streamed."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from producer.context import Context
from producer.dialects.responses import lookup, reading
from producer.dialects.responses.framing import ResponseEvents
from producer.operations import stream
from producer.web import calls
from producer.web.body import MOST_BYTES, read_body
from producer.web.calls import JobCall
from producer.web.request import answer, enter_to_submit, limits_of
from producer.web.token_limit import take_tokens
from shared import logs
from shared.dialects.responses import making, objects
from shared.errors import FusionError, RequestRefused
from shared.key_holders import KeyHolder

T = TypeVar("T")
log = logging.getLogger(__name__)


async def create(request: Request) -> Response:
    """The answer to a POST: the response, its events, or with `background` the response as it was accepted."""
    context, holder = await enter_to_submit(request)
    body = await read_body(request, most_bytes=MOST_BYTES)
    async with context.stored_requests.permit(holder.account_id):
        read = await reading.reader(request, context, holder, body)
        call = await calls.read_call(request, context, holder, body, read)
    try:
        return await (_background(call) if body.get("background") else _waited(call))
    except RequestRefused as error:
        raise read.renamed(error) from None


async def _waited(call: JobCall) -> Response:
    """Its caller waits, or reads its events."""
    request, context, holder = call.request, call.context, call.holder
    async with calls.placed_call(call) as placed:
        if call.streams:
            return await events(request, context, holder, placed.job_id, waits=placed.left_seconds)
        made = await calls.answered(call, placed)
        if made.status_code == 200:
            made.body = orjson.dumps(await _whole(context, holder, placed.job_id))
            made.headers["content-length"] = str(len(made.body))
        return made


async def shown(
    context: Context, holder: KeyHolder, find: Callable[..., Any], id: str, make: Callable[[Mapping[str, Any]], T]
) -> T:
    """What is made of a response's row, as `find` reads it by the id: `lookup.stored`, `lookup.existing`.

    Of a large one on a thread, and in its account's turn; a few of an account are in memory at a time.
    """
    async with context.stored_requests.permit(holder.account_id):
        row = await context.database.read(find, holder, id)
        return await context.parsers.run(lookup.size_of(row), partial(make, row), holder.account_id)


async def _background(call: JobCall) -> Response:
    """Accepted, and not waited for."""
    context, holder = call.context, call.holder
    await take_tokens(call.request, context, holder, [call.submission])
    accepted = await context.placer.submit(holder, [call.submission], listed=False, claim=call.claim)
    if accepted.replayed:
        call.request.scope["fusionai_headers"].append((b"idempotent-replayed", b"true"))
    job_id = str(orjson.loads(accepted.response)["id"])
    with calls.named_in_errors(job_id, call.request):
        if call.streams:
            return await events(call.request, context, holder, job_id)
        return answer(await _whole(context, holder, job_id), {"FusionAI-Job-Id": job_id})


async def events(
    request: Request,
    context: Context,
    holder: KeyHolder,
    job_id: str,
    *,
    starting_after: int = -1,
    waits: float | None = None,
) -> Response:
    """The events of a response, from the first or after the one of that number.

    `waits`: for so long its caller waits for an answer, of a call that would have an error as its status; None: of one
    in the background, of which everything that comes of it is in the events.
    """
    begun, seals = await shown(context, holder, lookup.existing, job_id, _beginning)
    framing = ResponseEvents(begun, starting_after=starting_after, seals=seals)
    try:
        made = await stream.respond(
            context.streams,
            job_id,
            holder,
            include_usage=False,
            limits=limits_of(request, waits=waits),
            ids=False,
            framing=framing,
        )
    except FusionError:
        over = await _whole(context, holder, job_id)
        if waits is not None or over["status"] in ("queued", "in_progress"):
            raise
        whole = framing.head() + framing.last(over)
        return Response(whole, media_type=framing.media_type, headers={"FusionAI-Job-Id": job_id})
    assert isinstance(made, StreamingResponse)
    made.body_iterator = _ended(made.body_iterator, framing, context, holder, job_id)
    return made


def _beginning(row: Mapping[str, Any]) -> tuple[objects.Response, bool]:
    """The response before its answer, and whether its reasoning is sealed."""
    return making.begun(row), lookup.seals(row)


async def _ended(
    frames: Any, framing: ResponseEvents, context: Context, holder: KeyHolder, job_id: str
) -> AsyncIterator[bytes]:
    """A stream's frames, and the last event, which has what the rows say."""
    async for frame in frames:
        if frame:
            yield frame
    try:
        whole = await _whole(context, holder, job_id)
    except Exception as error:
        log.warning("reading job %s for the end of its stream failed: %s", job_id, logs.kind(error))
        yield framing.lost()
    else:
        yield framing.last(whole)


async def _whole(context: Context, holder: KeyHolder, job_id: str) -> objects.Response:
    """The response as the rows have it now."""
    return await shown(context, holder, lookup.existing, job_id, making.response)
