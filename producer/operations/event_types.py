"""The types of events, each with when it is sent and an example of it.

The examples are made by the functions that make the events, where these take rows; the tests hold the shape of each to
that of the events that are really sent.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from producer import objects
from producer.objects import EventType, List
from shared.batches import states
from shared.clock import MICROS
from shared.jobs import transitions
from shared.objects.addresses import invoice_url
from shared.objects.events import event_object
from shared.objects.invoices import amount_line, invoice_line, invoice_object
from shared.webhooks import events

#: When the examples happened, in seconds: 2026-11-29 12:00 UTC; and the day and the week after.
_AT: Final = 1_795_953_600
_DAY: Final = 86_400
_JOB: Final = {
    "id": "job_01a224bd2a1b0000f2ab9e9008c8b5ca",
    "type": "chat.completion",
    "model": "gpt-4",
    "batch_id": None,
}
_BATCH: Final = {
    "id": "batch_01a224bd3d00000073503eb26b078c9b",
    "output_file_id": "file_01a224bd3ef10000df2af87946abeb09",
    "error_file_id": "file_01a224bd558f0000c0d3a4d873dd33ef",
    "total": 100,
    "succeeded": 98,
    "failed": 2,
    "cancelled": 0,
    "expired": 0,
}
_WEBHOOK: Final = "wh_01a224bd29e3000051255ecbc75b07fc"


def list_event_types() -> List[EventType]:
    """All types, in the order of the documents."""
    return objects.page([_shown(type) for type in events.TYPES], len(events.TYPES))


def _shown(type: str) -> EventType:
    when, data = _catalogue()[type]
    row = {
        "id": "evt_01a224bd2a5f0000b0ba750d44b4aef4",
        "type": type,
        "created_at": _AT * MICROS,
        "sequence": 1 + events.TYPES.index(type),
        "data": json.dumps(data),
        "test": False,
    }
    return objects.event_type(type, when, event_object(row))


@cache
def _catalogue() -> Mapping[str, tuple[str, dict[str, Any]]]:
    return {**_jobs(), **_responses(), **_batches(), **_credits(), **_invoices(), **_webhooks()}


def _jobs() -> dict[str, tuple[str, dict[str, Any]]]:
    said = {
        "succeeded": ("job.completed", "A job has its answer. Of a batch's line only if the batch says `notify_each`."),
        "failed": ("job.failed", "A job ended without an answer; its `error` says why."),
        "cancelled": ("job.cancelled", "A job was cancelled before it was done."),
        "expired": ("job.expired", "A job was not done by its `expires_at`."),
    }
    return {type: (when, transitions.event_data(_JOB, status)) for status, (type, when) in said.items()}


def _responses() -> dict[str, tuple[str, dict[str, Any]]]:
    said = {
        "response.completed": "A background response is complete. In OpenAI's webhook shape, beside its job's event.",
        "response.incomplete": "Its answer was cut off: by `max_output_tokens`, or by the provider's content filter.",
        "response.failed": "It failed, or was not done in time.",
        "response.cancelled": "It was cancelled.",
    }
    return {type: (when, {"id": "resp_01a2278face000003e20d27bdd9fd832"}) for type, when in said.items()}


def _batches() -> dict[str, tuple[str, dict[str, Any]]]:
    said = {
        "completed": "All lines have ended, and the files are there; lines that failed are counted.",
        "failed": "A batch was refused: its file is not right, or there is too little credit. It cost nothing.",
        "expired": "The window ended before the last line did. What was done is in its files, and charged.",
        "cancelled": "A batch was cancelled. What was done is in its files, and charged.",
    }
    none = dict.fromkeys(("output_file_id", "error_file_id"))
    refused = {**_BATCH, **none, "total": 0, "succeeded": 0, "failed": 0}
    rows = {status: {**(refused if status == "failed" else _BATCH), "status": status} for status in said}
    return {f"batch.{status}": (when, states.event_data(rows[status])) for status, when in said.items()}


def _credits() -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        "credit.threshold": (
            "Credit crossed a threshold of the account, or of a key (then with its `key_id`). Once a crossing.",
            {
                "kind": "remaining",
                "threshold": 100,
                "credits_remaining": 99.862,
                "credits_spent": 150.138,
                "period": "2026-11",
            },
        ),
        "credit.exhausted": (
            "The credit has ended: nothing that the account usually asks for can be bought. Once until a top-up.",
            {"credits_remaining": 0, "credits_available": 0},
        ),
        "credit.expiring": (
            "Credits of a grant expire soon: seven days before they do. Once a grant.",
            {"credits": 24.5, "expires_at": _AT + 7 * _DAY},
        ),
    }


def _invoices() -> dict[str, tuple[str, dict[str, Any]]]:
    sums = {"model": "gpt-4", "jobs": 98, "prompt_tokens": 1600, "completion_tokens": 1600, "images": 0}
    lines = {
        "statement": [invoice_line({**sums, "charged_micros": 14_400_000})],
        "purchase": [amount_line("purchase", "Prepaid credits", 500 * MICROS)],
    }
    statement = {
        "id": "inv_01a224bd3ef50000439a5252f0691aac",
        "number": 17,
        "kind": "statement",
        "status": "paid",
        "batch_id": _BATCH["id"],
        "lines": json.dumps(lines["statement"]),
        "total_micros": 14_400_000,
        "created_at": _AT * MICROS,
        "paid_at": _AT * MICROS,
    }
    bought = {
        **statement,
        "id": "inv_01a2286a190b0000ce2b442609fde8d6",
        "number": 18,
        "kind": "purchase",
        "batch_id": None,
        "lines": json.dumps(lines["purchase"]),
        "total_micros": 500 * MICROS,
        **_PURCHASE,
    }
    unpaid = {**bought, "status": "open", "paid_at": None, "problem": "Your card was declined."}
    said = {
        "invoice.created": ("A statement of a batch or a month was made, or a purchase, which is open.", statement),
        "invoice.paid": ("An invoice is paid; the credits of a purchase are granted with it.", bought),
        "invoice.payment_failed": ("A saved card was declined, or a bank did not transfer. It stays open.", unpaid),
    }
    return {
        type: (when, {"invoice": dict(invoice_object(row)), "url": invoice_url(str(row["id"]))})
        for type, (when, row) in said.items()
    }


#: The columns of a purchase that its invoice shows.
_PURCHASE: Final = {
    "description": "Top-up for December",
    "labels": None,
    "amount": 750,
    "currency": "usd",
    "provider": "stripe",
    "url": None,
    "expires_at": None,
    "auto_top_up": False,
    "problem": None,
    "refunded": 0,
    "disputed": False,
}


def _webhooks() -> dict[str, tuple[str, dict[str, Any]]]:
    return {
        "webhook.disabled": (
            "A receiver returned 410, or failed for days, so its webhook was disabled; `reason` says which.",
            {
                "webhook": {"id": _WEBHOOK, "url": "https://example.com/hooks"},
                "reason": "the receiver returned status 410",
            },
        ),
        "webhook.test": ("A test was asked for; sent to that webhook alone.", {"webhook": {"id": _WEBHOOK}}),
    }
