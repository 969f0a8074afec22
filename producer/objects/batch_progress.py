"""How far a batch is: its progress by provider, and why lines of it did not succeed; made from its row. Pure."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from producer.objects.batches import WaitingUntil
from shared.clock import MICROS, seconds
from shared.objects.amounts import credits
from shared.objects.batches import (
    BatchStatus,
    RequestCounts,
    WaitingFor,
    request_counts,
    shown_status,
    waits_for,
    waits_until,
)
from shared.objects.fields import Count, Credits, Time


class ProviderProgress(TypedDict):
    """Lines of one provider. `waiting_for`: why most waiting lines wait; `until`: when the first of them is retried."""

    provider: str
    total: Count
    completed: Count
    failed: Count
    running: Count
    waiting: Count
    waiting_for: str | None
    until: Time | None


class Reason(TypedDict):
    """A reason for which `count` lines failed, with the first message. POST /batches/{id}/retry accepts `reason`."""

    reason: str
    status_code: int | None
    #: None of lines that never began, where those of the batch differ.
    model: str | None
    count: Count
    message: str


class BatchErrorExample(TypedDict):
    """The first line of a group of errors."""

    job_id: str
    custom_id: str | None
    model: str | None


class BatchErrorGroup(TypedDict):
    """Lines of a batch that did not succeed for the same reason, with the message of the first of them."""

    reason: Annotated[str, Field(description="POST /batches/{id}/retry takes it in `reasons`.")]
    status_code: int | None
    message: Annotated[str, Field(description="Of the first line; those of the others differ in ids and numbers only.")]
    count: Count
    example: Annotated[BatchErrorExample | None, Field(description="Null: the lines never began.")]
    retry_may_help: Annotated[bool, Field(description="Whether the same request may succeed another time.")]


class BatchErrors(TypedDict):
    """Why lines of a batch did not succeed, the largest group first."""

    object: Literal["batch.errors"]
    batch_id: str
    total: Annotated[int, Field(ge=0, description="Lines that did not succeed so far.")]
    data: list[BatchErrorGroup]
    others: Annotated[int, Field(ge=0, description="Lines of smaller groups, which are not shown.")]


class BatchProgress(TypedDict):
    """The progress of a batch, at most one second old. `providers` counts the lines that have become jobs."""

    object: Literal["batch.progress"]
    batch_id: str
    status: BatchStatus
    request_counts: RequestCounts
    providers: list[ProviderProgress]
    reasons: list[Reason]
    credits_used: Credits
    waiting_for: Annotated[
        WaitingFor | None,
        Field(
            description="`credits`: lines that have not started wait until the account has enough credit. `budget`: "
            "until a budget of the API key has room for them."
        ),
    ]
    waiting_until: WaitingUntil
    created_at: Time
    finished_at: Time | None


def provider_progress(provider: str) -> ProviderProgress:
    """A provider of whose lines none has been counted yet."""
    return {
        "provider": provider,
        "total": 0,
        "completed": 0,
        "failed": 0,
        "running": 0,
        "waiting": 0,
        "waiting_for": None,
        "until": None,
    }


def progress_object(
    row: Mapping[str, Any], providers: Sequence[ProviderProgress], reasons: Sequence[Reason]
) -> BatchProgress:
    """The progress of a batch from its row and what its jobs say."""
    ended = (row[f"{status}_at"] for status in ("completed", "failed", "expired", "cancelled"))
    return {
        "object": "batch.progress",
        "batch_id": row["id"],
        "status": shown_status(row),
        "request_counts": request_counts(row),
        "providers": list(providers),
        "reasons": list(reasons),
        "credits_used": credits(row["charged_micros"]),
        "waiting_for": waits_for(row),
        "waiting_until": seconds(waits_until(row)),
        "created_at": row["created_at"] // MICROS,
        "finished_at": seconds(next((at for at in ended if at is not None), None)),
    }
