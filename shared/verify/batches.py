"""Checks of batches: holds, counts, sums of their jobs, statements."""

from typing import get_args

from shared.db.models.jobs import OF_BATCHES
from shared.db.models.money import MONTHLY, STATEMENTS
from shared.objects.batches import BATCH_FINISHED, BATCH_OVER, BatchStatus
from shared.verify.findings import Check
from shared.verify.query import Query, sql_list

#: The statuses of batches that are over, and of those among them that had begun, after `IN`.
OVER_STATUSES, FINISHED_STATUSES = sql_list(sorted(BATCH_OVER)), sql_list(sorted(BATCH_FINISHED))
#: When a batch ended; NULL: it has not.
ENDED_AT = " ".join(["CASE b.status", *(f"WHEN '{end}' THEN b.{end}_at" for end in sorted(BATCH_OVER)), "END"])
#: All its jobs are there still.
_KEPT = f"(({ENDED_AT}) IS NULL OR ({ENDED_AT}) > :jobs_gone)"

QUERIES: tuple[Query, ...] = (
    Query(
        "batch: hold transfer differs from its maximum cost, or release differs from the lines that never became jobs",
        f"""SELECT b.id, b.bound_micros, coalesce(t.held, 0) AS held, coalesce(t.released, 0) AS released FROM batches b
            LEFT JOIN (SELECT subject_id, sum(CASE WHEN kind = 'hold' THEN amount_micros ELSE 0 END) AS held,
                sum(CASE WHEN kind = 'release' THEN amount_micros ELSE 0 END) AS released
              FROM transfers WHERE subject_type = 'batch' GROUP BY subject_id) t ON t.subject_id = b.id
            LEFT JOIN (SELECT batch_id, sum(bound_micros) AS total FROM jobs WHERE {OF_BATCHES}
              GROUP BY batch_id) j ON j.batch_id = b.id
            WHERE coalesce(t.held, 0) <> CASE WHEN b.hold = 'slices' THEN 0 ELSE b.bound_micros END
              OR ({_KEPT} AND coalesce(t.released, 0) <> b.released_micros - coalesce(j.total, 0))""",
    ),
    Query(
        "batch: line counts differ from its jobs",
        f"""SELECT b.id, b.released, b.succeeded, b.failed, b.cancelled, b.expired FROM batches b
            LEFT JOIN (SELECT batch_id, count(*) AS made,
                sum(CASE WHEN status = 'succeeded' THEN 1 ELSE 0 END) AS succeeded,
                sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS failed,
                sum(CASE WHEN status = 'cancelled' THEN 1 ELSE 0 END) AS cancelled,
                sum(CASE WHEN status = 'expired' THEN 1 ELSE 0 END) AS expired
              FROM jobs WHERE {OF_BATCHES} GROUP BY batch_id) j ON j.batch_id = b.id
            WHERE {_KEPT} AND (b.released <> coalesce(j.made, 0) OR b.succeeded <> coalesce(j.succeeded, 0)
              OR b.failed <> coalesce(j.failed, 0)
              OR b.cancelled <> coalesce(j.cancelled, 0)
                + CASE WHEN b.stopped = 'cancelled' THEN b.total - b.released ELSE 0 END
              OR b.expired <> coalesce(j.expired, 0)
                + CASE WHEN b.stopped = 'expired' THEN b.total - b.released ELSE 0 END)""",
    ),
    Query(
        "batch: charges, resolved holds or tokens differ from its jobs",
        f"""SELECT b.id, b.charged_micros, b.resolved_micros, b.prompt_tokens, b.completion_tokens,
              coalesce(s.charged, 0) AS charged, coalesce(s.prompt, 0) AS prompt,
              coalesce(s.completion, 0) AS completion FROM batches b
            LEFT JOIN (SELECT j.batch_id, sum(j.bound_micros) AS total, sum(r.charged_micros) AS charged,
                sum(r.prompt_tokens) AS prompt, sum(r.completion_tokens) AS completion,
                sum(CASE WHEN r.job_id IS NULL THEN 0 ELSE j.bound_micros END) AS resolved
              FROM jobs j LEFT JOIN job_results r ON r.job_id = j.id WHERE j.{OF_BATCHES}
              GROUP BY j.batch_id) s ON s.batch_id = b.id
            WHERE {_KEPT} AND (b.charged_micros <> coalesce(s.charged, 0)
              OR b.prompt_tokens <> coalesce(s.prompt, 0) OR b.completion_tokens <> coalesce(s.completion, 0)
              OR b.resolved_micros <> coalesce(s.resolved, 0)
                + CASE WHEN b.stopped IS NULL THEN 0 ELSE b.released_micros - coalesce(s.total, 0) END)""",
    ),
    Query(
        "batch: finished although lines have not ended or credits are still held",
        f"""SELECT id, status, total, bound_micros, resolved_micros FROM batches
           WHERE status IN {FINISHED_STATUSES}
             AND (succeeded + failed + cancelled + expired <> total OR resolved_micros <> bound_micros)""",
    ),
    Query(
        "batch: unknown status, or timestamp of its status missing",
        f"""SELECT b.id, b.status FROM batches b
            WHERE b.status NOT IN {sql_list((*get_args(BatchStatus), "reading"))}
              OR (b.status IN {OVER_STATUSES} AND ({ENDED_AT}) IS NULL)
              OR (b.status IN ('in_progress', 'finalizing', 'completed') AND b.total > 0 AND b.in_progress_at IS NULL)
              OR (b.status = 'in_progress' AND (b.plan IS NULL OR b.released > b.total))""",
    ),
    Query(
        "batch: retry_of does not exist or belongs to another account or mode",
        """SELECT b.id, b.retry_of FROM batches b LEFT JOIN batches o ON o.id = b.retry_of
           WHERE b.retry_of IS NOT NULL AND (o.id IS NULL OR o.account_id <> b.account_id OR o.test <> b.test)""",
    ),
    Query(
        "batch: no statement, or statement differs from its account or charges",
        f"""SELECT b.id, b.account_id, b.charged_micros, i.id AS invoice, i.account_id AS account_of_invoice,
             i.total_micros FROM batches b LEFT JOIN invoices i ON i.batch_id = b.id
           WHERE (b.status IN {FINISHED_STATUSES} AND NOT b.test AND b.in_progress_at IS NOT NULL)
               <> (i.id IS NOT NULL) OR i.total_micros <> b.charged_micros OR i.account_id <> b.account_id
             OR i.kind <> 'statement' OR i.status <> 'paid'""",
    ),
    Query(
        "invoice: statement of neither a month nor a batch that exists, or of both",
        f"""SELECT i.id, i.batch_id, i.period FROM invoices i LEFT JOIN batches b ON b.id = i.batch_id
            WHERE i.kind = 'statement' AND CASE WHEN i.{MONTHLY} THEN i.{STATEMENTS} ELSE b.id IS NULL END""",
    ),
)
CHECKS: tuple[Check, ...] = QUERIES
