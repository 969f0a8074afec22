"""How offers have served of late, over all workers: the share of failures, and how long answers took. Pure.

Workers add up what they see of each provider and model (`workers.pacing.statistics`) in Redis, where every sum loses
half of its weight in HALF_LIFE_SECONDS; so a worker that restarts loses nothing, and all count together. A process that
chooses between offers keeps a copy (`shared.providers.statistics_watch`), which `snapshot` gives without waiting.

| counted | how |
|---|---|
| an answer | a call, with its seconds; the flex tier's without them, which are bought slow |
| a fault of the provider, or its refusal of our key or quota | a call and a failure |
| a wrong request, a filter, a 429, no room in the flex tier or its silence, a call that we cancelled | not at all |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

#: The hash of all sums by `provider/upstream`, and the sorted set of these names by when they were last added to.
SUMS: Final = "fusionai.statistics"
SEEN: Final = "fusionai.statistics.seen"
#: In so many seconds, a call that was seen loses half of its weight.
HALF_LIFE_SECONDS: Final = 300.0
#: What nobody has called for so long is forgotten; and how many offers are kept at most, the latest ones.
KEEP_SECONDS: Final = 6 * 3600
MOST_OFFERS: Final = 1000
#: No sum is so large; what is says nothing.
MOST_SUM: Final = 1e15
#: The sums of one offer in their document, in the order in which they are added to.
FIELDS: Final = ("calls", "failures", "first_count", "first_seconds", "total_count", "total_seconds")


@dataclass(frozen=True)
class OfferStatistics:
    """What is known of one provider and model; recent calls weigh more.

    `error_rate`: the share of failures, 0 to 1; once less than one call is left of what was seen, it fades to 0, so
    that an offer that nobody calls is not avoided for ever. `first_seconds`: to the first content of streamed answers;
    `total_seconds`: to the end of answers; None: no answer has been timed. `calls`: calls seen, each by its weight now.
    """

    error_rate: float
    first_seconds: float | None
    total_seconds: float | None
    calls: float


_snapshot: Mapping[str, OfferStatistics] = {}


def snapshot() -> Mapping[str, OfferStatistics]:
    """What this process knows of offers, by `provider/upstream`; empty when it knows nothing. Never waits."""
    return _snapshot


def publish(found: Mapping[str, OfferStatistics]) -> None:
    """Replace what this process knows."""
    global _snapshot
    _snapshot = found


def of_document(document: bytes | str, now: float) -> OfferStatistics | None:
    """The statistics of an offer's sums at a time of Redis's clock, in seconds; None when they cannot be read.

    None also when they were written in the future: Redis's clock was set back, so that their age is not known.

    >>> of_document('{"at": 0, "calls": 8, "failures": 2, "total_count": 6, "total_seconds": 12}', 300.0)
    OfferStatistics(error_rate=0.25, first_seconds=None, total_seconds=2.0, calls=4.0)
    """
    try:
        kept = orjson.loads(document)
        at, *sums = (_number(kept.get(name, 0.0)) for name in ("at", *FIELDS))
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None
    if at > now + HALF_LIFE_SECONDS:
        return None
    calls, failures, firsts, first_seconds, totals, total_seconds = sums
    weight = 0.5 ** (max(now - at, 0.0) / HALF_LIFE_SECONDS)
    return OfferStatistics(
        error_rate=min(failures * weight / max(calls * weight, 1.0), 1.0),
        first_seconds=_mean(first_seconds, firsts),
        total_seconds=_mean(total_seconds, totals),
        calls=calls * weight,
    )


def _number(value: Any) -> float:
    """A sum as the script that adds to it reads it: 0 for what is none, as what is infinite or no number."""
    number = float(value)
    return number if 0 <= number < MOST_SUM else 0.0


def _mean(seconds: float, count: float) -> float | None:
    """The mean time; None: nothing was timed, or the sums are damaged."""
    mean = seconds / count if count > 0 else 0.0
    return mean if count > 0 and mean < MOST_SUM else None
