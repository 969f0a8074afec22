"""The list of jobs."""

from starlette.responses import Response

from producer.console.api import Call
from producer.console.router import PageRouter
from producer.console.visit import Visit

router = PageRouter()


@router.get("/console/jobs")
async def show(visit: Visit) -> Response:
    """A page of the list, as the URL says."""
    query = {name: value for name, value in visit.query.items() if name in ("status", "batch_id", "after") and value}
    call = Call("GET", "/v1/jobs", query)
    page = (await visit.api.send(call)).data
    following = visit.url(after=page["last_id"]) if page["has_more"] else ""
    first = visit.url(after=None) if query.get("after") else ""
    return visit.show("jobs.html", here="jobs", jobs=page["data"], call=call, next=following, first=first)
