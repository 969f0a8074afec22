"""Connections that wait for the next request to their origin; no more than may be looked after."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from shared import clock
from workers.connections.requests import Origin


class IdleConnection(Protocol):
    """A connection that may serve again."""

    #: When it was last used (`clock.monotonic`).
    idle_since: float
    #: Whatever it waits for while it is not used; called when the other side hangs up or says something unasked.
    when_lost: Callable[[], None] | None

    @property
    def alive(self) -> bool:
        """Nobody has hung up."""

    def abort(self) -> None:
        """Hang up."""


K = TypeVar("K", bound=IdleConnection)


class IdleConnections(Generic[K]):
    """A process's kept connections: `most` in all, `each` of one origin, for `seconds`.

    The one that was used last is the next to be used, so that those that are not needed grow old.
    """

    def __init__(self, *, most: int, each: int, seconds: float) -> None:
        self._most, self._each, self._seconds = most, each, seconds
        #: Of each origin, the last used at the end.
        self._idle: dict[Origin, dict[K, None]] = {}
        #: All of them, the longest idle first.
        self._all: OrderedDict[K, Origin] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        #: Nothing is kept any more.
        self.closed = False

    def __len__(self) -> int:
        return len(self._all)

    def take(self, origin: Origin) -> K | None:
        """The connection to the origin that was used last, if there is one."""
        while waiting := self._idle.get(origin):
            connection = next(reversed(waiting))
            self._remove(connection)
            if clock.monotonic() - connection.idle_since < self._seconds and connection.alive:
                return connection
            connection.abort()
        return None

    def put(self, origin: Origin, connection: K) -> None:
        """Keep one for the next request, or hang up."""
        waiting = self._idle.setdefault(origin, {})
        if self.closed or len(waiting) >= self._each:
            connection.abort()
            return
        connection.idle_since = clock.monotonic()
        connection.when_lost = lambda: self._remove(connection)
        waiting[connection] = None
        self._all[connection] = origin
        if len(self._all) > self._most:
            oldest = next(iter(self._all))
            self._remove(oldest)
            oldest.abort()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire)

    def close(self) -> None:
        """Hang up all of them; no more are kept."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._all):
            self._remove(connection)
            connection.abort()

    def _remove(self, connection: K) -> None:
        connection.when_lost = None
        origin = self._all.pop(connection, None)
        if origin is None:
            return
        waiting = self._idle[origin]
        del waiting[connection]
        if not waiting:
            del self._idle[origin]

    def _expire(self) -> None:
        """Hang up those that have waited for long."""
        self._timer = None
        before = clock.monotonic() - self._seconds
        for connection in [one for one in self._all if one.idle_since <= before]:
            self._remove(connection)
            connection.abort()
        if self._all:
            self._timer = asyncio.get_running_loop().call_later(self._seconds / 2, self._expire)
