"""Checks of jobs: the row, payload, result and hold of each, and the worker that runs it."""

from shared.db.models.jobs import OF_BATCHES, RUNNING, UNFINISHED
from shared.verify.findings import Check
from shared.verify.query import Query

#: A job's transfers in a row: what was held, charged and released for it.
_MOVED = """(SELECT subject_id,
    sum(CASE WHEN kind = 'hold' THEN amount_micros ELSE 0 END) AS held,
    sum(CASE WHEN kind = 'charge' THEN amount_micros ELSE 0 END) AS charged,
    sum(CASE WHEN kind = 'release' THEN amount_micros ELSE 0 END) AS released,
    max(CASE WHEN kind = 'hold' THEN NULL ELSE created_at END) AS resolved_at
  FROM transfers WHERE subject_type = 'job' AND kind IN ('hold', 'charge', 'release') GROUP BY subject_id)"""

#: Batches of whose jobs each has a hold of its own.
_IN_SLICES = "(SELECT id FROM batches WHERE hold = 'slices')"

QUERIES: tuple[Query, ...] = (
    Query(
        "job: hold missing, different from its maximum cost, or not resolved exactly once at its end",
        f"""SELECT j.id, j.status, j.bound_micros, coalesce(t.held, 0) AS held,
             coalesce(t.charged, 0) + coalesce(t.released, 0) AS resolved
            FROM jobs j LEFT JOIN {_MOVED} t ON t.subject_id = j.id
            WHERE coalesce(t.held, 0) <> CASE WHEN j.batch_id IS NULL OR j.batch_id IN {_IN_SLICES}
                THEN j.bound_micros ELSE 0 END
              OR coalesce(t.charged, 0) + coalesce(t.released, 0)
                <> CASE WHEN j.{UNFINISHED} THEN 0 ELSE j.bound_micros END
              OR t.resolved_at <> j.finished_at""",
    ),
    Query(
        "job: finished without a result, or unfinished with one",
        f"""SELECT j.id, j.status FROM jobs j LEFT JOIN job_results r ON r.job_id = j.id
           WHERE (j.{UNFINISHED}) <> (r.job_id IS NULL)""",
    ),
    Query(
        "result or payload: job does not exist",
        """SELECT r.job_id, 'result' AS what FROM job_results r LEFT JOIN jobs j ON j.id = r.job_id WHERE j.id IS NULL
           UNION ALL SELECT p.job_id, 'payload' FROM job_payloads p LEFT JOIN jobs j ON j.id = p.job_id
           WHERE j.id IS NULL""",
    ),
    Query(
        "job: payload missing",
        """SELECT j.id, j.status FROM jobs j LEFT JOIN job_payloads p ON p.job_id = j.id WHERE p.job_id IS NULL
             AND (j.finished_at IS NULL OR j.finished_at > :payloads_gone)""",
    ),
    Query(
        "job: charge of the result differs from its charge transfer",
        """SELECT r.job_id, r.charged_micros, coalesce(t.amount_micros, 0) AS moved FROM job_results r
           LEFT JOIN transfers t ON t.subject_id = r.job_id AND t.subject_type = 'job' AND t.kind = 'charge'
           WHERE r.charged_micros <> coalesce(t.amount_micros, 0)""",
    ),
    Query(
        "job: charge above its maximum cost, or for a test job, or for a failed job without streamed output",
        """SELECT j.id, j.status, j.bound_micros, r.charged_micros FROM jobs j JOIN job_results r ON r.job_id = j.id
           WHERE r.charged_micros > j.bound_micros OR r.test <> j.test OR (j.test AND r.charged_micros <> 0)
             OR (j.status <> 'succeeded' AND r.charged_micros <> 0 AND r.prompt_tokens + r.completion_tokens = 0)""",
    ),
    Query(
        "job: streamed output was not charged",
        """SELECT j.id, j.status, j.relayed_micros, r.charged_micros FROM jobs j JOIN job_results r ON r.job_id = j.id
           WHERE j.status <> 'succeeded' AND (r.charged_micros < j.relayed_micros
             OR (r.partial IS NOT NULL AND r.prompt_tokens + r.completion_tokens = 0))""",
    ),
    Query(
        "job: charged without a response, or succeeded with an error, or not succeeded but with a response",
        """SELECT j.id, j.status FROM jobs j JOIN job_results r ON r.job_id = j.id
           WHERE (j.status = 'succeeded' AND (r.error IS NOT NULL OR (r.response IS NULL AND r.charged_micros > 0)))
             OR (j.status <> 'succeeded' AND r.response IS NOT NULL)""",
    ),
    Query(
        "job: cached answer of another account, mode or model, or of a job that was not answered itself",
        """SELECT j.id, r.cached_from FROM job_results r JOIN jobs j ON j.id = r.job_id
           JOIN jobs s ON s.id = r.cached_from JOIN job_results o ON o.job_id = s.id
           WHERE r.cached_from IS NOT NULL AND (s.account_id <> j.account_id OR s.test <> j.test
             OR s.status <> 'succeeded' OR o.cached_from IS NOT NULL OR o.model <> r.model OR o.provider <> r.provider
             OR o.prompt_tokens <> r.prompt_tokens OR o.completion_tokens <> r.completion_tokens)""",
    ),
    Query(
        "job: finished without finished_at, or unfinished with it",
        f"""SELECT id, status, finished_at FROM jobs
           WHERE ({UNFINISHED}) <> (finished_at IS NULL)""",
    ),
    Query(
        "job: leased by a worker without running, or running without a worker",
        f"SELECT id, status, worker_id FROM jobs WHERE ({RUNNING}) <> (worker_id IS NOT NULL)",
    ),
    Query(
        "job: running on a worker that does not exist or ended more than a month ago",
        f"""SELECT j.id, j.worker_id, w.lapsed_at FROM jobs j LEFT JOIN workers w ON w.id = j.worker_id
           WHERE j.{RUNNING} AND j.worker_id IS NOT NULL
             AND (w.id IS NULL OR w.lapsed_at < :month_ago)""",
    ),
    Query(
        "job: running without a lease",
        f"SELECT id FROM jobs WHERE {RUNNING} AND (lease_epoch < 1 OR started_at IS NULL)",
    ),
    Query(
        "job: unknown queue or lane",
        f"""SELECT id, status, queue, lane FROM jobs WHERE {UNFINISHED}
             AND (queue NOT IN [queues] OR lane NOT IN [lanes])""",
    ),
    Query(
        "job: expired more than a month ago but not finished",
        f"SELECT id, status, expires_at FROM jobs WHERE {UNFINISHED} AND expires_at < :month_ago",
    ),
    Query(
        "job: API key of another account or mode",
        """SELECT j.id, j.account_id, j.key_id FROM jobs j JOIN api_keys k ON k.id = j.key_id
           WHERE k.account_id <> j.account_id OR (k.mode = 'test') <> j.test""",
    ),
    Query(
        "job: batch does not exist or has another account or mode",
        f"""SELECT j.id, j.batch_id FROM jobs j LEFT JOIN batches b ON b.id = j.batch_id WHERE j.{OF_BATCHES}
             AND (b.id IS NULL OR b.account_id <> j.account_id OR b.test <> j.test)""",
    ),
)
CHECKS: tuple[Check, ...] = QUERIES
