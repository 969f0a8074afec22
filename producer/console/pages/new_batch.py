"""A batch of a file: it is uploaded once, checked by the API's dry run of it, priced, and sent."""

import secrets
from typing import Any

from starlette.datastructures import UploadFile
from starlette.responses import Response

from producer.console import code_samples, composing
from producer.console.api import ApiError, Call
from producer.console.composing import METADATA, FormError
from producer.console.router import PageRouter
from producer.console.uploading import AsCommands, FormUpload
from producer.console.visit import Visit
from shared.submissions.sizes import MOST_FILE_BYTES

router = PageRouter()

#: What the page New makes: types of jobs, and batches.
TYPES = (*composing.TYPES, ("batch", "Batch from a file"))
#: Bytes of a file up to which its page has its check; that of a larger one asks for it.
_AT_ONCE = 1_000_000
WINDOWS = (("24h", "24 hours"), ("1h", "1 hour"), ("6h", "6 hours"), ("48h", "2 days"), ("168h", "7 days"))
HOLDS = (
    ("", "for all lines at once, or it fails"),
    ("wait", "for all lines at once, waiting until there is enough"),
    ("slices", "for the lines that start next"),
)


def show(visit: Visit, error: ApiError | None = None) -> Response:
    """The form that takes a file."""
    return visit.show(
        "new_batch.html",
        status=error.status if error else 200,
        here="new",
        error=error,
        kind="batch",
        types=TYPES,
        most=MOST_FILE_BYTES,
        once=secrets.token_urlsafe(16),
    )


@router.get("/console/new/file")
async def show_form(visit: Visit) -> Response:
    """Where a refused file is shown: the form is at another address."""
    return visit.see("/console/new", type="batch")


@router.post("/console/new/file", takes_file=True)
async def upload(visit: Visit) -> Response:
    """Keep a file, and go on to its check."""
    file = visit.form.get("file")
    try:
        if not isinstance(file, UploadFile) or not file.filename:
            raise ApiError(400, {"message": "choose a file of requests, one JSON object a line", "param": "file"})
        sent = FormUpload(file, visit.field("once"))
        answer = await visit.change(sent.call, sent.pieces())
    except ApiError as error:
        return show(visit, error)
    place = f"/console/new/file/{answer.data['id']}"
    if visit.request.headers.get("hx-request"):
        return Response(status_code=204, headers={"HX-Redirect": place})
    return visit.see(place)


@router.get("/console/new/file/{id}")
async def check(visit: Visit, id: str) -> Response:
    """What the file has, and what is wrong with it; a large one is checked by a second request, from this page."""
    file = await visit.api.get(f"/v1/files/{id}")
    if file["bytes"] > _AT_ONCE and not visit.query.get("checked"):
        return visit.show("new_checking.html", here="new", file=file)
    return await _checked(visit, file)


@router.post("/console/new/file/{id}")
async def send(visit: Visit, id: str) -> Response:
    """Make the batch, once for a form however often it is sent."""
    try:
        body = {"input_file_id": id, **_spec(visit)}
        made = await visit.change(Call("POST", "/v1/batches", body=body, headers=visit.once))
    except FormError as error:
        refused = ApiError(400, {"message": error.message, "param": error.param})
        return await _checked(visit, await visit.api.get(f"/v1/files/{id}"), refused)
    except ApiError as error:
        return await _checked(visit, await visit.api.get(f"/v1/files/{id}"), error)
    return visit.see(f"/console/batches/{made.data['id']}", "The batch is sent.")


@router.post("/console/new/file/{id}/discard")
async def discard(visit: Visit, id: str) -> Response:
    """Delete a file that will not be sent."""
    await visit.change(Call("DELETE", f"/v1/files/{id}"))
    return visit.see("/console/new", "The file is deleted.", type="batch")


async def _checked(visit: Visit, file: dict[str, Any], error: ApiError | None = None) -> Response:
    """The check of a file, and the form that sends it, if nothing is wrong with it."""
    spec = {"input_file_id": file["id"], "completion_window": visit.field("completion_window") or "24h"}
    try:
        quoted = (await visit.api.send(Call("POST", "/v1/batches", body={**spec, "dry_run": True}))).data
    except ApiError as refused:
        error, quoted = error or refused, None
    shown = AsCommands(file["filename"], Call("POST", "/v1/batches", body=spec))
    return visit.show(
        "new_checked.html",
        status=error.status if error else 200,
        here="new",
        error=error,
        file=file,
        quoted=quoted,
        values={name: value for name, value in visit.form.items() if isinstance(value, str)},
        windows=WINDOWS,
        holds=HOLDS,
        call=shown,
        code=code_samples.python_batch(file["filename"], spec, visit.base_url),
        once=secrets.token_urlsafe(16),
    )


def _spec(visit: Visit) -> dict[str, Any]:
    """What else of the batch its form says."""
    spec: dict[str, Any] = {"completion_window": visit.field("completion_window") or "24h"}
    if visit.field("hold") == "slices":
        spec["hold"] = "slices"
    elif visit.field("hold") == "wait":
        spec["on_insufficient_credits"] = "wait"
    if labels := visit.field("metadata"):
        spec["metadata"] = METADATA.read("metadata", labels)
    if visit.field("notify_each"):
        spec["notify_each"] = True
    return spec
