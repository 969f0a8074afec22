"""How long a job may still take here: its caller's time, that of a cheap service tier, and so that of a call."""

from collections.abc import Sequence
from dataclasses import replace

from shared import clock
from shared.jobs.leases import Leased
from shared.submissions.offers import Offer
from workers import providers
from workers.providers import TimeLimits
from workers.running import tiers


def of_caller(job: Leased) -> float | None:
    """How many seconds the caller still waits; None: nobody does, or not any more."""
    if job.wait_until is None:
        return None
    left = (job.wait_until - clock.now_micros()) / clock.MICROS
    return left if left > 0 else None


def until_usual(job: Leased) -> float:
    """How many seconds the cheap tier may still be asked: by the caller's time, or by that of the job."""
    waits = job.wait_until if of_caller(job) is not None else None
    until = job.expires_at if waits is None else min(waits, job.expires_at)
    return tiers.seconds_until_usual(clock.now_micros(), job.created_at, until)


def limits(job: Leased, offers: Sequence[Offer], *, streamed: bool, turns_soon: bool) -> TimeLimits:
    """How long a call at the job's offer may take. A cheap tier may be silent until its job goes to the usual one.

    `turns_soon`: a silent provider is soon given up for another offer.
    """
    found = providers.limits(streamed=streamed, another_left=turns_soon)
    if tiers.usual_offer(offers, job.offer) is None:
        return found
    first = tiers.silence(until_usual(job))
    return replace(found, first_seconds=first, whole_seconds=max(found.whole_seconds, first))
