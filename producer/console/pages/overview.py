"""The first page: what is left and spent, what is under way, what went wrong of late."""

import asyncio
from collections.abc import Mapping
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
#: Jobs in the lists of the page.
_SHOWN: Final = 6


@router.get("/console")
async def show(visit: Visit) -> Response:
    """The overview; what is fetched anew by a page that is looked at is the numbers alone."""
    numbers = await _numbers(visit)
    lists = {} if visit.refreshes else await _lists(visit, numbers["summary"])
    return visit.show("overview.html", here="overview", **numbers, **lists)


async def _numbers(visit: Visit) -> dict[str, Any]:
    """How credits and jobs stand."""
    summary, balance = await asyncio.gather(visit.api.get("/v1/jobs/summary"), _balance(visit))
    oldest = summary["oldest_queued_at"]
    return {
        "summary": summary,
        "balance": balance,
        "day": str(clock.utc(clock.now_micros()).date()),
        "oldest": None if oldest is None else max(0, clock.now_seconds() - oldest),
        "active": bool(summary["queued"]["count"] or summary["running"]["count"] or _go_on(summary["batches"])),
        "waits": waiting(summary["batches"]),
    }


def _go_on(batches: Mapping[str, int]) -> int:
    """Unfinished batches that wait for nothing that somebody has to do."""
    return batches["unfinished"] - batches["waiting_for_credits"] - batches["waiting_for_budget"]


def waiting(batches: Mapping[str, int]) -> str:
    """What unfinished batches wait for, in words; empty: for nothing.

    >>> waiting({"waiting_for_credits": 1, "waiting_for_budget": 2})
    '1 waits for credits, 2 wait for a key’s budget'
    """
    reasons = (("waiting_for_credits", "credits"), ("waiting_for_budget", "a key’s budget"))
    found = [(batches[name], reason) for name, reason in reasons if batches[name]]
    return ", ".join(f"{count:,} {'waits' if count == 1 else 'wait'} for {reason}" for count, reason in found)


async def _lists(visit: Visit, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The charts, and the newest jobs, and those that failed of late."""
    today = clock.utc(clock.now_micros()).date()
    since = str(today - timedelta(days=_DAYS - 1))
    file = Call("GET", "/v1/usage", {"from": since, "to": str(today), "group_by": "day,model", "format": "csv"})
    failed = {"status": "failed,expired", "created_after": summary["failed_since"]}
    failures, newest, groups, hours = await asyncio.gather(
        _jobs(visit, **failed) if summary["failed"]["count"] else _none(),
        _jobs(visit),
        _groups(visit, file),
        _hours(visit),
    )
    return {
        "failures": failures,
        "jobs": newest,
        "chart": usage_groups.chart(groups, usage_groups.by_name(groups), since, str(today), {}),
        "rate": hours,
        "used": bool(groups),
    }


async def _jobs(visit: Visit, **query: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await visit.api.get("/v1/jobs", include_results="false", limit=_SHOWN, **query))[
        "data"
    ]
    return found


async def _none() -> list[dict[str, Any]]:
    return []


async def _groups(visit: Visit, file: Call) -> list[usage_groups.DayUsage]:
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
