"""Short write transactions on SQLite on the event loop's own thread: waking another takes longer than most of them.

Measured with one synchronous caller, whose call is two of them: a sixth less of its time; with sixteen: a tenth more
calls. Nothing else runs on the loop meanwhile, so it waits there for other writers for a moment at most, and rests from
it where they last long, the longer the longer: the disk is slow then, or SQLite copies its log into its file. Those go
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
#: Where they usually take so long, in seconds, the newest counting for so much, each is followed by others on the
#: thread alone, for so many times as long as it took, and so many seconds at most: a slow disk has the loop for a
#: fiftieth of the time, and a moment without the processor says nothing. Measured with eight callers that have the
#: loop work for 1 ms a call, medians of three: where commits are made to last 4 ms, 495 calls/s on the thread, 349 on
#: the spot, 496 so; where not, 700, 732 and 732, which took 5.6, 3.3 and 3.5 ms.
_LONG_SECONDS, _NEWEST, _REST_TIMES, _MOST_REST_SECONDS = 0.004, 1 / 8, 50, 60.0
#: So many in a row that found others writing are followed by a rest as well: somebody writes most of the time.
_IN_VAIN = 3


class TakesLongerError(Exception):
    """Others write: nothing was done, and a thread has to wait for them."""


def is_little(rows: int, characters: Iterable[int]) -> bool:
    """Whether writing these many jobs, of requests or answers so long, is as a rule over within two milliseconds."""
    return rows <= _ROWS and sum(characters) <= _CHARACTERS


class OnTheSpot(threading.local):
    """Whether the calling thread runs a transaction on the spot, and whether its event loop may: of each its own."""

    #: Whether the calling thread does.
    is_here = False

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._began = self._usual = self._rests_until = 0.0
        self._in_vain = 0

    def may_be_used(self) -> bool:
        """Whether it is likely to be short."""
        return self._wanted and clock.monotonic() >= self._rests_until

    def __enter__(self) -> None:
        self.is_here, self._began = True, clock.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.is_here = False
        now = clock.monotonic()
        took = now - self._began
        if kind is TakesLongerError:
            self._in_vain += 1
        else:
            self._in_vain = 0
            self._usual += _NEWEST * (took - self._usual)
        if self._in_vain >= _IN_VAIN or self._usual > _LONG_SECONDS:
            self._rests_until = now + min(_REST_TIMES * took, _MOST_REST_SECONDS)
