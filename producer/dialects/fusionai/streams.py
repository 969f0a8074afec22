"""The stream of a job: live, resumed after the event that was read last, or replayed from its result."""

from starlette.requests import Request
from starlette.responses import Response

from producer.operations import stream
from producer.web.request import enter, limits_of
from producer.web.router import Router
from shared.errors import InvalidRequest

router = Router()

_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@router.get("/jobs/{job_id}/stream")
async def stream_job(request: Request, job_id: str) -> Response:
    """Stream the chunks of a chat job as server-sent events."""
    desk, holder = await enter(request)
    wanted = request.query_params.get("include_usage", "true")
    if wanted not in _FLAGS:
        raise InvalidRequest("include_usage must be true or false", param="include_usage")
    return await stream.respond(
        desk,
        job_id,
        holder,
        include_usage=_FLAGS[wanted],
        limits=limits_of(request),
        ids=True,
        last_event_id=request.headers.get("last-event-id"),
    )
