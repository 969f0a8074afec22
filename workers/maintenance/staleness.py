"""For how long leases and due deliveries have stood unchanged, as a sweeper has seen by its own steady clock.

What another process wrote as a time is compared with what that was before, never with this machine's clock: a lease
that is renewed changes, a doorbell that was there three seconds ago is older than that. Pure but for `clock.elapsed`,
which callers pass.
"""

from collections.abc import Iterable, Mapping

#: A pause between two looks after which a watcher no longer trusts what it saw before, in seconds.
MISSED_SECONDS = 10.0


class LeaseWatch:
    """For how long each living incarnation's lease has stood as it is."""

    def __init__(self) -> None:
        #: What was read, and when it was first read so.
        self._seen: dict[str, tuple[int, float]] = {}
        self._looked = 0.0

    def look(self, leases: Mapping[str, int], asked: float, now: float) -> dict[str, float]:
        """Take note of all leases, read between `asked` and `now`; how many seconds each has not been renewed."""
        if not 0 <= now - self._looked <= MISSED_SECONDS:
            self._seen = {}
        self._looked = now
        seen = self._seen
        self._seen = {
            id: seen[id] if id in seen and seen[id][0] == until else (until, now) for id, until in leases.items()
        }
        return {id: asked - since for id, (_, since) in self._seen.items()}

    def doubt(self, silent: float, now: float) -> None:
        """Nobody could write for a while: take none to have been silent for longer than this many seconds."""
        self._seen = {id: (until, max(since, now - silent)) for id, (until, since) in self._seen.items()}


class DueWatch:
    """What was there to be done at an earlier look, and still is: nobody else is about to do it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[str, float] = {}

    def look(self, ids: Iterable[str], now: float) -> set[str]:
        """Take note of these ids; those that were there long enough ago already."""
        before = self._since
        self._since = {id: min(before.get(id, now), now) for id in ids}
        return {id for id, since in self._since.items() if since <= now - self._seconds}


#: After a ring for a delivery comes the next after so many seconds, the one after that after twice as many, up to the
#: longest: it waits in the line of a process that heard the first one, unless that one, or its message, is lost.
AGAIN_SECONDS, LONGEST_AGAIN_SECONDS = 2.0, 8.0


class RingWatch:
    """For what was rung, and may not be rung again yet."""

    def __init__(self) -> None:
        #: Since when each was due, when the next ring may be, and how many seconds later the one after that.
        self._rung: dict[str, tuple[int, float, float]] = {}

    def look(self, due: Mapping[str, int], now: float) -> list[str]:
        """Those for which to ring now, of all that are due, with since when; one that is due anew is rung at once."""
        before, self._rung, ring = self._rung, {}, list[str]()
        for id, since in due.items():
            known, at, pause = before.get(id, (since, now, AGAIN_SECONDS))
            if known != since:
                at, pause = now, AGAIN_SECONDS
            if at <= now:
                ring.append(id)
                at, pause = now + pause, min(2 * pause, LONGEST_AGAIN_SECONDS)
            self._rung[id] = since, at, pause
        return ring

    def lose(self, ids: Iterable[str]) -> None:
        """The broker did not take the ring for these."""
        for id in ids:
            self._rung.pop(id, None)
