"""Errors in each provider's own shape. The shapes are data: a protocol, and how it writes a refusal."""

from collections.abc import Callable, Iterator
from typing import Any

from workers.simulator.messages import Protocol, SimulatedRefusal, SimulatedReply, event, json_reply, stream_reply

_OPENAI_TYPES = {429: "requests", 500: "server_error", 502: "server_error", 503: "server_error", 504: "server_error"}
_OPENAI_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
#: The code by which a script asks for a quota of the day that is used up.
DAILY = "daily_quota_exceeded"
_QUOTA_METRIC = "generativelanguage.googleapis.com/generate_content_requests"
_GOOGLE_REASONS = {"API_KEY_INVALID", "BILLING_DISABLED", "CONSUMER_SUSPENDED", "SERVICE_DISABLED"}
_GOOGLE_EXTRA = {"FAILED_PRECONDITION", "OUT_OF_RANGE", "ALREADY_EXISTS", "DATA_LOSS", "UNKNOWN"}


def _openai(refused: SimulatedRefusal) -> Any:
    code = refused.code or _OPENAI_CODES.get(refused.status)
    kind = "insufficient_quota" if code == "insufficient_quota" else _OPENAI_TYPES.get(refused.status)
    kind = refused.type or kind or "invalid_request_error"
    return {"error": {"message": refused.message, "type": kind, "param": refused.param, "code": code}}


def _anthropic(refused: SimulatedRefusal) -> Any:
    known = refused.code in _ANTHROPIC_TYPES.values()
    kind = refused.code if known else _ANTHROPIC_TYPES.get(refused.status, "api_error")
    error = {"type": kind, "message": refused.message}
    return {"type": "error", "error": error, "request_id": f"req_simulated_{refused.status}"}


def _google(refused: SimulatedRefusal) -> Any:
    known = refused.code in _GOOGLE_EXTRA or refused.code in _GOOGLE_STATUSES.values()
    status = refused.code if known else _GOOGLE_STATUSES.get(refused.status, "UNKNOWN")
    error: dict[str, Any] = {"code": refused.status, "message": refused.message, "status": status}
    if details := list(_google_details(refused)):
        error["details"] = details
    return {"error": error}


def _google_details(refused: SimulatedRefusal) -> Iterator[dict[str, Any]]:
    """What Google says besides: which quota, how long to wait, which field, why a key is refused."""
    kind = "type.googleapis.com/google.rpc."
    if refused.status == 429:
        window = "Day" if refused.code == DAILY else "Minute"
        quota = {"quotaId": f"GenerateRequestsPer{window}PerProjectPerModel", "quotaMetric": _QUOTA_METRIC}
        yield {"@type": f"{kind}QuotaFailure", "violations": [quota]}
    if refused.retry_after is not None:
        yield {"@type": f"{kind}RetryInfo", "retryDelay": f"{refused.retry_after:g}s"}
    if refused.code in _GOOGLE_REASONS:
        yield {"@type": f"{kind}ErrorInfo", "reason": refused.code, "domain": "googleapis.com"}
    if refused.status == 400 and refused.param is not None:
        violation = {"field": refused.param, "description": refused.message}
        yield {"@type": f"{kind}BadRequest", "fieldViolations": [violation]}


def _google_openai(refused: SimulatedRefusal) -> Any:
    """Google's OpenAI-compatible endpoint wraps its error in a list, as the real one does."""
    return [_google(refused)]


SHAPES: dict[Protocol, Callable[[SimulatedRefusal], Any]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "google": _google,
    "google-openai": _google_openai,
}


def error_reply(refused: SimulatedRefusal, protocol: Protocol) -> SimulatedReply:
    """The refusal as this protocol's answer, with Retry-After when there is one."""
    reply = json_reply(SHAPES[protocol](refused), refused.status)
    if refused.retry_after is not None:
        reply.headers.append((b"retry-after", f"{refused.retry_after:g}".encode()))
    return reply


def error_event(refused: SimulatedRefusal, protocol: Protocol) -> bytes:
    """The refusal as an event of a stream that has already said 200."""
    if protocol == "anthropic":
        return event(_anthropic(refused), "error")
    return event((_google if protocol.startswith("google") else _openai)(refused))


def error_in_200(refused: SimulatedRefusal, protocol: Protocol, streaming: bool) -> SimulatedReply:
    """The refusal hidden in a 200."""
    if streaming:
        return stream_reply([error_event(refused, protocol)])
    return json_reply(SHAPES[protocol](refused))
