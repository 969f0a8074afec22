"""What can go wrong: OpenAI's classes, each with what this API says beside them, and classes for the rest.

Every error of an answer is an `APIStatusError`, and of the class that the official SDK has for its status as well, so
that code which catches `openai.RateLimitError` catches this one.
"""

import copyreg
import email.utils
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import openai
from openai import APIConnectionError as APIConnectionError
from openai import APIError as APIError
from openai import APITimeoutError as APITimeoutError

from fusionai.portable import Portable, reduced
from shared import clock

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BatchFailedError",
    "ConflictError",
    "GatewayTimeoutError",
    "IdempotencyMismatchError",
    "InsufficientCreditsError",
    "InternalServerError",
    "MethodNotAllowedError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitError",
    "StreamCutError",
    "StreamError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnsupportedMediaTypeError",
    "UpstreamError",
    "WaitTimeoutError",
    "asked_pause",
    "status_error",
]

JOB_HEADER = "FusionAI-Job-Id"


class Response(Protocol):
    """What is read of a response."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Any: ...


for _kind in (APIConnectionError, APITimeoutError):
    copyreg.pickle(_kind, reduced)


class APIStatusError(Portable, openai.APIStatusError):
    """The API answered with an error.

    `type`, `param`, `reason`: the API's own words. `job_id`: the job that was accepted and goes on, if one was: fetch
    it, and do not send the request again. `retry_after`: the pause that the server asked for, in seconds. `body`: the
    whole error object.
    """

    reason: str | None
    job_id: str | None
    retry_after: float | None

    def __init__(self, message: str, *, response: Any, body: object | None) -> None:
        super().__init__(message, response=response, body=body)
        said: dict[str, Any] = body if isinstance(body, dict) else {}
        self.reason = said.get("reason")
        self.request_id = said.get("request_id") or self.request_id
        self.job_id = response.headers.get(JOB_HEADER)
        self.retry_after = asked_pause(response.headers)


class BadRequestError(APIStatusError, openai.BadRequestError):
    """400: the request is wrong; `param` says where."""


class AuthenticationError(APIStatusError, openai.AuthenticationError):
    """401: no key, or one that is not valid."""


class InsufficientCreditsError(APIStatusError):
    """402: `body` has `required_credits`, `available_credits`, and what would do."""


class PermissionDeniedError(APIStatusError, openai.PermissionDeniedError):
    """403: the key may not do this."""


class NotFoundError(APIStatusError, openai.NotFoundError):
    """404."""


class MethodNotAllowedError(APIStatusError):
    """405."""


class ConflictError(APIStatusError, openai.ConflictError):
    """409: it is not in a state for that."""


class PayloadTooLargeError(APIStatusError):
    """413."""


class UnsupportedMediaTypeError(APIStatusError):
    """415."""


class IdempotencyMismatchError(APIStatusError, openai.UnprocessableEntityError):
    """422: the Idempotency-Key was used for another request."""


class RateLimitError(APIStatusError, openai.RateLimitError):
    """429."""


class InternalServerError(APIStatusError, openai.InternalServerError):
    """500, and any other status from there on."""


class UpstreamError(InternalServerError):
    """502: the provider failed, after all tries at it."""


class UnavailableError(InternalServerError):
    """503: try again later."""


class GatewayTimeoutError(InternalServerError):
    """504: the wait is over; the job (`job_id`) goes on, and `client.jobs.wait(job_id)` has its answer."""


class UnexpectedAnswerError(Portable, APIError):
    """The answer is a success, and not one of this API: something between here and the server answered in its place.

    Or it is a page of a list that does not go on.
    """

    def __init__(self, message: str, *, request: Any, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(message, request, body=None)
        self.request_id = headers.get("x-request-id")
        self.job_id = headers.get(JOB_HEADER)


class StreamError(Portable, APIError):
    """A stream said that it ends without the rest."""

    #: What an answer would have had as its status.
    status_code: int | None
    reason: str | None
    request_id: str | None
    #: The job, which may go on.
    job_id: str | None
    #: From where `client.jobs.stream(job_id, last_event_id=…)` reads on, if it can.
    last_event_id: str | None

    def __init__(self, message: str, request: Any, body: dict[str, Any], job_id: str | None = None) -> None:
        super().__init__(message, request, body=body)
        code = body.get("code")
        self.status_code = code if isinstance(code, int) else None
        self.reason = body.get("reason")
        self.request_id = body.get("request_id")
        self.job_id = body.get("job_id") or job_id
        self.last_event_id = body.get("last_event_id")


class StreamCutError(Portable, APIConnectionError):
    """A stream ended, or its connection was lost, before its terminal event: what came is not the whole answer.

    The job (`job_id`) goes on: `client.jobs.stream(job_id)` streams it again, and `client.jobs.wait(job_id)`
    has its answer.
    """

    job_id: str | None
    last_event_id: str | None

    def __init__(
        self,
        request: Any,
        job_id: str | None,
        last_event_id: str | None,
        why: str = "the stream was cut before its end",
    ) -> None:
        goes_on = "" if job_id is None else f"; job {job_id} goes on"
        super().__init__(message=f"{why}{goes_on}", request=request)
        self.job_id = job_id
        self.last_event_id = last_event_id


class WaitTimeoutError(Portable, TimeoutError):
    """Something is not over after as long as its caller waits; it goes on."""

    def __init__(self, id: str, seconds: float) -> None:
        super().__init__(f"{id} is not over after {seconds:g} s; it goes on")
        self.job_id = id


class BatchFailedError(Portable):
    """A batch was refused as a whole; nothing of it was charged. `errors`: the faults of its lines."""

    def __init__(self, batch_id: str, errors: list[dict[str, Any]]) -> None:
        first = errors[0]["message"] if errors else "no reason was given"
        more = f" (and {len(errors) - 1:,} more)" if len(errors) > 1 else ""
        super().__init__(f"batch {batch_id} failed: {first}{more}")
        self.batch_id = batch_id
        self.errors = errors


_CLASSES: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: MethodNotAllowedError,
    409: ConflictError,
    413: PayloadTooLargeError,
    415: UnsupportedMediaTypeError,
    422: IdempotencyMismatchError,
    429: RateLimitError,
    502: UpstreamError,
    503: UnavailableError,
    504: GatewayTimeoutError,
}


def status_error(response: Response, body: object | None) -> APIStatusError:
    """The error of an answer; `body`: its JSON, or its text."""
    error = body.get("error", body) if isinstance(body, dict) else None
    said = {"message": error} if isinstance(error, str) else error if isinstance(error, dict) else None
    message = said.get("message") if said else None
    usual = InternalServerError if response.status_code >= 500 else APIStatusError
    kind = _CLASSES.get(response.status_code, usual)
    return kind(str(message or _unsaid(response)), response=response, body=said)


def _unsaid(response: Response) -> str:
    place = response.headers.get("location")
    if place and 300 <= response.status_code < 400:
        return f"the server answered {response.status_code}: it is at {place[:200]}, and redirects are not followed"
    return f"the server answered {response.status_code} without a message"


def asked_pause(headers: Any) -> float | None:
    """The seconds that an answer asks to wait for: as a number, a date, or in milliseconds; None: it asks for none."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        return seconds if seconds > 0 and math.isfinite(seconds) else None
    try:
        when = email.utils.parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return max(when - clock.wall_micros() / clock.MICROS, 0) or None
