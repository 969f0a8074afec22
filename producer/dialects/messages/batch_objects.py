"""A batch as a message batch: its states, counts, times.

Source: platform.claude.com/docs/en/api/messages/batches/retrieve; nullable fields as in the types of the official SDK.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

from typing_extensions import TypedDict

from shared import clock
from shared.objects.fields import Count

#: Before the ids of message batches, and of the batches that they are.
_PREFIX: Final = "msgbatch_"
_NATIVE: Final = "batch_"
#: How a batch ended, in the word for those of its requests of which nothing else is known.
_ENDS: Final[Mapping[str, str]] = {
    "completed": "succeeded",
    "failed": "errored",
    "expired": "expired",
    "cancelled": "canceled",
}
#: The columns of counts.
_COLUMNS: Final = {"succeeded": "succeeded", "errored": "failed", "canceled": "cancelled", "expired": "expired"}
Status = Literal["in_progress", "canceling", "ended"]


class MessageBatchCounts(TypedDict):
    """Requests by their state. All are `processing` until the batch has ended."""

    processing: Count
    succeeded: Count
    errored: Count
    canceled: Count
    expired: Count


class MessageBatch(TypedDict):
    """A batch of messages. It is the native batch whose id has `batch_` for `msgbatch_`, too."""

    id: str
    type: Literal["message_batch"]
    processing_status: Status
    request_counts: MessageBatchCounts
    created_at: str
    expires_at: str
    ended_at: str | None
    cancel_initiated_at: str | None
    archived_at: str | None
    results_url: str | None


class DeletedMessageBatch(TypedDict):
    """A message batch that was deleted."""

    id: str
    type: Literal["message_batch_deleted"]


def shown_id(native: str) -> str:
    """The id of a message batch.

    >>> shown_id("batch_1"), native_id("msgbatch_1"), native_id("batch_1")
    ('msgbatch_1', 'batch_1', None)
    """
    return _PREFIX + native.removeprefix(_NATIVE)


def native_id(id: str) -> str | None:
    """The id of the batch that a message batch is; None: it is not the id of one."""
    return _NATIVE + id.removeprefix(_PREFIX) if id.startswith(_PREFIX) else None


def end_of(row: Mapping[str, Any]) -> str | None:
    """How the requests ended of which nothing else is known; None: the batch has not ended."""
    return _ENDS.get(row["status"])


def ended_at(row: Mapping[str, Any]) -> int | None:
    """When the batch ended, in microseconds."""
    return next((at for status in _ENDS if (at := row[f"{status}_at"]) is not None), None)


def message_batch(row: Mapping[str, Any], results_url: str, archived_at: int | None) -> MessageBatch:
    """The object. `archived_at`: when its results were no longer kept, in microseconds; None: they are."""
    ended = ended_at(row)
    has_results = ended is not None and archived_at is None
    return {
        "id": shown_id(row["id"]),
        "type": "message_batch",
        "processing_status": _status(row),
        "request_counts": _counts(row),
        "created_at": _written(row["created_at"]),
        "expires_at": _written(row["expires_at"]),
        "ended_at": _time(ended),
        "cancel_initiated_at": _time(row["cancelling_at"]),
        "archived_at": _time(archived_at),
        "results_url": results_url if has_results else None,
    }


def _status(row: Mapping[str, Any]) -> Status:
    if end_of(row) is not None:
        return "ended"
    return "canceling" if row["status"] == "cancelling" else "in_progress"


def _counts(row: Mapping[str, Any]) -> MessageBatchCounts:
    """The counts, which add up to the requests that were sent, also those of a batch that was never read."""
    sent = max(row["requests"] or 0, row["total"])
    if (end := end_of(row)) is None:
        return {"processing": sent, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    known = {name: row[column] for name, column in _COLUMNS.items()}
    known[end] += sent - sum(known.values())
    return cast(MessageBatchCounts, {"processing": 0, **known})


def _time(micros: int | None) -> str | None:
    return None if micros is None else _written(micros)


def _written(micros: int) -> str:
    return datetime.fromtimestamp(micros / clock.MICROS, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
