"""The native dialect, under /v1 and without it: jobs, webhooks, events, credits, models."""

from typing import Any, cast

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from pydantic import ValidationError

from producer import hooks, idempotency, operations
from producer.desk import Desk, read_body
from producer.idempotency import Claim
from producer.operations import Page
from shared import blobs
from shared.accounts import KeyHolder
from shared.catalogue import catalogue, endpoint
from shared.errors import InvalidRequest, NotFound, PayloadTooLarge
from shared.schemas import JobType, Submission, invalid, read_submission

router = APIRouter()

#: Jobs in one POST.
MOST_JOBS = 1000
#: The longest long poll, in seconds.
MOST_WAIT = 30.0
#: When to ask again for a job that has just been accepted, in seconds.
RETRY_AFTER = "1"
_TYPES: tuple[JobType, ...] = ("chat.completion", "embedding", "image")


@router.post("/jobs", status_code=202)
async def create_jobs(request: Request) -> Response:
    """Accept one job, or up to 1,000 as a list, whole or not at all."""
    desk, holder = await _enter(request)
    body = await read_body(request)
    listed = "jobs" in body
    submissions = _listed(body) if listed else [_submission(body, "")]
    claim = _claim(request, holder, body)
    accepted = await desk.door.submit(holder, submissions, listed=listed, claim=claim)
    answer = Response(accepted.response, accepted.status_code, media_type="application/json")
    answer.headers["Retry-After"] = RETRY_AFTER
    if accepted.replayed:
        answer.headers["Idempotent-Replayed"] = "true"
    if not listed:
        job_id = orjson.loads(accepted.response)["id"]
        answer.headers["Location"] = f"/v1/jobs/{job_id}"
        answer.headers["FusionAI-Job-Id"] = job_id
    return answer


@router.get("/jobs")
async def list_jobs(request: Request) -> Response:
    """The account's jobs, newest first."""
    desk, holder = await _enter(request)
    page, rest = _page(request, "status", "ids")
    ids = [id for id in rest.get("ids", "").split(",") if id]
    if len(ids) > 100:
        raise InvalidRequest("ids: at most 100 at once", param="ids")
    if ids and "limit" not in request.query_params:
        page.limit = 100
    return _json(
        await desk.database.read(operations.list_jobs, holder.account_id, page, status=rest.get("status"), ids=ids)
    )


@router.get("/jobs/{job_id}")
async def show_job(request: Request, job_id: str) -> Response:
    """One job; with `?wait=` it answers when the job has ended, or after that many seconds."""
    desk, holder = await _enter(request)
    seconds = _wait(request)
    job = await desk.database.read(operations.show_job, holder.account_id, job_id)
    if seconds and job["finished_at"] is None:
        await desk.await_end(job_id, holder.account_id, seconds)
        job = await desk.database.read(operations.show_job, holder.account_id, job_id)
    return _json(job, {"FusionAI-Job-Id": job_id})


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(request: Request, job_id: str) -> Response:
    """Cancel: a queued job at once, a running one as soon as its worker hears."""
    desk, holder = await _enter(request)
    return _json(await desk.cancel(holder.account_id, job_id), {"FusionAI-Job-Id": job_id})


@router.get("/events")
async def list_events(request: Request) -> Response:
    """Events in order, after the one given."""
    desk, holder = await _enter(request)
    page, _ = _page(request)
    return _json(await desk.database.read(operations.list_events, holder.account_id, page))


@router.post("/events/{event_id}/redeliver")
async def redeliver_event(request: Request, event_id: str) -> Response:
    """Send an event again."""
    desk, holder = await _enter(request)
    event, deliveries = await desk.database.write(operations.redeliver_event, holder.account_id, event_id)
    desk.deliver(deliveries)
    return _json(event)


@router.get("/credits")
async def show_credits(request: Request) -> Response:
    """The balance."""
    desk, holder = await _enter(request)
    return _json(await desk.database.read(operations.show_credits, holder.account_id))


@router.get("/credits/transfers")
async def list_transfers(request: Request) -> Response:
    """Every movement of credit, newest first."""
    desk, holder = await _enter(request)
    page, _ = _page(request)
    return _json(await desk.database.read(operations.list_transfers, holder.account_id, page))


@router.put("/credits/thresholds")
async def set_thresholds(request: Request) -> Response:
    """Replace the thresholds at which `credit.threshold` is sent."""
    desk, holder = await _enter(request)
    wanted = _valid(operations.ThresholdSpecs, await read_body(request))
    return _json(await desk.database.write(operations.set_thresholds, holder.account_id, wanted))


@router.post("/webhooks")
async def create_webhook(request: Request) -> Response:
    """Register a webhook; the only answer that shows its secret."""
    desk, holder = await _enter(request)
    body = await read_body(request)
    wanted = _valid(hooks.WebhookSpec, body)
    claim = _claim(request, holder, body)
    answer, replayed = await desk.once(claim, hooks.create, holder.account_id, wanted)
    return Response(answer, media_type="application/json", headers={"Idempotent-Replayed": "true"} if replayed else {})


@router.get("/webhooks")
async def list_webhooks(request: Request) -> Response:
    """The account's webhooks."""
    desk, holder = await _enter(request)
    page, _ = _page(request)
    return _json(await desk.database.read(hooks.list_all, holder.account_id, page))


@router.get("/webhooks/{id}")
async def show_webhook(request: Request, id: str) -> Response:
    """One webhook."""
    desk, holder = await _enter(request)
    return _json(await desk.database.read(hooks.show, holder.account_id, id))


@router.delete("/webhooks/{id}")
async def remove_webhook(request: Request, id: str) -> Response:
    """Send nothing more to it."""
    desk, holder = await _enter(request)
    return _json(await desk.database.write(hooks.remove, holder.account_id, id))


@router.post("/webhooks/{id}/rotate")
async def rotate_webhook(request: Request, id: str) -> Response:
    """A new secret, the old one signing beside it for a day."""
    desk, holder = await _enter(request)
    claim = _claim(request, holder, {})
    answer, replayed = await desk.once(claim, hooks.rotate, holder.account_id, id)
    return Response(answer, media_type="application/json", headers={"Idempotent-Replayed": "true"} if replayed else {})


@router.post("/webhooks/{id}/test")
async def test_webhook(request: Request, id: str) -> Response:
    """Send a `webhook.test` event to it."""
    desk, holder = await _enter(request)
    webhook, deliveries = await desk.database.write(hooks.test, holder.account_id, id)
    desk.deliver(deliveries)
    return _json(webhook)


@router.get("/webhooks/{id}/deliveries")
async def list_deliveries(request: Request, id: str) -> Response:
    """What was sent to it, and what came back."""
    desk, holder = await _enter(request)
    page, _ = _page(request)
    return _json(await desk.database.read(hooks.list_deliveries, holder.account_id, id, page))


@router.get("/models")
async def list_models(request: Request) -> Response:
    """What can be asked for, with provider, purpose and price."""
    _, holder = await _enter(request)
    offered = [_model(id) for id in catalogue().models if holder.test or _served(id)]
    return _json({"object": "list", "data": offered, "first_id": None, "last_id": None, "has_more": False})


@router.get("/models/{id:path}")
async def show_model(request: Request, id: str) -> Response:
    """One of them."""
    await _enter(request)
    if id not in catalogue().models:
        raise NotFound(f"there is no model {id[:100]!r}")
    return _json(_model(id))


@router.get("/pictures/{name}")
async def show_picture(request: Request, name: str) -> Response:
    """A picture that a job made, by its signed link; no key."""
    expires, signature = (request.query_params.get(part, "") for part in ("expires", "signature"))
    whole = expires.isascii() and expires.isdigit() and len(expires) < 16
    path = blobs.image_path(name) if whole and blobs.holds(name, int(expires), signature) else None
    if path is None:
        raise NotFound("there is no such picture, or the link has expired")
    return FileResponse(path, media_type=blobs.MEDIA_TYPES[path.suffix[1:]])


async def _enter(request: Request) -> tuple[Desk, KeyHolder]:
    """The desk, and whose key the request carries; no database takes a NUL character, so none gets that far."""
    desk = cast(Desk, request.app.state.desk)
    holder = await desk.keys.holder(request.headers)
    if "\x00" in request.scope["path"]:
        raise NotFound("there is nothing with a NUL character in its name")
    if b"%00" in request.scope["query_string"]:
        raise InvalidRequest("a query parameter has a NUL character")
    return desk, holder


def _claim(request: Request, holder: KeyHolder, body: Any) -> Claim | None:
    key = request.headers.get(idempotency.HEADER)
    path = request.url.path.removeprefix("/v1")
    return idempotency.claim(holder.account_id, key, request.method, path, body)


def _listed(body: dict[str, Any]) -> list[Submission]:
    rows = body["jobs"]
    if set(body) != {"jobs"}:
        extra = min(set(body) - {"jobs"})[:100]
        raise InvalidRequest(f"{extra}: unknown field beside jobs", param=extra)
    if not isinstance(rows, list) or not rows:
        raise InvalidRequest("jobs must be a list of at least one job", param="jobs")
    if len(rows) > MOST_JOBS:
        raise PayloadTooLarge(f"jobs: at most {MOST_JOBS} in one request, {len(rows)} were sent", param="jobs")
    return [_submission(row, f"jobs[{index}].") for index, row in enumerate(rows)]


def _submission(row: Any, at: str) -> Submission:
    if not isinstance(row, dict):
        raise InvalidRequest(f"{at.rstrip('.') or 'the body'} must be an object", param=at.rstrip(".") or None)
    type = row.get("type")
    if type not in _TYPES:
        known = ", ".join(_TYPES)
        raise InvalidRequest(f"{at}type must be one of {known}", param=f"{at}type")
    return read_submission(type, {name: value for name, value in row.items() if name != "type"}, at=at)


def _page(request: Request, *others: str) -> tuple[Page, dict[str, str]]:
    """The page asked for, and the other parameters; unknown ones are a 400."""
    given: dict[str, Any] = dict(request.query_params)
    rest = {name: given.pop(name) for name in others if name in given}
    if "limit" in given:
        if not (given["limit"].isascii() and given["limit"].isdigit()):
            raise InvalidRequest("limit must be a whole number from 1 to 100", param="limit")
        given["limit"] = int(given["limit"][:10])
    return cast(Page, _valid(Page, given)), rest


def _wait(request: Request) -> float:
    text = request.query_params.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise InvalidRequest("wait must be a number of seconds from 0 to 30", param="wait")
    return min(seconds, MOST_WAIT)


def _valid(shape: type[Any], body: Any) -> Any:
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        raise invalid(error) from None


def _served(id: str) -> bool:
    return endpoint(catalogue().providers[catalogue().models[id].provider]) is not None


def _model(id: str) -> dict[str, Any]:
    model = catalogue().models[id]
    price: dict[str, Any] = {"unit": "micro-credits per million tokens"}
    if model.images:
        price = {"unit": "micro-credits per image", "images": dict(model.images)}
    else:
        price.update(input=model.input, output=model.output)
    return {
        "id": id,
        "object": "model",
        "created": 1_761_955_200,
        "owned_by": model.provider,
        "provider": model.provider,
        "type": model.type,
        "purpose": model.purpose,
        "max_output_tokens": model.max_output or None,
        "price": {**price, "version": catalogue().version},
    }


def _json(value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), media_type="application/json", headers=headers)
