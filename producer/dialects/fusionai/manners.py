"""Error bodies, stream frames and rate-limit headers of the native dialect, as in OpenAI's API."""

import orjson

from producer.admission.limits.allowances import Allowance
from producer.web.dialect import BrokenStream, Refusal, event
from shared.errors import FusionError


def refuse(error: FusionError, request_id: str) -> Refusal:
    """An error object in an envelope."""
    return Refusal({"error": error.as_json(request_id)}, {"WWW-Authenticate": "Bearer"} if error.status == 401 else {})


def limit_headers(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    """OpenAI's names and form; the reset is a duration such as `59.980s`."""
    return [
        (b"x-ratelimit-limit-requests", b"%d" % allowance.limit),
        (b"x-ratelimit-remaining-requests", b"%d" % allowance.remaining),
        (b"x-ratelimit-reset-requests", f"{max(0.0, allowance.reset_seconds):.3f}s".encode()),
    ]


class ChunkEvents:
    """Chunks as unnamed events, then `[DONE]`; an error is an event too."""

    media_type = "text/event-stream"

    def chunk(self, chunk: bytes, event_id: str | None) -> bytes:
        """As it is."""
        return event(chunk, id=event_id)

    def end(self) -> bytes:
        """What OpenAI's SDKs wait for."""
        return b"data: [DONE]\n\n"

    def error(self, fault: BrokenStream) -> bytes:
        """Its message names the job, and it says from where one that goes on may be read on."""
        shown = fault.error.as_json(fault.request_id) | {"message": fault.message, "job_id": fault.job_id}
        if fault.last_event_id is not None:
            shown["last_event_id"] = fault.last_event_id
        return event(orjson.dumps({"error": shown}))

    def comment(self) -> bytes:
        """One newline: a blank line ends an event, and some readers would be handed an empty one."""
        return b": keep-alive\n"
