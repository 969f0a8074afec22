"""How Infuzu refuses and dresses answers: a list of errors, and a usage of three whole numbers.

Source: its own Python client (github.com/Infuzu/infuzu-python), which reads `errors[].code` as a string and `usage` as
numbers by name.
"""

from functools import partial
from typing import Any, Final

import orjson

from producer.web.chunk_events import ChunkEvents
from producer.web.dialect import BrokenStream, Refusal, bearer_wanted
from shared.errors import FusionError
from shared.submissions.job_types import JobType

_USAGE: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


def refuse(error: FusionError, request_id: str) -> Refusal:
    """A list of one error; its code is the machine-readable cause, or else its type."""
    return Refusal({"errors": [shown(error)], "request_id": request_id}, bearer_wanted(error))


def shown(error: FusionError) -> dict[str, Any]:
    """One error of the list; its code is a string."""
    return error.as_json() | {"code": error.reason or error.type}


def dress(type: JobType, result: str) -> str:
    """A completion, its usage in whole numbers alone; what it cost is in a header."""
    return _counted(orjson.loads(result)).decode()


def _chunk(chunk: bytes) -> bytes:
    return _counted(orjson.loads(chunk)) if b'"usage"' in chunk else chunk


def _counted(made: dict[str, Any]) -> bytes:
    made.pop("usage_details", None)
    usage = made.get("usage")
    if usage is not None:
        made["usage"] = {name: usage[name] for name in _USAGE if name in usage}
    return orjson.dumps(made)


def _broken(fault: BrokenStream) -> dict[str, Any]:
    return {"errors": [shown(fault.error) | fault.place], "request_id": fault.request_id}


#: A stream's framing.
framing = partial(ChunkEvents, _broken, _chunk)
