"""Error bodies of the native dialect, whole and in streams."""

from functools import partial
from typing import Any

from producer.web.chunk_events import ChunkEvents
from producer.web.dialect import BrokenStream, Refusal
from shared.errors import FusionError


def refuse(error: FusionError, request_id: str) -> Refusal:
    """An error object in an envelope."""
    return Refusal({"error": error.as_json(request_id)}, {"WWW-Authenticate": "Bearer"} if error.status == 401 else {})


def broken(fault: BrokenStream) -> dict[str, Any]:
    """Its message names the job, and it says from where one that goes on may be read on."""
    shown = fault.error.as_json(fault.request_id) | {"message": fault.message, "job_id": fault.job_id}
    if fault.last_event_id is not None:
        shown["last_event_id"] = fault.last_event_id
    return {"error": shown}


#: A stream's framing.
framing = partial(ChunkEvents, broken)
