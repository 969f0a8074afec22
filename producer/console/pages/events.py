"""Events: all that happened, the newest first; of one its body, and where it was sent."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from producer.console import exchange
from producer.console.api import ApiError, Call
from producer.console.router import PageRouter
from producer.console.visit import Visit

router = PageRouter()

#: What an event may be about, and where the pages of these are.
_ABOUT: Final = (
    ("job", "/console/jobs"),
    ("batch", "/console/batches"),
    ("invoice", "/console/credits/invoices"),
    ("webhook", "/console/webhooks"),
)
#: Events of a page.
_EVENTS = 50


@router.get("/console/events")
async def show_list(visit: Visit) -> Response:
    """A page of the list, as the URL says."""
    after = {"after": visit.query["after"]} if visit.query.get("after") else {}
    wanted = {"type": visit.query["type"]} if visit.query.get("type") else {}
    call = Call("GET", "/v1/events", {"order": "desc", "limit": str(_EVENTS), **wanted, **after})
    page = (await visit.api.send(call)).data
    return visit.show(
        "events.html",
        here="events",
        events=[(event, about(event)) for event in page["data"]],
        types=[("", "All"), *((one["id"], one["id"]) for one in (await visit.api.get("/v1/events/types"))["data"])],
        wanted=wanted.get("type", ""),
        call=call,
        next=visit.url(after=page["last_id"]) if page["has_more"] else "",
        first=visit.url(after=None) if after else "",
    )


def about(event: Mapping[str, Any]) -> tuple[str, str]:
    """The id that an event is about, and the path of its page; empty where there is none.

    >>> about({"data": {"job": {"id": "job_1"}}})
    ('job_1', '/console/jobs/job_1')
    """
    for name, path in _ABOUT:
        if isinstance(found := event["data"].get(name), dict) and found.get("id"):
            return found["id"], f"{path}/{found['id']}"
    return str(event["data"].get("id") or ""), ""


@router.get("/console/events/{id}")
async def show(visit: Visit, id: str) -> Response:
    """An event, and its deliveries."""
    return await _event(visit, id)


@router.post("/console/events/{id}/redeliver")
async def redeliver(visit: Visit, id: str) -> Response:
    """Send it again."""
    try:
        await visit.change(Call("POST", f"/v1/events/{id}/redeliver", body={}))
    except ApiError as error:
        return await _event(visit, id, error)
    return visit.see(f"/console/events/{id}", "The event is sent again, to its webhooks and its callback.")


async def _event(visit: Visit, id: str, error: ApiError | None = None) -> Response:
    call = Call("GET", f"/v1/events/{id}")
    event = (await visit.api.send(call)).data
    deliveries = (await visit.api.get(f"/v1/events/{id}/deliveries", limit=100))["data"]
    return visit.show(
        "event.html",
        status=error.status if error else 200,
        here="events",
        event=event,
        body=exchange.document(event),
        deliveries=deliveries,
        active=any(one["status"] == "pending" for one in deliveries),
        call=call,
        buttons=[("Send again", Call("POST", f"/v1/events/{id}/redeliver", body={}))] if deliveries else [],
        error=error,
    )
