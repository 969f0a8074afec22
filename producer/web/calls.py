"""A call that waits for its job, in any dialect; a client that goes away loses nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from producer.admission.cached_answers import cache_use
from producer.admission.idempotency import Claim
from producer.context import Context
from producer.operations import stream
from producer.operations.placing import Placed
from producer.web.body import MOST_BYTES, large, read_body
from producer.web.dialect import dialect_of
from producer.web.patience import Patience
from producer.web.request import claim_of, enter_to_submit, limits_of, patience_of
from producer.web.token_limit import take_tokens
from shared.answers import thinking
from shared.db import is_away
from shared.dialects.translated import Translated, as_sent
from shared.errors import FusionError, InvalidRequest, RequestRefused, Timeout, Unavailable
from shared.key_holders import KeyHolder
from shared.network import receivers
from shared.objects.addresses import job_url
from shared.objects.amounts import credits_decimal
from shared.settings import settings
from shared.submissions.job_types import JobType
from shared.submissions.schemas import Submission, read_submission

Translate: TypeAlias = Callable[[dict[str, Any]], dict[str, Any] | Translated]

#: A request header: `true` gives the events of a chat completion's stream their ids, as those of a job's have them.
IDS_HEADER = "FusionAI-Stream-Ids"
#: Of an unstreamed answer: what the call cost, in credits, as an exact decimal.
COST_HEADER = "FusionAI-Credits-Used"


def untranslated(body: dict[str, Any]) -> dict[str, Any]:
    """For a dialect whose requests are the native ones."""
    return body


def of_named_model(body: dict[str, Any]) -> dict[str, Any]:
    """The same, for a dialect in which a model, or how to select one, must be named."""
    model = body.get("model")
    if not isinstance(model, str | dict) or not model:
        raise InvalidRequest("model is required and must be a string, or an object that selects one", param="model")
    return body


async def serve(
    request: Request, type: JobType, *, translate: Translate = untranslated, calls_back: bool = False
) -> Response:
    """The answer to a POST that makes one job of this type, in the request's dialect: whole, streamed, or its job.

    `translate`: makes the body of the native request from the one that was sent; on a thread where that is large.
    `calls_back`: the native body may name a `callback_url`.
    """
    context, holder = await enter_to_submit(request)
    body = await read_body(request, most_bytes=MOST_BYTES)
    places: dict[str, str] = {}
    with _named_as_sent(places):
        read = partial(_read, type, translate, body, places, calls_back)
        call = await read_call(request, context, holder, body, read)
        async with placed_call(call) as placed:
            if call.streams:
                return await _streamed(context, holder, placed, call.submission, request)
            return await answered(call, placed)


@dataclass(frozen=True, slots=True)
class JobCall:
    """A request that makes one job, as it was read."""

    request: Request
    context: Context
    holder: KeyHolder
    submission: Submission
    claim: Claim | None
    patience: Patience

    @property
    def streams(self) -> bool:
        """Its answer is to come as a stream."""
        return bool(self.submission.request.get("stream")) and not self.patience.respond_async


async def read_call(
    request: Request, context: Context, holder: KeyHolder, body: dict[str, Any], read: Callable[[bool], Submission]
) -> JobCall:
    """A request whose body is there. `read`: makes the submission, told whether unknown fields are ignored."""
    size, account = large(request), holder.account_id
    submission = await context.parsers.run(size, partial(read, holder.ignores_unknown), account)
    claim = await context.parsers.run(size, partial(claim_of, request, holder, body), account)
    return JobCall(request, context, holder, submission, claim, patience_of(request))


@asynccontextmanager
async def placed_call(call: JobCall) -> AsyncIterator[Placed]:
    """A call's job while its caller is answered; whatever goes wrong then names the job."""
    context, patience = call.context, call.patience
    most = settings().wait_seconds
    waits = patience.for_first_event(most) if call.streams else patience.for_answer(most)
    insists, headers = not patience.respond_async, call.request.headers
    cache = cache_use(headers.getlist("cache-control")) if dialect_of(call.request).caches else None
    await take_tokens(call.request, context, call.holder, [call.submission])
    placed = await context.placer.place(
        call.holder, call.submission, call.claim, waits=waits, insists=insists, cache=cache
    )
    if placed.accepted.replayed:  # whatever the answer: a failure is replayed as well
        call.request.scope["fusionai_headers"].append((b"idempotent-replayed", b"true"))
    try:
        with named_in_errors(placed.job_id, call.request):
            yield placed
    finally:
        context.placer.release(placed)


@contextmanager
def named_in_errors(job_id: str, request: Request) -> Iterator[None]:
    """Once a job is accepted, whatever goes wrong names it, so that no client sends the request again by itself."""
    try:
        yield
    except asyncio.CancelledError:  # by a server that stops, and that has waited for longer than it should
        raise _late(job_id, "the server is shutting down") from None
    except FusionError:
        raise
    except Exception as error:
        if is_away(error):
            away = Unavailable(f"the database is unavailable; job {job_id} continues")
            away.job_id = job_id
            raise away from None
        headers = [(b"fusionai-job-id", job_id.encode()), (b"x-should-retry", b"false")]
        request.scope["fusionai_headers"].extend(headers)
        raise


async def _streamed(
    context: Context, holder: KeyHolder, placed: Placed, submission: Submission, request: Request
) -> Response:
    """The answer as it comes; `stream.respond` says what may come instead."""
    options = submission.request.get("stream_options") or {}
    return await stream.respond(
        context.streams,
        placed.job_id,
        holder,
        include_usage=bool(options.get("include_usage")),
        limits=limits_of(request, waits=placed.left_seconds),
        ids=request.headers.get(IDS_HEADER, "").strip().lower() == "true",
        framing=dialect_of(request).framing(),
    )


async def answered(call: JobCall, placed: Placed) -> Response:
    """The job's own answer or error; when it takes longer than is waited for, the job itself or a 504 that names it."""
    context, patience, type = call.context, call.patience, call.submission.type
    outcome = await context.placer.wait(placed) if placed.left_seconds or not patience.respond_async else None
    headers = {"FusionAI-Job-Id": placed.job_id}
    if outcome is not None and outcome.response is not None:
        headers[COST_HEADER] = credits_decimal(outcome.charged_micros or 0)
        return Response(_dressed(call, outcome.response), media_type="application/json", headers=headers)
    if outcome is not None and outcome.over:
        raise outcome.refusal()
    if patience.respond_async:
        headers |= {"Location": job_url(placed.job_id), "Retry-After": "1"}
        headers["Preference-Applied"] = "respond-async"
        return Response(placed.accepted.response, 202, headers, "application/json")
    if context.stopped:
        raise _late(placed.job_id, "the server is shutting down")
    raise _late(placed.job_id, streams=type == "chat.completion")


def _dressed(call: JobCall, result: str) -> str:
    """A job's result as its caller gets it."""
    dialect = dialect_of(call.request)
    if call.submission.options.include_thinking:
        result = thinking.dressed(result, keeps=dialect.keeps_thoughts)
    return dialect.dress(call.submission.type, result)


def _late(job_id: str, why: str = "", *, streams: bool = False) -> Timeout:
    """A 504 that names the job, and says what to do. `streams`: instead of waiting, it could have been streamed."""
    said = f"job {job_id} has not finished yet and continues; get it at {job_url(job_id)}"
    said += ", or use stream: true" if streams else ""
    late = Timeout(f"{why}: {said}" if why else said)
    late.job_id = job_id
    return late


@contextmanager
def _named_as_sent(places: Mapping[str, str]) -> Iterator[None]:
    """A refusal names what is wrong by its place in the body that was sent."""
    try:
        yield
    except RequestRefused as error:
        raise as_sent(error, places) from None


def _read(
    type: JobType,
    translate: Translate,
    body: dict[str, Any],
    places: dict[str, str],
    calls_back: bool,
    ignore_unknown: bool,
) -> Submission:
    """`places` gets those of the translation."""
    made = translate(body)
    if isinstance(made, Translated):
        places.update(made.places)
        return read_submission(type, made.body, ignore_unknown=ignore_unknown, unsent=made.unsent)
    return read_submission(
        type, made, ignore_unknown=ignore_unknown, callback=receivers.callback if calls_back else None
    )
