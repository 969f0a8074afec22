"""Error bodies of the native dialect, whole and in streams."""

from functools import partial
from typing import Any

from producer.web.chunk_events import ChunkEvents
from producer.web.dialect import BrokenStream, Refusal, bearer_wanted
from shared.errors import FusionError


def refuse(error: FusionError, request_id: str) -> Refusal:
    """An error object in an envelope."""
    return Refusal({"error": error.as_json(request_id)}, bearer_wanted(error))


def broken(fault: BrokenStream) -> dict[str, Any]:
    """Its message names the job, and it says from where one that goes on may be read on."""
    return {"error": fault.error.as_json(fault.request_id) | fault.place}


#: A stream's framing.
framing = partial(ChunkEvents, broken)
