"""How refusals look in OpenAI's Responses API: as the native ones."""

from functools import partial

from producer.web.chunk_events import ChunkEvents
from producer.web.dialect import BrokenStream, Refusal, bearer_wanted
from shared.errors import FusionError


def refuse(error: FusionError, request_id: str) -> Refusal:
    """An error object in an envelope."""
    return Refusal({"error": error.as_json(request_id)}, bearer_wanted(error))


def _broken(fault: BrokenStream) -> dict[str, object]:
    return {"error": fault.error.as_json(fault.request_id)}


#: Of a stream that is no response's; those have `ResponseEvents`, each with its own response.
framing = partial(ChunkEvents, _broken)
