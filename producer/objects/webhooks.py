"""The webhook and delivery objects, made from their rows. Pure."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from shared.clock import MICROS, now_seconds, seconds
from shared.objects.fields import Count, Time


class Webhook(TypedDict):
    """An endpoint that receives events."""

    id: str
    object: Literal["webhook"]
    url: str
    description: str | None
    events: list[str]
    status: Literal["enabled", "disabled"]
    created_at: Time


class NewSecret(Webhook):
    """A webhook with its secret, which is returned only once."""

    secret: Annotated[str, Field(pattern="^whsec_")]


class DeletedWebhook(TypedDict):
    """A deleted webhook."""

    id: str
    object: Literal["webhook"]
    deleted: Literal[True]


class Delivery(TypedDict):
    """The delivery of an event to a webhook."""

    id: str
    object: Literal["webhook.delivery"]
    event_id: str
    status: Literal["pending", "delivered", "failed"]
    attempts: Count
    last_status_code: int | None
    last_error: str | None
    next_attempt_at: Time | None
    delivered_at: Time | None


def webhook_object(row: Mapping[str, Any]) -> Webhook:
    """A webhook, without its secret."""
    return {
        "id": row["id"],
        "object": "webhook",
        "url": row["url"],
        "description": row["description"],
        "events": json.loads(row["events"]),
        "status": row["status"],
        "created_at": row["created_at"] // MICROS,
    }


def webhook_with_secret(row: Mapping[str, Any]) -> NewSecret:
    """A webhook whose secret has just been made."""
    return {**webhook_object(row), "secret": row["secret"]}


def deleted_webhook(id: str) -> DeletedWebhook:
    """What is said of a webhook that has just been deleted."""
    return {"id": id, "object": "webhook", "deleted": True}


def delivery_object(row: Mapping[str, Any]) -> Delivery:
    """A delivery; one that waits and has no later time is due now."""
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
