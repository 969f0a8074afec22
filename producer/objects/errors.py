"""What went wrong: the error of a job, and that of a stream which broke off. Pure."""

from typing import NotRequired

from typing_extensions import TypedDict


class JobError(TypedDict):
    """Why a job failed; `code` is the HTTP status that a call which waited for it was answered with."""

    message: str
    type: str
    code: int
    reason: NotRequired[str]
    param: NotRequired[str]


class StreamFault(TypedDict):
    """What broke off a stream; the message says whether the job goes on, and how to have the rest.

    `last_event_id`: for Last-Event-ID at GET /v1/jobs/{job_id}/stream, where that gives the rest.
    """

    message: str
    type: str
    code: int
    request_id: str
    job_id: str
    last_event_id: NotRequired[str]


class StreamError(TypedDict):
    """The data of the last event of a stream that broke off."""

    error: StreamFault
