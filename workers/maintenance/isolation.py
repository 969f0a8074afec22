"""Isolates bad rows: work that fails is halved until the bad row is alone, which is set aside.

It is logged, and passed over for a while, longer each time, so that it is not tried again and again either.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from shared import clock, logs
from shared.db import is_away

R = TypeVar("R")
log = logging.getLogger(__name__)

#: For how long a row that could not be done is passed over: at first, and at most, in seconds.
FIRST_SECONDS, MOST_SECONDS = 60.0, 3600.0
#: Rows passed over at once; when there are more, the oldest is tried again.
MOST = 1000


class Isolator(Generic[R]):
    """One kind of work on rows, by id. What it remembers is this process's alone."""

    def __init__(self, what: str) -> None:
        self._what = what
        #: Until when a row is passed over (`clock.elapsed`), and for how long that is.
        self._bad: dict[str, tuple[float, float]] = {}

    def besides(self) -> list[str]:
        """The rows to be passed over now."""
        now = clock.elapsed()
        return [id for id, (until, _) in self._bad.items() if now < until]

    def each(self, ids: Sequence[str], work: Callable[[Sequence[str]], R]) -> list[R]:
        """What `work` makes of these rows, all at once or in parts; raises only when the database is away."""
        try:
            return [work(ids)] if ids else []
        except Exception as error:
            if is_away(error):
                raise
            if len(ids) == 1:
                self._leave(ids[0], error)
                return []
        half = len(ids) // 2
        return self.each(ids[:half], work) + self.each(ids[half:], work)

    def _leave(self, id: str, error: Exception) -> None:
        _, before = self._bad.pop(id, (0.0, 0.0))
        pause = min(before * 2, MOST_SECONDS) or FIRST_SECONDS
        log.error("%s %s failed, trying again in %.0f s: %s", self._what, id, pause, logs.trace(error))
        self._bad[id] = (clock.elapsed() + pause, pause)
        if len(self._bad) > MOST:
            del self._bad[next(iter(self._bad))]


def steps(named: Mapping[str, Callable[[], object]]) -> None:
    """Take each step, whatever becomes of the others; raises only when the database is away, from all of them."""
    for name, step in named.items():
        try:
            step()
        except Exception as error:
            if is_away(error):
                raise
            log.error("%s failed, trying again next time: %s", name, logs.trace(error))
