"""Queues and workers, for operators: what waits and runs at each provider, who runs it, pausing and resuming."""

import asyncio
from typing import Any

from starlette.responses import Response

from producer.console.api import ApiError, Call
from producer.console.router import PageRouter
from producer.console.visit import Visit

router = PageRouter()


@router.get("/console/queues")
async def show(visit: Visit) -> Response:
    """All providers' queues, those with work first, and the workers."""
    return await _page(visit)


@router.post("/console/queues/{provider}/pause")
async def pause(visit: Visit, provider: str) -> Response:
    """Pause a provider; the API writes the audit log, under the operator's name."""
    call = Call("POST", f"/v1/operator/queues/{provider}/pause", body={"reason": visit.field("reason")})
    try:
        await visit.api.send(call)
    except ApiError as error:
        return await _page(visit, error, provider)
    return visit.see("/console/queues", f"{provider} is paused. Jobs that run go on to their end.")


@router.post("/console/queues/{provider}/resume")
async def resume(visit: Visit, provider: str) -> Response:
    """Let a provider go on."""
    await visit.api.send(Call("POST", f"/v1/operator/queues/{provider}/resume", body={}))
    return visit.see("/console/queues", f"{provider} goes on within a second or two.")


async def _page(visit: Visit, error: ApiError | None = None, failed: str = "") -> Response:
    call = Call("GET", "/v1/operator/queues")
    answer, workers = await asyncio.gather(visit.api.send(call), visit.api.get("/v1/operator/workers"))
    queues = sorted(answer.data["data"], key=lambda one: (not one["paused"], not _load(one), one["id"]))
    return visit.show(
        "queues.html",
        status=error.status if error else 200,
        here="queues",
        queues=[(one, _load(one)) for one in queues],
        totals={
            name: sum(lane[name] for one in queues for lane in one["lanes"])
            for name in ("waiting", "running", "deferred")
        },
        oldest=min((at for one in queues for lane in one["lanes"] if (at := lane["oldest_waiting_at"])), default=None),
        workers=workers["data"],
        call=call,
        error=error,
        failed=failed,
    )


def _load(queue: dict[str, Any]) -> int:
    """How many jobs a provider has in hand."""
    return sum(int(lane[name]) for lane in queue["lanes"] for name in ("waiting", "running", "deferred"))
