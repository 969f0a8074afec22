"""The first page: what is left and spent, what is under way."""

from starlette.responses import Response

from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared import clock

router = PageRouter()


@router.get("/console")
async def show(visit: Visit) -> Response:
    """The overview."""
    day = str(clock.utc(clock.now_micros()).date())
    jobs = await visit.api.get("/v1/jobs", limit=10)
    balance = month = today = None
    if not visit.holder.test:
        balance = await visit.api.get("/v1/credits")
        month = (await visit.api.get("/v1/usage", limit=1))["credits_used"]
        today = (await visit.api.get("/v1/usage", limit=1, **{"from": day, "to": day}))["credits_used"]
    return visit.show(
        "overview.html", here="overview", jobs=jobs["data"], balance=balance, month=month, today=today, day=day
    )
