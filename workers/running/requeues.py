"""How a job goes back into a queue: its own for later, or at once that of the offer it falls back to."""

from collections.abc import Sequence
from typing import Any

from shared import clock
from shared.jobs.leases import Leased
from shared.jobs.outcomes import Requeue
from shared.queues import PROBATION, Lane, queue_name

#: A job that would wait beyond its deadline is tried again when this part of the time to it is over.
LAST_TRY = 0.9
#: Longer than any window.
MOST_SECONDS = 1e8
#: Why a job waits whose images cannot be kept; the first pause, each twice as long as the one before, up to the last.
STORAGE = "storage"
STORAGE_SECONDS, STORAGE_MOST_SECONDS = 30.0, 900.0

Tried = list[dict[str, Any]]


def for_later(job: Leased, wait_seconds: float, reason: str, failures: int, tried: Tried | None) -> Requeue:
    """Back into the queue until then, without a slot and without a message; tried once more before it expires.

    `tried`: all attempts; None: those that the row has.
    """
    now = clock.now_micros()
    latest = now + int(LAST_TRY * max(job.expires_at - now, 0))
    run_at = min(now + int(min(wait_seconds, MOST_SECONDS) * clock.MICROS), latest)
    return Requeue(job.id, job.epoch, job.queue, job.offer, failures, run_at, tried, deferred_for=reason)


def until_kept(job: Leased, failures: int, attempts: Tried, *, before: int) -> Requeue:
    """Back into the queue while storage is away: at once after the first answer that could not be kept, for then
    storage is asked before anybody is called; later for ever longer. `before`: attempts that the row has.
    """
    lost = sum(one.get("error") == STORAGE for one in attempts)
    if lost == 1 and len(attempts) > before:
        return Requeue(job.id, job.epoch, job.queue, job.offer, failures, 0, attempts, wake=True)
    longer: float = STORAGE_SECONDS * 2 ** min(max(lost - 1, 0), 10)
    tried = attempts if len(attempts) > before else None
    return for_later(job, min(longer, STORAGE_MOST_SECONDS), STORAGE, failures, tried)


def to_offer(job: Leased, offer: int, provider: str, lane: Lane, attempts: Sequence[dict[str, Any]]) -> Requeue:
    """To another of its offers, on that provider's queue, and woken at once; in probation it stays where it is."""
    if job.queue == PROBATION:
        return Requeue(job.id, job.epoch, PROBATION, offer, 0, 0, attempts)
    return Requeue(job.id, job.epoch, queue_name(provider, lane), offer, 0, 0, attempts, wake=True)
