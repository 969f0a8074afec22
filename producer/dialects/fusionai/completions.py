"""Chat completions, embeddings and images as calls that wait for their job. A client that goes away loses nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from producer import streaming
from producer.desk import Desk, Placed, read_body
from producer.dialects.fusionai.request import claim_of, enter_to_submit
from producer.routing import Router
from shared.accounts import KeyHolder
from shared.db import is_away
from shared.errors import FusionError, Timeout, Unavailable
from shared.schemas import JobType, Submission, read_submission

router = Router()

#: How long a call waits for its job, in seconds; a client's own limit is 30.
WAIT_SECONDS = 28.0


@router.post("/chat/completions")
async def create_chat_completion(request: Request) -> Response:
    """A chat completion."""
    return await _serve(request, "chat.completion")


@router.post("/embeddings")
async def create_embedding(request: Request) -> Response:
    """Embeddings of one text or many."""
    return await _serve(request, "embedding")


@router.post("/images")
@router.post("/images/generations")
async def create_image(request: Request) -> Response:
    """Pictures."""
    return await _serve(request, "image")


@dataclass(frozen=True, slots=True)
class Preference:
    """RFC 7240's `Prefer`, as far as it is served: `respond-async`, alone or with `wait`."""

    respond_async: bool = False
    wait_seconds: float = WAIT_SECONDS


def preference(request: Request) -> Preference:
    """What the caller prefers; what is not known is ignored, as the RFC says."""
    wanted: dict[str, str] = {}
    for text in ",".join(request.headers.getlist("prefer")).replace(";", ",").split(","):
        name, _, value = text.strip().partition("=")
        wanted.setdefault(name.strip().lower(), value.strip().strip('"'))
    if "respond-async" not in wanted:
        return Preference()
    wait = wanted.get("wait", "0")
    seconds = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else 0.0
    return Preference(True, min(seconds, WAIT_SECONDS))


async def _serve(request: Request, type: JobType) -> Response:
    desk, holder = await enter_to_submit(request)
    body = await read_body(request)
    submission = read_submission(type, body)
    wanted = preference(request)
    within = None if wanted.respond_async else WAIT_SECONDS
    placed = await desk.place(holder, submission, claim_of(request, holder, body), within=within)
    if placed.accepted.replayed:  # whatever the answer: a failure is replayed as well
        request.scope["fusionai_headers"].append((b"idempotent-replayed", b"true"))
    try:
        with _told_of(placed.job_id, request):
            if submission.request.get("stream") and not wanted.respond_async:
                return await _streamed(desk, holder, placed, submission)
            return await _answered(desk, placed, wanted)
    finally:
        desk.leave(placed)


@contextmanager
def _told_of(job_id: str, request: Request) -> Iterator[None]:
    """Once a job is accepted, whatever goes wrong names it, so that no client sends the request again by itself."""
    try:
        yield
    except asyncio.CancelledError:  # by a server that stops
        raise _late(job_id) from None
    except FusionError:
        raise
    except Exception as error:
        if is_away(error):
            away = Unavailable(f"the database does not answer; job {job_id} goes on")
            away.job_id = job_id
            raise away from None
        told = [(b"fusionai-job-id", job_id.encode()), (b"x-should-retry", b"false")]
        request.scope["fusionai_headers"].extend(told)
        raise


async def _streamed(desk: Desk, holder: KeyHolder, placed: Placed, submission: Submission) -> Response:
    """The answer as it comes; `streaming.respond` says what may come instead."""
    options = submission.request.get("stream_options") or {}
    return await streaming.respond(
        desk,
        placed.job_id,
        holder,
        include_usage=bool(options.get("include_usage")),
    )


async def _answered(desk: Desk, placed: Placed, wanted: Preference) -> Response:
    """The job's own answer or error; when it takes longer than is waited for, the job itself or a 504 that names it."""
    outcome = await desk.outcome(placed, wanted.wait_seconds) if wanted.wait_seconds else None
    headers = {"FusionAI-Job-Id": placed.job_id}
    if outcome is not None and outcome.response is not None:
        return Response(outcome.response, media_type="application/json", headers=headers)
    if outcome is not None and outcome.over:
        raise outcome.refusal()
    if wanted.respond_async:
        headers |= {"Location": f"/v1/jobs/{placed.job_id}", "Retry-After": "1"}
        headers["Preference-Applied"] = "respond-async"
        return Response(placed.accepted.response, 202, headers, "application/json")
    raise _late(placed.job_id)


def _late(job_id: str) -> Timeout:
    """A 504 that names the job."""
    late = Timeout(f"job {job_id} is not done yet and goes on; ask for it at /v1/jobs/{job_id}")
    late.job_id = job_id
    return late
