"""A leased job as its rows say it, which any version may have written: unknown fields are passed over."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from shared.jobs.leases import Leased
from shared.queues import LANES
from shared.submissions.offers import Offer, read_offer
from shared.submissions.schemas import REQUESTS
from shared.submissions.steps.course import COURSE
from workers.running import walks
from workers.running.walks import Walk

#: Offers that are kept as they were read, by their text, which has about a kilobyte.
KEPT_OFFERS = 256


class UnreadableError(Exception):
    """Another version wrote this job, in a way that this one does not understand: it is for others to run."""


@dataclass(slots=True)
class Work:
    """What is asked for, the offers that may serve it, and whether its stream begins only when the answer is whole.

    Nothing changes it; it is not frozen, since one is made for each job and freezing doubles what making one costs.
    """

    request: dict[str, Any]
    offers: Sequence[Offer]
    hold_stream: bool
    #: Of a job that takes several calls, how far it has come; the request and the offers are those of its next step.
    walk: Walk | None = None


def work(job: Leased) -> Work:
    """What a job is about; UnreadableError."""
    try:
        offers = _offers(job.offers)
        request = orjson.loads(job.request)
        routing = orjson.loads(job.routing) if job.routing else {}
        if not (isinstance(request, dict) and isinstance(routing, dict)):
            raise UnreadableError(job.type)
        found = _work(job, request, offers, bool(routing.get("hold_stream")))
        at, ends = (job.offer, False) if found.walk is None else (offer_of(job), not found.offers)
        if job.type in REQUESTS and job.lane in LANES and (ends or 0 <= at < len(found.offers)):
            return found
        raise UnreadableError(job.type)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise UnreadableError(type(error).__name__) from error


@lru_cache(maxsize=KEPT_OFFERS)
def _offers(text: str) -> tuple[Offer, ...]:
    """The offers in a row. The lines of a batch have the same, mostly, and nothing changes an offer."""
    return tuple(read_offer(row) for row in orjson.loads(text))


def _work(job: Leased, request: dict[str, Any], offers: Sequence[Offer], hold_stream: bool) -> Work:
    walk = walks.of(job.model, request, offers, job.steps)
    if walk is None:
        return Work(request, offers, hold_stream)
    return Work(walk.request, walk.offers, hold_stream, walk)


def offer_of(job: Leased) -> int:
    """Which of the offers that may serve it now it stands at."""
    return job.offer % COURSE


def attempts(job: Leased) -> list[dict[str, Any]]:
    """What has been tried before; UnreadableError."""
    if not job.attempts:
        return []
    try:
        found = orjson.loads(job.attempts)
    except ValueError as error:
        raise UnreadableError("invalid attempts") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnreadableError("invalid attempts")
    return found
