"""What an account used: the sums of a period and its rows. Pure."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from producer.objects.jobs import flags
from shared.clock import MICROS
from shared.objects.amounts import credits
from shared.objects.fields import Count, Credits, Time
from shared.submissions import usage_shown
from shared.submissions.job_types import JobType
from shared.submissions.usage_shown import CompletionDetails, PromptDetails

Day = Annotated[str, Field(json_schema_extra={"format": "date"})]

_From = TypedDict("_From", {"from": Day})


class Days(_From):
    """A range of whole days in UTC, both inclusive."""

    to: Day
    timezone: Literal["UTC"]


class ModelCredits(TypedDict):
    """Credits spent on a model."""

    model: str
    credits: Credits


class UsageRow(TypedDict):
    """Usage and cost of one job."""

    id: str
    object: Literal["usage"]
    created_at: Time
    job_id: str
    batch_id: str | None
    key_id: str
    type: JobType
    model: str
    provider: str | None
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: NotRequired[PromptDetails]
    completion_tokens_details: NotRequired[CompletionDetails]
    images: Count
    credits_used: Credits
    test: NotRequired[Literal[True]]
    estimated: NotRequired[Literal[True]]


class UsageReport(TypedDict):
    """The totals of a whole period, and a page of its rows."""

    object: Literal["list"]
    data: list[UsageRow]
    first_id: str | None
    last_id: str | None
    has_more: bool
    period: Days
    credits_used: Credits
    top_models: list[ModelCredits]


def days(first: date, last: date) -> Days:
    """From one day to another."""
    return {"from": str(first), "to": str(last), "timezone": "UTC"}


def model_credits(model: str, micros: int) -> ModelCredits:
    """What a model has cost, from micro-credits."""
    return {"model": model, "credits": credits(micros)}


def usage_row(row: Mapping[str, Any]) -> UsageRow:
    """What one job used and was charged, at the moment at which it was."""
    return {
        "id": usage_id(row["id"]),
        "object": "usage",
        "created_at": row["finished_at"] // MICROS,
        "job_id": row["id"],
        "batch_id": row["batch_id"],
        "key_id": row["key_id"],
        "type": row["type"],
        "model": row["served_model"],
        "provider": row["provider"],
        **usage_shown.tokens(usage_shown.of_row(row)),
        "images": row["images"],
        "credits_used": credits(row["charged_micros"]),
        **flags(row),
    }


def usage_id(job_id: str) -> str:
    """The id of the row of a job's usage."""
    return "usage_" + job_id.removeprefix("job_")
