"""Reads a request's body: a JSON object, in bounds; a large one is parsed on a thread."""

from functools import partial
from typing import Any, cast

from starlette.requests import ClientDisconnect, Request

from producer.admission.thread_turns import Turns
from shared import strict_json
from shared.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from shared.submissions import sizes

#: Bytes of a request body: of one that carries jobs, and of any other.
MOST_BYTES = sizes.MOST_BODY_BYTES
SMALL_BYTES = 256 * 1024


def _account(request: Request) -> str:
    """Whose request it is, once that is known."""
    return str(request.scope.get("fusionai_account", ""))


def large(request: Request) -> int:
    """How many bytes the body had that was read of a request."""
    return int(request.scope.get("fusionai_bytes", 0))


def add_bytes(request: Request, more: int) -> None:
    """Count what is read together with a request's body: a conversation that it goes on from."""
    request.scope["fusionai_bytes"] = large(request) + more


async def read_body(request: Request, *, most_bytes: int = SMALL_BYTES) -> dict[str, Any]:
    """The JSON object that a POST carries; 400, 413 or 415 when it is not one."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType(f"unsupported Content-Type {kind[:100]!r}: must be application/json")
    if (coding := request.headers.get("content-encoding", "identity").strip().lower()) not in ("identity", ""):
        raise UnsupportedMediaType(f"unsupported Content-Encoding {coding[:100]!r}: must be identity")
    body = await read_bytes(request, most_bytes)
    request.scope["fusionai_bytes"] = len(body)
    parsers = cast(Turns, request.app.state.context.parsers)
    value = await parsers.run(len(body), partial(_parse, body), _account(request))
    if not isinstance(value, dict):
        raise InvalidRequest("request body must be a JSON object")
    return cast(dict[str, Any], value)


async def read_bytes(request: Request, most_bytes: int) -> bytes:
    """The body of a request as it was sent; 400 for one that breaks off, 413 for a larger one."""
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    if not (declared.isdigit() and int(declared[:20]) > most_bytes):
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    break
        except ClientDisconnect:  # nobody reads this; it is no fault to be logged either
            raise InvalidRequest("request body is incomplete") from None
    if len(body) > most_bytes or (declared.isdigit() and int(declared[:20]) > most_bytes):
        shown = f"{most_bytes // 1024**2} MB" if most_bytes >= 1024**2 else f"{most_bytes // 1024} KB"
        raise PayloadTooLarge(f"request body is larger than {shown}")
    return bytes(body)


def _parse(body: bytes) -> Any:
    strict_json.check_structure(body)
    return strict_json.loads(body)
