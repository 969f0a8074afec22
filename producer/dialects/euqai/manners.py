"""How Euqai refuses and dresses answers: codes in capitals, and an object of its own for an image that was made."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import orjson

from producer.web.chunk_events import ChunkEvents
from producer.web.dialect import BrokenStream, Refusal, bearer_wanted
from shared.errors import FusionError
from shared.submissions.job_types import JobType

#: The codes of its document, and in their manner those of the other statuses.
_CODES: Final[Mapping[int, str]] = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    402: "PAYMENT_REQUIRED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "UNPROCESSABLE_ENTITY",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
    502: "BAD_GATEWAY",
    503: "SERVICE_UNAVAILABLE",
    504: "GATEWAY_TIMEOUT",
}
CODES: Final = tuple(_CODES.values())


def refuse(error: FusionError, request_id: str) -> Refusal:
    """The code, and a message that says what was wrong and where."""
    return Refusal({"error": _shown(error, request_id)}, bearer_wanted(error))


def code_of(status: int) -> str:
    """The code of a status.

    >>> code_of(413), code_of(418), code_of(507)
    ('PAYLOAD_TOO_LARGE', 'BAD_REQUEST', 'INTERNAL_SERVER_ERROR')
    """
    return _CODES.get(status) or _CODES[400 if status < 500 else 500]


def dress(type: JobType, result: str) -> str:
    """A completion as it is; one that made an image, as the object of images."""
    if '"images":' not in result:
        return result
    made = orjson.loads(result)
    images = made["choices"][0]["message"].get("images")
    if not images:
        return result
    data = [{"b64_json": _data(one), "revised_prompt": one["revised_prompt"]} for one in images]
    beside = {name: made[name] for name in ("usage", "usage_details") if name in made}
    return orjson.dumps({"created": made["created"], "data": data, **beside}).decode()


def _data(image: Mapping[str, Any]) -> str:
    """The base64 of a `data:` URL."""
    return str(image["image_url"]["url"]).partition(",")[2]


def _shown(error: FusionError, request_id: str) -> dict[str, Any]:
    param = {} if error.param is None else {"param": error.param}
    reason = {} if error.reason is None else {"reason": error.reason}
    said = {"code": code_of(error.status), "message": error.message, "request_id": request_id}
    return said | param | reason | error.details


def _broken(fault: BrokenStream) -> dict[str, Any]:
    return {"error": _shown(fault.error, fault.request_id) | fault.place}


#: A stream's framing.
framing = partial(ChunkEvents, _broken)
