"""Which limits apply to a request: DIMENSIONS has one row for each, with a key, a window and a number.

A new limit (of an hour, of a key) is a new row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.key_holders import KeyHolder

MINUTE: Final = 60.0
_WORDS: Final = {1.0: "second", MINUTE: "minute", 3600.0: "hour", 86_400.0: "day"}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `limit` of what is counted under `key` within any `window_seconds`."""

    key: str
    limit: int
    window_seconds: float = MINUTE

    @property
    def window(self) -> str:
        """The window in words, after `per`: `minute`."""
        return _WORDS.get(self.window_seconds, f"{self.window_seconds:g} seconds")


@dataclass(frozen=True, slots=True)
class Dimension:
    """A limit that every request that makes jobs counts against, by the holder of its key."""

    #: Under which key it counts; no two dimensions may share one.
    key: Callable[[KeyHolder], str]
    #: How many there may be; None: no limit.
    limit: Callable[[KeyHolder], int | None]
    window_seconds: float = MINUTE

    def of(self, holder: KeyHolder) -> RateLimit | None:
        """The rate that a request of this holder must keep."""
        limit = self.limit(holder)
        return None if limit is None else RateLimit(self.key(holder), limit, self.window_seconds)


def requests_of_account(window_seconds: float = MINUTE) -> Dimension:
    """An account's requests, whichever of its keys they come with."""
    return Dimension(lambda holder: holder.account_id, lambda holder: holder.requests_per_minute, window_seconds)


def requests_of_key(window_seconds: float = MINUTE) -> Dimension:
    """A key's own requests, beside those of its account."""
    return Dimension(lambda holder: f"key.{holder.key_id}", lambda one: one.limits.requests_per_minute, window_seconds)


#: A key's own limit comes first: what it refuses does not count for the account.
DIMENSIONS: Final[tuple[Dimension, ...]] = (requests_of_key(), requests_of_account())
#: The tokens of a key, which are counted once a request has been read.
TOKENS_OF_KEY: Final = Dimension(lambda holder: f"tokens.{holder.key_id}", lambda one: one.limits.tokens_per_minute)
