"""One job: its request and answer, its timeline, its cost, and the deliveries of its events."""

import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.responses import Response

from producer.console import code_samples, exchange, timeline
from producer.console.api import ApiError, Call
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared import clock
from shared.errors import NotFound
from shared.files.images import MEDIA_TYPES, UNKNOWN, kind_of

router = PageRouter()

#: The paths of the API under which a job's request may be sent again as a job.
_NATIVE: Final = ("/v1/chat/completions", "/v1/embeddings", "/v1/images/generations", "/v1/images")
_ACTIVE: Final = ("queued", "running")


@router.get("/console/jobs/{job_id}")
async def show(visit: Visit, job_id: str) -> Response:
    """The job's page."""
    call = Call("GET", f"/v1/jobs/{job_id}")
    job = (await visit.api.send(call)).data
    return await _shown(visit, job, call)


@router.get("/console/jobs/{job_id}/pictures/{number}")
async def show_picture(visit: Visit, job_id: str, number: str) -> Response:
    """A picture that the job made; a file that is none is not shown."""
    job = await visit.api.get(f"/v1/jobs/{job_id}")
    found = exchange.pictures(job["result"] or {})
    known = number.isascii() and number.isdigit() and len(number) < 9 and int(number) < len(found)
    url = found[int(number)] if known else ""
    content = exchange.decoded(url) if url.startswith("data:") else await _linked(visit, url)
    if content is None:
        raise NotFound("There is no such picture, or its link has expired.")
    return Response(content[0], media_type=content[1], headers={"Cache-Control": "private, max-age=3600"})


@router.post("/console/jobs/{job_id}/cancel")
async def cancel(visit: Visit, job_id: str) -> Response:
    """Cancel the job."""
    call = Call("POST", f"/v1/jobs/{job_id}/cancel")
    ended = (await visit.api.get(f"/v1/jobs/{job_id}"))["status"]
    if ended in _ACTIVE:
        ended = (await visit.change(call, changed=_is_cancelled)).data["status"]
    said = {"cancelled": "The job is cancelled.", "running": "The job ends as soon as its worker hears of it."}
    return visit.see(f"/console/jobs/{job_id}", said.get(ended, f"The job had ended already: {ended}."))


def _is_cancelled(job: Mapping[str, Any]) -> bool:
    """Whether a cancel has ended a job, or will: what has ended before is as it was."""
    return job["status"] in ("cancelled", "running")


@router.post("/console/jobs/{job_id}/again")
async def run_again(visit: Visit, job_id: str) -> Response:
    """Submit a new job of the same request."""
    given = await visit.api.get(f"/v1/jobs/{job_id}/input")
    if given["url"] not in _NATIVE:
        return visit.see(
            f"/console/jobs/{job_id}", f"This job's request is one of {given['url']}: send it there again."
        )
    try:
        made = await visit.change(_again(given, visit.once))
    except ApiError as error:
        call = Call("GET", f"/v1/jobs/{job_id}")
        return await _shown(visit, (await visit.api.send(call)).data, call, error)
    return visit.see(f"/console/jobs/{made.data['id']}", "This is a new job of the same request.")


async def _shown(visit: Visit, job: dict[str, Any], call: Call, error: ApiError | None = None) -> Response:
    id, now = job["id"], clock.now_seconds()
    given = await visit.api.get(f"/v1/jobs/{id}/input")
    deliveries = (await visit.api.get(f"/v1/jobs/{id}/deliveries"))["data"]
    lines = timeline.spans(job, now)
    repeatable = given["url"] in _NATIVE
    base = visit.base_url
    return visit.show(
        "job.html",
        status=error.status if error else 200,
        here="jobs",
        job=job,
        given=given,
        asked=exchange.asked(job["type"], given["body"]) if repeatable else [],
        settings=exchange.settings_of(given["body"]),
        body=exchange.document(given["body"]),
        answered=exchange.answered(job["type"], job["result"], f"/console/jobs/{id}/pictures/")
        if job["result"]
        else [],
        result=exchange.document(job["result"]) if job["result"] else None,
        lines=lines,
        whole=timeline.whole(lines),
        deliveries=deliveries,
        active=job["status"] in _ACTIVE,
        paused=job["status"] == "queued" and await _is_paused(visit, job["model"]),
        repeatable=repeatable,
        call=call,
        buttons=_buttons(job, given),
        once=secrets.token_urlsafe(16),
        samples=[("Python", code_samples.python(job["type"], given["body"], base))] if repeatable else [],
        error=error,
    )


async def _is_paused(visit: Visit, model: str) -> bool:
    """Whether operators have paused the provider of a model; False: it is not sold any longer."""
    try:
        found = await visit.api.get(f"/v1/models/{quote(model, safe='/')}")
    except ApiError:
        return False
    return bool(found["health"]["status"] == "paused")


def _again(given: dict[str, Any], headers: Mapping[str, str] = {}) -> Call:
    return Call("POST", "/v1/jobs", body={"type": given["type"], **given["body"]}, headers=headers)


def _buttons(job: dict[str, Any], given: dict[str, Any]) -> list[tuple[str, Call]]:
    """What the page's buttons send."""
    found = [("Cancel", Call("POST", f"/v1/jobs/{job['id']}/cancel"))] if job["status"] in _ACTIVE else []
    return [*found, ("Run again", _again(given))] if given["url"] in _NATIVE else found


async def _linked(visit: Visit, url: str) -> tuple[bytes, str] | None:
    """The picture behind a link of this server; None: it is gone, or no picture."""
    try:
        parts = urlsplit(url)
    except ValueError:  # of a provider's own making
        return None
    if not parts.path.startswith("/v1/pictures/"):
        return None
    try:
        answer = await visit.api.send(Call("GET", parts.path, dict(parse_qsl(parts.query))))
    except ApiError:
        return None
    kind = kind_of(answer.content)
    return None if kind == UNKNOWN else (answer.content, MEDIA_TYPES[kind])
