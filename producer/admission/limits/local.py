"""What one process remembers of what it admitted under a rate's key: the same sliding log as in Redis."""

import math
from collections import deque


class OwnLog:
    """Admissions, each counted for `counted_seconds` from the end of its step of `step_seconds`; monotonic times."""

    __slots__ = ("_counted", "_entries", "_full", "_step", "count", "owed", "reset_at")

    def __init__(self, step_seconds: float, counted_seconds: float) -> None:
        self._step, self._counted = step_seconds, counted_seconds
        #: When it is forgotten, and how many.
        self._entries: deque[tuple[float, int]] = deque()
        #: A limit, and until when there is no room under it.
        self._full: tuple[int, float] = (0, 0.0)
        self.count = 0
        #: Admitted without Redis, which is to be told.
        self.owed = 0
        #: When nothing counts any more, in Redis or here.
        self.reset_at = 0.0

    def forget(self, now: float) -> None:
        """Drop what no longer counts."""
        while self._entries and self._entries[0][0] <= now:
            self.count -= self._entries.popleft()[1]
        self.owed = min(self.owed, self.count)

    def add(self, number: int, now: float) -> None:
        """Remember admissions of just now."""
        if number:
            ends, there = (math.floor(now / self._step) + 1) * self._step + self._counted, 0
            if self._entries and self._entries[-1][0] >= ends:
                ends, there = self._entries.pop()
            self._entries.append((ends, there + number))
            self.count += number

    def room_at(self, limit: int, now: float) -> float:
        """When fewer than the limit will count."""
        left, at = self.count, now
        for ends, number in self._entries:
            if left < limit:
                break
            left, at = left - number, ends
        return at

    def free_at(self, now: float) -> float:
        """When none will count."""
        return self._entries[-1][0] if self._entries else now

    def take_owed(self) -> int:
        """What Redis is to be told; it is now told."""
        owed, self.owed = self.owed, 0
        return owed

    def fill(self, limit: int, until: float, reset_at: float) -> None:
        """There is no room under this limit until then."""
        self._full, self.reset_at = (limit, until), reset_at

    def refusal(self, limit: int, now: float) -> tuple[float, float] | None:
        """Seconds until nothing counts, and until there is room, while it is known that there is none."""
        full_limit, until = self._full
        return (self.reset_at - now, until - now) if full_limit == limit and now < until else None
