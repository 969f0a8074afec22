"""What a job's row keeps of each attempt, and what is read off those that were made before."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared import clock
from shared.errors import ProviderError
from shared.jobs.outcomes import BEGAN
from shared.submissions.offers import Offer

#: Why a job waits that a cheap service tier has no room for; in the rows, also a mark of its attempts.
NO_ROOM = "no_capacity"
#: In the record of an attempt: when it failed, in Redis's time.
FAILED_AT = "failed_at"
#: Attempts that a job's row keeps: the first ones and the last ones.
MOST_FIRST, MOST_LAST = 10, 40


def begin(attempts: list[dict[str, Any]], offer: Offer, step: str | None) -> dict[str, Any]:
    """Add the record of an attempt that begins; of too many, one in the middle goes."""
    record: dict[str, Any] = {"provider": offer.provider, "model": offer.model}
    record["started_at"] = clock.now_seconds()
    if step is not None:
        record["step"] = step
    del attempts[MOST_FIRST : -MOST_LAST + 1]
    attempts.append(record)
    return record


def answered(record: dict[str, Any], status_code: int, request_ids: Sequence[str]) -> None:
    """It went well; the ids are what its provider calls it by (`fusionai reconcile`)."""
    record.update(finished_at=clock.now_seconds(), status_code=status_code, error=None)
    _name(record, request_ids)


def failed(record: dict[str, Any], error: ProviderError, at: float | None, *, no_room: bool) -> None:
    """It failed. `at`: when, in Redis's time, where that is known; `no_room`: in a cheap tier that had none."""
    _name(record, error.request_ids)
    record.update(status_code=error.upstream_status, error=error.code or error.message)
    if no_room:
        record[NO_ROOM] = True
    if at is not None:
        record[FAILED_AT] = at
    if error.head:
        record[BEGAN] = True


def close(record: dict[str, Any]) -> None:
    """It is over; if nothing else was said of it, it was interrupted."""
    if "finished_at" in record:
        return
    record["finished_at"] = clock.now_seconds()
    record.setdefault("status_code", None)
    record.setdefault("error", "interrupted")


def begun(attempts: Sequence[Mapping[str, Any]], offer: Offer, step: str | None) -> int:
    """How many answers of an offer, in that step, have begun and come to nothing."""
    own = (offer.provider, offer.model, step)
    made = (one for one in attempts if BEGAN in one)
    return sum((one.get("provider"), one.get("model"), one.get("step")) == own for one in made)


def refusals(attempts: Sequence[Mapping[str, Any]]) -> int:
    """How often a cheap tier had no room."""
    return sum(NO_ROOM in one for one in attempts)


def failed_at(attempts: Sequence[Mapping[str, Any]], provider: str) -> float | None:
    """When the only failure of a job at a provider was, in Redis's time; 0: unknown, or it failed more than once."""
    if not attempts:
        return None
    failures = [
        one.get(FAILED_AT, 0.0) for one in attempts if one.get("provider") == provider and one.get("error") is not None
    ]
    return None if not failures else float(failures[0]) if len(failures) == 1 else 0.0


def _name(record: dict[str, Any], request_ids: Sequence[str]) -> None:
    if request_ids:
        record["request_ids"] = list(request_ids)
