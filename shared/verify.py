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
        "held differs from what unfinished jobs and batches may still cost",
        """SELECT a.id, a.held_micros, coalesce(j.total, 0) + coalesce(b.total, 0) AS computed FROM accounts a
           LEFT JOIN (SELECT account_id, sum(bound_micros) AS total FROM jobs
             WHERE status IN ('queued', 'running') GROUP BY account_id) j ON j.account_id = a.id
           LEFT JOIN (SELECT account_id, sum(bound_micros - released_micros) AS total FROM batches
             GROUP BY account_id) b ON b.account_id = a.id
           WHERE a.held_micros <> coalesce(j.total, 0) + coalesce(b.total, 0)""",
    ),
    (
        "a finished job's hold is not resolved exactly once",
        """SELECT j.id, j.bound_micros, coalesce(t.held, 0) AS held, coalesce(t.resolved, 0) AS resolved
           FROM jobs j LEFT JOIN (
             SELECT subject_id, sum(CASE WHEN kind = 'hold' THEN amount_micros ELSE 0 END) AS held,
               sum(CASE WHEN kind IN ('charge', 'release') THEN amount_micros ELSE 0 END) AS resolved
             FROM transfers WHERE subject_type = 'job' GROUP BY subject_id) t ON t.subject_id = j.id
           WHERE j.status NOT IN ('queued', 'running')
             AND (coalesce(t.held, 0) <> CASE WHEN j.batch_id IS NULL THEN j.bound_micros ELSE 0 END
               OR coalesce(t.resolved, 0) <> j.bound_micros)""",
    ),
    (
        "an unfinished job's hold is missing, or already resolved",
        """SELECT j.id, j.bound_micros, coalesce(t.held, 0) AS held, coalesce(t.resolved, 0) AS resolved
           FROM jobs j LEFT JOIN (
             SELECT subject_id, sum(CASE WHEN kind = 'hold' THEN amount_micros ELSE 0 END) AS held,
               sum(CASE WHEN kind IN ('charge', 'release') THEN amount_micros ELSE 0 END) AS resolved
             FROM transfers WHERE subject_type = 'job' GROUP BY subject_id) t ON t.subject_id = j.id
           WHERE j.status IN ('queued', 'running')
             AND (coalesce(t.held, 0) <> CASE WHEN j.batch_id IS NULL THEN j.bound_micros ELSE 0 END
               OR coalesce(t.resolved, 0) <> 0)""",
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
             OR (j.status <> 'succeeded' AND r.charged_micros <> 0 AND r.completion_tokens = 0)
             OR (j.status <> 'succeeded' AND r.charged_micros < j.relayed_micros)""",
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
        "jobs whose end is told one by one have not one event each",
        """SELECT a.id, coalesce(j.finished, 0) AS finished, coalesce(e.told, 0) AS told FROM accounts a
           LEFT JOIN (SELECT jobs.account_id, count(*) AS finished FROM jobs LEFT JOIN batches b ON b.id = jobs.batch_id
             WHERE jobs.status NOT IN ('queued', 'running') AND (b.id IS NULL OR b.notify_each)
             GROUP BY jobs.account_id) j ON j.account_id = a.id
           LEFT JOIN (SELECT account_id, count(*) AS told FROM events
             WHERE type IN ('job.completed', 'job.failed', 'job.cancelled', 'job.expired') GROUP BY account_id) e
             ON e.account_id = a.id
           WHERE coalesce(j.finished, 0) <> coalesce(e.told, 0)""",
    ),
    (
        "a batch's hold transfer differs from its bound, or its release from the lines that never became jobs",
        """SELECT b.id, b.bound_micros, coalesce(t.held, 0) AS held, coalesce(t.released, 0) AS released FROM batches b
           LEFT JOIN (SELECT subject_id, sum(CASE WHEN kind = 'hold' THEN amount_micros ELSE 0 END) AS held,
               sum(CASE WHEN kind = 'release' THEN amount_micros ELSE 0 END) AS released
             FROM transfers WHERE subject_type = 'batch' GROUP BY subject_id) t ON t.subject_id = b.id
           LEFT JOIN (SELECT batch_id, sum(bound_micros) AS total FROM jobs WHERE batch_id IS NOT NULL
             GROUP BY batch_id) j ON j.batch_id = b.id
           WHERE coalesce(t.held, 0) <> b.bound_micros
             OR coalesce(t.released, 0) <> b.released_micros - coalesce(j.total, 0)""",
    ),
    (
        "a batch's counts differ from its jobs",
        """SELECT b.id, b.released, b.succeeded, b.failed FROM batches b
           LEFT JOIN (SELECT batch_id, count(*) AS made,
               sum(CASE WHEN status = 'succeeded' THEN 1 ELSE 0 END) AS succeeded,
               sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS failed,
               sum(CASE WHEN status IN ('cancelled', 'expired') THEN 1 ELSE 0 END) AS dropped
             FROM jobs WHERE batch_id IS NOT NULL GROUP BY batch_id) j ON j.batch_id = b.id
           WHERE b.released <> coalesce(j.made, 0) OR b.succeeded <> coalesce(j.succeeded, 0)
             OR b.failed <> coalesce(j.failed, 0)
             OR b.cancelled + b.expired <> coalesce(j.dropped, 0)
               + CASE WHEN b.stopped IS NULL THEN 0 ELSE b.total - b.released END""",
    ),
    (
        "a batch's charges or resolved bounds differ from its jobs",
        """SELECT b.id, b.charged_micros, b.resolved_micros FROM batches b
           LEFT JOIN (SELECT j.batch_id, sum(j.bound_micros) AS total, sum(r.charged_micros) AS charged,
               sum(CASE WHEN r.job_id IS NULL THEN 0 ELSE j.bound_micros END) AS resolved
             FROM jobs j LEFT JOIN job_results r ON r.job_id = j.id WHERE j.batch_id IS NOT NULL
             GROUP BY j.batch_id) s ON s.batch_id = b.id
           WHERE b.charged_micros <> coalesce(s.charged, 0)
             OR b.resolved_micros <> coalesce(s.resolved, 0)
               + CASE WHEN b.stopped IS NULL THEN 0 ELSE b.released_micros - coalesce(s.total, 0) END""",
    ),
    (
        "a batch is over with lines that have not ended",
        """SELECT id, status, total FROM batches WHERE status IN ('completed', 'expired', 'cancelled')
             AND succeeded + failed + cancelled + expired <> total""",
    ),
    (
        "a finished batch has not exactly one event",
        """SELECT a.id, coalesce(b.ended, 0) AS ended, coalesce(e.told, 0) AS told FROM accounts a
           LEFT JOIN (SELECT account_id, count(*) AS ended FROM batches
             WHERE status IN ('failed', 'completed', 'expired', 'cancelled') GROUP BY account_id) b
             ON b.account_id = a.id
           LEFT JOIN (SELECT account_id, count(*) AS told FROM events
             WHERE type IN ('batch.completed', 'batch.failed', 'batch.expired', 'batch.cancelled')
             GROUP BY account_id) e ON e.account_id = a.id
           WHERE coalesce(b.ended, 0) <> coalesce(e.told, 0)""",
    ),
    (
        "a finished batch has not exactly one statement, of what its jobs were charged",
        """SELECT b.id, b.charged_micros, i.total_micros FROM batches b LEFT JOIN invoices i ON i.batch_id = b.id
           WHERE (b.status IN ('completed', 'expired', 'cancelled') AND NOT b.test AND b.in_progress_at IS NOT NULL)
               <> (i.id IS NOT NULL) OR i.total_micros <> b.charged_micros""",
    ),
    (
        "invoices are not numbered 1, 2, 3 … up to their counter",
        """SELECT i.invoices, i.newest, coalesce(c.value, 0) AS counter FROM (
             SELECT count(*) AS invoices, coalesce(max(number), 0) AS newest FROM invoices) i
           LEFT JOIN counters c ON c.name = 'invoice_number'
           WHERE i.invoices <> i.newest OR i.newest <> coalesce(c.value, 0)""",
    ),
    (
        "usage by day differs from the jobs",
        """SELECT u.account_id, u.test, u.model, sum(u.jobs) AS jobs, sum(u.micros) AS micros, sum(u.tokens) AS tokens
           FROM (SELECT account_id, test, model, jobs, charged_micros AS micros,
               prompt_tokens + 3 * completion_tokens + 7 * images AS tokens FROM daily_usage
             UNION ALL SELECT j.account_id, j.test, coalesce(r.model, j.model), -1, -r.charged_micros,
               -r.prompt_tokens - 3 * r.completion_tokens - 7 * r.images
             FROM jobs j JOIN job_results r ON r.job_id = j.id WHERE j.status = 'succeeded'
               OR r.prompt_tokens + r.completion_tokens > 0) u
           GROUP BY u.account_id, u.test, u.model
           HAVING sum(u.jobs) <> 0 OR sum(u.micros) <> 0 OR sum(u.tokens) <> 0""",
    ),
    (
        "usage by day does not add up to the month's spend",
        """SELECT m.account_id, m.month, m.spent_micros, coalesce(u.total, 0) AS used FROM monthly_spend m
           LEFT JOIN (SELECT account_id, substr(day, 1, 7) AS month, sum(charged_micros) AS total FROM daily_usage
             GROUP BY account_id, substr(day, 1, 7)) u ON u.account_id = m.account_id AND u.month = m.month
           WHERE m.spent_micros <> coalesce(u.total, 0)""",
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
               (SELECT count(*) FROM batches) AS batches, (SELECT count(*) FROM invoices) AS invoices,
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
