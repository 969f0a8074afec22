"""What an account used: the sums of a period and its rows. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from producer.objects.jobs import flags
from producer.objects.lists import List
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


class UsageGroup(TypedDict):
    """The sums of a group of jobs, with what they have in common: the dimensions of `group_by`.

    Null is what is not known, or a label that they do not have.
    """

    id: str
    object: Literal["usage.group"]
    model: NotRequired[str]
    key_id: NotRequired[str | None]
    key_name: NotRequired[str | None]
    day: NotRequired[Day]
    metadata: NotRequired[dict[str, str | None]]
    jobs: Count
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    images: Count
    credits_used: Credits


class UsageGroups(TypedDict):
    """The total of a whole period, and a page of its groups.

    `unattributed_credits`: part of the total, of jobs whose metadata is not kept any more.
    """

    object: Literal["list"]
    data: list[UsageGroup]
    first_id: str | None
    last_id: str | None
    has_more: bool
    period: Days
    group_by: list[str]
    credits_used: Credits
    unattributed_credits: Credits


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


@dataclass(frozen=True, slots=True)
class Sums:
    """What a group of jobs used and was charged."""

    jobs: int
    prompt_tokens: int
    completion_tokens: int
    images: int
    charged_micros: int

    def __add__(self, more: "Sums") -> "Sums":
        pairs = zip(astuple(self), astuple(more), strict=True)
        return Sums(*(one + other for one, other in pairs))


def usage_group(by: Sequence[str], values: Sequence[str | None], sums: Sums, names: Mapping[str, str]) -> UsageGroup:
    """A group, by its dimensions (`metadata.NAME` for a label); `names`: of keys, by id."""
    digest = hashlib.blake2b(json.dumps([by, values]).encode(), digest_size=16).hexdigest()
    group: UsageGroup = {
        "id": f"usage_group_{digest}",
        "object": "usage.group",
        "jobs": sums.jobs,
        "prompt_tokens": sums.prompt_tokens,
        "completion_tokens": sums.completion_tokens,
        "total_tokens": sums.prompt_tokens + sums.completion_tokens,
        "images": sums.images,
        "credits_used": credits(sums.charged_micros),
    }
    for dimension, value in zip(by, values, strict=True):
        if dimension == "model":
            group["model"] = value or ""
        elif dimension == "day":
            group["day"] = value or ""
        elif dimension == "key":
            group["key_id"], group["key_name"] = value, names.get(value or "")
        else:
            group.setdefault("metadata", {})[dimension.removeprefix("metadata.")] = value
    return group


def usage_groups(
    listed: List[UsageGroup], by: Sequence[str], first: date, last: date, micros: int, unattributed: int
) -> UsageGroups:
    """A page of groups, with what all of them come to in micro-credits, and what belongs to none."""
    return {
        **listed,
        "period": days(first, last),
        "group_by": list(by),
        "credits_used": credits(micros),
        "unattributed_credits": credits(unattributed),
    }
