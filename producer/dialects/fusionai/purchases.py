"""Routes of buying credit: invoices for it, automatic top-ups, and what payment providers send."""

import logging
from typing import Final, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.admission import audited
from producer.admission.limits.rates import RateLimit
from producer.admission.run_once import run_once, run_once_delivering
from producer.context import Context
from producer.operations import auto_top_ups, invoices
from producer.web.body import read_body, read_bytes
from producer.web.request import answer, check_live, claim_of, enter, replayable, valid
from producer.web.router import Router
from producer.web.rows import Row, header, one
from shared.errors import Conflict, Forbidden, InvalidRequest, NotFound, PayloadTooLarge, UpstreamError
from shared.money import purchases

log = logging.getLogger(__name__)
router = Router()

#: Bytes of an event of Stripe; a Checkout Session has some thousands.
EVENT_BYTES: Final = 512 * 1024


@router.post(
    "/invoices",
    doc=Row(
        "Usage",
        one("The invoice, open until it is paid.", objects.Invoice),
        "PurchaseSpec",
        errors=(Forbidden, Conflict, UpstreamError),
        once=True,
        examples={"Buy credits": {"credits": 500, "description": "Top-up for December"}},
    ),
)
async def buy_credits(request: Request) -> Response:
    """Buy credits: create an invoice. The credits are available once it is paid.

    If the server takes payments online, pay at `checkout_url`. While the payment provider is unavailable it is null,
    and is there in the invoice some time later. If the provider refuses the payment, the response is a 502, and the
    invoice void.
    """
    context, holder = await enter(request)
    body = await read_body(request)
    wanted = invoices.read_purchase(valid(invoices.PurchaseSpec, body))
    claim = claim_of(request, holder, body)
    check_live(holder)
    allowance = await context.limits.admit(RateLimit(f"purchases.{holder.account_id}", invoices.BOUGHT_PER_MINUTE))
    allowance.check("purchases of this account")
    text, replayed = await run_once_delivering(
        context.database, context.bell, claim, purchases.create, holder.account_id, wanted
    )
    made = orjson.loads(text)["id"]
    await context.paying.begin(made)
    now = await context.database.read(invoices.show_invoice, holder.account_id, made)
    return replayable(orjson.dumps(now).decode(), replayed)


@router.post(
    "/invoices/{invoice_id}/void",
    doc=Row(
        "Usage",
        one("The invoice, void.", objects.Invoice),
        errors=(NotFound, Forbidden, Conflict, UpstreamError),
        once=True,
    ),
)
async def void_invoice(request: Request, invoice_id: str) -> Response:
    """Void an open purchase, so that it can no longer be paid."""
    context, holder = await enter(request)
    claim = claim_of(request, holder, {})
    check_live(holder)
    await context.database.read(invoices.check_voidable, holder.account_id, invoice_id)
    await context.paying.withdraw(invoice_id)
    return replayable(*await run_once(context.database, claim, invoices.void_invoice, holder.account_id, invoice_id))


@router.get("/credits/auto_top_up", doc=Row("Credits", one("It.", objects.AutoTopUp), errors=(Forbidden,)))
async def show_auto_top_up(request: Request) -> Response:
    """Get the automatic top-up, and whether it is at work."""
    context, holder = await enter(request)
    check_live(holder)
    return answer(await context.database.read(auto_top_ups.show, holder.account_id))


@router.put(
    "/credits/auto_top_up",
    doc=Row(
        "Credits",
        one("It.", objects.AutoTopUp),
        "AutoTopUpSpec",
        errors=(Forbidden,),
        examples={
            "On": {"enabled": True, "threshold": 100, "credits": 500, "monthly_limit": 2000},
            "Off": {"enabled": False},
        },
    ),
)
async def set_auto_top_up(request: Request) -> Response:
    """Have credits bought automatically when fewer than `threshold` are available, up to a limit a month.

    A saved payment method is charged (`save_payment_method` of `POST /invoices`); without one, the invoice is created,
    and paid like any other. After a payment has failed, none is made until a purchase is paid or this is sent again.
    """
    context, holder = await enter(request)
    wanted = valid(auto_top_ups.AutoTopUpSpec, await read_body(request))
    check_live(holder)
    allowance = await context.limits.admit(RateLimit(f"top_ups.{holder.account_id}", auto_top_ups.SET_PER_MINUTE))
    allowance.check("changes of the automatic top-up of this account")
    return answer(await audited.change(context.database, auto_top_ups.set_auto_top_up, holder.account_id, wanted))


@router.post(
    "/payments/stripe",
    doc=Row(
        "Service",
        one("The event was taken.", objects.Received),
        parameters=(header("Stripe-Signature", {"type": "string"}, "The signature of the body."),),
        errors=(InvalidRequest, NotFound, PayloadTooLarge),
        keyless=True,
    ),
)
async def receive_stripe_event(request: Request) -> Response:
    """Receive an event of Stripe, which says that an invoice has been paid, or not. For Stripe alone."""
    context = cast(Context, request.app.state.context)
    if context.paying.provider != "stripe":
        raise NotFound("this server takes no payments by Stripe")
    signatures = request.headers.getlist("stripe-signature")
    notice = await context.paying.heed(await read_bytes(request, EVENT_BYTES), ",".join(signatures) or None)
    log.info("Stripe's %s %s was taken", notice.type[:100], notice.id[:100])
    return answer({"received": True})
