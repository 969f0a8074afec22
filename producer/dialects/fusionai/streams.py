"""Route of a job's stream: live, resumed after the last event that was read, or replayed from its result."""

from starlette.requests import Request
from starlette.responses import Response

from producer.dialects.fusionai.docs import EVENTS
from producer.operations import stream
from producer.web.call_rows import WAITING
from producer.web.dialect import dialect_of
from producer.web.request import enter, flag_of, limits_of
from producer.web.router import Router
from producer.web.rows import Answer, Row, header, query
from shared.errors import Conflict, NotFound, Timeout, UpstreamError

router = Router()


@router.get(
    "/jobs/{job_id}/stream",
    doc=Row(
        "Jobs",
        {200: Answer("The chunks, from the first one, or those after Last-Event-ID.", EVENTS, ("FusionAI-Job-Id",))},
        parameters=(
            query("include_usage", {"type": "boolean", "default": True}, "Whether the last chunk includes the usage."),
            header(
                "Last-Event-ID",
                {"type": "string"},
                "The id of the last event received; the stream continues with the event after it.",
            ),
            *WAITING,
        ),
        errors=(NotFound, Conflict, UpstreamError, Timeout),
    ),
)
async def stream_job(request: Request, job_id: str) -> Response:
    """Stream the chunks of a chat job as server-sent events."""
    context, holder = await enter(request)
    include_usage = flag_of(request, "include_usage", usual=True)
    return await stream.respond(
        context.streams,
        job_id,
        holder,
        include_usage=include_usage,
        limits=limits_of(request),
        ids=True,
        framing=dialect_of(request).framing(),
        last_event_id=request.headers.get("last-event-id"),
    )
