"""Checks of jobs that take several calls: each step once, and one charge for all, at the prices fixed at acceptance."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select, text

from shared.db import models as m
from shared.db.models.jobs import UNFINISHED
from shared.jobs import job_steps
from shared.money.pricing import price_of_all
from shared.submissions.steps import charged
from shared.submissions.steps.course import COURSE
from shared.verify.findings import Check, Finding, Reader
from shared.verify.query import Query, faulty_rows

_NAME: Final = "job: charge differs from the prices of its steps (limited by its maximum cost)"
#: Jobs in one transaction, with their steps.
PAGE: Final = 500

QUERIES: tuple[Query, ...] = (
    Query(
        "step: job does not exist",
        """SELECT s.job_id, s.step FROM job_steps s LEFT JOIN jobs j ON j.id = s.job_id
           WHERE j.id IS NULL AND s.finished_at > :jobs_gone""",
    ),
    Query(
        "job: steps are not numbered from 0 without a gap",
        """SELECT job_id, count(*) AS steps, min(number) AS first, max(number) AS last FROM job_steps
           GROUP BY job_id HAVING min(number) <> 0 OR max(number) <> count(*) - 1""",
    ),
    Query(
        "step: answer missing while the job runs, or kept after its end",
        f"""SELECT s.job_id, s.step, j.status FROM job_steps s JOIN jobs j ON j.id = s.job_id
           WHERE (j.{UNFINISHED}) <> (s.answer IS NOT NULL)""",
    ),
)


def violations(read: Reader) -> Iterator[Finding]:
    """Page after page of the finished jobs that have a course."""
    return faulty_rows(read, _NAME, _page, _wrong, by="id", after="")


_RESULT = ("provider", "prompt_tokens", "completion_tokens", "charged_micros")
_PAGE = (
    select(m.jobs.c.id, m.jobs.c.status, m.jobs.c.test, m.jobs.c.bound_micros, m.job_payloads.c.offers)
    .add_columns(m.job_results.c.model.label("served_model"), *(m.job_results.c[name] for name in _RESULT))
    .join_from(m.jobs, m.job_results, m.job_results.c.job_id == m.jobs.c.id)
    .join(m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
    .where(m.jobs.c.id > text(":after"), m.jobs.c.offer >= COURSE)
    .order_by(m.jobs.c.id)
    .limit(PAGE)
)


def _page(connection: Connection, after: str | int) -> Sequence[Mapping[str, Any]]:
    """The rows of jobs, each with those of its `steps`."""
    rows = [dict(row) for row in connection.execute(_PAGE, {"after": after}).mappings()]
    steps = job_steps.ended(connection, [row["id"] for row in rows])
    return [{**row, "steps": steps.get(row["id"], [])} for row in rows]


def _wrong(row: Mapping[str, Any]) -> str | None:
    """What is wrong with a job's charge, if anything."""
    return fault(row, row["steps"])


def fault(row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> str | None:
    """The same, of the job's row and those of its steps."""
    try:
        fair = [0] if row["test"] else _fair(row, steps)
    except (LookupError, ValueError, TypeError) as error:
        return f"offers or steps cannot be read ({type(error).__name__})"
    if row["charged_micros"] in fair:
        return None
    return f"charged_micros={row['charged_micros']}, expected {fair[0]}, bound_micros={row['bound_micros']}"


def _fair(row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> list[int]:
    """The price of the steps, and of what was sent on of one that did not end, without which no failure costs.

    That may have the price of any tier of the model that served: the row does not always say which it was.
    """
    if row["status"] != "succeeded" and not row["prompt_tokens"] + row["completion_tokens"]:
        return [0]
    bound = int(row["bound_micros"])
    return [min(price_of_all([(part.amount, part.price) for part in way]), bound) for way in charged.ways(row, steps)]


CHECKS: tuple[Check, ...] = (*QUERIES, violations)
