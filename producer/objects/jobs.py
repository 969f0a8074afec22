"""The job object, made from a job's row joined with its payload and its result. Pure."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, cast

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from producer.objects.charges import Charge, charge
from producer.objects.completions import Result
from producer.objects.errors import JobError
from producer.objects.holds import JobHold, hold
from producer.objects.selections import JobRouting, routing
from shared.answers import thinking
from shared.clock import MICROS, seconds
from shared.jobs.outcomes import JobStatus
from shared.objects.amounts import credits
from shared.objects.batches import LineRequest
from shared.objects.fields import Count, Credits, Labels, Time
from shared.submissions import answer_options, preface, usage_shown
from shared.submissions.job_types import JobType
from shared.submissions.usage_shown import TokenCounts


class ServedBy(TypedDict):
    """The provider that served the job, and the model id from the catalogue."""

    provider: str
    model: str


class Attempt(TypedDict):
    """One call to a provider. `error` is the error code or message, null if the call succeeded.

    `provider` is null if the worker was lost before it recorded the call.
    """

    provider: str | None
    model: str
    started_at: Time
    finished_at: Time | None
    status_code: int | None
    error: str | None


_FromCache = Annotated[Literal[True], Field(description="Answered from the cache, without a provider.")]


class _Cached(TypedDict):
    cached: NotRequired[_FromCache]


class _Refunded(TypedDict):
    refunded: NotRequired[
        Annotated[Credits, Field(description="Credits that were given back; `usage` keeps what was charged.")]
    ]


class Flags(TypedDict):
    """What is said of usage where it holds: made with a test key; counted here, not told by the provider."""

    test: NotRequired[Literal[True]]
    estimated: NotRequired[Literal[True]]


class _Pictures(TypedDict):
    images: NotRequired[Count]


class _Charged(TokenCounts):
    credits_used: Credits


class JobUsage(_Charged, _Pictures, Flags):
    """Usage and cost of a finished job."""


class Linked(TypedDict):
    """An entity that a chat was linked to."""

    type: str
    id: str


class Job(_Refunded):
    """A job. `result` is the response body of the synchronous call."""

    id: str
    object: Literal["job"]
    type: JobType
    status: JobStatus
    model: Annotated[str, Field(description="The requested model; `served_by` names the model that served the job.")]
    served_by: ServedBy | None
    batch_id: str | None
    custom_id: str | None
    attempts: list[Attempt]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    expires_at: Annotated[int, Field(description="When the job expires if it has not finished; Unix time in seconds.")]
    metadata: Labels
    result: Result | None
    error: JobError | None
    cached: NotRequired[_FromCache]
    usage: JobUsage | None
    charge: Charge | None
    hold: NotRequired[
        Annotated[JobHold | None, Field(description="Only in GET /v1/jobs/{id}. Null: nothing is held for the job.")]
    ]
    routing: JobRouting | None
    ignored: Annotated[
        list[str], Field(description="Parameters that were dropped because the provider does not support them.")
    ]
    cancel_requested: bool
    waiting_for: NotRequired[
        Annotated[
            Literal["credits"],
            Field(
                description="The job was accepted with `on_insufficient_credits: wait`, and starts once the account "
                "has enough credit. Absent: it does not wait."
            ),
        ]
    ]
    linked_context: NotRequired[
        Annotated[list[Linked], Field(description="The entities that the request was linked to, if it was.")]
    ]
    callback_url: NotRequired[
        Annotated[str, Field(description="Where the event of its end is sent, if the request named it.")]
    ]


class JobInput(TypedDict):
    """What a job asked, as it can be sent again."""

    object: Literal["job.input"]
    job_id: str
    type: JobType
    key_id: str
    key_name: Annotated[str | None, Field(description="The name of its key; null if the key is not known any more.")]
    url: Annotated[str, Field(description="Where the synchronous call of it is sent to.")]
    body: Annotated[
        dict[str, Any],
        Field(description="Its body; with `type` beside it, that of `POST /v1/jobs`."),
    ]


class Jobs(TypedDict):
    """Jobs accepted together, in the order of the request."""

    object: Literal["list"]
    data: list[Job]


def queued_job(row: Mapping[str, Any]) -> Job:
    """A job as it is when it has just been accepted; `row` has the columns of its row and of its payload."""
    shown: Job = {
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
        "metadata": json.loads(row["labels"]) if row["labels"] else {},
        "result": None,
        "error": None,
        "usage": None,
        "charge": None,
        "routing": routing(row),
        "ignored": [],
        "cancel_requested": False,
    }
    if row["status"] == "queued" and row.get("wanted_micros") is not None:
        shown["waiting_for"] = "credits"
    if linked := row.get("linked_context"):
        shown["linked_context"] = json.loads(linked)
    if url := row.get("callback_url"):
        shown["callback_url"] = url
    return shown


def job_object(row: Mapping[str, Any]) -> Job:
    """A job; to Python its `result` is opaque: the stored JSON, which the answer carries as it is."""
    return {
        **queued_job(row),
        **_cached(row),
        **_refunded(row),
        "served_by": {"provider": row["provider"], "model": row["served_model"]} if row["provider"] else None,
        "attempts": _attempts(row),
        "started_at": seconds(row["started_at"]),
        "finished_at": seconds(row["finished_at"]),
        "result": _result(row["response"] or row["partial"], row.get("answer_options")),
        "error": json.loads(row["error"]) if row["error"] else None,
        "usage": None if row["charged_micros"] is None else _usage(row),
        "charge": charge(row),
        "ignored": _ignored(row),
        "cancel_requested": row["cancel_requested"],
    }


def whole_job(row: Mapping[str, Any]) -> Job:
    """A job with the explanation of its hold."""
    return {**job_object(row), "hold": hold(row)}


def job_input(row: Mapping[str, Any], asked: LineRequest, key_name: str | None) -> JobInput:
    """What a job asked; `row` has its id, type and key."""
    return {
        "object": "job.input",
        "job_id": row["id"],
        "type": row["type"],
        "key_id": row["key_id"],
        "key_name": key_name,
        "url": asked["url"],
        "body": asked["body"],
    }


def flags(row: Mapping[str, Any]) -> Flags:
    """Which of the flags hold of a result's row."""
    shown: Flags = {}
    if row["test"]:
        shown["test"] = True
    if row["estimated"]:
        shown["estimated"] = True
    return shown


def _cached(row: Mapping[str, Any]) -> _Cached:
    return {"cached": True} if row.get("cached_from") else {}


def _refunded(row: Mapping[str, Any]) -> _Refunded:
    micros = row.get("refunded_micros")
    return {"refunded": credits(micros)} if micros else {}


def _attempts(row: Mapping[str, Any]) -> list[Attempt]:
    """All of them; whoever ends a job that waits (cancel, expiry) knows none, so those before count."""
    made = json.loads(row["attempts"] or "[]") or json.loads(row["attempts_before"] or "[]")
    return [_attempt(attempt) for attempt in made]


def _attempt(kept: Mapping[str, Any]) -> Attempt:
    """What is shown of what is kept of an attempt, whichever version kept it."""
    return {
        "provider": kept.get("provider"),
        "model": kept.get("model") or "",
        "started_at": kept.get("started_at") or 0,
        "finished_at": kept.get("finished_at"),
        "status_code": kept.get("status_code"),
        "error": kept.get("error"),
    }


def _ignored(row: Mapping[str, Any]) -> list[str]:
    """Its places as they were sent: a preface stands before the caller's messages."""
    places: list[str] = json.loads(row["ignored"] or "[]")
    has_preface = row.get("linked_context") or answer_options.language(row.get("answer_options"))
    return [preface.as_sent(place) for place in places] if has_preface else places


def _result(body: str | None, options: str | None) -> Result | None:
    if body and answer_options.wants_thinking(options):
        body = thinking.dressed(body)
    return cast(Result, orjson.Fragment(body)) if body else None


def _usage(row: Mapping[str, Any]) -> JobUsage:
    pictures: _Pictures = {"images": row["images"]} if row["images"] else {}
    counts = usage_shown.tokens(usage_shown.of_row(row))
    return {**counts, "credits_used": credits(row["charged_micros"]), **pictures, **flags(row)}
