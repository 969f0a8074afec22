"""Routes of the operator: queues, workers, pausing a provider. They take the operator's password, no API key."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.operations import queues
from producer.web.body import read_body
from producer.web.operator import enter_operator
from producer.web.request import answer, has_body, page_of_all, valid
from producer.web.router import Router
from producer.web.rows import Row, one
from shared import clock, redis_clients
from shared.audit import Action
from shared.errors import NotFound
from shared.jobs import pauses
from shared.providers.states import ProviderStanding
from shared.settings import settings

router = Router()

#: Parameters of these lists, which are whole without them.
_PAGE = ("limit", "after")
#: How long Redis may take, in seconds.
REDIS_SECONDS = 1.0


@router.get(
    "/operator/queues",
    doc=Row("Operator", one("Every provider's queues.", objects.List[objects.Queue]), parameters=_PAGE, operator=True),
)
async def list_queues(request: Request) -> Response:
    """List each provider's queues: what waits and runs, pauses, breakers, pace."""
    context, _ = enter_operator(request)
    rows, standings = await asyncio.gather(context.database.read(queues.read_rows), asyncio.to_thread(_standings))
    return answer(page_of_all(request, queues.queue_objects(rows, standings, clock.now_seconds())))


@router.get(
    "/operator/workers",
    doc=Row(
        "Operator",
        one("The worker processes that live.", objects.List[objects.Worker]),
        parameters=_PAGE,
        operator=True,
    ),
)
async def list_workers(request: Request) -> Response:
    """List the worker processes: last beat, and how many jobs each holds."""
    context, _ = enter_operator(request)
    return answer(page_of_all(request, await context.database.read(queues.read_workers)))


@router.post(
    "/operator/queues/{provider}/pause",
    doc=Row(
        "Operator",
        one("The provider's queues.", objects.Queue),
        "PauseSpec",
        errors=(NotFound,),
        operator=True,
        examples={"With a reason": {"reason": "maintenance until noon", "operator": "ada"}},
    ),
)
async def pause_queue(request: Request, provider: str) -> Response:
    """Pause a provider: its queued jobs wait, or go on with another offer of theirs; jobs that run go on."""
    context, name = enter_operator(request)
    wanted = valid(queues.PauseSpec, await read_body(request))
    action = Action(wanted.operator or name, pauses.PAUSED, wanted.reason)
    return answer(await context.database.write(queues.pause, action, provider))


@router.post(
    "/operator/queues/{provider}/resume",
    doc=Row(
        "Operator",
        one("The provider's queues.", objects.Queue),
        "ResumeSpec",
        errors=(NotFound,),
        operator=True,
        optional=True,
        examples={"By name": {"operator": "ada"}},
    ),
)
async def resume_queue(request: Request, provider: str) -> Response:
    """Resume a paused provider: its jobs go on within a second or two."""
    context, name = enter_operator(request)
    wanted = valid(queues.ResumeSpec, await read_body(request) if has_body(request) else {})
    action = Action(wanted.operator or name, pauses.RESUMED, wanted.reason)
    return answer(await context.database.write(queues.resume, action, provider))


def _standings() -> list[ProviderStanding]:
    with redis_clients.connect_sync(settings().redis_url, REDIS_SECONDS) as redis:
        return list(queues.read_states(redis))
