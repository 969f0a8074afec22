"""Usage over time. Pure."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from shared.objects.amounts import credits
from shared.objects.fields import Count, Credits, Time


class UsagePoint(TypedDict):
    """What was used in an interval. Jobs count in the interval in which they ended."""

    start: Annotated[int, Field(description="The first second of the interval; Unix time in seconds.")]
    jobs: Annotated[int, Field(ge=0, description="Jobs that succeeded; by day, jobs that have usage.")]
    credits: Credits
    prompt_tokens: Count
    completion_tokens: Count
    failed: NotRequired[Annotated[int, Field(ge=0, description="Jobs that failed or expired; not by day.")]]
    accepted: NotRequired[Annotated[int, Field(ge=0, description="Jobs that were created; not by day.")]]


class UsageSeries(TypedDict):
    """Usage over time, a point for each interval, the oldest first, in UTC."""

    object: Literal["usage.series"]
    interval: Literal["minute", "hour", "day"]
    since: Time
    until: Annotated[int, Field(description="The end of the last interval, exclusive.")]
    complete_since: Annotated[
        int,
        Field(description="Points before this time are zero because too many jobs ended after it to look at them all."),
    ]
    data: list[UsagePoint]


def point(start: int, jobs: int = 0, micros: int = 0, prompt: int = 0, completion: int = 0) -> UsagePoint:
    """The point of an interval, by its first second."""
    return {
        "start": start,
        "jobs": jobs,
        "credits": credits(micros),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
    }
