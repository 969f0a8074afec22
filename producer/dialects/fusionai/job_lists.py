"""Routes of many jobs: listing, counting and cancelling those that meet filters."""

from typing import get_args

from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.operations import job_cancels, job_filters
from producer.operations import jobs as jobs_ops
from producer.web.body import read_body
from producer.web.request import answer, enter, flag_of, page_of, valid
from producer.web.router import Router
from producer.web.rows import PAGE, Row, Schema, one, query
from shared.errors import InvalidRequest
from shared.jobs.outcomes import JobStatus
from shared.submissions.job_types import JOB_TYPES
from shared.submissions.sizes import MOST_PAGE

router = Router()

_WORDS = "|".join(get_args(JobStatus))
_STATUSES: Schema = {"type": "string", "pattern": f"^({_WORDS})(,({_WORDS}))*$"}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
_TIME: Schema = {"type": "integer", "minimum": 0, "maximum": job_filters.MOST_TIME}

#: The parameters of a list by which it is filtered.
_FILTERS = (
    query("status", _STATUSES, "Only jobs with this status, or one of several, separated by commas."),
    query("type", {"type": "string", "enum": [*JOB_TYPES]}, "Only jobs of this type."),
    query("model", _NAME, "Only jobs that asked for this model."),
    query("key_id", _NAME, "Only jobs of this API key."),
    query("batch_id", _NAME, "Only jobs of this batch."),
    query("created_after", _TIME, "Only jobs created at this time or later."),
    query("created_before", _TIME, "Only jobs created before this time."),
    query(
        "metadata.NAME",
        {"type": "string"},
        "Only jobs whose metadata has this value under this name: `metadata.team=search`; may be repeated.",
    ),
)


@router.get(
    "/jobs",
    doc=Row(
        "Jobs",
        one("A page of jobs.", objects.JobPage),
        parameters=(
            *PAGE,
            *_FILTERS,
            query("ids", {"type": "string"}, f"Only jobs with these ids: up to {MOST_PAGE}, separated by commas."),
            query(
                "include_results",
                {"type": "boolean", "default": True},
                "With `false` the `result` of each job is null: a page of embeddings or images has megabytes.",
            ),
        ),
    ),
)
async def list_jobs(request: Request) -> Response:
    """List jobs of the key's mode (live or test), newest first; filters can be combined."""
    context, holder = await enter(request)
    page, rest = page_of(request, "ids", "include_results", *_filters_of(request))
    ids = [id for id in rest.pop("ids", "").split(",") if id]
    if len(ids) > MOST_PAGE:
        raise InvalidRequest(f"ids: at most {MOST_PAGE} ids are allowed", param="ids")
    if ids and "limit" not in request.query_params:
        page.limit = MOST_PAGE
    results = flag_of(request, "include_results", usual=True)
    wanted = job_filters.read_filter(rest)
    return answer(await context.database.read(jobs_ops.list_jobs, holder, page, wanted, ids, results=results))


@router.get("/jobs/count", doc=Row("Jobs", one("How many there are.", objects.JobCount), parameters=_FILTERS))
async def count_jobs(request: Request) -> Response:
    """Count the jobs of the key's mode (live or test) that match filters, up to 10,000."""
    context, holder = await enter(request)
    names, given = _filters_of(request), dict(request.query_params)
    if unknown := sorted(given.keys() - set(names)):
        raise InvalidRequest(f"unknown parameter {unknown[0][:50]!r}", param=unknown[0][:50])
    return answer(await context.database.read(job_filters.count, holder, job_filters.read_filter(given)))


@router.get("/jobs/summary", doc=Row("Jobs", one("The counts, at most one second old.", objects.JobSummary)))
async def show_summary(request: Request) -> Response:
    """Count the jobs of the key's mode (live or test) that are queued or running, and that ended of late."""
    context, holder = await enter(request)
    return answer(await context.summaries.of(holder))


def _filters_of(request: Request) -> list[str]:
    """The names of a request's parameters that may be filters."""
    labels = [name for name in request.query_params if name.startswith(job_filters.LABEL)]
    return [*job_filters.FILTERS, *labels]


@router.post(
    "/jobs/cancel",
    doc=Row(
        "Jobs",
        one("What was cancelled, and whether there is more.", objects.JobsCancelled),
        "CancelSpec",
        examples={
            "All that wait for a model": {"status": ["queued"], "model": "gpt-4"},
            "How many that would be": {"metadata": {"team": "search"}, "dry_run": True},
        },
    ),
)
async def cancel_jobs(request: Request) -> Response:
    """Cancel all jobs that meet a filter: up to 2,000 in one call; with `dry_run`, only count them."""
    context, holder = await enter(request)
    spec = valid(job_cancels.CancelSpec, await read_body(request))
    parts = (context.database, context.bell, context.notifier)
    return answer(await job_cancels.cancel_jobs(*parts, holder, spec))
