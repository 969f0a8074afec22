"""What was spent on what: by day, and by model, key or a label of the jobs, as a chart, a table and CSV."""

import asyncio
from datetime import date, timedelta
from typing import Any, Final

from starlette.responses import Response

from producer.console import usage_groups
from producer.console.api import ApiError, Call
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared import clock

router = PageRouter()

_BY: Final = {"model": "Model", "key": "Key", "tag": "Tag"}


@router.get("/console/usage")
async def show(visit: Visit) -> Response:
    """The usage of a period."""
    by, tag = visit.query.get("by", "model"), visit.query.get("tag", "").strip()
    by = by if by in _BY else "model"
    given = {name: visit.query.get(name, "").strip() for name in ("from", "to", "model")}
    asked = {name: value for name, value in given.items() if value}
    values: dict[str, Any] = {"by": by, "tag": tag, "given": given, "ranges": _ranges(), "bys": list(_BY.items())}
    if by == "tag" and not tag:
        _, first, last = _ranges()[2]
        values["given"] = {**given, "from": given["from"] or first, "to": given["to"] or last}
        return _empty(visit, values, None)
    dimension = f"metadata.{tag}" if by == "tag" else by
    call = Call("GET", "/v1/usage", {**asked, "group_by": f"day,{dimension}", "limit": "100"})
    file = Call("GET", "/v1/usage", {**asked, "group_by": f"day,{dimension}", "format": "csv"})
    try:
        whole = (await visit.api.send(call)).data
        groups = usage_groups.read((await visit.api.send(file)).content.decode())
    except ApiError as refused:
        return _empty(visit, values, refused)
    names = await _key_names(visit, asked) if by == "key" else {}
    lines = usage_groups.by_name(groups)
    period = whole["period"]
    values["given"] = {**given, "from": period["from"], "to": period["to"]}
    return visit.show(
        "usage.html",
        here="usage",
        **values,
        lines=lines,
        days=usage_groups.by_day(groups),
        names=names,
        total=usage_groups.total(groups),
        whole=whole,
        chart=await asyncio.to_thread(usage_groups.chart, groups, lines, period["from"], period["to"], names),
        call=call,
        csv=f"/console/usage/csv?{file.target.partition('?')[2]}",
    )


@router.get("/console/usage/csv")
async def download(visit: Visit) -> Response:
    """The same as a file, straight from the API."""
    names = ("from", "to", "model", "group_by", "batch_id")
    query = {name: value for name, value in visit.query.items() if name in names and value}
    return visit.relay(Call("GET", "/v1/usage", {**query, "format": "csv"}))


def _empty(visit: Visit, values: dict[str, Any], error: ApiError | None) -> Response:
    return visit.show(
        "usage.html", status=error.status if error else 200, here="usage", **values, whole=None, error=error, lines=[]
    )


async def _key_names(visit: Visit, asked: dict[str, str]) -> dict[str, str]:
    found = await visit.api.get("/v1/usage", group_by="key", limit=100, **asked)
    return {one["key_id"] or "": one["key_name"] or one["key_id"] or "unknown" for one in found["data"]}


def _ranges() -> list[tuple[str, str, str]]:
    """Periods to choose: their names, first and last days."""
    today = clock.utc(clock.now_micros()).date()
    first = today.replace(day=1)
    before = first - timedelta(days=1)
    found: list[tuple[str, date, date]] = [
        ("Today", today, today),
        ("7 days", today - timedelta(days=6), today),
        ("This month", first, today),
        ("Last month", before.replace(day=1), before),
        ("90 days", today - timedelta(days=89), today),
    ]
    return [(name, str(begin), str(end)) for name, begin, end in found]
