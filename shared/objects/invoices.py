"""The invoice object, as GET /invoices shows it and as the events of an invoice carry it. Pure."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from shared.clock import MICROS, seconds
from shared.objects.amounts import credits
from shared.objects.fields import Count, Credits, Labels, Time
from shared.objects.purchases import InvoiceStatus, Price, purchase_fields

#: What a line is for: the usage of a model, credits that were bought, or given back, or corrected.
LineKind = Literal["usage", "purchase", "refund", "adjustment"]


class InvoiceLine(TypedDict):
    """What one amount of an invoice is for; that of a refund is negative. `model`: of the usage of one model."""

    kind: LineKind
    description: str
    model: str | None
    jobs: Count
    prompt_tokens: Count
    completion_tokens: Count
    images: Count
    credits: Credits


class Invoice(TypedDict):
    """The statement of a batch or month, already paid from the balance, or a purchase of credits.

    A purchase has the fields from `description` on as well. `checkout_url`: where it is paid, while it is open and such
    a page exists; `how_to_pay`: how, in words. `payment_error`: why the last attempt to pay failed.
    """

    id: str
    object: Literal["invoice"]
    number: int
    kind: Literal["statement", "purchase"]
    status: InvoiceStatus
    batch_id: str | None
    period: Annotated[str | None, Field(description="The calendar month, UTC, of a monthly statement: `2026-11`.")]
    credits: Credits
    lines: list[InvoiceLine]
    total: Credits
    created_at: Time
    paid_at: Time | None
    description: NotRequired[str | None]
    metadata: NotRequired[Labels | None]
    price: NotRequired[Price | None]
    checkout_url: NotRequired[str | None]
    how_to_pay: NotRequired[str | None]
    expires_at: NotRequired[Time | None]
    auto_top_up: NotRequired[bool]
    payment_error: NotRequired[str | None]
    refunded: NotRequired[Price | None]


class InvoiceLinks(TypedDict):
    """Links to the document of an invoice that open in a browser without a key, until they expire."""

    object: Literal["invoice.links"]
    html: str
    pdf: str
    expires_at: Time


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
        "period": row.get("period"),
        "credits": total,
        "lines": [_whole(line) for line in json.loads(row["lines"])],
        "total": total,
        "created_at": row["created_at"] // MICROS,
        "paid_at": seconds(row["paid_at"]),
    }
    return {**made, **purchase_fields(row)} if row["kind"] == "purchase" else made


def invoice_line(sums: Mapping[str, Any]) -> InvoiceLine:
    """A line from the sums of the jobs that a model served: their tokens, pictures and `charged_micros`."""
    return {
        "kind": "usage",
        "description": sums["model"],
        "model": sums["model"],
        "jobs": sums["jobs"],
        "prompt_tokens": sums["prompt_tokens"],
        "completion_tokens": sums["completion_tokens"],
        "images": sums["images"],
        "credits": credits(sums["charged_micros"]),
    }


def amount_line(kind: LineKind, description: str, micros: int, *, jobs: int = 0) -> InvoiceLine:
    """A line of an amount that is not the usage of one model."""
    return {
        "kind": kind,
        "description": description,
        "model": None,
        "jobs": jobs,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "images": 0,
        "credits": credits(micros),
    }


def line_micros(line: Mapping[str, Any]) -> int:
    """The amount of a line in micro-credits, exact below 2**53 of them."""
    micros: int = round(line["credits"] * 1_000_000)
    return micros


def _whole(line: Mapping[str, Any]) -> InvoiceLine:
    """A line as it is shown; what earlier versions wrote, without a kind and a description, was usage."""
    model = line.get("model")
    bare = amount_line("usage" if model else "purchase", model or "Credits", 0)
    whole: InvoiceLine = {**bare, **line}  # type: ignore[typeddict-item]
    return whole
