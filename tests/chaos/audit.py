"""Recomputes from the rows, independently of the product's own `verify`, every promise that a quiet stack must keep."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, text

from shared.verify import verify
from tests.chaos.audit_batches import audit_batches
from tests.chaos.inbox import Inbox

TERMINAL = {"succeeded", "failed", "cancelled", "expired"}
TOLD = {"succeeded": "job.completed", "failed": "job.failed", "cancelled": "job.cancelled", "expired": "job.expired"}
_JOBS = """SELECT j.*, p.request, p.offers, r.response, r.error, r.provider AS served_by, r.model AS served_model,
             r.prompt_tokens, r.completion_tokens, r.images, r.charged_micros, r.job_id AS resulted,
             b.id IS NULL OR b.notify_each AS told,
             b.id IS NULL OR coalesce(b.hold, '') = 'slices' AS holds
           FROM jobs j LEFT JOIN batches b ON b.id = j.batch_id
           JOIN job_payloads p ON p.job_id = j.id LEFT JOIN job_results r ON r.job_id = j.id"""


def audit(
    connection: Connection,
    accepted: Sequence[str],
    submitted: Mapping[str, Sequence[str]],
    inbox: Inbox,
    files: Path,
) -> list[str]:
    """Every violation, as a line each.

    `accepted`: the ids of jobs that the clients were given; `submitted`: of batches, with their lines'
    custom_ids; `files`: the directory of blobs.
    """
    jobs = [dict(row) for row in connection.execute(text(_JOBS)).mappings()]
    moved = _moved(connection)
    lines = [line for job in jobs for line in _job(job, moved.get(job["id"], Counter()))]
    lines += _accepted([job["id"] for job in jobs if job["batch_id"] is None], accepted)
    lines += _told(connection, jobs)
    lines += _delivered(connection, inbox)
    lines += _at_rest(connection)
    lines += audit_batches(connection, submitted, files)
    return [*lines, *verify(connection), *inbox.violations]


def price(job: Mapping[str, Any]) -> int:
    """What the recorded usage costs at the price that was fixed at acceptance, cut at the bound."""
    offers = orjson.loads(job["offers"])
    offer = next(one for one in offers if (one["provider"], one["model"]) == (job["served_by"], job["served_model"]))
    micros = job["prompt_tokens"] * offer["input"] + job["completion_tokens"] * offer["output"]
    whole, rest = divmod(micros, 1_000_000)
    total = whole + bool(rest)
    if job["images"]:
        total += job["images"] * offer["images"][orjson.loads(job["request"])["size"]]
    return int(min(total, offer["bound_micros"]))


def _job(job: Mapping[str, Any], moved: Mapping[str, int]) -> Iterator[str]:
    id, status = job["id"], job["status"]
    if status not in TERMINAL or job["resulted"] is None or job["worker_id"] is not None:
        yield f"{id} is {status}, held by {job['worker_id']}, result {job['resulted']}"
        return
    due = price(job) if status == "succeeded" and not job["test"] else 0
    if job["charged_micros"] != due or moved.get("charge", 0) != due:
        yield f"{id}: its usage costs {due}, recorded {job['charged_micros']}, moved {moved.get('charge', 0)}"
    own_hold = job["bound_micros"] if job["holds"] else 0
    if moved.get("hold", 0) != own_hold or moved.get("release", 0) != job["bound_micros"] - due:
        yield f"{id}: bound {job['bound_micros']}, moved {dict(moved)}"
    if (status == "succeeded") != (job["response"] is not None) or (status == "failed") != (job["error"] is not None):
        yield f"{id} is {status} with response {job['response']} and error {job['error']}"


def _moved(connection: Connection) -> dict[str, Counter[str]]:
    moved: dict[str, Counter[str]] = {}
    rows = connection.execute(text("SELECT subject_id, kind, amount_micros FROM transfers WHERE subject_type = 'job'"))
    for subject, kind, amount in rows:
        moved.setdefault(subject, Counter())[kind] += amount
    return moved


def _accepted(stored: Sequence[str], accepted: Sequence[str]) -> Iterator[str]:
    if lost := set(accepted) - set(stored):
        yield f"{len(lost)} accepted jobs are not there: {sorted(lost)[:5]}"
    if more := set(stored) - set(accepted):
        yield f"{len(more)} jobs nobody was told of: {sorted(more)[:5]}"
    if len(accepted) != len(set(accepted)):
        yield "two requests were given the same job"


def _told(connection: Connection, jobs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Exactly one event a job, of its own status; none for a line of a batch that does not ask for it."""
    told = Counter(
        (orjson.loads(data)["job"]["id"], type)
        for type, data in connection.execute(text("SELECT type, data FROM events WHERE type LIKE 'job.%'"))
    )
    due = Counter((job["id"], TOLD.get(job["status"], "")) for job in jobs if job["told"])
    for (id, type), times in (told - due).items():
        yield f"{id}: {type} was told {times} times too often"
    for id, type in due - told:
        yield f"{id}: {type} was never told"


def _delivered(connection: Connection, inbox: Inbox) -> Iterator[str]:
    """Every event of an account with a webhook is recorded as delivered, and has been received."""
    query = "SELECT e.id, e.account_id, d.status FROM events e LEFT JOIN deliveries d ON d.event_id = e.id"
    known = set()
    for id, account_id, status in connection.execute(text(query)):
        known.add(id)
        if account_id in inbox.accounts and (status != "delivered" or not inbox.taken[id]):
            yield f"event {id}: delivery {status}, received {inbox.arrivals[id]} times, taken {inbox.taken[id]}"
    for id in set(inbox.arrivals) - known:
        yield f"event {id} was received and does not exist"


def _at_rest(connection: Connection) -> Iterator[str]:
    held = connection.execute(text("SELECT id, held_micros FROM accounts WHERE held_micros <> 0")).all()
    yield from (f"account {row.id} still holds {row.held_micros}" for row in held)
    of_keys = connection.execute(text("SELECT key_id, period, held_micros FROM key_spend WHERE held_micros <> 0")).all()
    yield from (f"key {row.key_id} still holds {row.held_micros} in {row.period}" for row in of_keys)
    pending = connection.execute(text("SELECT id FROM deliveries WHERE status NOT IN ('delivered', 'failed')")).all()
    yield from (f"delivery {row.id} is pending" for row in pending)
