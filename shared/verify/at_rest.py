"""Checks of a system that has nothing to do any more (`fusionai verify --at-rest`): nothing is under way, nothing held.

They are no promises of a running system, in which each of these is usual.
"""

from shared.db.models.batches import TO_READ
from shared.db.models.batches import UNFINISHED as UNFINISHED_BATCH
from shared.db.models.events import PENDING
from shared.db.models.jobs import RUNNING, UNCOUNTED, UNFINISHED, UNTOLD
from shared.verify.findings import Check
from shared.verify.query import Query

CHECKS: tuple[Check, ...] = (
    Query("at rest: job has not ended", f"SELECT id, status, queue, worker_id FROM jobs WHERE {UNFINISHED}"),
    Query("at rest: batch has not ended", f"SELECT id, status FROM batches WHERE {UNFINISHED_BATCH} OR {TO_READ}"),
    Query("at rest: account still holds credits", "SELECT id, held_micros FROM accounts WHERE held_micros <> 0"),
    Query(
        "at rest: key still holds credits of a budget",
        "SELECT key_id, period, held_micros FROM key_spend WHERE held_micros <> 0",
    ),
    Query("at rest: job has ended and is not counted in budgets yet", f"SELECT id, key_id FROM jobs WHERE {UNCOUNTED}"),
    Query(
        "at rest: delivery is neither delivered nor given up",
        f"SELECT id, webhook_id, event_id, attempts, next_at FROM deliveries WHERE {PENDING}",
    ),
    Query("at rest: events of a job's end are not written yet", f"SELECT id, owed_events FROM jobs WHERE {UNTOLD}"),
    Query(
        "at rest: ended worker still leases a job",
        f"""SELECT w.id, j.id AS job FROM workers w JOIN jobs j ON j.worker_id = w.id
            WHERE w.lapsed_at IS NOT NULL AND j.{RUNNING}""",
    ),
)
