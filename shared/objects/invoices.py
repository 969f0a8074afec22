"""The invoice object, as GET /invoices shows it and as the events of an invoice carry it. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from shared.clock import MICROS, seconds
from shared.objects.amounts import credits
from shared.objects.fields import Count, Credits, Labels, Time
from shared.objects.purchases import InvoiceStatus, Price, PurchaseLine, purchase_fields


class InvoiceLine(TypedDict):
    """The usage of one model in a batch."""

    model: str
    jobs: Count
    prompt_tokens: Count
    completion_tokens: Count
    images: Count
    credits: Credits


class Invoice(TypedDict):
    """The statement of a batch, already paid from the balance, or a purchase of credits.

    A purchase has the fields from `description` on as well. `checkout_url`: where it is paid, while it is open and such
    a page exists. `payment_error`: why the last attempt to pay failed.
    """

    id: str
    object: Literal["invoice"]
    number: int
    kind: Literal["statement", "purchase"]
    status: InvoiceStatus
    batch_id: str | None
    credits: Credits
    lines: list[InvoiceLine | PurchaseLine]
    total: Credits
    created_at: Time
    paid_at: Time | None
    description: NotRequired[str | None]
    metadata: NotRequired[Labels | None]
    price: NotRequired[Price | None]
    checkout_url: NotRequired[str | None]
    expires_at: NotRequired[Time | None]
    auto_top_up: NotRequired[bool]
    payment_error: NotRequired[str | None]
    refunded: NotRequired[Price | None]


def invoice_object(row: Mapping[str, Any]) -> Invoice:
    """An invoice from its row; that of a purchase has the columns of its purchase as well."""
    total = credits(row["total_micros"])
    made: Invoice = {
        "id": row["id"],
        "object": "invoice",
        "number": row["number"],
        "kind": row["kind"],
        "status": row["status"],
        "batch_id": row["batch_id"],
        "credits": total,
        "lines": json.loads(row["lines"]),
        "total": total,
        "created_at": row["created_at"] // MICROS,
        "paid_at": seconds(row["paid_at"]),
    }
    return {**made, **purchase_fields(row)} if row["kind"] == "purchase" else made


def invoice_line(sums: Mapping[str, Any]) -> InvoiceLine:
    """A line from the sums of the jobs that a model served: their tokens, pictures and `charged_micros`."""
    return {
        "model": sums["model"],
        "jobs": sums["jobs"],
        "prompt_tokens": sums["prompt_tokens"],
        "completion_tokens": sums["completion_tokens"],
        "images": sums["images"],
        "credits": credits(sums["charged_micros"]),
    }
