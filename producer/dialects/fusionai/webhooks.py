"""Routes of webhooks, and of the secret that signs callbacks."""

from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.admission import audited
from producer.admission.run_once import run_once, run_once_delivering
from producer.context import Context
from producer.operations import asked_sends, callbacks, webhooks
from producer.operations.redeliveries import RedeliverSpec, redeliver
from producer.web.body import read_body
from producer.web.request import answer, claim_of, enter, has_body, page_of, replayable, valid
from producer.web.router import Router
from producer.web.rows import PAGE, Row, one
from shared.errors import Conflict, NotFound
from shared.key_holders import KeyHolder
from shared.webhooks import events

router = Router()

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
    await asked_sends.count(context.limits, holder, [id])
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
    await asked_sends.count(context.limits, holder, [id])
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


async def _give_up_waiting(context: Context, holder: KeyHolder, id: str) -> None:
    """End what waits for a webhook that is not enabled: many rows, a few in each transaction."""
    while await context.database.write(webhooks.give_up_waiting, holder, id) == events.CHUNK:
        pass
