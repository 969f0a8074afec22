"""Stripe's signing secret while it is changed: messages that are signed with either, or with both, are taken."""

import json

import pytest

from shared.errors import InvalidRequest
from shared.payments.stripe_payments import StripePayments
from shared.settings import read_settings
from tests.stripe_stub import SECRET_KEY, SIGNING_SECRET, signed

NEXT, OTHER = "whsec_canaryOfTheNextSecret", "whsec_canaryOfSomebodyElse"
SESSION = {"id": "cs_1", "object": "checkout.session", "status": "open", "payment_status": "unpaid", "metadata": {}}
BODY = json.dumps(
    {
        "id": "evt_1",
        "object": "event",
        "type": "customer.created",
        "livemode": False,
        "created": 1_700_000_000,
        "data": {"object": SESSION},
    }
)


def payments(secrets: str) -> StripePayments:
    given = {"stripe_secret_key": SECRET_KEY, "stripe_webhook_secret": secrets, "price_amount": 150}
    return StripePayments(read_settings(payments="stripe", stripe_success_url="https://shop.example/", **given))


def both(*secrets: str) -> str:
    """The header of a message while the secret is changed: Stripe signs it with each that is active."""
    headers = [signed(BODY, secret=secret)["Stripe-Signature"] for secret in secrets]
    return ",".join([headers[0], *(part for one in headers[1:] for part in one.split(",")[1:])])


@pytest.mark.parametrize(
    ("known", "signature"),
    [
        (SIGNING_SECRET, both(SIGNING_SECRET)),
        (f"{SIGNING_SECRET} {NEXT}", both(SIGNING_SECRET)),
        (f"{SIGNING_SECRET} {NEXT}", both(NEXT)),
        (SIGNING_SECRET, both(NEXT, SIGNING_SECRET)),
        (NEXT, both(NEXT, SIGNING_SECRET)),
    ],
)
def test_a_message_signed_with_a_secret_that_is_known_is_taken(known: str, signature: str) -> None:
    assert payments(known).read_notice(BODY.encode(), signature).id == "evt_1"


@pytest.mark.parametrize("known", [SIGNING_SECRET, f"{SIGNING_SECRET} {NEXT}"])
def test_others_are_refused_whatever_is_known(known: str) -> None:
    for signature in (both(OTHER), signed(BODY, secret=NEXT, age=400)["Stripe-Signature"], "", None):
        with pytest.raises(InvalidRequest):
            payments(known).read_notice(BODY.encode(), signature)
    with pytest.raises(InvalidRequest):
        payments(known).read_notice(BODY.replace("evt_1", "evt_2").encode(), both(SIGNING_SECRET))


@pytest.mark.parametrize("secrets", ["", "   ", "whsec_short", f"{SIGNING_SECRET} s3cret", f"{SIGNING_SECRET},s 3cret"])
def test_one_that_is_none_ends_the_start_unseen(secrets: str) -> None:
    with pytest.raises(SystemExit) as ended:
        payments(secrets)
    said = str(ended.value.code)
    assert "FUSIONAI_STRIPE_WEBHOOK_SECRET" in said and "3cret" not in said and SIGNING_SECRET not in said
