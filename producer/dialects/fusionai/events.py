"""Routes of events and of their deliveries."""

import re
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.admission.run_once import run_once_delivering
from producer.operations import asked_sends, callbacks, event_types, webhooks
from producer.operations import events as events_ops
from producer.web.request import answer, claim_of, enter, page_of, page_of_all, replayable
from producer.web.router import Router
from producer.web.rows import PAGE, Row, one, query
from shared.errors import NotFound
from shared.webhooks import events

router = Router()

_EVENT_ORDER = query(
    "order",
    {"type": "string", "enum": ["asc", "desc"], "default": "asc"},
    "Oldest first (`asc`), which a reader who follows misses none by, or newest first (`desc`).",
)
_TYPES = "|".join(re.escape(type) for type in events.TYPES)
_EVENT_TYPE = query(
    "type",
    {"type": "string", "pattern": f"^({_TYPES})(,({_TYPES}))*$"},
    "Only events of this type, or of one of several, separated by commas. A page may then have fewer than `limit` "
    "though `has_more` is true: go on with `after=last_id`.",
)


@router.get(
    "/events",
    doc=Row(
        "Events",
        one("A page of events, oldest first unless `order` says otherwise.", objects.List[objects.Event]),
        parameters=("limit", "after", _EVENT_ORDER, _EVENT_TYPE),
    ),
)
async def list_events(request: Request) -> Response:
    """List events in order, optionally after a given event."""
    context, holder = await enter(request)
    page, rest = page_of(request, "type")
    newest_first, types = request.query_params.get("order") == "desc", rest["type"].split(",") if "type" in rest else ()
    found = await context.database.read(events_ops.list_events, holder, page, newest_first=newest_first, types=types)
    return answer(found)


@router.get(
    "/events/types",
    doc=Row("Events", one("All types.", objects.List[objects.EventType]), parameters=("limit", "after")),
)
async def list_event_types(request: Request) -> Response:
    """List the types of events, each with when it is sent and an example of its body."""
    await enter(request)
    return answer(page_of_all(request, event_types.list_event_types()["data"]))


@router.get("/events/{event_id}", doc=Row("Events", one("The event.", objects.Event), errors=(NotFound,)))
async def show_event(request: Request, event_id: str) -> Response:
    """Get an event."""
    context, holder = await enter(request)
    return answer(await context.database.read(events_ops.show_event, holder, event_id))


_OF_EVENT = Row(
    "Events",
    one("A page of deliveries.", objects.List[objects.Delivery]),
    parameters=PAGE,
    errors=(NotFound,),
)


@router.get("/events/{event_id}/deliveries", doc=_OF_EVENT)
async def list_event_deliveries(request: Request, event_id: str) -> Response:
    """List the deliveries of an event, to webhooks and to the callback of its job or batch."""
    context, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await context.database.read(callbacks.of_event, holder, event_id, page))


@router.get("/jobs/{job_id}/deliveries", doc=replace(_OF_EVENT, tag="Jobs"))
async def list_job_deliveries(request: Request, job_id: str) -> Response:
    """List the deliveries of the event of a job's end, to webhooks and to its `callback_url`."""
    context, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await context.database.read(callbacks.of_job, holder, job_id, page))


@router.get("/batches/{id}/deliveries", doc=replace(_OF_EVENT, tag="Batches"))
async def list_batch_deliveries(request: Request, id: str) -> Response:
    """List the deliveries of the event of a batch's end, to webhooks and to its `callback_url`."""
    context, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await context.database.read(callbacks.of_batch, holder, id, page))


@router.post(
    "/events/{event_id}/redeliver",
    doc=Row("Events", one("The event.", objects.Event), errors=(NotFound,), once=True),
)
async def redeliver_event(request: Request, event_id: str) -> Response:
    """Redeliver an event."""
    context, holder = await enter(request)
    claim = claim_of(request, holder, {})
    await context.database.read(events_ops.show_event, holder, event_id)
    await asked_sends.count(
        context.limits, holder, await context.database.read(webhooks.recipients_of, holder, event_id)
    )
    return replayable(
        *await run_once_delivering(context.database, context.bell, claim, events_ops.redeliver_event, holder, event_id)
    )
