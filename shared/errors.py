"""The tree of errors, and their JSON.

FusionError
├── RequestRefused        the caller's doing; nothing was accepted, nothing is charged
│   ├── InvalidRequest         400
│   ├── Unauthorized           401
│   ├── InsufficientCredits    402
│   ├── Forbidden              403
│   ├── NotFound               404
│   ├── MethodNotAllowed       405
│   ├── Conflict               409
│   ├── PayloadTooLarge        413
│   ├── UnsupportedMediaType   415
│   ├── IdempotencyMismatch    422
│   └── RateLimited            429
├── Failed                ours or a provider's doing
│   ├── InternalError          500
│   │   └── WorkerLost
│   ├── UpstreamError          502
│   ├── Unavailable            503
│   │   └── StorageAway
│   └── Timeout                504
└── ProviderError         one attempt at a provider failed; workers.running.retry decides what follows
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shared.providers.limits import RateLimits


class FusionError(Exception):
    """A message for the caller that says what was wrong and where; never a secret, never a stack trace."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        reason: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        #: The cause in one word for programs, where there is more to say than the type: a provider's own code.
        self.reason = reason
        #: Further fields of the error object.
        self.details: dict[str, Any] = {}
        #: The accepted job that it is about: to send the request again would buy the work again.
        self.job_id: str | None = None

    def as_json(self, request_id: str | None = None) -> dict[str, Any]:
        """The error object: as it is stored with a job, or that of an answer to the request of this id."""
        shown: dict[str, Any] = {"message": self.message, "type": self.type, "code": self.status}
        param = {} if self.param is None else {"param": self.param}
        reason = {} if self.reason is None else {"reason": self.reason}
        if request_id is None:
            return shown | reason | param | self.details
        return shown | {"request_id": request_id} | param | reason | self.details


class RequestRefused(FusionError):
    """The request was not accepted; nothing is kept of it."""


class InvalidRequest(RequestRefused):
    status, type = 400, "invalid_request"


class Unauthorized(RequestRefused):
    status, type = 401, "unauthorized"


class InsufficientCredits(RequestRefused):
    status, type = 402, "insufficient_credits"

    #: What the account had when it was refused, in micro-credits.
    available = held = 0


class Forbidden(RequestRefused):
    status, type = 403, "forbidden"


class NotFound(RequestRefused):
    status, type = 404, "not_found"


class MethodNotAllowed(RequestRefused):
    status, type = 405, "method_not_allowed"


class Conflict(RequestRefused):
    status, type = 409, "conflict"


class PayloadTooLarge(RequestRefused):
    status, type = 413, "payload_too_large"


class UnsupportedMediaType(RequestRefused):
    status, type = 415, "unsupported_media_type"


class IdempotencyMismatch(RequestRefused):
    status, type = 422, "idempotency_mismatch"


class RateLimited(RequestRefused):
    status, type = 429, "rate_limit_exceeded"


class Failed(FusionError):
    """The server, or a provider, failed to serve an accepted request."""


class InternalError(Failed):
    status, type = 500, "internal_error"


class WorkerLost(InternalError):
    """The processes that ran a job died one after another."""

    type = "worker_lost"


class UpstreamError(Failed):
    status, type = 502, "upstream_error"


class Unavailable(Failed):
    status, type = 503, "unavailable"


class StorageAway(Unavailable):
    """The place where blobs are does not answer, or not as it should; later it will."""

    def __init__(self, message: str = "file storage is unavailable; retry later") -> None:
        super().__init__(message, retry_after_seconds=5)


class Timeout(Failed):
    status, type = 504, "timeout"


class ProviderError(FusionError):
    """One attempt at a provider failed.

    `upstream_status` is the HTTP status, None when there was no answer; `code` is the provider's own machine code
    (`insufficient_quota`, `rate_limit_error` …) or one of ours: `connect`, `reset`, `protocol`, `empty`, `shape`;
    `first_byte`, `idle`, `timeout` for the three limits of time; `context_length_exceeded` and `content_filter`,
    whatever the provider's words for these two are. `wait_seconds`: after which it wants to be asked again.
    `head`: an answer other than a refusal had begun, so that the work was probably done, and is paid for, all the same.
    `limits`: what the answer told of the provider's rate limits. `request_ids`: what the provider calls the call by.
    """

    status, type = 502, "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after_seconds: float | None = None,
        head: bool = False,
        limits: RateLimits | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self.upstream_status = upstream_status
        self.code = code
        self.wait_seconds = retry_after_seconds
        self.head = head
        self.limits = limits
        self.request_ids: Sequence[str] = ()


#: The kinds of error with which jobs end, by the status that is stored.
_STORED = {kind.status: kind for kind in (InvalidRequest, InternalError, UpstreamError, Timeout)}


def from_json(stored: Mapping[str, Any]) -> FusionError:
    """The error that a job ended with, of what `as_json` made of it."""
    kind = _STORED.get(stored["code"], InternalError)
    return kind(stored["message"], param=stored.get("param"), reason=stored.get("reason"))
