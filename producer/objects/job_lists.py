"""Pages of jobs, how many jobs there are, and what a call that cancels several did."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from producer.objects.jobs import Job
from shared.objects.fields import Time


class JobPage(TypedDict):
    """A page of jobs. If `has_more` is true, request the next page with `after=last_id`, whether the page is full."""

    object: Literal["list"]
    data: list[Job]
    first_id: str | None
    last_id: str | None
    has_more: bool
    incomplete: NotRequired[
        Annotated[
            Literal[True],
            Field(
                description="The page ends before it is full: so many jobs were looked through that do not match. Go "
                "on with `after=last_id`."
            ),
        ]
    ]


class JobCount(TypedDict):
    """How many jobs match the filters."""

    object: Literal["jobs.count"]
    count: Annotated[int, Field(ge=0, description="Jobs that match; counting stops at 10,000.")]
    exact: Annotated[bool, Field(description="False: counting stopped before all jobs were looked at.")]


class BatchesUnderWay(TypedDict):
    """How many batches are not over, and how many of them wait before their next lines start."""

    unfinished: Annotated[int, Field(ge=0, description="Those that are not over; counting stops at 1,000.")]
    waiting_for_credits: Annotated[int, Field(ge=0, description="Of these, until the account has enough credit.")]
    waiting_for_budget: Annotated[int, Field(ge=0, description="Of these, until a budget of their API key has room.")]


class JobSummary(TypedDict):
    """How the jobs of the key's mode (live or test) stand."""

    object: Literal["jobs.summary"]
    queued: JobCount
    running: JobCount
    succeeded: Annotated[JobCount, Field(description="Those created since `succeeded_since`.")]
    failed: Annotated[JobCount, Field(description="Failed and expired jobs created since `failed_since`.")]
    succeeded_since: Annotated[Time, Field(description="The beginning of the day, UTC.")]
    failed_since: Annotated[Time, Field(description="24 hours ago.")]
    oldest_queued_at: Annotated[Time | None, Field(description="When the oldest queued job was created.")]
    batches: Annotated[BatchesUnderWay, Field(description="Lines that are not jobs yet are not among `queued`.")]


class JobsCancelled(TypedDict):
    """What a call that cancels by a filter did. If `has_more` is true, call again with `after=last_id`."""

    object: Literal["jobs.cancellation"]
    dry_run: bool
    matched: Annotated[int, Field(ge=0, description="Jobs that were found, of those that are not over.")]
    cancelled: Annotated[int, Field(ge=0, description="Queued jobs that were cancelled.")]
    cancelling: Annotated[int, Field(ge=0, description="Running jobs, which end as soon as their worker is notified.")]
    has_more: bool
    last_id: str | None
