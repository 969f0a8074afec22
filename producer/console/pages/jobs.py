"""The list of jobs, filtered as the URL says."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, get_args

from starlette.responses import Response

from producer.console import labels
from producer.console.api import ApiError, Call
from producer.console.formats import short
from producer.console.pages import job
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared import accounts
from shared.jobs.outcomes import JobStatus
from shared.submissions.job_types import JOB_TYPES

router = PageRouter()
router.include(job.router)

#: Parameters of the page that go to the API as they are; and all by which the list is filtered.
_AS_THEY_ARE: Final = ("status", "type", "model", "key_id", "batch_id")
FILTERS: Final = (*_AS_THEY_ARE, "metadata", "from", "to", "since")
#: What a page calls those that have other names there.
_NAMES: Final = {"key_id": "key", "batch_id": "batch"}
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
#: Jobs of a page of the list.
SHOWN: Final = 25
#: Keys that are offered, the newest.
_KEYS: Final = 200
#: Statuses that are chosen together.
_TOGETHER: Final = (("queued,running", "Unfinished"), ("failed,expired", "Failed or expired"))


@router.get("/console/jobs")
async def show(visit: Visit) -> Response:
    """A page of the list."""
    query = {name: visit.query.get(name, "").strip() for name in (*FILTERS, "after")}
    error, page = None, _NOTHING
    alone = {"limit": str(SHOWN), "include_results": "false"}
    call = Call("GET", "/v1/jobs", alone)
    try:
        call = Call("GET", "/v1/jobs", {**asked(query), **alone})
        page = (await visit.api.send(call)).data
    except ApiError as refused:
        error = refused
    return visit.show(
        "jobs.html",
        status=error.status if error else 200,
        here="jobs",
        jobs=page["data"],
        active=any(one["status"] in ("queued", "running") for one in page["data"]),
        since=int(query["since"]) if _SECONDS.fullmatch(query["since"]) else None,
        filtered=any(query[name] for name in FILTERS),
        query=query,
        filters=[f"{_NAMES.get(name, name)} {query[name]}" for name in FILTERS if query[name]],
        statuses=[("", "Any"), *((one, one.capitalize()) for one in get_args(JobStatus)), *_TOGETHER],
        types=[("", "Any"), *((one, one) for one in JOB_TYPES)],
        keys=await _keys(visit, query["key_id"]),
        models=[one["id"] for one in (await visit.api.get("/v1/models"))["data"]],
        call=call,
        next=visit.url(after=page["last_id"]) if page["has_more"] else "",
        first=visit.url(after=None) if query["after"] else "",
        error=error,
    )


async def _keys(visit: Visit, chosen: str) -> list[tuple[str, str]]:
    """The account's keys to choose from, the newest first; beside them one that is asked for and is not there."""
    rows = await visit.context.database.read(accounts.newest_keys, visit.holder.account_id, limit=_KEYS)
    mine = [row for row in rows if row["mode"] == visit.holder.mode]
    found = [(row["id"], f"{row['name'] or 'Without a name'} ({short(row['id'])})") for row in mine]
    return [("", "Any"), *found, *([(chosen, chosen)] if chosen and chosen not in dict(found) else [])]


_NOTHING: Final[dict[str, Any]] = {"data": [], "has_more": False, "last_id": None}


def asked(query: Mapping[str, str]) -> dict[str, str]:
    """The API's parameters of what a list is filtered by; ApiError: the metadata or a day cannot be.

    >>> asked({"status": "failed", "metadata": "team=growth", "to": "1970-01-01"})
    {'status': 'failed', 'metadata.team': 'growth', 'created_before': '86400'}
    """
    found = {name: query[name] for name in (*_AS_THEY_ARE, "after") if query.get(name)}
    found |= labels.asked(query.get("metadata", ""))
    if since := query.get("since"):
        if not _SECONDS.fullmatch(since):
            raise _wrong("since", "must be seconds since 1970, such as 1764374400")
        found["created_after"] = since
    for name, param, later in (("from", "created_after", 0), ("to", "created_before", 1)):
        if query.get(name):
            found[param] = str(max(int(found.get(param, 0)), _begin(name, query[name], later)))
    return found


def _begin(name: str, day: str, later: int) -> int:
    """The first second of a day in UTC, or of one so many days later."""
    try:
        found = date.fromisoformat(day) + timedelta(days=later)
    except (ValueError, OverflowError):
        raise _wrong(name, f"{day[:20]!r} is no day: write it as 2026-11-29") from None
    return max(0, int(datetime(found.year, found.month, found.day, tzinfo=UTC).timestamp()))


def _wrong(param: str, message: str) -> ApiError:
    return ApiError(400, {"message": message, "type": "invalid_request", "param": param})
