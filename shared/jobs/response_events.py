"""Events of responses in the background, beside those of their jobs, in the shape of OpenAI's webhooks.

Source: platform.openai.com/docs/api-reference/webhook-events (`data` has the id of the response alone) and the types
of openai-python, `openai.types.webhooks`. A job that is to have one says so (`jobs.owed_events`) until the transaction
that writes it; that is the one that ends the job, unless it is an earlier version's: then it is the sweeper's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import orjson
from sqlalchemy import Connection, select, text, update

from shared.db.models import job_results, jobs
from shared.db.models.jobs import UNTOLD
from shared.money.ledger import Book
from shared.submissions.job_types import RESPONSE_EVENTS

EventType = Literal["response.completed", "response.incomplete", "response.failed", "response.cancelled"]
#: Finish reasons of an answer that is not whole.
_CUT: Final = ("length", "content_filter")


def type_of(status: str, response: str | None) -> EventType:
    """The event of a job's end; `response`: the completion of one that succeeded."""
    if status == "succeeded":
        choices = orjson.loads(response or "{}").get("choices") or [{}]
        cut = choices[0].get("finish_reason") in _CUT
        return "response.incomplete" if cut else "response.completed"
    return "response.cancelled" if status == "cancelled" else "response.failed"


def emit(book: Book, job: Mapping[str, Any], status: str, response: str | None) -> None:
    """Emit the event of a job that has ended, if it owes one."""
    if job["owed_events"] == RESPONSE_EVENTS:
        data = {"id": f"resp_{job['id'].removeprefix('job_')}"}
        book.emit(job["account_id"], type_of(status, response), data, test=job["test"])


def settled(connection: Connection, ended: Sequence[Mapping[str, Any]]) -> None:
    """These jobs owe none any more; in the transaction that has emitted them."""
    if told := [job["id"] for job in ended if job["owed_events"] == RESPONSE_EVENTS]:
        connection.execute(update(jobs).where(jobs.c.id.in_(told)).values(owed_events=None))


def untold(connection: Connection, most: int, besides: Sequence[str] = ()) -> list[str]:
    """Jobs, but for some, that were ended by a version that does not know these events."""
    statement = select(jobs.c.id).where(text(UNTOLD), jobs.c.owed_events == RESPONSE_EVENTS, jobs.c.id.not_in(besides))
    return list(connection.execute(statement.order_by(jobs.c.id).limit(most)).scalars())


def tell(connection: Connection, ids: Sequence[str]) -> tuple[int, list[str]]:
    """Emit the events of those of these jobs that still owe them: how many, and the deliveries."""
    columns = (jobs.c.id, jobs.c.account_id, jobs.c.test, jobs.c.status)
    owing = update(jobs).where(jobs.c.id.in_(sorted(ids)), text(UNTOLD), jobs.c.owed_events == RESPONSE_EVENTS)
    rows = connection.execute(owing.values(owed_events=None).returning(*columns)).mappings().all()
    if not rows:
        return 0, []
    found = select(job_results.c.job_id, job_results.c.response).where(job_results.c.job_id.in_([*ids]))
    answers: dict[str, str | None] = {row.job_id: row.response for row in connection.execute(found)}
    book = Book(connection, [row["account_id"] for row in rows])
    for row in sorted(rows, key=lambda row: str(row["id"])):
        emit(book, {**row, "owed_events": RESPONSE_EVENTS}, row["status"], answers.get(row["id"]))
    return len(rows), book.close()
