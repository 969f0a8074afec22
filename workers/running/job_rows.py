"""A leased job as its rows say it, which any version may have written: unknown fields are passed over."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared.jobs.leases import Leased
from shared.queues import LANES
from shared.submissions.schemas import REQUESTS, Offer, read_offer


class UnreadableError(Exception):
    """Another version wrote this job, in a way that this one does not understand: it is for others to run."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked for, the offers that may serve it, and whether its stream begins only when the answer is whole."""

    request: dict[str, Any]
    offers: Sequence[Offer]
    hold_stream: bool


def work(job: Leased) -> Work:
    """What a job is about; UnreadableError."""
    try:
        offers = [read_offer(row) for row in orjson.loads(job.offers)]
        request = orjson.loads(job.request)
        routing = orjson.loads(job.routing) if job.routing else {}
        known = job.type in REQUESTS and job.lane in LANES and 0 <= job.offer < len(offers)
        if not (known and isinstance(request, dict) and isinstance(routing, dict)):
            raise UnreadableError(job.type)
        return Work(request, offers, bool(routing.get("hold_stream")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableError(type(error).__name__) from error


def attempts(job: Leased) -> list[dict[str, Any]]:
    """What has been tried before; UnreadableError."""
    try:
        found = orjson.loads(job.attempts) if job.attempts else []
    except ValueError as error:
        raise UnreadableError("its attempts") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnreadableError("its attempts")
    return found
