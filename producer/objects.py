"""How rows are shown: the job, webhook, transfer and list objects of the contract."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared import usage_shown
from shared.clock import MICROS, now_seconds, seconds
from shared.jobs.outcomes import BEGAN
from shared.money.ledger import credits


def queued_view(row: Mapping[str, Any], labels: Mapping[str, str] | None) -> dict[str, Any]:
    """A job as it is when it has just been accepted."""
    return {
        "id": row["id"],
        "object": "job",
        "type": row["type"],
        "status": row["status"],
        "model": row["model"],
        "served_by": None,
        "batch_id": row["batch_id"],
        "custom_id": row["custom_id"],
        "attempts": [],
        "created_at": row["created_at"] // MICROS,
        "started_at": None,
        "finished_at": None,
        "expires_at": row["expires_at"] // MICROS,
        "metadata": labels or {},
        "result": None,
        "error": None,
        "usage": None,
        "ignored": [],
        "cancel_requested": False,
    }


def job_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """A job from its row joined with payload and result; `result` is the stored body itself."""
    served = {"provider": row["provider"], "model": row["served_model"]} if row["provider"] else None
    ended = row["charged_micros"] is not None
    return {
        **queued_view(row, json.loads(row["labels"]) if row["labels"] else None),
        "served_by": served,
        "attempts": _attempts(row),
        "started_at": seconds(row["started_at"]),
        "finished_at": seconds(row["finished_at"]),
        "result": orjson.Fragment(row["response"] or row["partial"]) if row["response"] or row["partial"] else None,
        "error": json.loads(row["error"]) if row["error"] else None,
        "usage": _usage(row) if ended else None,
        "ignored": json.loads(row["ignored"] or "[]"),
        "cancel_requested": row["cancel_requested"],
    }


def transfer_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """One movement of credit."""
    return {
        "id": row["id"],
        "object": "transfer",
        "kind": row["kind"],
        "from": row["from_purse"],
        "to": row["to_purse"],
        "credits": credits(row["amount_micros"]),
        "subject": {"type": row["subject_type"], "id": row["subject_id"]},
        "created_at": row["created_at"] // MICROS,
    }


def webhook_view(row: Mapping[str, Any], *, secret: bool = False) -> dict[str, Any]:
    """A webhook; its secret only where it has just been made."""
    shown = {
        "id": row["id"],
        "object": "webhook",
        "url": row["url"],
        "events": json.loads(row["events"]),
        "status": row["status"],
        "created_at": row["created_at"] // MICROS,
    }
    return {**shown, "secret": row["secret"]} if secret else shown


def delivery_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """How far an event has come on its way to a webhook."""
    return {
        "id": row["id"],
        "object": "webhook.delivery",
        "event_id": row["event_id"],
        "status": row["status"],
        "attempts": row["attempts"],
        "last_status_code": row["last_status"],
        "last_error": row["last_error"],
        "next_attempt_at": (seconds(row["next_at"]) or now_seconds()) if row["status"] == "pending" else None,
        "delivered_at": seconds(row["delivered_at"]),
    }


def page(rows: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """A list object of at most `limit` of the rows; more of them than that means there is more."""
    data = list(rows[:limit])
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(rows) > limit,
    }


def _attempts(row: Mapping[str, Any]) -> Any:
    """All of them; whoever ends a job that waits (cancel, expiry) knows none, so those before count."""
    made = json.loads(row["attempts"] or "[]") or json.loads(row["attempts_before"] or "[]")
    return [{name: value for name, value in attempt.items() if name != BEGAN} for attempt in made]


def _usage(row: Mapping[str, Any]) -> dict[str, Any]:
    used: dict[str, Any] = usage_shown.tokens(usage_shown.of_row(row)) | {
        "credits_used": credits(row["charged_micros"])
    }
    if row["images"]:
        used["images"] = row["images"]
    return used | flags(row)


def flags(row: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a result's usage where it holds: made with a test key; counted here, not told by the provider."""
    return {name: True for name in ("test", "estimated") if row[name]}
