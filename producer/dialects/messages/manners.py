"""How Messages refuses, and what it says of limits.

Sources: platform.claude.com/docs/en/api/errors (`{"type": "error", "error": {"type", "message"}, "request_id"}` and the
type of each status), …/api/rate-limits (headers; a reset is an RFC 3339 time).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from producer.admission.limits.allowances import Allowance
from producer.web import rate_headers
from producer.web.dialect import BrokenStream, Refusal, bearer_wanted
from producer.web.rows import Schema
from shared import clock
from shared.dialects.messages.errors import type_of
from shared.errors import FusionError


def is_from_a_client(headers: Mapping[str, str]) -> bool:
    """Whether a request is one of Anthropic's clients: it has a version, or a key where the native API takes none."""
    return "anthropic-version" in headers or ("x-api-key" in headers and "authorization" not in headers)


def refuse(error: FusionError, request_id: str) -> Refusal:
    """An error object in an envelope that has a type of its own."""
    return Refusal({"type": "error", "error": _shown(error), "request_id": request_id}, bearer_wanted(error))


def broken(fault: BrokenStream) -> dict[str, Any]:
    """The data of the event that ends a stream; its message names the job."""
    return {"type": "error", "error": _shown(fault.error) | fault.place, "request_id": fault.request_id}


def answer_headers(request_id: str) -> list[tuple[bytes, bytes]]:
    """The request's id under the name that official clients read."""
    return [(b"request-id", request_id.encode())]


def limit_headers(allowance: Allowance, what: rate_headers.What = "requests") -> list[tuple[bytes, bytes]]:
    """What is left of the limit of `what`, under Anthropic's names, and under those of every dialect."""
    reset = datetime.fromtimestamp(clock.now_seconds() + max(0.0, allowance.reset_seconds), UTC)
    return [
        (f"anthropic-ratelimit-{what}-limit".encode(), b"%d" % allowance.limit),
        (f"anthropic-ratelimit-{what}-remaining".encode(), b"%d" % allowance.remaining),
        (f"anthropic-ratelimit-{what}-reset".encode(), reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode()),
        *rate_headers.limit_headers(allowance, what),
    ]


#: The document's headers of answers.
HEADERS: Final[Mapping[str, Schema]] = rate_headers.SCHEMAS


def _shown(error: FusionError) -> dict[str, Any]:
    param = {} if error.param is None else {"param": error.param}
    reason = {} if error.reason is None else {"reason": error.reason}
    return {"type": type_of(error.status), "message": error.message} | param | reason | error.details
