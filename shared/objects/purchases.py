"""What an invoice of kind `purchase` shows beside what every invoice has. Pure."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from shared.clock import seconds
from shared.objects.fields import Labels, Time

#: How an invoice stands: a statement is always `paid`.
InvoiceStatus = Literal["open", "paid", "void", "expired"]


class Price(TypedDict):
    """An amount of money."""

    amount: Annotated[int, Field(description="In the currency's minor unit: cents of USD, yen of JPY.")]
    currency: Annotated[str, Field(description="ISO 4217, in lower case.")]


class PurchaseFields(TypedDict):
    """The fields of a purchase. `checkout_url`: where it is paid, while it is open and there is such a page.

    `how_to_pay`: in words, while it is open.
    """

    description: str | None
    metadata: Labels | None
    price: Price | None
    checkout_url: str | None
    how_to_pay: str | None
    expires_at: Time | None
    auto_top_up: bool
    payment_error: str | None
    refunded: Price | None


def purchase_fields(row: Mapping[str, Any]) -> PurchaseFields:
    """These fields, of a row that has the columns of the invoice and of its purchase."""
    is_open = row["status"] == "open"
    return {
        "description": row["description"],
        "metadata": json.loads(row["labels"]) if row["labels"] else None,
        "price": _price(row["amount"], row["currency"]),
        "checkout_url": row["url"] if is_open else None,
        "how_to_pay": _how_to_pay(row) if is_open else None,
        "expires_at": seconds(row["expires_at"]) if is_open else None,
        "auto_top_up": bool(row["auto_top_up"]),
        "payment_error": row["problem"] if is_open else None,
        "refunded": _price(row["refunded"] or None, row["currency"]),
    }


def _how_to_pay(row: Mapping[str, Any]) -> str:
    """How an open purchase is paid, and whom to ask, in words for the customer."""
    if row["provider"] != "manual":
        return f"Pay it at {row['url']}" if row["url"] else "Its payment page is being made; ask again in a moment."
    kept = json.loads(row["parties"] or "{}")
    seller, contact = kept.get("seller", {}).get("name"), kept.get("contact")
    operator = f"the operator of this server{f' ({seller})' if seller else ''}"
    said = f"Pay {operator} outside this system, and name invoice No. {row['number']}."
    if row["amount"] is None:
        said += f" What the credits cost in money is not set here: ask them{f' ({contact})' if contact else ''}."
    elif contact:
        said += f" Questions: {contact}."
    return f"{said} The credits are added when they have marked it as paid."


def _price(amount: int | None, currency: str | None) -> Price | None:
    return None if amount is None or currency is None else {"amount": amount, "currency": currency}
