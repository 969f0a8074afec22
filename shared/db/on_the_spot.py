"""Short write transactions on SQLite on the event loop's own thread: waking another takes longer than most of them.

Measured with one synchronous caller, whose call is two of them: a sixth less of its time; with sixteen: a tenth more
calls. Nothing else runs on the loop meanwhile, so it waits there for other writers for a moment at most, and rests from
it for a while after one that lasted long: the disk is slow then, or SQLite has copied its log into its file. Those go
to the database's thread, as all do on PostgreSQL, where a transaction is several waits for a server.
"""

import threading
from collections.abc import Iterable
from types import TracebackType

from shared import clock

#: What little is: so many rows, with so many characters of requests or answers.
_ROWS, _CHARACTERS = 8, 65_536
#: How long another thread that writes is waited for, in seconds; and how often SQLite is asked whether it is done.
WAIT_SECONDS, TRIES = 0.001, 6
#: A transaction that took so long is followed by others on the thread alone, for so long, in seconds.
_LONG_SECONDS, _REST_SECONDS = 0.02, 1.0


class TakesLongerError(Exception):
    """Others write: nothing was done, and a thread has to wait for them."""


def is_little(rows: int, characters: Iterable[int]) -> bool:
    """Whether writing these many jobs, of requests or answers so long, is as a rule over within two milliseconds."""
    return rows <= _ROWS and sum(characters) <= _CHARACTERS


class OnTheSpot:
    """Whether the calling thread runs a transaction on the spot, and whether an event loop may."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._thread: int | None = None
        self._began = 0.0
        self._rests_until = 0.0

    def may_be_used(self) -> bool:
        """Whether it is likely to be short."""
        return self._wanted and self._thread is None and clock.monotonic() >= self._rests_until

    @property
    def is_here(self) -> bool:
        """Whether the calling thread does."""
        return self._thread is not None and self._thread == threading.get_ident()

    def __enter__(self) -> None:
        self._thread, self._began = threading.get_ident(), clock.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread = None
        if (now := clock.monotonic()) - self._began > _LONG_SECONDS:
            self._rests_until = now + _REST_SECONDS
