"""The list of batches, and a batch: how far it is, why lines failed, its lines, its files, cancelling it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from producer.console import labels, progress
from producer.console.api import ApiError, Call
from producer.console.pages import batch_retry
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared import clock
from shared.objects.batches import BATCH_OVER
from shared.submissions.job_types import URLS

router = PageRouter()
router.include(batch_retry.router)

#: Batches of a page, and lines.
_BATCHES, _LINES = 25, 25
#: Endpoints whose lines are shown with the beginning of their answer; of others answers are large, and no text.
_TEXTS = ("/v1/chat/completions", "/v1/responses")
#: What the lists may be narrowed to, by status, with its name.
STATUSES = (
    ("", "All"),
    ("validating", "Validating"),
    ("in_progress", "In progress"),
    ("finalizing", "Finalizing"),
    ("completed", "Completed"),
    ("failed", "Failed"),
    ("expired", "Expired"),
    ("cancelling", "Cancelling"),
    ("cancelled", "Cancelled"),
)
_NOTHING: Final[dict[str, Any]] = {"data": [], "has_more": False, "last_id": None}
LINE_STATUSES = (
    ("", "All"),
    ("queued", "Queued"),
    ("running", "Running"),
    ("succeeded", "Succeeded"),
    ("failed", "Failed"),
    ("cancelled", "Cancelled"),
    ("expired", "Expired"),
)


@router.get("/console/batches")
async def show_list(visit: Visit) -> Response:
    """A page of the list, as the URL says."""
    query = {name: visit.query[name] for name in ("status", "after") if visit.query.get(name)}
    label, error, page = visit.query.get("metadata", "").strip(), None, _NOTHING
    call = Call("GET", "/v1/batches", {"limit": str(_BATCHES), **query})
    try:
        call = Call(call.method, call.path, {**call.query, **labels.asked(label)})
        page = (await visit.api.send(call)).data
    except ApiError as refused:
        error = refused
    now = clock.now_seconds()
    rows = [(batch, progress.of(batch, now)) for batch in page["data"]]
    return visit.show(
        "batches.html",
        status=error.status if error else 200,
        error=error,
        here="batches",
        label=label,
        rows=rows,
        call=call,
        statuses=STATUSES,
        active=any(one.active for _, one in rows),
        next=visit.url(after=page["last_id"]) if page["has_more"] else "",
        first=visit.url(after=None) if query.get("after") else "",
    )


@router.get("/console/batches/{id}")
async def show(visit: Visit, id: str) -> Response:
    """A batch, with a page of its lines."""
    return await _batch(visit, id)


@router.post("/console/batches/{id}/cancel")
async def cancel(visit: Visit, id: str) -> Response:
    """Cancel it; what is refused is said on its page."""
    try:
        await visit.change(Call("POST", f"/v1/batches/{id}/cancel"))
    except ApiError as error:
        return await _batch(visit, id, error)
    return visit.see(f"/console/batches/{id}", "The batch is being cancelled; what has been answered is delivered.")


@router.get("/console/batches/{id}/output")
async def download_output(visit: Visit, id: str) -> Response:
    """The answers, as a file."""
    return await _download(visit, id, "output_file_id")


@router.get("/console/batches/{id}/errors")
async def download_errors(visit: Visit, id: str) -> Response:
    """The lines that failed, as a file."""
    return await _download(visit, id, "error_file_id")


async def _batch(visit: Visit, id: str, error: ApiError | None = None) -> Response:
    batch = await visit.api.get(f"/v1/batches/{id}")
    counts = await visit.api.get(f"/v1/batches/{id}/progress")
    query = {name: visit.query[name] for name in ("status", "after") if visit.query.get(name)}
    results = "true" if batch["endpoint"] in _TEXTS else "false"
    lines = await visit.api.get("/v1/jobs", batch_id=id, order="asc", limit=_LINES, include_results=results, **query)
    if batch["endpoint"] is None:
        await _add_texts(visit, lines["data"])
    found = progress.of(batch, clock.now_seconds(), counts)
    return visit.show(
        "batch.html",
        status=error.status if error else 200,
        error=error,
        here="batches",
        batch=batch,
        endpoint=batch["endpoint"] or _endpoint(batch, lines["data"]),
        counts=counts,
        errors=await visit.api.get(f"/v1/batches/{id}/errors") if batch["request_counts"]["failed"] else None,
        found=found,
        file=await _file(visit, batch["input_file_id"]),
        lines=lines["data"],
        line_statuses=LINE_STATUSES,
        call=Call("GET", f"/v1/batches/{id}"),
        buttons=_buttons(batch),
        next=visit.url(after=lines["last_id"]) if lines["has_more"] else "",
        first=visit.url(after=None) if query.get("after") else "",
    )


async def _add_texts(visit: Visit, lines: Sequence[dict[str, Any]]) -> None:
    """Give the lines whose answers are texts these, where a batch says of no endpoint that all are."""
    if ids := [one["id"] for one in lines if URLS[one["type"]] in _TEXTS and one["status"] == "succeeded"]:
        answered = await visit.api.get("/v1/jobs", ids=",".join(ids), include_results="true")
        found = {one["id"]: one["result"] for one in answered["data"]}
        for one in lines:
            one["result"] = found.get(one["id"], one["result"])


def _endpoint(batch: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> str:
    """The endpoint of all lines of a batch that names none, if the page has them all; empty: several, or not known."""
    types = {one["type"] for one in lines}
    return URLS[types.pop()] if len(types) == 1 and len(lines) == batch["request_counts"]["total"] else ""


def _buttons(batch: dict[str, Any]) -> list[tuple[str, Call]]:
    """What the page's buttons send."""
    path = f"/v1/batches/{batch['id']}"
    if batch["status"] not in BATCH_OVER:
        return [("Cancel batch", Call("POST", f"{path}/cancel"))]
    files = (("Download output", batch["output_file_id"]), ("Download errors", batch["error_file_id"]))
    found = [(name, Call("GET", f"/v1/files/{file}/content")) for name, file in files if file]
    failed = batch["request_counts"]["failed"]
    return [*found, ("Retry failed lines", Call("POST", f"{path}/retry", body={}))] if failed else found


async def _file(visit: Visit, id: str) -> Any:
    """A file object; None: it is there no longer."""
    try:
        return await visit.api.get(f"/v1/files/{id}")
    except ApiError:
        return None


async def _download(visit: Visit, id: str, name: str) -> Response:
    """A file of a batch, which the API sends piece by piece; that it is there is asked before."""
    batch = await visit.api.get(f"/v1/batches/{id}")
    if batch[name] is None:
        what = "output" if name == "output_file_id" else "error"
        raise ApiError(404, {"message": f"batch {id} has no {what} file, its status is {batch['status']}"})
    await visit.api.get(f"/v1/files/{batch[name]}")
    return visit.relay(Call("GET", f"/v1/files/{batch[name]}/content"))
