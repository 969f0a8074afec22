"""Routes of jobs, and of the images that they make."""

import asyncio
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.dialects.fusionai.docs import HELLO, MAKES_JOBS
from producer.operations import files, job_quotes
from producer.operations import jobs as jobs_ops
from producer.web.body import MOST_BYTES, large, read_body
from producer.web.call_rows import ACCEPTED
from producer.web.request import answer, claim_of, enter, enter_to_submit, replayable, wait_of
from producer.web.router import Router
from producer.web.rows import JSON, Answer, Row, binary, one, query
from producer.web.token_limit import take_tokens
from shared.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge
from shared.files import images
from shared.files.images import MEDIA_TYPES
from shared.network import receivers
from shared.objects.addresses import job_url
from shared.submissions.job_types import JOB_TYPES
from shared.submissions.schemas import Submission, read_submission
from shared.submissions.sizes import MOST_JOBS

router = Router()

#: When to ask again for a job that has just been accepted, in seconds.
RETRY_AFTER = "1"
#: A provider made the bytes: no browser is to take them for anything but a picture, and no proxy is to keep them.
_PICTURE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=3600",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


@router.post(
    "/jobs",
    doc=Row(
        "Jobs",
        {
            202: Answer("The job, or a list of the jobs.", {JSON: objects.Job | objects.Jobs}, ACCEPTED),
            200: Answer("For a dry run: what it would cost.", {JSON: objects.JobsDryRun}),
        },
        "JobRequest",
        errors=MAKES_JOBS,
        once=True,
        examples={
            "One job": {"type": "embedding", "model": "text-embedding-3-large", "input": "hello", "dimensions": 4},
            "A list": {
                "jobs": [
                    {"type": "chat.completion", "model": "gpt-4", "messages": HELLO, "max_tokens": 50},
                    {"type": "image", "model": "image-gen-2", "prompt": "a lighthouse", "metadata": {"order": "1815"}},
                ]
            },
            "What it would cost": {
                "type": "embedding",
                "model": "text-embedding-3-large",
                "input": "a",
                "dry_run": True,
            },
        },
    ),
)
async def create_jobs(request: Request) -> Response:
    """Create a job, or up to 1,000 jobs at once (all of them or none). With `dry_run` nothing is created."""
    context, holder = await enter_to_submit(request)
    body = await read_body(request, most_bytes=MOST_BYTES)
    listed, size, ignores, dry = "jobs" in body, large(request), holder.ignores_unknown, _dry_run(body)
    read = partial(_listed, body, ignores) if listed else partial(_submissions, body, ignores)
    submissions = await context.parsers.run(size, read, holder.account_id)
    if dry:
        return answer(await job_quotes.quote(context.placer, holder, submissions, listed=listed))
    claim = await context.parsers.run(size, partial(claim_of, request, holder, body), holder.account_id)
    await take_tokens(request, context, holder, submissions)
    accepted = await context.placer.submit(holder, submissions, listed=listed, claim=claim)
    response = Response(accepted.response, accepted.status_code, media_type="application/json")
    response.headers["Retry-After"] = RETRY_AFTER
    if accepted.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    if not listed:
        job_id = orjson.loads(accepted.response)["id"]
        response.headers["Location"] = job_url(job_id)
        response.headers["FusionAI-Job-Id"] = job_id
    return response


@router.get(
    "/jobs/{job_id}",
    doc=Row(
        "Jobs",
        one("The job.", objects.Job, "FusionAI-Job-Id"),
        parameters=(
            query(
                "wait",
                {"type": "number", "minimum": 0, "maximum": 3600, "default": 0},
                "Respond when the job has finished, or after this many seconds. Limited by the server's maximum wait "
                "(600 seconds by default).",
            ),
            "X-Stainless-Read-Timeout",
            "X-Stainless-Timeout",
        ),
        errors=(NotFound,),
    ),
)
async def show_job(request: Request, job_id: str) -> Response:
    """Get a job; with `?wait=`, respond when it has finished or after that many seconds."""
    context, holder = await enter(request)
    seconds = wait_of(request)
    job = await context.database.read(jobs_ops.show_job, holder, job_id)
    if seconds and job["finished_at"] is None:
        try:
            await context.placer.await_end(job_id, holder, seconds)
        except asyncio.CancelledError:  # by a server that stops: the job as it stood
            return answer(job, {"FusionAI-Job-Id": job_id})
        job = await context.database.read(jobs_ops.show_job, holder, job_id)
    return answer(job, {"FusionAI-Job-Id": job_id})


@router.get("/jobs/{job_id}/input", doc=Row("Jobs", one("What it asked.", objects.JobInput), errors=(NotFound,)))
async def show_job_input(request: Request, job_id: str) -> Response:
    """Get what a job asked, as it can be sent again, and the key that it was sent with."""
    context, holder = await enter(request)
    return answer(await context.database.read(jobs_ops.show_input, holder, job_id))


@router.post(
    "/jobs/{job_id}/cancel",
    doc=Row(
        "Jobs",
        one("The job. A running job ends as soon as its worker is notified.", objects.Job, "FusionAI-Job-Id"),
        errors=(NotFound, Conflict),
        once=True,
    ),
)
async def cancel_job(request: Request, job_id: str) -> Response:
    """Cancel a job: a queued job at once, a running job as soon as its worker is notified."""
    context, holder = await enter(request)
    response = replayable(
        *await jobs_ops.cancel(
            context.database, context.bell, context.notifier, claim_of(request, holder, {}), holder, job_id
        )
    )
    response.headers["FusionAI-Job-Id"] = job_id
    return response


@router.get(
    "/pictures/{name}",
    doc=Row(
        "Images",
        {200: Answer("The image.", binary(*MEDIA_TYPES.values()))},
        parameters=(
            query("expires", {"type": "string"}, "Part of the signed link."),
            query("signature", {"type": "string"}, "Part of the signed link."),
        ),
        errors=(NotFound,),
        keyless=True,
    ),
)
async def show_picture(request: Request, name: str) -> Response:
    """Get an image made by a job, through its signed link (no API key)."""
    expires, signature = (request.query_params.get(part, "") for part in ("expires", "signature"))
    whole = expires.isascii() and expires.isdigit() and len(expires) < 16
    signed = whole and images.holds(name, int(expires), signature)
    content = await files.stored(images.read, name) if signed else None
    if content is None:
        raise NotFound("image not found, or the link has expired")
    kind = images.kind_of(content)
    saved = {"Content-Disposition": "attachment"} if kind == images.UNKNOWN else {}
    return Response(content, headers=_PICTURE_HEADERS | saved, media_type=images.MEDIA_TYPES[kind])


def _dry_run(body: dict[str, Any]) -> bool:
    """Take `dry_run` out of a body."""
    dry = body.pop("dry_run", None)
    if dry not in (None, True, False):
        raise InvalidRequest("dry_run must be true or false", param="dry_run")
    return bool(dry)


def _listed(body: dict[str, Any], ignore_unknown: bool) -> list[Submission]:
    rows = body["jobs"]
    if set(body) != {"jobs"}:
        extra = min(set(body) - {"jobs"})[:100]
        raise InvalidRequest(f"{extra}: unknown field (no other field is allowed with jobs)", param=extra)
    if not isinstance(rows, list) or not rows:
        raise InvalidRequest("jobs must be a list with at least one job", param="jobs")
    if len(rows) > MOST_JOBS:
        raise PayloadTooLarge(
            f"jobs: at most {MOST_JOBS} jobs are allowed in one request, got {len(rows)}", param="jobs"
        )
    return [_submission(row, f"jobs[{index}].", ignore_unknown) for index, row in enumerate(rows)]


def _submissions(body: dict[str, Any], ignore_unknown: bool) -> list[Submission]:
    return [_submission(body, "", ignore_unknown)]


def _submission(row: Any, at: str, ignore_unknown: bool) -> Submission:
    if not isinstance(row, dict):
        raise InvalidRequest(
            f"{at.rstrip('.') or 'the request body'} must be a JSON object", param=at.rstrip(".") or None
        )
    type = row.get("type")
    if type not in JOB_TYPES:
        known = ", ".join(JOB_TYPES)
        raise InvalidRequest(f"{at}type must be one of {known}", param=f"{at}type")
    request = {name: value for name, value in row.items() if name != "type"}
    return read_submission(type, request, at=at, ignore_unknown=ignore_unknown, callback=receivers.callback)
