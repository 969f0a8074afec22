"""When a delivery that failed is tried again: by default ten times in about three days. Pure."""

from collections.abc import Sequence
from typing import Final

#: The usual pauses, in seconds, after the first, second, … failed attempt; the sum is about three days. An operator may
#: set others (`FUSIONAI_WEBHOOK_SCHEDULE`).
SCHEDULE: Final = (5, 30, 300, 1800, 7200, 18_000, 36_000, 57_600, 64_800, 72_000)
#: A pause is stretched by up to this part of itself, so that a receiver that comes back is not met by all at once.
JITTER: Final = 0.2
DAY_SECONDS: Final = 86_400


def whole_seconds(schedule: Sequence[float]) -> float:
    """After so long a delivery that was tried, and waits for a receiver which is busy again and again, is given up.

    A day at least: with short pauses, what stands in a long line has not been tried too often.
    """
    return max(2 * sum(schedule), DAY_SECONDS)


def pause_seconds(attempts: int, jitter: float, schedule: Sequence[float] = SCHEDULE) -> float | None:
    """The pause after the `attempts`-th failed attempt; None when that was the last. `jitter` is random, 0–1.

    >>> pause_seconds(1, 0.0), pause_seconds(len(SCHEDULE) + 1, 0.0)
    (5.0, None)
    """
    if attempts < 1:
        raise ValueError(f"no retry after {attempts} attempts")
    if attempts > len(schedule):
        return None
    return schedule[attempts - 1] * (1 + JITTER * jitter)
