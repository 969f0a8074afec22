"""Limits of one web process for each API key, and for each address that sends invalid keys.

Beside the account's requests a minute, which count what makes jobs and are exact over all processes, these are wide,
and each process counts by itself: they keep one caller from being everything that a process does.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from shared import clock
from shared.errors import RateLimited
from shared.key_holders import KeyHolder
from shared.settings import settings

#: Callers remembered; when there are more, those are forgotten that have all of theirs again.
REMEMBERED = 10_000
#: Wrong passwords of the operator's a minute of one address.
WRONG_PASSWORDS = 20


@dataclass(slots=True)
class Buckets:
    """So many a minute for each of many callers, all of a minute's at once where it must be."""

    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, caller: str, per_minute: int) -> float | None:
        """Take one; None when that was possible, else how many seconds until it is."""
        now = clock.monotonic()
        level = self._level(caller, per_minute, now)
        if level < 1:
            return (1 - level) * 60 / per_minute
        if len(self._levels) >= REMEMBERED and caller not in self._levels:
            self._forget(per_minute, now)
        self._levels[caller] = (level - 1, now)
        return None

    def left(self, caller: str, per_minute: int) -> float | None:
        """None when one could be taken, else how many seconds until it can; nothing is taken."""
        level = self._level(caller, per_minute, clock.monotonic())
        return None if level >= 1 else (1 - level) * 60 / per_minute

    def _level(self, caller: str, per_minute: int, now: float) -> float:
        level, at = self._levels.get(caller, (float(per_minute), now))
        return min(float(per_minute), level + (now - at) * per_minute / 60)

    def _forget(self, per_minute: int, now: float) -> None:
        """Those that are full; when there is none, all: then each may at worst have a minute's once more."""
        left = {
            caller: kept for caller, kept in self._levels.items() if self._level(caller, per_minute, now) < per_minute
        }
        self._levels = left if len(left) < REMEMBERED else {}


class FairShare:
    """This process's counts."""

    def __init__(self) -> None:
        self._asked = Buckets()
        self._wrong = Buckets()
        self._wrong_passwords = Buckets()
        self._open: Counter[str] = Counter()

    def count(self, holder: KeyHolder) -> None:
        """One more request of a key that makes no jobs; 429 when there have been too many."""
        per_minute = settings().key_requests_per_minute
        seconds = self._asked.take(holder.key_id, per_minute) if per_minute else None
        if seconds is not None:
            raise _later(f"rate limit of this API key exceeded: {per_minute:,} requests per minute", seconds)

    def open(self, holder: KeyHolder) -> Callable[[], None]:
        """A request of a key begins: what to call at its end; 429 when too many of the key's are under way."""
        most = settings().key_open_requests
        if most and self._open[holder.key_id] >= most:
            raise _later(f"too many concurrent requests with this API key: at most {most:,} are allowed", 1)
        self._open[holder.key_id] += 1
        return lambda: self._close(holder.key_id)

    def _close(self, key_id: str) -> None:
        self._open[key_id] -= 1
        if not self._open[key_id]:
            del self._open[key_id]

    def guess(self, address: str) -> None:
        """A key that has not been good lately is about to be looked up; 429 when its address has had many such."""
        per_minute = settings().wrong_keys_per_minute
        seconds = self._wrong.take(address, per_minute) if per_minute else None
        if seconds is not None:
            raise _later("too many requests with an invalid API key from your IP address", seconds)

    def check_operator(self, address: str) -> None:
        """An operator's password is about to be compared; 429 when its address has sent many wrong ones."""
        seconds = self._wrong_passwords.left(address, WRONG_PASSWORDS)
        if seconds is not None:
            raise _later("too many wrong operator passwords from your IP address", seconds)

    def guess_operator(self, address: str) -> None:
        """It was wrong."""
        self._wrong_passwords.take(address, WRONG_PASSWORDS)


def _later(said: str, seconds: float) -> RateLimited:
    wait = max(1, math.ceil(seconds))
    return RateLimited(f"{said}; retry in {wait} s", retry_after_seconds=wait)
