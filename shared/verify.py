"""Recomputes every balance and checks every promise about money and jobs from the rows alone."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

#: What must never be found: a name, and a query whose every row is a violation.
CHECKS: tuple[tuple[str, str], ...] = (
    (
        "available differs from the sum of its transfers",
        """SELECT a.id, a.available_micros, coalesce(t.total, 0) AS computed FROM accounts a LEFT JOIN (
             SELECT account_id, sum(CASE WHEN to_purse = 'available' THEN amount_micros ELSE 0 END)
               - sum(CASE WHEN from_purse = 'available' THEN amount_micros ELSE 0 END) AS total
             FROM transfers GROUP BY account_id) t ON t.account_id = a.id
           WHERE a.available_micros <> coalesce(t.total, 0)""",
    ),
    (
        "held differs from the sum of its transfers",
        """SELECT a.id, a.held_micros, coalesce(t.total, 0) AS computed FROM accounts a LEFT JOIN (
             SELECT account_id, sum(CASE WHEN to_purse = 'held' THEN amount_micros ELSE 0 END)
               - sum(CASE WHEN from_purse = 'held' THEN amount_micros ELSE 0 END) AS total
             FROM transfers GROUP BY account_id) t ON t.account_id = a.id
           WHERE a.held_micros <> coalesce(t.total, 0)""",
    ),
    ("a balance is below zero", "SELECT id FROM accounts WHERE available_micros < 0 OR held_micros < 0"),
    (
        "held differs from the bounds of unfinished jobs",
        """SELECT a.id, a.held_micros, coalesce(j.total, 0) AS computed FROM accounts a LEFT JOIN (
             SELECT account_id, sum(bound_micros) AS total FROM jobs
             WHERE status IN ('queued', 'running') AND batch_id IS NULL GROUP BY account_id) j ON j.account_id = a.id
           WHERE a.held_micros <> coalesce(j.total, 0)""",
    ),
    (
        "a finished job's hold is not resolved exactly once",
        """SELECT j.id, j.bound_micros, coalesce(t.held, 0) AS held, coalesce(t.resolved, 0) AS resolved
           FROM jobs j LEFT JOIN (
             SELECT subject_id, sum(CASE WHEN kind = 'hold' THEN amount_micros ELSE 0 END) AS held,
               sum(CASE WHEN kind IN ('charge', 'release') THEN amount_micros ELSE 0 END) AS resolved
             FROM transfers WHERE subject_type = 'job' GROUP BY subject_id) t ON t.subject_id = j.id
           WHERE j.status NOT IN ('queued', 'running') AND j.batch_id IS NULL
             AND (coalesce(t.held, 0) <> j.bound_micros OR coalesce(t.resolved, 0) <> j.bound_micros)""",
    ),
    (
        "an unfinished job's hold is missing, or already resolved",
        """SELECT j.id, j.bound_micros, coalesce(t.held, 0) AS held, coalesce(t.resolved, 0) AS resolved
           FROM jobs j LEFT JOIN (
             SELECT subject_id, sum(CASE WHEN kind = 'hold' THEN amount_micros ELSE 0 END) AS held,
               sum(CASE WHEN kind IN ('charge', 'release') THEN amount_micros ELSE 0 END) AS resolved
             FROM transfers WHERE subject_type = 'job' GROUP BY subject_id) t ON t.subject_id = j.id
           WHERE j.status IN ('queued', 'running') AND j.batch_id IS NULL
             AND (coalesce(t.held, 0) <> j.bound_micros OR coalesce(t.resolved, 0) <> 0)""",
    ),
    (
        "a finished job has no result, or an unfinished one has",
        """SELECT j.id, j.status FROM jobs j LEFT JOIN job_results r ON r.job_id = j.id
           WHERE (j.status IN ('queued', 'running')) <> (r.job_id IS NULL)""",
    ),
    (
        "a result's charge differs from its charge transfer",
        """SELECT r.job_id, r.charged_micros, coalesce(t.amount_micros, 0) AS moved FROM job_results r
           LEFT JOIN transfers t ON t.subject_id = r.job_id AND t.subject_type = 'job' AND t.kind = 'charge'
           WHERE r.charged_micros <> coalesce(t.amount_micros, 0)""",
    ),
    (
        "a charge is above its bound, or of a test job, or of a job that did not succeed",
        """SELECT j.id FROM jobs j JOIN job_results r ON r.job_id = j.id
           WHERE r.charged_micros > j.bound_micros OR (j.test AND r.charged_micros <> 0)
             OR (j.status <> 'succeeded' AND r.charged_micros <> 0)""",
    ),
    (
        "an account's events are not numbered 1, 2, 3 …",
        """SELECT a.id, a.sequence, count(e.id) AS events FROM accounts a LEFT JOIN events e ON e.account_id = a.id
           GROUP BY a.id, a.sequence HAVING count(e.id) <> a.sequence OR coalesce(max(e.sequence), 0) <> a.sequence""",
    ),
    (
        "the month's spend differs from the charges",
        """SELECT m.account_id, m.total, coalesce(t.total, 0) AS computed FROM (
             SELECT account_id, sum(spent_micros) AS total FROM monthly_spend GROUP BY account_id) m
           LEFT JOIN (SELECT account_id, sum(amount_micros) AS total FROM transfers
             WHERE kind = 'charge' GROUP BY account_id) t ON t.account_id = m.account_id
           WHERE m.total <> coalesce(t.total, 0)""",
    ),
    (
        "a transfer is of a job that does not exist",
        """SELECT t.id FROM transfers t LEFT JOIN jobs j ON j.id = t.subject_id
           WHERE t.subject_type = 'job' AND j.id IS NULL""",
    ),
    (
        "a finished job outside a batch has not exactly one event",
        """SELECT j.account_id, count(*) AS finished, max(e.told) AS told FROM jobs j
           LEFT JOIN (SELECT account_id, count(*) AS told FROM events
             WHERE type IN ('job.completed', 'job.failed', 'job.cancelled', 'job.expired') GROUP BY account_id) e
             ON e.account_id = j.account_id
           WHERE j.status NOT IN ('queued', 'running') AND j.batch_id IS NULL
           GROUP BY j.account_id HAVING count(*) <> coalesce(max(e.told), 0)""",
    ),
)

#: Rows named of each violated check.
SHOWN = 5


def verify(connection: Connection) -> list[str]:
    """Every violation found, as a line each; empty when all of it is exact."""
    return [line for name, query in CHECKS for line in _violations(connection, name, query)]


def totals(connection: Connection) -> dict[str, Any]:
    """What was looked at: counts of rows, and where the money is, in micro-credits."""
    row = connection.execute(
        text(
            """SELECT (SELECT count(*) FROM accounts) AS accounts, (SELECT count(*) FROM jobs) AS jobs,
               (SELECT count(*) FROM transfers) AS transfers, (SELECT count(*) FROM events) AS events,
               (SELECT coalesce(sum(available_micros), 0) FROM accounts) AS available_micros,
               (SELECT coalesce(sum(held_micros), 0) FROM accounts) AS held_micros,
               (SELECT coalesce(sum(amount_micros), 0) FROM transfers WHERE to_purse = 'revenue') AS revenue_micros,
               (SELECT coalesce(sum(amount_micros), 0) FROM transfers WHERE from_purse = 'treasury')
                 AS granted_micros"""
        )
    ).mappings()
    return {name: int(value) for name, value in row.one().items()}


def _violations(connection: Connection, name: str, query: str) -> Iterator[str]:
    rows = connection.execute(text(query)).mappings().all()
    for row in rows[:SHOWN]:
        yield f"{name}: " + ", ".join(f"{key}={value}" for key, value in row.items())
    if len(rows) > SHOWN:
        yield f"{name}: and {len(rows) - SHOWN} more"
