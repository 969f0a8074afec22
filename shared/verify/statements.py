"""Checks of monthly statements: with those of batches they are what the ledger charged, each account and month once."""

from shared.db.models.money import CORRECTIONS, MONTHLY, OPEN_MONTHS
from shared.verify.findings import Check
from shared.verify.query import Query

#: A charge of a job that has a hold of its own, which names no batch: so it is of none.
_SINGLE = """transfers c JOIN transfers h
  ON h.subject_id = c.subject_id AND h.kind = 'hold' AND h.subject_type = 'job' AND h.note IS NULL
    AND c.kind = 'charge'"""

QUERIES: tuple[Query, ...] = (
    Query(
        "statement: total of a closed month differs from what was charged for single jobs, given back and corrected",
        f"""SELECT s.account_id, s.month, sum(s.stated) AS stated, sum(s.charged) AS charged FROM (
              SELECT account_id, period AS month, total_micros AS stated, 0 AS charged FROM invoices WHERE {MONTHLY}
              UNION ALL SELECT c.account_id, [month c.created_at], 0, c.amount_micros FROM {_SINGLE}
              UNION ALL SELECT account_id, [month created_at], 0,
                  CASE WHEN to_purse = 'available' THEN -amount_micros ELSE amount_micros END
                FROM transfers WHERE {CORRECTIONS}) s
            JOIN monthly_spend p ON p.account_id = s.account_id AND p.month = s.month AND NOT (p.{OPEN_MONTHS})
            GROUP BY s.account_id, s.month HAVING sum(s.stated) <> sum(s.charged)""",
    ),
    Query(
        "statement: of a month that is not over, or not closed",
        f"""SELECT i.id, i.account_id, i.period FROM invoices i
            LEFT JOIN monthly_spend p ON p.account_id = i.account_id AND p.month = i.period
            WHERE i.{MONTHLY} AND (p.{OPEN_MONTHS} OR i.period >= [month i.created_at])""",
    ),
    Query(
        "statement: month is over and not closed",
        f"""SELECT account_id, month, spent_micros FROM monthly_spend
            WHERE {OPEN_MONTHS} AND month < [month :day_ago]""",
    ),
    Query(
        "statement: charges of jobs of batches differ from those of the batches",
        f"""SELECT account_id, sum(jobs) AS jobs, sum(batches) AS batches FROM (
              SELECT account_id, amount_micros AS jobs, 0 AS batches FROM transfers WHERE kind = 'charge'
              UNION ALL SELECT c.account_id, -c.amount_micros, 0 FROM {_SINGLE}
              UNION ALL SELECT account_id, 0, charged_micros FROM batches) s
            GROUP BY account_id HAVING sum(jobs) <> sum(batches)""",
    ),
)
CHECKS: tuple[Check, ...] = QUERIES
