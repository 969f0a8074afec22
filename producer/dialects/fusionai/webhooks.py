"""Routes of webhooks and events."""

import re
from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.admission import audited
from producer.admission.limits.rates import RateLimit
from producer.admission.run_once import run_once, run_once_delivering
from producer.context import Context
from producer.operations import callbacks, event_types, webhooks
from producer.operations import events as events_ops
from producer.operations.redeliveries import RedeliverSpec, redeliver
from producer.web.body import read_body
from producer.web.request import answer, claim_of, enter, has_body, page_of, page_of_all, replayable, valid
from producer.web.router import Router
from producer.web.rows import PAGE, Row, one, query
from shared.accounts import KeyHolder
from shared.errors import Conflict, NotFound
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
_ROTATIONS = {"As usual": {}, "The old secret has leaked": {"overlap_seconds": 0}}


@router.post(
    "/webhooks",
    doc=Row(
        "Webhooks",
        one("The webhook, with its secret.", objects.NewSecret),
        "WebhookSpec",
        errors=(Conflict,),
        once=True,
        examples={
            "Two events": {
                "url": "https://example.com/hooks",
                "events": ["credit.threshold", "invoice.paid"],
                "description": "Billing",
            },
        },
    ),
)
async def create_webhook(request: Request) -> Response:
    """Create a webhook. Its secret is only returned in this response."""
    context, holder = await enter(request)
    body = await read_body(request)
    wanted = valid(webhooks.WebhookSpec, body)
    claim = claim_of(request, holder, body)
    return replayable(*await run_once(context.database, claim, webhooks.create, holder, wanted))


@router.get(
    "/webhooks", doc=Row("Webhooks", one("A page of webhooks.", objects.List[objects.Webhook]), parameters=PAGE)
)
async def list_webhooks(request: Request) -> Response:
    """List webhooks."""
    context, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await context.database.read(webhooks.list_all, holder, page))


@router.get("/webhooks/{id}", doc=Row("Webhooks", one("The webhook.", objects.Webhook), errors=(NotFound,)))
async def show_webhook(request: Request, id: str) -> Response:
    """Get a webhook."""
    context, holder = await enter(request)
    return answer(await context.database.read(webhooks.show, holder, id))


@router.patch(
    "/webhooks/{id}",
    doc=Row(
        "Webhooks",
        one("The webhook.", objects.Webhook),
        "WebhookChange",
        errors=(NotFound,),
        examples={"Pause": {"status": "disabled"}},
    ),
)
async def change_webhook(request: Request, id: str) -> Response:
    """Change the URL, the events or the status of a webhook."""
    context, holder = await enter(request)
    wanted = valid(webhooks.WebhookChange, await read_body(request))
    if wanted.status is not None:  # also what was left over when it was disabled: enabled again, it would be sent
        await _give_up_waiting(context, holder, id)
    changed = await audited.change(context.database, webhooks.change, holder, id, wanted)
    await _give_up_waiting(context, holder, id)
    return answer(changed)


@router.delete(
    "/webhooks/{id}",
    doc=Row("Webhooks", one("The webhook was deleted.", objects.DeletedWebhook), errors=(NotFound,)),
)
async def remove_webhook(request: Request, id: str) -> Response:
    """Delete a webhook."""
    context, holder = await enter(request)
    removed = await audited.change(context.database, webhooks.remove, holder, id)
    await _give_up_waiting(context, holder, id)
    return answer(removed)


@router.post(
    "/webhooks/{id}/rotate",
    doc=Row(
        "Webhooks",
        one("The webhook, with its new secret.", objects.NewSecret),
        "RotateSpec",
        errors=(NotFound, Conflict),
        once=True,
        optional=True,
        examples=_ROTATIONS,
    ),
)
async def rotate_webhook(request: Request, id: str) -> Response:
    """Rotate the secret of a webhook; the old ones remain valid for a day, or for as long as `overlap_seconds` says."""
    context, holder = await enter(request)
    body = await read_body(request) if has_body(request) else {}
    wanted = valid(webhooks.RotateSpec, body)
    claim = claim_of(request, holder, body)
    return replayable(*await run_once(context.database, claim, webhooks.rotate, holder, id, wanted))


@router.post(
    "/webhooks/{id}/test",
    doc=Row("Webhooks", one("The webhook.", objects.Webhook), errors=(NotFound,), once=True),
)
async def test_webhook(request: Request, id: str) -> Response:
    """Send a `webhook.test` event to a webhook."""
    context, holder = await enter(request)
    claim = claim_of(request, holder, {})
    await context.database.read(webhooks.show, holder, id)
    await _count(context, holder, [id])
    return replayable(*await run_once_delivering(context.database, context.bell, claim, webhooks.test, holder, id))


@router.post(
    "/webhooks/{id}/redeliver",
    doc=Row(
        "Webhooks",
        one("How many deliveries are due again, and where to go on.", objects.Redelivery),
        "RedeliverSpec",
        errors=(NotFound, Conflict),
        once=True,
        examples={"What failed": {"since": 1795910400}, "What it missed": {"since": 1795910400, "status": "missing"}},
    ),
)
async def redeliver_to_webhook(request: Request, id: str) -> Response:
    """Redeliver the events since a time to a webhook: up to 1,000 in a call, which says where the next one begins."""
    context, holder = await enter(request)
    body = await read_body(request)
    wanted = valid(RedeliverSpec, body)
    claim = claim_of(request, holder, body)
    await context.database.read(webhooks.show, holder, id)
    await _count(context, holder, [id])
    return replayable(*await run_once_delivering(context.database, context.bell, claim, redeliver, holder, id, wanted))


@router.get("/webhook_secret", doc=Row("Webhooks", one("The secret, but for itself.", objects.CallbackSecret)))
async def show_webhook_secret(request: Request) -> Response:
    """Get what is known of the secret that signs deliveries to the `callback_url` of jobs and batches."""
    context, holder = await enter(request)
    return answer(await context.database.write(callbacks.show_secret, holder))


@router.post(
    "/webhook_secret/rotate",
    doc=Row(
        "Webhooks",
        one("The new secret.", objects.NewCallbackSecret),
        "RotateSpec",
        errors=(Conflict,),
        once=True,
        optional=True,
        examples=_ROTATIONS,
    ),
)
async def rotate_webhook_secret(request: Request) -> Response:
    """Rotate the secret that signs callbacks, and show it; the old ones remain valid as those of a webhook do."""
    context, holder = await enter(request)
    body = await read_body(request) if has_body(request) else {}
    wanted = valid(webhooks.RotateSpec, body)
    claim = claim_of(request, holder, body)
    return replayable(*await run_once(context.database, claim, callbacks.rotate_secret, holder, wanted))


@router.get(
    "/webhooks/{id}/deliveries",
    doc=Row(
        "Webhooks",
        one("A page of deliveries.", objects.List[objects.Delivery]),
        parameters=PAGE,
        errors=(NotFound,),
    ),
)
async def list_deliveries(request: Request, id: str) -> Response:
    """List the deliveries to a webhook and their results."""
    context, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await context.database.read(webhooks.list_deliveries, holder, id, page))


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
    await _count(context, holder, await context.database.read(webhooks.recipients_of, holder, event_id))
    return replayable(
        *await run_once_delivering(context.database, context.bell, claim, events_ops.redeliver_event, holder, event_id)
    )


async def _count(context: Context, holder: KeyHolder, webhook_ids: Sequence[str]) -> None:
    """Count a send that somebody asked for, to each of these; 429 when one of them, or the account, has had its few."""
    of_account = RateLimit(f"webhooks.{holder.account_id}", webhooks.ASKED_OF_ACCOUNT_PER_MINUTE)
    allowance = await context.limits.admit(of_account, max(1, len(webhook_ids)))
    allowance.check("tests and redeliveries of this account's webhooks")
    for id in webhook_ids:
        allowance = await context.limits.admit(RateLimit(f"webhook.{id}", webhooks.ASKED_PER_MINUTE))
        allowance.check(f"tests and redeliveries of webhook {id}")


async def _give_up_waiting(context: Context, holder: KeyHolder, id: str) -> None:
    """End what waits for a webhook that is not enabled: many rows, a few in each transaction."""
    while await context.database.write(webhooks.give_up_waiting, holder, id) == events.CHUNK:
        pass
