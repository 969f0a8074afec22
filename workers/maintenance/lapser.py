"""Ends the leases of workers that one sweeper has watched fall silent; excuses those that could not renew."""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection

from shared import clock, crash
from shared.db import Database
from shared.settings import settings
from workers.maintenance import recovery
from workers.maintenance.staleness import LeaseWatch

#: A sweeper that waited so long to write has others wait as well, in seconds.
HELD_UP_SECONDS = 1.0


class Lapser:
    """What one sweeper has seen of the leases of all incarnations of workers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._leases = LeaseWatch()
        #: Until when whoever falls silent is excused: the database could not be written to.
        self._excused_until = 0.0

    def run_once(self) -> int:
        """End those that have been watched, without a pause, not to renew their lease for all its length; how many."""
        asked, whole = clock.elapsed(), settings().lease_seconds
        leases = self._database.read_sync(recovery.living)
        silent = self._leases.look(leases, asked, clock.elapsed())
        over = {id: leases[id] for id, seconds in silent.items() if seconds >= whole}
        if not over:
            return 0
        late = {id for id, seconds in silent.items() if seconds >= whole - self._beats()} - over.keys()
        excused = asked < self._excused_until
        lapsed = self._database.write_sync(_lapse, over, late, excused=excused, asked=clock.monotonic())
        if lapsed is None:
            self.doubt()
        elif lapsed:
            crash.point("lapse.after_commit")
        return len(lapsed or ())

    def doubt(self) -> None:
        """The database cannot be written to, so nobody can renew: give them a beat for it, and excuse who has ended."""
        now, whole = clock.elapsed(), settings().lease_seconds
        self._leases.doubt(whole - self._beats(), now)
        self._excused_until = now + whole + self._beats()

    def _beats(self) -> float:
        return recovery.TOGETHER_BEATS * settings().beat_seconds


def _lapse(
    connection: Connection, over: Mapping[str, int], late: Collection[str], *, excused: bool, asked: float
) -> list[str] | None:
    """Lapse them, unless this very write was held up (None): so may have been theirs."""
    if clock.monotonic() - asked > HELD_UP_SECONDS:
        return None
    return recovery.lapse(connection, over, late=late, excused=excused)
