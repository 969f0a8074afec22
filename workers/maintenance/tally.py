"""Counts whole sweeps in the rows, so that metrics, and an alert, can say that somebody sweeps."""

from typing import Final

from shared import clock
from shared.db import Database, counters

#: How often what was counted is written down, in seconds.
WRITE_SECONDS: Final = 10.0


class SweepTally:
    """One sweeping process's count; `add` after each sweep in which no step has failed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sweeps = 0
        self._written = float("-inf")

    def add(self) -> None:
        """One more sweep."""
        self._sweeps += 1
        if clock.monotonic() - self._written >= WRITE_SECONDS:
            self._database.write_sync(counters.count, "sweeps", self._sweeps)
            self._sweeps, self._written = 0, clock.monotonic()
