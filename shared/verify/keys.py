"""Checks of keys: what their budgets count, and their usage."""

from shared.db.models.batches import COUNTED
from shared.db.models.jobs import UNCOUNTED
from shared.verify.findings import Check
from shared.verify.query import Query


def _of_each_period(columns: str, rows: str) -> str:
    """The rows of jobs or batches (`x`) once for each period in which they count; the columns of both before them."""
    parts = [
        f"SELECT x.key_id, {period} AS period, {columns} FROM {rows}"
        for period in ("[day x.budget_at]", "[month x.budget_at]", "'total'")
    ]
    return " UNION ALL ".join(parts)


_OPEN = _of_each_period(
    "0 AS held, x.bound_micros + coalesce(x.wanted_micros, 0) AS open", "jobs x WHERE x.budget_open"
)
_REST = _of_each_period("0, x.budget_rest_micros", f"batches x WHERE {COUNTED}")
_CHARGED = _of_each_period(
    "0 AS spent, r.charged_micros AS charged",
    "jobs x JOIN job_results r ON r.job_id = x.id WHERE x.budget_at IS NOT NULL AND NOT x.budget_open",
)

QUERIES: tuple[Query, ...] = (
    Query(
        "key: held credits differ from the holds of its unfinished jobs and batches",
        f"""SELECT s.key_id, s.period, sum(s.held) AS held, sum(s.open) AS computed FROM (
              {_OPEN} UNION ALL {_REST}
              UNION ALL SELECT key_id, period, held_micros, 0 FROM key_spend) s
            GROUP BY s.key_id, s.period HAVING sum(s.held) <> sum(s.open)""",
    ),
    Query(
        "key: spent credits differ from the charges of its jobs",
        f"""SELECT s.key_id, s.period, sum(s.spent) AS spent, sum(s.charged) AS charged FROM (
              {_CHARGED} UNION ALL SELECT key_id, period, spent_micros, 0 FROM key_spend) s
            GROUP BY s.key_id, s.period
            HAVING sum(s.spent) < sum(s.charged) OR (:jobs_gone = 0 AND sum(s.spent) <> sum(s.charged))""",
    ),
    Query(
        "key: its spend is of another account",
        """SELECT s.key_id, s.period, s.account_id, k.account_id AS account_of_key FROM key_spend s
           LEFT JOIN api_keys k ON k.id = s.key_id WHERE k.id IS NULL OR k.account_id <> s.account_id""",
    ),
    Query(
        "key: monthly spend reached a threshold without an event",
        """SELECT t.id, t.key_id, t.level_micros, s.spent_micros FROM key_thresholds t
           JOIN key_spend s ON s.key_id = t.key_id AND s.period = :month
           WHERE t.kind = 'spent' AND s.spent_micros >= t.level_micros AND coalesce(t.period, '') < s.period""",
    ),
    Query(
        "job: ended a day ago and still counted as held by its key",
        f"SELECT id, key_id, status FROM jobs WHERE {UNCOUNTED} AND finished_at < :day_ago",
    ),
    Query(
        "key: usage exceeds the daily usage of its account",
        """SELECT u.account_id, u.day, u.model, sum(u.jobs) AS more_jobs, sum(u.micros) AS more_micros FROM (
             SELECT account_id, day, test, model, jobs, charged_micros AS micros FROM key_usage
             UNION ALL SELECT account_id, day, test, model, -jobs, -charged_micros FROM daily_usage) u
           GROUP BY u.account_id, u.day, u.test, u.model HAVING sum(u.jobs) > 0 OR sum(u.micros) > 0""",
    ),
)
CHECKS: tuple[Check, ...] = QUERIES
