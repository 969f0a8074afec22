"""The invoice object, as GET /invoices shows it and as the events of an invoice carry it. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict

from shared.clock import MICROS, seconds
from shared.objects.amounts import credits
from shared.objects.fields import Count, Credits, Time


class InvoiceLine(TypedDict):
    """The usage of one model in a batch."""

    model: str
    jobs: Count
    prompt_tokens: Count
    completion_tokens: Count
    images: Count
    credits: Credits


class Invoice(TypedDict):
    """The statement of a batch, already paid from the balance, or a purchase of credits."""

    id: str
    object: Literal["invoice"]
    number: int
    kind: Literal["statement", "purchase"]
    status: str
    batch_id: str | None
    credits: Credits
    lines: list[InvoiceLine]
    total: Credits
    created_at: Time
    paid_at: Time | None


def invoice_object(row: Mapping[str, Any]) -> Invoice:
    """An invoice from its row."""
    total = credits(row["total_micros"])
    return {
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
