"""The plans, and the requests a minute of each."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

#: Requests a minute. An enterprise has its account's own (`accounts.requests_per_minute`); without a number, no limit.
REQUESTS_PER_MINUTE: Final[Mapping[str, int | None]] = MappingProxyType(
    {
        "starter": 100,
        "professional": 600,
        "business": 2_500,
        "enterprise": None,
    }
)
PLANS: Final = tuple(REQUESTS_PER_MINUTE)
#: The largest number that an account may be given as its own.
MOST_REQUESTS_PER_MINUTE: Final = 10_000_000


def requests_per_minute(plan: str, own: int | None) -> int | None:
    """What an account may send a minute: its own number, else its plan's; None is no limit.

    A plan that only a later release knows counts as business.

    >>> requests_per_minute("starter", None), requests_per_minute("starter", 5), requests_per_minute("enterprise", None)
    (100, 5, None)
    """
    return own if own is not None else REQUESTS_PER_MINUTE.get(plan, REQUESTS_PER_MINUTE["business"])
