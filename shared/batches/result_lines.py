"""What became of a batch's line, of its job's row: as a line of an output or an error file, in the batch's dialect.

A job that succeeded, or failed, has a response; one that was cancelled or expired has an error in its place.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import and_, func, or_, select

from shared.answers import thinking
from shared.batches import line_requests
from shared.batches.line_requests import OPTIONS
from shared.db.models import job_payloads, job_results, jobs
from shared.dialects import LINE_FORMATS
from shared.objects.batches import ENDED_WITHOUT_ANSWER, BatchResult, LineError, LineResponse
from shared.submissions import answer_options

#: Of the id of a line; what follows it is, of one that became a job, what follows `job_` in the job's.
PREFIX: Final = "batch_req_"
#: Bytes of answers and requests that are read at once, unless one alone has more.
MOST_BYTES: Final = 8 * 1024 * 1024

#: Requests are read of lines that did not succeed, which go back to the customer, and of those whose answer shows it.
_SHOWS = or_(jobs.c.status != "succeeded", jobs.c.dialect.is_not(None))
_WITH_REQUEST = and_(job_payloads.c.job_id == jobs.c.id, _SHOWS)
_ENDED = jobs.join(job_results, job_results.c.job_id == jobs.c.id).outerjoin(job_payloads, _WITH_REQUEST)
_JOB = ("id", "batch_id", "custom_id", "type", "dialect", "model", "test", "status", "created_at", "finished_at")
_RESULT = (
    "response error partial prompt_tokens completion_tokens cached_tokens cache_creation_tokens reasoning_tokens "
    "cache_creation_1h_tokens service_tier images estimated charged_micros"
).split()
#: Ids of jobs that have ended, the length of their answers, and that of what is read of their requests.
SIZES: Any = (
    select(jobs.c.id)
    .add_columns(func.coalesce(func.length(job_results.c.response), 0))
    .add_columns(line_requests.length_of(job_payloads))
    .select_from(_ENDED)
)
#: Their rows, as `of_row` needs them.
ROWS: Any = (
    select(*(jobs.c[name] for name in (*_JOB, OPTIONS)))
    .add_columns(*(job_results.c[name] for name in _RESULT))
    .add_columns(func.coalesce(job_results.c.model, jobs.c.model).label("served"))
    .add_columns(*(job_payloads.c[name] for name in line_requests.COLUMNS))
    .select_from(_ENDED)
)


def fitting(sizes: Sequence[Any]) -> list[str]:
    """The ids of rows of SIZES that fit together into MOST_BYTES, at least one."""
    total = 0
    found: list[str] = []
    for id, answer, asked in sizes:
        total += answer + asked
        if found and total > MOST_BYTES:
            break
        found.append(id)
    return found


def of_row(row: Mapping[str, Any]) -> BatchResult:
    """The line of a row of ROWS, without what was asked."""
    hex = row["id"].removeprefix("job_")
    format = LINE_FORMATS.get(row["dialect"] or "")
    if row["status"] == "succeeded":
        body = format.answer(row) if format and row["request"] else _body(row)
        return shown(hex, row["custom_id"], status_code=200, job_id=row["id"], body=body)
    if row["status"] == "failed":
        error = orjson.loads(row["error"])
        body = format.refusal(error, row["id"]) if format else {"error": error}
        return shown(hex, row["custom_id"], status_code=error["code"], job_id=row["id"], body=body)
    return shown(hex, row["custom_id"], error=unanswered(row["status"]))


def with_request(row: Mapping[str, Any]) -> BatchResult:
    """The same; with what was asked where it did not succeed, so that it can be sent again."""
    line = of_row(row)
    return line if row["status"] == "succeeded" else {**line, "request": line_requests.of_row(row)}


def shown(
    hex: str,
    custom_id: str | None,
    *,
    status_code: int = 0,
    job_id: str = "",
    body: Any = None,
    error: LineError | None = None,
) -> BatchResult:
    """A line with a response, unless it has an error; `hex`: what follows the prefix of its id."""
    response: LineResponse | None = None
    if error is None:
        response = {"status_code": status_code, "request_id": job_id, "body": body}
    return {"id": f"{PREFIX}{hex}", "custom_id": custom_id, "response": response, "error": error}


def unanswered(reason: str) -> LineError:
    """Why a line was never answered: it was cancelled, or has expired."""
    return {"code": f"batch_{reason}", "message": ENDED_WITHOUT_ANSWER[reason]}


def _body(row: Mapping[str, Any]) -> orjson.Fragment:
    """The answer as the call itself would have given it."""
    answer = row["response"]
    return orjson.Fragment(thinking.dressed(answer) if answer_options.wants_thinking(row["answer_options"]) else answer)
