"""Webhooks and events."""

from starlette.requests import Request
from starlette.responses import Response

from producer import hooks, operations
from producer.desk import read_body
from producer.dialects.fusionai.request import answer, claim_of, enter, page_of, said_once, valid
from producer.routing import Router

router = Router()


@router.post("/webhooks")
async def create_webhook(request: Request) -> Response:
    """Register a webhook; the only answer that shows its secret."""
    desk, holder = await enter(request)
    body = await read_body(request)
    wanted = valid(hooks.WebhookSpec, body)
    claim = claim_of(request, holder, body)
    return said_once(*await desk.once(claim, hooks.create, holder.account_id, wanted))


@router.get("/webhooks")
async def list_webhooks(request: Request) -> Response:
    """The account's webhooks."""
    desk, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await desk.database.read(hooks.list_all, holder.account_id, page))


@router.get("/webhooks/{id}")
async def show_webhook(request: Request, id: str) -> Response:
    """One webhook."""
    desk, holder = await enter(request)
    return answer(await desk.database.read(hooks.show, holder.account_id, id))


@router.patch("/webhooks/{id}")
async def change_webhook(request: Request, id: str) -> Response:
    """Change a webhook's address, its events, or whether it is enabled."""
    desk, holder = await enter(request)
    wanted = valid(hooks.WebhookChange, await read_body(request))
    return answer(await desk.database.write(hooks.change, holder.account_id, id, wanted))


@router.delete("/webhooks/{id}")
async def remove_webhook(request: Request, id: str) -> Response:
    """Delete a webhook: nothing more is sent to it."""
    desk, holder = await enter(request)
    return answer(await desk.database.write(hooks.remove, holder.account_id, id))


@router.post("/webhooks/{id}/rotate")
async def rotate_webhook(request: Request, id: str) -> Response:
    """Give a webhook a new secret; the old one signs beside it for a day."""
    desk, holder = await enter(request)
    claim = claim_of(request, holder, {})
    return said_once(*await desk.once(claim, hooks.rotate, holder.account_id, id))


@router.post("/webhooks/{id}/test")
async def test_webhook(request: Request, id: str) -> Response:
    """Send a `webhook.test` event to a webhook."""
    desk, holder = await enter(request)
    claim = claim_of(request, holder, {})
    return said_once(*await desk.once_told(claim, hooks.test, holder.account_id, id))


@router.get("/webhooks/{id}/deliveries")
async def list_deliveries(request: Request, id: str) -> Response:
    """What was sent to a webhook, and what came back."""
    desk, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await desk.database.read(hooks.list_deliveries, holder.account_id, id, page))


@router.get("/events")
async def list_events(request: Request) -> Response:
    """Events in order, after the one given."""
    desk, holder = await enter(request)
    page, _ = page_of(request)
    return answer(await desk.database.read(operations.list_events, holder.account_id, page))


@router.post("/events/{event_id}/redeliver")
async def redeliver_event(request: Request, event_id: str) -> Response:
    """Send an event again."""
    desk, holder = await enter(request)
    claim = claim_of(request, holder, {})
    return said_once(*await desk.once_told(claim, operations.redeliver_event, holder.account_id, event_id))
