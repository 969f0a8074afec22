"""The webhook and delivery objects, made from their rows. Pure."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from shared.clock import MICROS, seconds
from shared.objects.events import Event
from shared.objects.fields import Count, Time


class Webhook(TypedDict):
    """An endpoint that receives events."""

    id: str
    object: Literal["webhook"]
    url: str
    description: str | None
    events: list[str]
    status: Literal["enabled", "disabled"]
    #: Since when all deliveries fail; null: the last one succeeded.
    failing_since: Time | None
    #: Why it was disabled, if not by its owner.
    disabled_reason: str | None
    created_at: Time


class NewSecret(Webhook):
    """A webhook with its secret, which is returned only once."""

    secret: Annotated[str, Field(pattern="^whsec_")]


class DeletedWebhook(TypedDict):
    """A deleted webhook."""

    id: str
    object: Literal["webhook"]
    deleted: Literal[True]


class DeliveryAttempt(TypedDict):
    """One attempt to deliver: when it ended, how long it took, and what came of it.

    `response` is the beginning of what the receiver answered, without what looks like a secret; `location` is where it
    redirects to.
    """

    at: Time
    latency_ms: Count
    status_code: int | None
    error: str | None
    response: str | None
    location: str | None


class CallbackSecret(TypedDict):
    """The secret that signs deliveries to the `callback_url` of jobs and batches: one each for live and test keys.

    `valid`: how many sign at present; those before a rotation do for a day.
    """

    id: str
    object: Literal["webhook_secret"]
    created_at: Time
    valid: Count


class NewCallbackSecret(CallbackSecret):
    """The secret, which is returned only once."""

    secret: Annotated[str, Field(pattern="^whsec_")]


class Redelivery(TypedDict):
    """What a call of POST /webhooks/{id}/redeliver came to.

    `last_id` is the last event that was looked at. If `has_more` is true, call again with it as `after`.
    """

    object: Literal["webhook.redelivery"]
    webhook_id: str
    redelivered: Count
    has_more: bool
    last_id: str | None


class EventType(TypedDict):
    """A type of events: when one is sent, and an example of its whole body."""

    #: The type itself.
    id: str
    object: Literal["event_type"]
    description: str
    example: Event


class Delivery(TypedDict):
    """The delivery of an event to a webhook, or to the `callback_url` of a job or batch."""

    id: str
    object: Literal["webhook.delivery"]
    event_id: str
    #: The type of the event; null where the event is not kept any more.
    event_type: str | None
    #: Null of a callback.
    webhook_id: str | None
    #: Null of a webhook.
    callback_url: str | None
    status: Literal["pending", "delivered", "failed"]
    attempts: Count
    last_status_code: int | None
    last_error: str | None
    next_attempt_at: Time | None
    delivered_at: Time | None
    log: Annotated[list[DeliveryAttempt], Field(description="The last 20 attempts, the oldest first.")]


def event_type(type: str, description: str, example: Event) -> EventType:
    """A type of events."""
    return {"id": type, "object": "event_type", "description": description, "example": example}


def webhook_object(row: Mapping[str, Any]) -> Webhook:
    """A webhook, without its secret."""
    return {
        "id": row["id"],
        "object": "webhook",
        "url": row["url"],
        "description": row["description"],
        "events": json.loads(row["events"]),
        "status": row["status"],
        "failing_since": seconds(row.get("failing_since")),
        "disabled_reason": row.get("disabled_reason") if row["status"] == "disabled" else None,
        "created_at": row["created_at"] // MICROS,
    }


def webhook_with_secret(row: Mapping[str, Any]) -> NewSecret:
    """A webhook whose secret has just been made."""
    return {**webhook_object(row), "secret": row["secret"]}


def deleted_webhook(id: str) -> DeletedWebhook:
    """What is said of a webhook that has just been deleted."""
    return {"id": id, "object": "webhook", "deleted": True}


def callback_secret(row: Mapping[str, Any], valid: int) -> CallbackSecret:
    """The secret of callbacks, without itself."""
    return {"id": row["id"], "object": "webhook_secret", "created_at": row["created_at"] // MICROS, "valid": valid}


def new_callback_secret(row: Mapping[str, Any], valid: int) -> NewCallbackSecret:
    """The secret of callbacks, which has just been made."""
    return {**callback_secret(row, valid), "secret": row["secret"]}


def redelivery(webhook_id: str, redelivered: int, last_id: str | None, *, has_more: bool) -> Redelivery:
    """What a part of a redelivery came to."""
    return {
        "object": "webhook.redelivery",
        "webhook_id": webhook_id,
        "redelivered": redelivered,
        "has_more": has_more,
        "last_id": last_id,
    }


def delivery_object(row: Mapping[str, Any], now: int) -> Delivery:
    """A delivery; one that waits and has no later time is due `now`, in microseconds."""
    return {
        "id": row["id"],
        "object": "webhook.delivery",
        "event_id": row["event_id"],
        "event_type": row.get("event_type"),
        "webhook_id": None if row["url"] else row["webhook_id"],
        "callback_url": row["url"],
        "status": row["status"],
        "attempts": row["attempts"],
        "last_status_code": row["last_status"],
        "last_error": row["last_error"],
        "next_attempt_at": seconds(row["next_at"] or now) if row["status"] == "pending" else None,
        "delivered_at": seconds(row["delivered_at"]),
        "log": [_attempt(kept) for kept in json.loads(row["log"] or "[]")],
    }


def _attempt(kept: Mapping[str, Any]) -> DeliveryAttempt:
    """What is shown of what is kept of an attempt, whichever version kept it."""
    return {
        "at": kept["at"] // MICROS,
        "latency_ms": kept.get("ms") or 0,
        "status_code": kept.get("status"),
        "error": kept.get("error"),
        "response": kept.get("words"),
        "location": kept.get("location"),
    }
