"""How an open purchase says that it is paid: to whom, under which number, whom to ask; and never where it is over."""

import json
from typing import Any

import pytest

from producer.documents.invoice import document
from shared.objects.invoices import amount_line, invoice_object
from shared.objects.purchases import purchase_fields


def row(**given: Any) -> dict[str, Any]:
    """The row of a purchase, joined with its invoice."""
    parties = {"seller": {"name": "Fusion GmbH"}, "contact": "pay@fusion.example"}
    usual = {"id": "inv_1", "number": 7, "status": "open", "provider": "manual", "amount": None, "currency": None}
    empty = dict.fromkeys(("description", "labels", "url", "expires_at", "problem", "refunded", "batch_id", "paid_at"))
    of_invoice = {"kind": "purchase", "lines": json.dumps([amount_line("purchase", "Prepaid credits", 5_000_000)])}
    numbers = {"total_micros": 5_000_000, "created_at": 1_772_330_400_000_000, "auto_top_up": False}
    return {**empty, **usual, **of_invoice, **numbers, "parties": json.dumps(parties), **given}


def said(**given: Any) -> str | None:
    return purchase_fields(row(**given))["how_to_pay"]


def test_without_a_price_it_says_whom_to_pay_under_which_number_and_whom_to_ask() -> None:
    assert said() == (
        "Pay the operator of this server (Fusion GmbH) outside this system, and name invoice No. 7. What the credits "
        "cost in money is not set here: ask them (pay@fusion.example). The credits are added when they have marked it "
        "as paid."
    )


def test_with_a_price_nobody_has_to_be_asked_for_it() -> None:
    found = said(amount=500, currency="usd") or ""
    assert "is not set" not in found and "Questions: pay@fusion.example." in found


@pytest.mark.parametrize("kept", [None, "{}", json.dumps({"seller": {"name": ""}, "contact": ""})])
def test_a_seller_that_is_not_known_is_the_operator(kept: str | None) -> None:
    found = said(parties=kept) or ""
    assert found.startswith("Pay the operator of this server outside this system") and "()" not in found


@pytest.mark.parametrize(
    ("url", "expected"),
    [("https://pay.example/1", "Pay it at https://pay.example/1"), (None, "Its payment page is being made; ask")],
)
def test_at_a_provider_it_is_paid_at_its_page(url: str | None, expected: str) -> None:
    assert (said(provider="stripe", url=url, amount=500, currency="usd") or "").startswith(expected)


@pytest.mark.parametrize("status", ["paid", "void", "expired"])
def test_what_is_not_open_says_nothing(status: str) -> None:
    assert said(status=status) is None


def test_the_document_says_it_too() -> None:
    party = {"name": "a", "address": "", "tax_id": ""}
    shown = document(invoice_object(row()), {"seller": party, "buyer": party, "footer": ""})  # type: ignore[typeddict-item]
    assert any("name invoice No. 7" in note for note in shown.notes)
