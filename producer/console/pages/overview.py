"""The first page: what is left and spent, what is under way, what went wrong of late."""

import asyncio
from datetime import timedelta
from typing import Any, Final

from starlette.responses import Response

from producer.console import usage_groups
from producer.console.api import ApiError, Call
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared import clock

router = PageRouter()

#: Days of the charts.
_DAYS: Final = 30
#: Seconds in which a job that failed is of late.
_LATE: Final = 86_400
#: Jobs in the lists of the page.
_SHOWN: Final = 6


@router.get("/console")
async def show(visit: Visit) -> Response:
    """The overview."""
    today = clock.utc(clock.now_micros()).date()
    since = str(today - timedelta(days=_DAYS - 1))
    file = Call("GET", "/v1/usage", {"from": since, "to": str(today), "group_by": "day,model", "format": "csv"})
    after = clock.now_seconds() - _LATE
    midnight = clock.now_seconds() // 86_400 * 86_400
    queued, running, done, failed = await asyncio.gather(
        _count(visit, status="queued"),
        _count(visit, status="running"),
        _count(visit, status="succeeded", created_after=midnight),
        _count(visit, status="failed,expired", created_after=after),
    )
    oldest, failures, newest = await asyncio.gather(
        _jobs(visit, status="queued", order="asc", limit=1),
        _jobs(visit, status="failed,expired", created_after=after, limit=_SHOWN),
        _jobs(visit, limit=_SHOWN),
    )
    groups, balance, hours = await asyncio.gather(_groups(visit, file), _balance(visit), _hours(visit))
    lines = usage_groups.by_name(groups)
    of_today = usage_groups.total([one for one in groups if one.day == str(today)])
    of_month = usage_groups.total([one for one in groups if one.day >= str(today.replace(day=1))])
    return visit.show(
        "overview.html",
        here="overview",
        balance=balance,
        today=of_today,
        month=of_month.credits if balance is None else balance["spent"]["credits"],
        day=str(today),
        queued=queued,
        oldest=clock.now_seconds() - oldest[0]["created_at"] if oldest else None,
        running=running,
        done=done,
        after=after,
        failed=failed,
        failures=failures,
        jobs=newest,
        active=(queued, running) != ("0", "0"),
        chart=usage_groups.chart(groups, lines, since, str(today), {}),
        rate=hours,
        used=bool(groups),
    )


async def _jobs(visit: Visit, **query: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await visit.api.get("/v1/jobs", include_results="false", **query))["data"]
    return found


async def _count(visit: Visit, **query: object) -> str:
    found = await visit.api.get("/v1/jobs/count", **query)
    return f"{found['count']:,}{'' if found['exact'] else '+'}"


async def _groups(visit: Visit, file: Call) -> list[usage_groups.Group]:
    try:
        return usage_groups.read((await visit.api.send(file)).content.decode())
    except ApiError:  # this key may not see it
        return []


async def _hours(visit: Visit) -> dict[str, Any]:
    """The data of a chart of the jobs that ended in each of the last 24 hours."""
    try:
        points = (await visit.api.get("/v1/usage/series", interval="hour"))["data"]
    except ApiError:
        points = []
    lines = [
        {"name": "Succeeded", "values": [one["jobs"] for one in points], "tone": "done"},
        {"name": "Failed", "values": [one.get("failed", 0) for one in points], "tone": "failed"},
    ]
    return {"x": [one["start"] for one in points], "lines": lines, "unit": "jobs", "by": "hour"}


async def _balance(visit: Visit) -> dict[str, Any] | None:
    """None: a test key's, or one that may not see it."""
    try:
        found: dict[str, Any] = await visit.api.get("/v1/credits")
        return found
    except ApiError:
        return None
