"""The types of Anthropic's errors, by status.

Source: platform.claude.com/docs/en/api/errors.
"""

from collections.abc import Mapping
from typing import Any, Final

_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
TYPES: Final = ("invalid_request_error", *_TYPES.values(), "api_error")
#: Fields of a stored error that Anthropic's body has under other names.
_OTHER_NAMES: Final = ("type", "code")


def type_of(status: int) -> str:
    """The type of a status.

    >>> type_of(415), type_of(402), type_of(502)
    ('invalid_request_error', 'billing_error', 'api_error')
    """
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def body(error: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    """The body of an error response, from an error object as jobs store it."""
    shown = {"type": type_of(error["code"])} | {name: error[name] for name in error if name not in _OTHER_NAMES}
    return {"type": "error", "error": shown, "request_id": request_id}
