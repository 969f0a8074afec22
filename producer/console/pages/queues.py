"""Queues and workers, for operators: what waits and runs at each provider, who runs it, pausing and resuming."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from producer.console.api import ApiError, Call
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared import clock
from shared.submissions.catalogue import catalogue

router = PageRouter()


@router.get("/console/queues")
async def show(visit: Visit) -> Response:
    """All providers' queues, those with work first, and the workers."""
    return await _page(visit)


@router.post("/console/queues/pause")
async def pause(visit: Visit) -> Response:
    """Pause a provider; the API writes the audit log, under the operator's name."""
    provider = visit.field("provider")
    path = f"/v1/operator/queues/{quote(provider, safe='')}/pause"
    try:
        await visit.api.send(Call("POST", path, body={"reason": visit.field("reason")}))
    except ApiError as error:
        return await _page(visit, error)
    return visit.see("/console/queues", f"{provider} is paused. Jobs that run go on to their end.")


@router.post("/console/queues/{provider}/resume")
async def resume(visit: Visit, provider: str) -> Response:
    """Let a provider go on."""
    await visit.api.send(Call("POST", f"/v1/operator/queues/{quote(provider, safe='')}/resume", body={}))
    return visit.see("/console/queues", f"{provider} goes on within a second or two.")


async def _page(visit: Visit, error: ApiError | None = None) -> Response:
    call = Call("GET", "/v1/operator/queues")
    answer, workers = await asyncio.gather(visit.api.send(call), visit.api.get("/v1/operator/workers"))
    queues = sorted(answer.data["data"], key=lambda one: (not one["paused"], one["breaker"]["state"], one["id"]))
    lanes = [lane for one in queues for lane in one["lanes"]]
    waits = {one["id"]: _oldest(one["lanes"]) for one in queues}
    return visit.show(
        "queues.html",
        status=error.status if error else 200,
        here="queues",
        busy=[one for one in queues if _is_busy(one)],
        idle=[one for one in queues if not _is_busy(one)],
        pausable=[(one["id"], one["id"]) for one in queues if not one["paused"]],
        totals={name: sum(lane[name] for lane in lanes) for name in ("waiting", "running", "deferred")},
        oldest=_oldest(lanes),
        oldest_of=waits,
        workers=workers["data"],
        now=clock.now_seconds(),
        names=_sold_names(),
        call=call,
        buttons=[
            ("Pause", Call("POST", "/v1/operator/queues/openai/pause", body={"reason": "maintenance at the provider"})),
            ("Resume", Call("POST", "/v1/operator/queues/openai/resume", body={})),
        ],
        form=visit.form,
        error=error,
    )


def _oldest(lanes: Sequence[Mapping[str, Any]]) -> int | None:
    """When the oldest waiting job of some queues was created."""
    return min((at for lane in lanes if (at := lane["oldest_waiting_at"]) is not None), default=None)


def _sold_names() -> dict[tuple[str, str], list[str]]:
    """The names by which customers know a provider's models, by the provider and its own name; those that differ."""
    found: dict[tuple[str, str], list[str]] = {}
    for id, model in catalogue().models.items():
        if id != model.upstream:
            found.setdefault((model.provider, model.upstream), []).append(id)
    return found


def _is_busy(queue: Mapping[str, Any]) -> bool:
    """Whether a provider has jobs in hand, had answers of late, or is not called."""
    jobs = any(lane[name] for lane in queue["lanes"] for name in ("waiting", "running", "deferred"))
    answers = any(model["answers_per_second"] for model in queue["models"])
    down = queue["breaker"]["state"] == "open" or any(one["breaker"]["state"] == "open" for one in queue["models"])
    return bool(jobs or answers or down or queue["paused"])
