"""What Stripe's objects say of an attempt: Checkout Sessions, PaymentIntents, charges, disputes. Pure.

Only fields that no version of Stripe's API has changed are read, since an event is in the version of its endpoint:
https://docs.stripe.com/api/checkout/sessions/object, https://docs.stripe.com/api/payment_intents/object,
https://docs.stripe.com/api/charges/object, https://docs.stripe.com/api/disputes/object.
"""

from collections.abc import Mapping
from typing import Any

from shared.payments.protocol import GivenBack, ReceivedPayment, Standing, Status

Object = Mapping[str, Any]
_MICROS = 1_000_000


def session_standing(session: Object, *, failed: bool = False) -> Standing:
    """The standing of a Checkout Session. `failed`: the event says that its delayed payment has failed."""
    invoice_id, attempt = attempt_of(session)
    expires = session.get("expires_at")
    return Standing(
        _session_status(session, failed),
        str(session["id"]),
        invoice_id if session.get("client_reference_id") == invoice_id else None,
        attempt,
        session.get("amount_total"),
        session.get("currency"),
        url=session.get("url"),
        expires_at=expires * _MICROS if isinstance(expires, int) else None,
        payment=_id(session.get("payment_intent")),
        customer=_id(session.get("customer")),
        problem="the bank did not pay" if failed else None,
    )


def intent_standing(intent: Object) -> Standing:
    """The standing of a PaymentIntent that was charged to a saved way to pay."""
    status = _INTENT.get(str(intent.get("status")), "processing")
    error = intent.get("last_payment_error") or {}
    paid = intent.get("amount_received") if status == "paid" else intent.get("amount")
    return Standing(
        status,
        str(intent["id"]),
        *attempt_of(intent),
        paid,
        intent.get("currency"),
        payment=str(intent["id"]),
        customer=_id(intent.get("customer")),
        problem=str(error.get("message") or "the saved way to pay was refused")[:500] if status == "failed" else None,
    )


#: https://docs.stripe.com/payments/paymentintents/lifecycle. Charged without the customer, one that would want their
#: action, or another way to pay, has failed.
_INTENT: dict[str, Status] = {
    "succeeded": "paid",
    "processing": "processing",
    "canceled": "failed",
    "requires_payment_method": "failed",
    "requires_action": "failed",
}


def given_back(about: Object) -> GivenBack | None:
    """What a charge or a dispute says of its payment."""
    payment = _id(about.get("payment_intent"))
    if payment is None:
        return None
    if about.get("object") == "dispute":
        return GivenBack(payment, None, about.get("status") not in ("won", "warning_closed"))
    return GivenBack(payment, about.get("amount_refunded"), bool(about.get("disputed")))


def received(made: Object) -> ReceivedPayment | None:
    """The payment of a Checkout Session or PaymentIntent that was made for an invoice of ours; None: there is none."""
    invoice_id, _ = attempt_of(made)
    standing = intent_standing(made) if made.get("object") == "payment_intent" else session_standing(made)
    if invoice_id is None or standing.status != "paid":
        return None
    account_id = (made.get("metadata") or {}).get("account_id")
    payment = standing.payment or standing.reference
    return ReceivedPayment(payment, invoice_id, account_id, standing.amount, standing.currency, int(made["created"]))


def attempt_of(made: Object) -> tuple[str | None, int]:
    """The invoice and the attempt that an object of Stripe's was made for; None, 0 for what is not ours."""
    labels = made.get("metadata") or {}
    invoice_id, attempt = labels.get("invoice_id"), str(labels.get("attempt", ""))
    if not isinstance(invoice_id, str) or not (attempt.isascii() and attempt.isdigit() and len(attempt) < 10):
        return None, 0
    return invoice_id, int(attempt)


def _session_status(session: Object, failed: bool) -> Status:
    if failed:
        return "failed"
    if session.get("payment_status") == "paid":
        return "paid"
    return {"open": "open", "expired": "expired"}.get(str(session.get("status")), "processing")  # type: ignore[return-value]


def _id(value: Any) -> str | None:
    """An id that may have been expanded to the object."""
    return value if isinstance(value, str) else value.get("id") if isinstance(value, Mapping) else None
