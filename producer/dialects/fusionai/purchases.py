"""Routes of buying credit: make an invoice for it, void one that is not paid."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.admission.run_once import run_once, run_once_delivering
from producer.operations import invoices
from producer.web.body import read_body
from producer.web.request import check_live, claim_of, enter, replayable, valid
from producer.web.router import Router
from producer.web.rows import Row, one
from shared.errors import Conflict, Forbidden, NotFound
from shared.money import purchases

router = Router()


@router.post(
    "/invoices",
    doc=Row(
        "Usage",
        one("The invoice, open until it is paid.", objects.Invoice),
        "PurchaseSpec",
        errors=(Forbidden, Conflict),
        once=True,
        examples={"Buy credits": {"credits": 500, "description": "Top-up for December"}},
    ),
)
async def buy_credits(request: Request) -> Response:
    """Buy credits: create an invoice. The credits are available once it is paid.

    If the server takes payments online, pay at `checkout_url`; while the payment provider is unavailable it is null:
    get the invoice again.
    """
    context, holder = await enter(request)
    body = await read_body(request)
    check_live(holder)
    wanted = invoices.read_purchase(valid(invoices.PurchaseSpec, body))
    claim = claim_of(request, holder, body)
    text, replayed = await run_once_delivering(
        context.database, context.bell, claim, purchases.create, holder.account_id, wanted
    )
    made = orjson.loads(text)["id"]
    now = await context.database.read(invoices.show_invoice, holder.account_id, made)
    return replayable(orjson.dumps(now).decode(), replayed)


@router.post(
    "/invoices/{invoice_id}/void",
    doc=Row("Usage", one("The invoice, void.", objects.Invoice), errors=(NotFound, Forbidden, Conflict), once=True),
)
async def void_invoice(request: Request, invoice_id: str) -> Response:
    """Void an open purchase, so that it can no longer be paid."""
    context, holder = await enter(request)
    check_live(holder)
    claim = claim_of(request, holder, {})
    return replayable(*await run_once(context.database, claim, invoices.void_invoice, holder.account_id, invoice_id))
