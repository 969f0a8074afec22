"""Failed lines of a batch, as a new batch: which, and what they cost at most, before it is made."""

import secrets
from typing import Any

from starlette.responses import Response

from producer.console import progress
from producer.console.api import ApiError, Call
from producer.console.pages.new_batch import WINDOWS
from producer.console.router import PageRouter
from producer.console.visit import Visit

router = PageRouter()


@router.get("/console/batches/{id}/retry")
async def show(visit: Visit, id: str) -> Response:
    """The groups of failed lines, those that the URL names chosen (all, if it names none), and their price."""
    return await _page(visit, id, visit.request.query_params.getlist("reason"))


@router.post("/console/batches/{id}/retry")
async def retry(visit: Visit, id: str) -> Response:
    """Make the new batch, once for a form however often it is sent."""
    reasons = [one for one in visit.form.getlist("reason") if isinstance(one, str)]
    body = _body(reasons)
    if visit.field("completion_window"):
        body["completion_window"] = visit.field("completion_window")
    try:
        made = await visit.change(Call("POST", f"/v1/batches/{id}/retry", body=body, headers=visit.once))
    except ApiError as error:
        return await _page(visit, id, reasons, error)
    return visit.see(f"/console/batches/{made.data['id']}", "This is the new batch. Its output will have all answers.")


def _body(reasons: list[str]) -> dict[str, Any]:
    return {"reasons": reasons} if reasons else {}


async def _page(visit: Visit, id: str, reasons: list[str], error: ApiError | None = None) -> Response:
    batch = await visit.api.get(f"/v1/batches/{id}")
    errors = await visit.api.get(f"/v1/batches/{id}/errors")
    call = Call("POST", f"/v1/batches/{id}/retry", body=_body(reasons))
    quoted, refused = None, None
    try:
        quoted = (await visit.api.send(Call(call.method, call.path, body={**_body(reasons), "dry_run": True}))).data
    except ApiError as error_of_price:
        refused = error_of_price
    groups = progress.failures(errors["data"])
    return visit.show(
        "batch_retry.html",
        status=error.status if error else 200,
        here="batches",
        error=error or refused,
        batch=batch,
        groups=groups,
        chosen=reasons or [one["reason"] for one in groups if one["reason"] != "cancelled"],
        quoted=quoted,
        windows=WINDOWS,
        window=visit.field("completion_window") or batch["completion_window"],
        call=call,
        once=secrets.token_urlsafe(16),
    )
