"""What this process knows of how offers are doing: failures, time to the first token, time of the whole answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class OfferStatistics:
    """How calls of one provider's model have gone lately; older ones count less; `calls`: how many that comes to."""

    #: The part of them that failed for a reason of the provider's: 0 to 1.
    error_rate: float
    #: Seconds to the first token and to the end of the answer; None: not known.
    first_seconds: float | None
    total_seconds: float | None
    calls: float


_NONE: Final[Mapping[str, OfferStatistics]] = MappingProxyType({})


def snapshot() -> Mapping[str, OfferStatistics]:
    """The statistics by `provider/upstream`, as last read; empty while nothing is known. Never waits."""
    return _NONE
