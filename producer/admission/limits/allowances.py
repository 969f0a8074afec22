"""The result of a rate limit for one request or for a group: how many are left, or when to retry."""

import math
from dataclasses import dataclass

from producer.admission.limits.rates import RateLimit
from shared.errors import RateLimited


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the limit says to one request; seconds until nothing counts, and, if refused, until there is room."""

    limit: int
    remaining: int
    reset_seconds: float
    retry_seconds: float | None = None
    #: In which the limit counts, in words.
    window: str = "minute"

    def check(self, what: str = "requests") -> None:
        """429 when the request was refused; `what` is counted."""
        if self.retry_seconds is not None:
            seconds = max(1, math.ceil(self.retry_seconds))
            raise RateLimited(
                f"rate limit exceeded: {self.limit:,} {what} per {self.window}; retry in {seconds} s",
                retry_after_seconds=seconds,
            )


@dataclass(frozen=True, slots=True)
class Ruling:
    """How much of a group was admitted, how much counted before; seconds until there is room, until nothing counts."""

    admitted: int
    before: int
    room_seconds: float
    reset_seconds: float

    def allowance(self, rate: RateLimit, place: int, cost: int = 1) -> Allowance:
        """The answer to a request of this cost, when so much was asked for before it in the group."""
        if place + cost <= self.admitted:
            left = max(0, rate.limit - self.before - place - cost)
            return Allowance(rate.limit, left, self.reset_seconds, window=rate.window)
        return Allowance(rate.limit, 0, self.reset_seconds, self.room_seconds, rate.window)
