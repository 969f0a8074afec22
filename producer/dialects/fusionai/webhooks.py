"""Webhooks and events."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from producer.context import Desk, read_body
from producer.operations import events as events_ops
from producer.operations import webhooks
from producer.web.request import answer, claim_of, enter, page_of, said_once, valid
from producer.web.router import Router
from shared.accounts import KeyHolder
from shared.webhooks import events

router = Router()


@router.post("/webhooks")
async def create_webhook(request: Request) -> Response:
    """Create a webhook. Its secret is only returned in this response."""
    desk, holder = await enter(request)
    body = await read_body(request)
    wanted = valid(webhooks.WebhookSpec, body)
    claim = claim_of(request, holder, body)
    return said_once(*await desk.once(claim, webhooks.create, holder, wanted))


@router.get("/webhooks")
async def list_webhooks(request: Request) -> Response:
    """List webhooks."""
    desk, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await desk.database.read(webhooks.list_all, holder, page))


@router.get("/webhooks/{id}")
async def show_webhook(request: Request, id: str) -> Response:
    """Get a webhook."""
    desk, holder = await enter(request)
    return answer(await desk.database.read(webhooks.show, holder, id))


@router.patch("/webhooks/{id}")
async def change_webhook(request: Request, id: str) -> Response:
    """Change the URL, the events or the status of a webhook."""
    desk, holder = await enter(request)
    wanted = valid(webhooks.WebhookChange, await read_body(request))
    if wanted.status is not None:  # also what was left over when it was disabled: enabled again, it would be sent
        await _give_up_waiting(desk, holder, id)
    changed = await desk.database.write(webhooks.change, holder, id, wanted)
    await _give_up_waiting(desk, holder, id)
    return answer(changed)


@router.delete("/webhooks/{id}")
async def remove_webhook(request: Request, id: str) -> Response:
    """Delete a webhook."""
    desk, holder = await enter(request)
    removed = await desk.database.write(webhooks.remove, holder, id)
    await _give_up_waiting(desk, holder, id)
    return answer(removed)


@router.post("/webhooks/{id}/rotate")
async def rotate_webhook(request: Request, id: str) -> Response:
    """Rotate the secret of a webhook; the old secret remains valid for a day."""
    desk, holder = await enter(request)
    claim = claim_of(request, holder, {})
    return said_once(*await desk.once(claim, webhooks.rotate, holder, id))


@router.post("/webhooks/{id}/test")
async def test_webhook(request: Request, id: str) -> Response:
    """Send a `webhook.test` event to a webhook."""
    desk, holder = await enter(request)
    claim = claim_of(request, holder, {})
    await desk.database.read(webhooks.show, holder, id)
    await _count(desk, [id])
    return said_once(*await desk.once_told(claim, webhooks.test, holder, id))


@router.get("/webhooks/{id}/deliveries")
async def list_deliveries(request: Request, id: str) -> Response:
    """List the deliveries to a webhook and their results."""
    desk, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await desk.database.read(webhooks.list_deliveries, holder, id, page))


@router.get("/events")
async def list_events(request: Request) -> Response:
    """List events in order, optionally after a given event."""
    desk, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await desk.database.read(events_ops.list_events, holder, page))


@router.post("/events/{event_id}/redeliver")
async def redeliver_event(request: Request, event_id: str) -> Response:
    """Redeliver an event."""
    desk, holder = await enter(request)
    claim = claim_of(request, holder, {})
    await desk.database.read(events_ops.show_event, holder, event_id)
    await _count(desk, await desk.database.read(webhooks.told_of, holder, event_id))
    return said_once(*await desk.once_told(claim, events_ops.redeliver_event, holder, event_id))


async def _count(desk: Desk, webhook_ids: Sequence[str]) -> None:
    """Count a send that somebody asked for, to each of these; 429 when one of them has had its few of the minute."""
    for id in webhook_ids:
        allowance = await desk.limits.admit(f"webhook.{id}", webhooks.ASKED_PER_MINUTE)
        allowance.check(f"tests and redeliveries of webhook {id}")


async def _give_up_waiting(desk: Desk, holder: KeyHolder, id: str) -> None:
    """End what waits for a webhook that is not enabled: many rows, a few in each transaction."""
    while await desk.database.write(webhooks.give_up_waiting, holder, id) == events.CHUNK:
        pass
