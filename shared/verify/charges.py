"""Each charge is the price of the recorded usage at the offer fixed at acceptance, and no more than the bound."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select, text

from shared.db import models as m
from shared.submissions.charging import USED, fair_charges
from shared.submissions.steps.course import COURSE
from shared.verify.findings import Check, Finding, Reader
from shared.verify.query import faulty_rows, page_of

#: Jobs in one statement.
PAGE = 2000

_NAME = "job: charge differs from the price of its usage (limited by its maximum cost)"


def violations(read: Reader) -> Iterator[Finding]:
    """Page after page of the finished jobs."""
    return faulty_rows(read, _NAME, page_of(_PAGE), _wrong, by="id", after="")


_RESULT = (*USED, "provider", "service_tier", "charged_micros")
#: The request is needed for the size and quality of pictures alone, and may be large.
_PAGE = (
    select(m.jobs.c.id, m.jobs.c.type, m.jobs.c.status, m.jobs.c.offer, m.jobs.c.test, m.job_payloads.c.offers)
    .add_columns(m.jobs.c.bound_micros.label("job_bound"), m.job_results.c.model.label("served_model"))
    .add_columns(*(m.job_results.c[name] for name in _RESULT))
    .add_columns(text("CASE WHEN jobs.type = 'image' THEN job_payloads.request END AS request"))
    .join_from(m.jobs, m.job_results, m.job_results.c.job_id == m.jobs.c.id)
    .join(m.job_payloads, m.job_payloads.c.job_id == m.jobs.c.id)
    .where(m.jobs.c.id > text(":after"), m.jobs.c.offer < COURSE)  # the others: `shared.verify.steps`
    .order_by(m.jobs.c.id)
    .limit(PAGE)
)


def _wrong(row: Mapping[str, Any]) -> str | None:
    """What is wrong with a job's charge, if anything."""
    if row["test"]:
        return f"charged_micros={row['charged_micros']} although it is a test job" if row["charged_micros"] else None
    used = row["prompt_tokens"] + row["completion_tokens"] + row["images"]
    if not used:
        return f"charged_micros={row['charged_micros']} without usage" if row["charged_micros"] else None
    try:
        fair = [charged for charged, _, _ in fair_charges(row)]
    except (KeyError, ValueError, TypeError) as error:
        return f"offers or request cannot be read ({type(error).__name__})"
    if not fair:
        return f"served by {row['provider']}, {row['served_model']}, which is not among its offers"
    if row["charged_micros"] in fair:
        return None
    return f"charged_micros={row['charged_micros']}, expected {fair[0]}, bound_micros={row['job_bound']}"


CHECKS: tuple[Check, ...] = (violations,)
