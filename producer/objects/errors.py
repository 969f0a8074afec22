"""What went wrong: the error of a job, and that of a stream which broke off. Pure."""

from typing import NotRequired

from typing_extensions import TypedDict


class JobError(TypedDict):
    """Why a job failed. `code` is the HTTP status that a synchronous call returned or would have returned."""

    message: str
    type: str
    code: int
    reason: NotRequired[str]
    param: NotRequired[str]


class StreamFault(TypedDict):
    """Why a stream was interrupted. The message says whether the job continues and how to get the rest.

    `last_event_id`: the Last-Event-ID with which GET /v1/jobs/{job_id}/stream returns the rest, if it can.
    """

    message: str
    type: str
    code: int
    request_id: str
    param: NotRequired[str]
    reason: NotRequired[str]
    job_id: str
    last_event_id: NotRequired[str]


class StreamError(TypedDict):
    """The data of the last event of an interrupted stream."""

    error: StreamFault
