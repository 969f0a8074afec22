"""When a delivery that failed is tried again: ten times in about three days. Pure."""

from typing import Final

#: Pauses in seconds after the first, second, … failed attempt; the sum is about three days.
SCHEDULE: Final = (5, 30, 300, 1800, 7200, 18_000, 36_000, 57_600, 64_800, 72_000)
#: A pause is stretched by up to this part of itself, so that a receiver that comes back is not met by all at once.
JITTER: Final = 0.2
#: After so long a delivery that was tried, and waits for a receiver which is busy again and again, is given up.
WHOLE_SECONDS: Final = 2 * sum(SCHEDULE)


def pause_seconds(attempts: int, jitter: float) -> float | None:
    """The pause after the `attempts`-th failed attempt; None when that was the last. `jitter` is random, 0–1.

    >>> pause_seconds(1, 0.0), pause_seconds(len(SCHEDULE) + 1, 0.0)
    (5.0, None)
    """
    if attempts < 1:
        raise ValueError(f"there is no pause after {attempts} attempts")
    if attempts > len(SCHEDULE):
        return None
    return SCHEDULE[attempts - 1] * (1 + JITTER * jitter)
