"""Payment by Stripe: Checkout Sessions for customers who are there, PaymentIntents for saved cards.

Calls go through Stripe's own library, which also verifies what Stripe sends. Sources, of API version 2026-10-28:
https://docs.stripe.com/api/checkout/sessions/create, https://docs.stripe.com/api/payment_intents/create,
https://docs.stripe.com/api/idempotent_requests, https://docs.stripe.com/payments/save-during-payment.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Final

import stripe

from shared.errors import InvalidRequest
from shared.payments.protocol import (
    KEY_USED,
    Notice,
    PaymentAttempt,
    PaymentRefused,
    PaymentsAway,
    ReceivedPayment,
    Standing,
)
from shared.payments.stripe_objects import attempt_of, given_back, intent_standing, received, session_standing
from shared.settings import Settings

log = logging.getLogger(__name__)

#: Stripe forgets an idempotency key after 24 hours at the earliest; from this age on an attempt at a charge is looked
#: for before it is made again, in seconds.
FORGOTTEN_SECONDS: Final = 12 * 3600
#: How old a message of Stripe's may be, in seconds: its library's own default.
TOLERANCE_SECONDS: Final = 300
#: Where these events of Stripe have the object that they are about.
_SESSIONS: Final = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
)
_INTENTS: Final = ("payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled")
_GIVEN_BACK: Final = ("charge.refunded", "charge.dispute.created", "charge.dispute.closed")


class StripePayments:
    """One process's way to one Stripe account, in one mode (live or test): that of its key."""

    name: ClassVar[str] = "stripe"

    def __init__(self, settings: Settings) -> None:
        self._secrets = settings.stripe_webhook_secret.split()
        self._success_url, self._cancel_url = settings.stripe_success_url, settings.stripe_cancel_url
        self._livemode = "_live_" in settings.stripe_secret_key[:8]
        addresses = {"base_addresses": {"api": settings.stripe_url.rstrip("/")}} if settings.stripe_url else {}
        if settings.ca_file:
            stripe.ca_bundle_path = settings.ca_file
        self._client = stripe.StripeClient(
            settings.stripe_secret_key,
            http_client=stripe.RequestsClient(timeout=settings.stripe_seconds),
            max_network_retries=0,
            **addresses,
        )

    def open_checkout(self, wanted: PaymentAttempt) -> Standing:
        """A Checkout Session; Stripe answers the same one for the same idempotency key."""
        with _mapped():
            made = self._client.v1.checkout.sessions.create(self._session(wanted), _once("checkout", wanted))
        return session_standing(made.to_dict())

    def charge_saved(self, wanted: PaymentAttempt) -> Standing:
        """A PaymentIntent that is confirmed at once; a card that is declined is a standing of `failed`."""
        if wanted.begun_seconds > FORGOTTEN_SECONDS and (found := self.find_charge(wanted)):
            return found
        with _mapped():
            before = self._client.v1.payment_intents.retrieve(wanted.payment)
            intent = self._intent(wanted, before.payment_method)
            try:
                made = self._client.v1.payment_intents.create(intent, _once("charge", wanted))
            except stripe.CardError as error:
                return self._declined(wanted, error)
        return intent_standing(made.to_dict())

    def find_charge(self, wanted: PaymentAttempt) -> Standing | None:
        """The charge of this attempt that Stripe has, whose idempotency key it may have forgotten."""
        with _mapped():
            listed = self._client.v1.payment_intents.list({"customer": wanted.customer, "limit": 100})
        for intent in listed.to_dict()["data"]:
            if attempt_of(intent) == (wanted.invoice_id, wanted.attempt):
                return intent_standing(intent)
        return None

    def look_up(self, reference: str) -> Standing:
        """The Session or PaymentIntent of this id as it is now."""
        with _mapped():
            if reference.startswith("pi_"):
                return intent_standing(self._client.v1.payment_intents.retrieve(reference).to_dict())
            return session_standing(self._client.v1.checkout.sessions.retrieve(reference).to_dict())

    def withdraw(self, reference: str) -> Standing:
        """Expire a Session, cancel a PaymentIntent; one that is over already stays as it is."""
        with suppress(stripe.InvalidRequestError), _mapped(keep=stripe.InvalidRequestError):
            if reference.startswith("pi_"):
                return intent_standing(self._client.v1.payment_intents.cancel(reference).to_dict())
            return session_standing(self._client.v1.checkout.sessions.expire(reference).to_dict())
        return self.look_up(reference)

    def received(self, since: int) -> Iterator[ReceivedPayment]:
        """Paid Sessions, and saved cards that were charged (https://docs.stripe.com/api/pagination/auto)."""
        asked: Any = {"created": {"gte": since}, "limit": 100}
        with _mapped():
            for listed in (self._client.v1.checkout.sessions.list(asked), self._client.v1.payment_intents.list(asked)):
                for one in listed.auto_paging_iter():
                    if found := received(one.to_dict()):
                        yield found

    def read_notice(self, payload: bytes, signature: str | None) -> Notice:
        """An event, signed with a secret of this endpoint within the last five minutes, of our mode."""
        try:
            event = self._verified(payload, signature)
            about = event["data"]["object"]
            id, type, livemode = str(event["id"]), str(event["type"]), event["livemode"]
            at = int(event["created"])
        except (ValueError, KeyError, TypeError, AttributeError, stripe.SignatureVerificationError):
            raise InvalidRequest("not a message signed by Stripe for this endpoint, or an old one") from None
        if livemode is not self._livemode:
            raise InvalidRequest(f"livemode is {str(livemode).lower()}, unlike that of the key of this server")
        if type in _SESSIONS:
            return Notice(id, type, session_standing(about, failed=type.endswith("payment_failed")), at)
        if type in _INTENTS:
            return Notice(id, type, intent_standing(about), at)
        return Notice(id, type, given_back(about) if type in _GIVEN_BACK else None, at)

    def _verified(self, payload: bytes, signature: str | None) -> dict[str, Any]:
        """The event, when one of the secrets fits: of one endpoint, while Stripe changes it, or of two."""
        *others, last = self._secrets
        for secret in others:
            with suppress(stripe.SignatureVerificationError):
                return self._event(payload, signature, secret)
        return self._event(payload, signature, last)

    def _event(self, payload: bytes, signature: str | None, secret: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.construct_event(payload, signature, secret, TOLERANCE_SECONDS).to_dict()
        return found

    def _session(self, wanted: PaymentAttempt) -> dict[str, Any]:
        labels = _labels(wanted)
        # Without the attempt: the events of this PaymentIntent say less than those of the Session do.
        intent: dict[str, Any] = {
            "metadata": {"invoice_id": wanted.invoice_id},
            "description": f"Invoice {wanted.number}",
        }
        product = {"name": f"{wanted.credits} credits"}
        price = {"currency": wanted.currency, "unit_amount": wanted.amount, "product_data": product}
        made: dict[str, Any] = {
            "mode": "payment",
            "client_reference_id": wanted.invoice_id,
            "metadata": labels,
            "line_items": [{"quantity": 1, "price_data": price}],
            "payment_intent_data": intent,
            "success_url": self._success_url.replace("{invoice_id}", wanted.invoice_id),
            # What is paid has to be the price of the invoice, in its currency.
            "adaptive_pricing": {"enabled": False},
        }
        if self._cancel_url:
            made["cancel_url"] = self._cancel_url.replace("{invoice_id}", wanted.invoice_id)
        if wanted.saves_method:
            intent["setup_future_usage"] = "off_session"
            made["customer_creation"] = "always"
        if wanted.customer:
            made["customer"] = wanted.customer
            made.pop("customer_creation", None)
        return made

    def _intent(self, wanted: PaymentAttempt, method: Any) -> dict[str, Any]:
        return {
            "amount": wanted.amount,
            "currency": wanted.currency,
            "customer": wanted.customer,
            "payment_method": method,
            "off_session": True,
            "confirm": True,
            "description": f"Invoice {wanted.number}",
            "metadata": _labels(wanted),
        }

    def _declined(self, wanted: PaymentAttempt, error: Any) -> Standing:
        """The standing of a charge that the card's bank declined; its PaymentIntent can be confirmed no more."""
        problem = str(error.user_message or "the saved card was declined")[:500]
        found = getattr(error.error, "payment_intent", None)
        reference = str(found.id) if found is not None else f"declined_{wanted.invoice_id}_{wanted.attempt}"
        if found is not None:
            with suppress(stripe.StripeError):
                self._client.v1.payment_intents.cancel(reference)
        return Standing(
            "failed", reference, wanted.invoice_id, wanted.attempt, wanted.amount, wanted.currency, problem=problem
        )


def _labels(wanted: PaymentAttempt) -> dict[str, str]:
    return {"invoice_id": wanted.invoice_id, "attempt": str(wanted.attempt), "account_id": wanted.account_id}


def _once(what: str, wanted: PaymentAttempt) -> dict[str, str]:
    return {"idempotency_key": f"fusionai-{what}-{wanted.invoice_id}-{wanted.attempt}"}


@contextmanager
def _mapped(keep: type[Exception] | tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Stripe's errors as ours. Its words are for whoever runs this server: they are logged, with the request's id."""
    try:
        yield
    except keep:
        raise
    except stripe.InvalidRequestError as error:
        log.error("Stripe refused a request (%s): %s", error.request_id, error.user_message)
        raise PaymentRefused(f"the payment provider refused the request: {error.code or 'invalid request'}") from None
    except stripe.StripeError as error:
        why = f"{type(error).__name__} {error.http_status or ''}".strip()
        if isinstance(error, (stripe.AuthenticationError, stripe.PermissionError, stripe.IdempotencyError)):
            log.error("Stripe does not serve this server (%s): %s", error.request_id, why)
        reason = KEY_USED if isinstance(error, stripe.IdempotencyError) else None
        raise PaymentsAway(f"the payment provider is unavailable ({why}); try again later", reason=reason) from None
