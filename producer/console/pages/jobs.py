"""The list of jobs, filtered as the URL says."""

from typing import Final, get_args

from starlette.responses import Response

from producer.console.api import ApiError, Call
from producer.console.pages import job
from producer.console.router import PageRouter
from producer.console.visit import Visit
from shared.jobs.outcomes import JobStatus
from shared.submissions.job_types import JOB_TYPES

router = PageRouter()
router.include(job.router)

#: Parameters of the page that go to the API as they are.
FILTERS: Final = ("status", "batch_id")
#: Jobs of a page of the list.
SHOWN: Final = 25


@router.get("/console/jobs")
async def show(visit: Visit) -> Response:
    """A page of the list."""
    query = {
        name: value.strip() for name, value in visit.query.items() if name in (*FILTERS, "after") and value.strip()
    }
    call = Call("GET", "/v1/jobs", {**query, "limit": str(SHOWN)})
    error = None
    try:
        page = (await visit.api.send(call)).data
    except ApiError as refused:
        page, error = {"data": [], "has_more": False, "last_id": None}, refused
    return visit.show(
        "jobs.html",
        status=error.status if error else 200,
        here="jobs",
        jobs=page["data"],
        active=any(one["status"] in ("queued", "running") for one in page["data"]),
        filtered=any(name in query for name in FILTERS),
        query={name: query.get(name, "") for name in FILTERS},
        statuses=[("", "Any"), *((one, one.capitalize()) for one in get_args(JobStatus))],
        types=[("", "Any"), *((one, one) for one in JOB_TYPES)],
        call=call,
        next=visit.url(after=page["last_id"]) if page["has_more"] else "",
        first=visit.url(after=None) if "after" in query else "",
        error=error,
    )
