"""Checks of money: transfers, balances, and the sums made of them."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import text

from shared.db.models.events import INVOICES
from shared.db.models.jobs import ENDED, UNFINISHED
from shared.db.models.money import KNOWN_TRANSFER
from shared.verify.findings import Check, Finding, Reader
from shared.verify.query import Query, faulty_rows, page_of


def balances(read: Reader) -> Iterator[Finding]:
    """Accounts whose cached balances are not the sums of their transfers: some accounts in each statement."""
    for name in ("available", "held"):
        check = f"account: {name} differs from the sum of its transfers"
        yield from faulty_rows(read, check, page_of(text(_BALANCES.format(name))), _differs, by="id", after="")


def _differs(row: Mapping[str, Any]) -> str | None:
    kept, computed = int(row["kept"]), int(row["computed"])
    return None if kept == computed else f"kept={kept}, computed={computed}"


#: Accounts in one statement.
ACCOUNTS: Final = 100
_BALANCES: Final = f"""
    SELECT a.id, a.{{0}}_micros AS kept, (
      SELECT coalesce(sum(CASE WHEN t.to_purse = '{{0}}' THEN t.amount_micros ELSE 0 END
        - CASE WHEN t.from_purse = '{{0}}' THEN t.amount_micros ELSE 0 END), 0)
      FROM transfers t WHERE t.account_id = a.id) AS computed
    FROM accounts a WHERE a.id > :after ORDER BY a.id LIMIT {ACCOUNTS}"""


def _of_accounts(table: str, id: str) -> Query:
    """Every row is of an account that there is."""
    return Query(
        f"row of {table}: account does not exist",
        f"""SELECT x.{id} AS id, x.account_id FROM {table} x LEFT JOIN accounts a ON a.id = x.account_id
            WHERE a.id IS NULL""",
    )


def _left_out(above: str) -> str:
    """How many numbers of invoices were left out above one."""
    return f"""(SELECT coalesce(sum(last - first + 1), 0) FROM number_gaps
        WHERE owner = '{INVOICES}' AND first > {above})"""


QUERIES: tuple[Query, ...] = (
    Query("account: negative balance", "SELECT id FROM accounts WHERE available_micros < 0 OR held_micros < 0"),
    Query(
        "account: held credits differ from the holds of unfinished jobs and batches",
        f"""SELECT a.id, a.held_micros, coalesce(j.total, 0) + coalesce(b.total, 0) AS computed FROM accounts a
           LEFT JOIN (SELECT account_id, sum(bound_micros) AS total FROM jobs
             WHERE {UNFINISHED} GROUP BY account_id) j ON j.account_id = a.id
           LEFT JOIN (SELECT account_id, sum(bound_micros - released_micros) AS total FROM batches
             GROUP BY account_id) b ON b.account_id = a.id
           WHERE a.held_micros <> coalesce(j.total, 0) + coalesce(b.total, 0)""",
    ),
    Query(
        "transfer: unknown kind, or wrong source, target or subject for its kind",
        f"""SELECT id, account_id, kind, from_purse, to_purse, subject_type, amount_micros FROM transfers
            WHERE amount_micros <= 0 OR NOT ({KNOWN_TRANSFER})""",
    ),
    *(
        _of_accounts(table, id)
        for table, id in (
            *(("transfers", "id"), ("jobs", "id"), ("batches", "id"), ("files", "id"), ("invoices", "id")),
            *(("webhooks", "id"), ("events", "id"), ("deliveries", "id"), ("thresholds", "id"), ("api_keys", "id")),
            *(("credit_grants", "id"), ("key_thresholds", "id")),
            *(("daily_usage", "day"), ("monthly_spend", "month"), ("idempotency_keys", "key")),
            *(("purchases", "invoice_id"), ("auto_top_ups", "stopped"), ("saved_payments", "customer")),
        )
    ),
    Query(
        "transfer: job does not exist or belongs to another account",
        """SELECT t.id, t.kind, t.account_id, t.subject_id AS job, j.account_id AS account_of_job FROM transfers t
           LEFT JOIN jobs j ON j.id = t.subject_id WHERE t.subject_type = 'job'
             AND CASE WHEN j.id IS NULL THEN t.created_at > :jobs_gone ELSE j.account_id <> t.account_id END""",
    ),
    Query(
        "transfer: hold of a deleted job not resolved exactly once",
        """SELECT t.subject_id AS job, min(t.account_id) AS account_id FROM transfers t
           LEFT JOIN jobs j ON j.id = t.subject_id WHERE t.subject_type = 'job' AND j.id IS NULL
             AND t.kind IN ('hold', 'charge', 'release') GROUP BY t.subject_id
           HAVING min(t.account_id) <> max(t.account_id)
             OR (sum(CASE WHEN t.kind = 'hold' THEN t.amount_micros ELSE 0 END) > 0
               AND sum(CASE WHEN t.kind = 'hold' THEN t.amount_micros ELSE -t.amount_micros END) <> 0)""",
    ),
    Query(
        "transfer: batch does not exist or belongs to another account",
        """SELECT t.id, t.kind, t.account_id, t.subject_id AS batch, b.account_id AS account_of_batch FROM transfers t
           LEFT JOIN batches b ON b.id = t.subject_id
           WHERE t.subject_type = 'batch' AND (b.id IS NULL OR b.account_id <> t.account_id)""",
    ),
    Query(
        "transfer: grant differs from its invoice",
        """SELECT t.id, t.account_id, t.subject_id AS invoice, t.amount_micros, i.total_micros FROM transfers t
           LEFT JOIN invoices i ON i.id = t.subject_id WHERE t.subject_type = 'invoice'
             AND (i.id IS NULL OR i.account_id <> t.account_id OR i.kind <> 'purchase' OR i.status <> 'paid'
               OR i.total_micros <> t.amount_micros)""",
    ),
    Query(
        "invoice: a paid purchase without its grant",
        """SELECT i.id, i.account_id, i.number, i.total_micros FROM invoices i
           LEFT JOIN transfers t ON t.subject_id = i.id AND t.subject_type = 'invoice' AND t.kind = 'grant'
           WHERE i.kind = 'purchase' AND i.status = 'paid' AND t.id IS NULL""",
    ),
    Query(
        "purchase: its invoice does not exist, is of another account, or stands otherwise than its payment",
        """SELECT p.invoice_id AS id, p.account_id, i.status FROM purchases p
           LEFT JOIN invoices i ON i.id = p.invoice_id AND i.account_id = p.account_id AND i.kind = 'purchase'
           WHERE i.id IS NULL OR (i.status = 'open') <> (p.closed_at IS NULL)
             OR (p.open_top_up AND NOT (p.auto_top_up AND i.status = 'open'))""",
    ),
    Query(
        "transfer: refunds exceed the charge",
        """SELECT r.subject_id AS job, r.refunded, coalesce(c.amount_micros, 0) AS charged FROM (
             SELECT subject_id, sum(amount_micros) AS refunded FROM transfers WHERE kind = 'refund'
             GROUP BY subject_id) r
           LEFT JOIN transfers c ON c.subject_id = r.subject_id AND c.kind = 'charge' AND c.subject_type = 'job'
           WHERE r.refunded > coalesce(c.amount_micros, 0)""",
    ),
    Query(
        "transfer: adjustment of a transfer that does not exist, or by more than its amount",
        """SELECT t.id, t.account_id, t.subject_id AS corrects, t.amount_micros FROM transfers t
           LEFT JOIN transfers o ON o.id = t.subject_id AND o.account_id = t.account_id AND o.kind <> 'adjust'
           WHERE t.kind = 'adjust' AND t.subject_type = 'transfer'
             AND (o.id IS NULL OR o.amount_micros < t.amount_micros)""",
    ),
    Query(
        "account: monthly spend differs from the charges",
        """SELECT s.account_id, s.month, sum(s.spent) AS spent, sum(s.charged) AS charged FROM (
             SELECT account_id, month, spent_micros AS spent, 0 AS charged FROM monthly_spend
             UNION ALL SELECT account_id, [month created_at], 0, sum(amount_micros) FROM transfers
               WHERE kind = 'charge' GROUP BY account_id, [month created_at]) s
           GROUP BY s.account_id, s.month HAVING sum(s.spent) <> sum(s.charged)""",
    ),
    Query(
        "account: daily usage does not add up to the monthly spend",
        """SELECT s.account_id, s.month, sum(s.spent) AS spent, sum(s.used) AS used FROM (
             SELECT account_id, month, spent_micros AS spent, 0 AS used FROM monthly_spend
             UNION ALL SELECT account_id, substr(day, 1, 7), 0, charged_micros FROM daily_usage) s
           GROUP BY s.account_id, s.month HAVING sum(s.spent) <> sum(s.used)""",
    ),
    Query(
        "account: daily usage differs from the jobs",
        f"""SELECT u.account_id, u.day, u.test, u.model, sum(u.jobs) AS jobs, sum(u.micros) AS micros,
             sum(u.prompt) AS prompt_tokens, sum(u.completion) AS completion_tokens, sum(u.images) AS images
           FROM (SELECT account_id, day, test, model, jobs, charged_micros AS micros, prompt_tokens AS prompt,
               completion_tokens AS completion, images FROM daily_usage
             UNION ALL SELECT j.account_id, [day j.finished_at], j.test, coalesce(r.model, j.model), -1,
               -r.charged_micros, -r.prompt_tokens, -r.completion_tokens, -r.images
             FROM jobs j JOIN job_results r ON r.job_id = j.id WHERE {ENDED}
               AND (j.status = 'succeeded' OR r.prompt_tokens + r.completion_tokens > 0)) u
           WHERE :jobs_gone = 0 OR u.day > [day :jobs_gone]
           GROUP BY u.account_id, u.day, u.test, u.model
           HAVING sum(u.jobs) <> 0 OR sum(u.micros) <> 0 OR sum(u.prompt) <> 0 OR sum(u.completion) <> 0
             OR sum(u.images) <> 0""",
    ),
    Query(
        "threshold: crossed without an event, or armed state does not match the balance",
        """SELECT t.id, t.account_id, t.kind, t.level_micros, t.armed, a.available_micros + a.held_micros AS remaining
           FROM thresholds t JOIN accounts a ON a.id = t.account_id WHERE t.kind = 'remaining'
             AND t.armed <> (a.available_micros + a.held_micros > t.level_micros)""",
    ),
    Query(
        "threshold: monthly spend reached it without an event",
        """SELECT t.id, t.account_id, t.level_micros, s.spent_micros FROM thresholds t
           JOIN monthly_spend s ON s.account_id = t.account_id AND s.month = :month
           WHERE t.kind = 'spent' AND s.spent_micros >= t.level_micros AND coalesce(t.period, '') <> s.month""",
    ),
    Query(
        "invoices: numbers are not consecutive up to the counter",
        f"""SELECT i.invoices, i.newest, coalesce(c.value, 0) AS counter FROM (
             SELECT count(*) AS invoices, coalesce(max(number), 0) AS newest FROM invoices) i
           LEFT JOIN counters c ON c.name = 'invoice_number'
           WHERE i.invoices + {_left_out("0")} <> coalesce(c.value, 0)
             OR i.newest + {_left_out("i.newest")} <> coalesce(c.value, 0)""",
    ),
    Query(
        "invoice: paid without paid_at, or open with it",
        "SELECT id, number, status FROM invoices WHERE (status = 'paid') <> (paid_at IS NOT NULL)",
    ),
)
CHECKS: tuple[Check, ...] = (balances, *QUERIES)
