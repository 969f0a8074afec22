"""Checks of what operators gave, took and gave back: grants that expire, refunds, adjustments, and their audit log."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import select

from shared.db import models as m
from shared.db.models.money import once
from shared.money import unspent
from shared.verify.findings import Check, Finding, Reader, first_of
from shared.verify.query import Query

Rows = Sequence[dict[str, Any]]
#: The condition of a partial index.
REFUNDED = once("refund", "job")

QUERIES: tuple[Query, ...] = (
    Query(
        "grant: differs from its transfer",
        """SELECT g.id, g.account_id, g.amount_micros, t.amount_micros AS transferred FROM credit_grants g
           LEFT JOIN transfers t ON t.subject_id = g.id AND t.kind = 'grant' AND t.account_id = g.account_id
           WHERE t.id IS NULL OR t.amount_micros <> g.amount_micros""",
    ),
    Query(
        "grant: what has expired of it differs from its transfers",
        """SELECT x.id, min(x.account_id) AS account_id, sum(x.expired) AS expired, sum(x.moved) AS transferred FROM (
             SELECT id, account_id, expired_micros AS expired, 0 AS moved FROM credit_grants
             UNION ALL SELECT subject_id, account_id, 0, amount_micros FROM transfers WHERE kind = 'expire') x
           GROUP BY x.id HAVING sum(x.expired) <> sum(x.moved) OR min(x.account_id) <> max(x.account_id)""",
    ),
    Query(
        "grant: expired before its time",
        """SELECT t.id, t.account_id, t.subject_id AS grant_id FROM transfers t JOIN credit_grants g
             ON g.id = t.subject_id WHERE t.kind = 'expire' AND t.created_at < g.expires_at""",
    ),
    Query(
        "grant: not looked at since it expired",
        """SELECT id, account_id, unspent_micros, due_at FROM credit_grants
           WHERE due_at < :day_ago OR (due_at IS NULL AND unspent_micros > 0)""",
    ),
    Query(
        "job: what was refunded differs from its transfers",
        f"""SELECT r.job_id AS job, r.refunded_micros, coalesce(t.total, 0) AS transferred FROM job_results r
           LEFT JOIN (SELECT subject_id, sum(amount_micros) AS total FROM transfers
             WHERE {REFUNDED} GROUP BY subject_id) t ON t.subject_id = r.job_id
           WHERE r.refunded_micros <> coalesce(t.total, 0)""",
    ),
    Query(
        "transfer: adjustment without its entry in the audit log",
        """SELECT t.id, t.account_id, t.amount_micros FROM transfers t
           LEFT JOIN audit_log a ON a.id = t.subject_id AND a.account_id = t.account_id
             AND a.action = 'credits.adjust'
           WHERE t.kind = 'adjust' AND t.subject_type = 'operator' AND a.id IS NULL""",
    ),
    Query(
        "transfer: refunds differ in number from their entries in the audit log",
        """SELECT x.job, min(x.account_id) AS account_id, sum(x.refunds) AS refunds, sum(x.entries) AS entries FROM (
             SELECT subject_id AS job, account_id, 1 AS refunds, 0 AS entries FROM transfers WHERE kind = 'refund'
             UNION ALL SELECT subject_id, account_id, 0, 1 FROM audit_log WHERE action = 'credits.refund') x
           GROUP BY x.job HAVING sum(x.refunds) <> sum(x.entries)""",
    ),
)

_UNSPENT = "account: more is unspent of its grants than remains"
_KEPT = "account: more has expired of its grants than may not be held"


def violations(read: Reader) -> Iterator[Finding]:
    """Accounts whose open grants, after what was charged since, do not fit in what remains, or may be held though they
    have expired and been looked at.
    """
    for name, wrong in ((_UNSPENT, _unspent), (_KEPT, _kept)):
        yield from first_of(name, _found(read, name, wrong))


def _found(read: Reader, name: str, wrong: Callable[[Rows], dict[str, int] | None]) -> Iterator[Finding]:
    for account_id in read(lambda connection: connection.execute(_OPEN).scalars().all()):
        rows = read(partial(unspent.open_rows, account_id=account_id))
        if rows and (values := wrong(rows)) is not None:
            yield Finding(name, {"account_id": account_id, **values})


def _unspent(rows: Rows) -> dict[str, int] | None:
    total, remaining = sum(lot.unspent for lot in unspent.derived(rows)), int(rows[0]["remaining"])
    return {"unspent": total, "remaining": remaining} if total > remaining else None


def _kept(rows: Rows) -> dict[str, int] | None:
    """Of grants that the sweeper has looked at since they expired: it is to look again."""
    looked = {row["id"] for row in rows if row["due_at"] > row["expires_at"]}
    expired, kept = sum(lot.unspent for lot in unspent.derived(rows) if lot.id in looked), int(rows[0]["kept"])
    return {"expired": expired, "kept": kept} if expired > kept else None


_OPEN = (
    select(m.credit_grants.c.account_id)
    .where(m.credit_grants.c.due_at.is_not(None))
    .distinct()
    .order_by(m.credit_grants.c.account_id)
)
CHECKS: tuple[Check, ...] = (*QUERIES, violations)
