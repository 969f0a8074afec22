"""Checks of events: one for each end, and the deliveries of each."""

from shared.db.models.batches import OWING_CALLBACK
from shared.db.models.events import PENDING
from shared.db.models.jobs import UNFINISHED, UNTOLD
from shared.jobs.outcomes import EVENTS
from shared.objects.batches import BATCH_OVER
from shared.submissions.job_types import CALLBACK
from shared.verify.batches import ENDED_AT, OVER_STATUSES
from shared.verify.findings import Check
from shared.verify.query import Query, sql_list

_OF_JOBS = sql_list(EVENTS.values())
_OF_BATCHES = sql_list(f"batch.{status}" for status in sorted(BATCH_OVER))


def _told(kind: str, types: str) -> str:
    """Of each thing, how often it is told of, as what, and to whom."""
    return f"""(SELECT [json data {kind} id] AS id, count(*) AS told, min(type) AS type,
        min([json data {kind} status]) AS status, min(account_id) AS account_id, min(created_at) AS created_at
      FROM events WHERE type IN {types} GROUP BY [json data {kind} id])"""


def _numbered(name: str, column: str, which: str) -> Query:
    def left_out(above: str) -> str:
        return f"""(SELECT coalesce(sum(g.last - g.first + 1), 0) FROM number_gaps g
            WHERE g.owner = a.id AND g.{which} AND g.first > {above})"""

    return Query(
        f"account: sequence numbers of {name} have gaps or differ from the counter",
        f"""SELECT a.id, a.{column}, coalesce(e.told, 0) AS events, coalesce(e.newest, 0) AS newest FROM accounts a
            LEFT JOIN (SELECT account_id, count(*) AS told, min(sequence) AS oldest, max(sequence) AS newest
              FROM events WHERE {which} GROUP BY account_id) e ON e.account_id = a.id
            WHERE (:events_gone = 0 AND coalesce(e.told, 0) + {left_out("0")} <> a.{column})
              OR (e.told > 0 AND (e.newest + {left_out("e.newest")} <> a.{column}
                OR e.told + {left_out("e.oldest")} - {left_out("e.newest")} <> e.newest - e.oldest + 1))""",
    )


QUERIES: tuple[Query, ...] = (
    _numbered("events", "sequence", "test IS FALSE"),
    _numbered("test events", "test_sequence", "test IS TRUE"),
    Query(
        "job: end event missing, duplicated, or with wrong account or status",
        f"""SELECT j.id, j.status, coalesce(e.told, 0) AS told, e.type, e.status AS status_told FROM jobs j
            LEFT JOIN batches b ON b.id = j.batch_id LEFT JOIN {_told("job", _OF_JOBS)} e ON e.id = j.id
            WHERE NOT j.{UNFINISHED} AND (b.id IS NULL OR b.notify_each)
              AND (j.finished_at IS NULL OR j.finished_at > :events_gone)
              AND (e.id IS NULL OR e.told <> 1 OR e.account_id <> j.account_id OR e.status <> j.status
                OR e.type <> CASE j.status WHEN 'succeeded' THEN 'job.completed' ELSE 'job.' || j.status END)""",
    ),
    Query(
        "event: end of a job that does not exist, has not ended, is reported by its batch, or has another mode",
        f"""SELECT e.id, e.account_id, [json e.data job id] AS job, j.status FROM events e
           LEFT JOIN jobs j ON j.id = [json e.data job id] LEFT JOIN batches b ON b.id = j.batch_id
           WHERE e.type IN {_OF_JOBS}
             AND CASE WHEN j.id IS NULL THEN e.created_at > :jobs_gone
               ELSE j.{UNFINISHED} OR (b.id IS NOT NULL AND NOT b.notify_each)
                 OR (e.deliveries IS NOT NULL AND e.test <> j.test) END""",
    ),
    Query(
        "batch: end event missing, duplicated, or with wrong account or status",
        f"""SELECT b.id, b.status, coalesce(e.told, 0) AS told, e.type FROM batches b
            LEFT JOIN {_told("batch", _OF_BATCHES)} e ON e.id = b.id
            WHERE b.status IN {OVER_STATUSES} AND ({ENDED_AT}) > :events_gone
              AND (e.id IS NULL OR e.told <> 1 OR e.account_id <> b.account_id OR e.type <> 'batch.' || b.status)""",
    ),
    Query(
        "event: end of a batch that does not exist or has not ended",
        f"""SELECT e.id, e.account_id, e.type FROM events e LEFT JOIN batches b ON b.id = [json e.data batch id]
            WHERE e.type IN {_OF_BATCHES}
              AND (b.id IS NULL OR b.status NOT IN {OVER_STATUSES})""",
    ),
    *(
        Query(
            f"invoice: event {type} missing, duplicated, or with wrong account",
            f"""SELECT i.id, i.number, coalesce(e.told, 0) AS told FROM invoices i
                LEFT JOIN {_told("invoice", f"('{type}')")} e ON e.id = i.id
                WHERE {when} AND i.created_at > :events_gone
                  AND (e.id IS NULL OR e.told <> 1 OR e.account_id <> i.account_id)""",
        )
        for type, when in (("invoice.created", "i.id IS NOT NULL"), ("invoice.paid", "i.status = 'paid'"))
    ),
    Query(
        "event: number of deliveries differs from the number created with it",
        """SELECT e.id, e.account_id, e.type, e.deliveries, coalesce(d.made, 0) AS found FROM events e
           LEFT JOIN (SELECT event_id, count(*) AS made FROM deliveries GROUP BY event_id) d ON d.event_id = e.id
           WHERE e.deliveries IS NOT NULL AND e.created_at > :deliveries_gone
             AND e.deliveries <> coalesce(d.made, 0)""",
    ),
    Query(
        "delivery: event or webhook does not exist or has another account or mode",
        """SELECT d.id, d.account_id, d.event_id, d.webhook_id FROM deliveries d
           LEFT JOIN events e ON e.id = d.event_id LEFT JOIN webhooks w ON w.id = d.webhook_id AND d.url IS NULL
           LEFT JOIN callback_secrets c ON c.id = d.webhook_id AND d.url IS NOT NULL
           WHERE e.id IS NULL OR coalesce(w.id, c.id) IS NULL OR e.account_id <> d.account_id OR e.test <> d.test
             OR coalesce(w.account_id, c.account_id) <> d.account_id OR coalesce(w.test, c.test) <> d.test""",
    ),
    Query(
        "delivery: unknown status, or delivered without delivered_at",
        """SELECT id, status, delivered_at FROM deliveries WHERE status NOT IN ('pending', 'delivered', 'failed')
             OR (status = 'delivered' AND delivered_at IS NULL) OR attempts < 0""",
    ),
    Query(
        "callback: end of a job or batch for more than a day without its delivery",
        f"""SELECT id, account_id FROM jobs WHERE {UNTOLD} AND owed_events = '{CALLBACK}' AND finished_at < :day_ago
            UNION ALL SELECT b.id, b.account_id FROM batches b WHERE b.{OWING_CALLBACK} AND ({ENDED_AT}) < :day_ago""",
    ),
    Query(
        "delivery: due for more than a day",
        f"""SELECT d.id, d.webhook_id, d.next_at FROM deliveries d JOIN events e ON e.id = d.event_id
           WHERE d.{PENDING}
             AND CASE WHEN d.next_at > 0 THEN d.next_at ELSE coalesce(d.asked_at, e.created_at) END < :day_ago""",
    ),
)
CHECKS: tuple[Check, ...] = QUERIES
