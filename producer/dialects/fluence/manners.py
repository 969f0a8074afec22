"""How Fluence refuses: `{"error": {"code", "message"}}`, with one of five codes."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from producer.web.chunk_events import ChunkEvents
from producer.web.dialect import BrokenStream, Refusal, bearer_wanted
from shared.errors import FusionError

_CODES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "insufficient_credits",
    403: "authentication_error",
    429: "rate_limit_exceeded",
}
CODES: Final = ("invalid_request", *dict.fromkeys(_CODES.values()), "server_error")


def refuse(error: FusionError, request_id: str) -> Refusal:
    """The code, and a message that says what was wrong and where."""
    return Refusal({"error": _shown(error, request_id)}, bearer_wanted(error))


def code_of(status: int) -> str:
    """The code of a status.

    >>> code_of(404), code_of(402), code_of(504)
    ('invalid_request', 'insufficient_credits', 'server_error')
    """
    return _CODES.get(status, "invalid_request" if status < 500 else "server_error")


def _shown(error: FusionError, request_id: str) -> dict[str, Any]:
    param = {} if error.param is None else {"param": error.param}
    reason = {} if error.reason is None else {"reason": error.reason}
    said = {"code": code_of(error.status), "message": error.message, "request_id": request_id}
    return said | param | reason | error.details


def _broken(fault: BrokenStream) -> dict[str, Any]:
    return {"error": _shown(fault.error, fault.request_id) | fault.place}


#: A stream's framing.
framing = partial(ChunkEvents, _broken)
