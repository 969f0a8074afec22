"""The connection to SQLite that a thread keeps from one transaction to the next.

SQLAlchemy makes a connection of its own for each transaction, around one of its pool. Measured with one synchronous
caller, whose call is three transactions: 38 to 60 µs to get it each time, and some more to give it back.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from sqlalchemy import Connection


class KeptConnections(threading.local):
    """Of each thread that is to keep one its own. `every`: those of all threads, to be closed in the end."""

    def __init__(self, every: set[Connection]) -> None:
        self._every = every
        self._keeps = False
        self._kept: _Kept | None = None

    def keep(self) -> None:
        """The calling thread keeps one from now on."""
        self._keeps = True

    def take(self, connect: Callable[[], Connection]) -> AbstractContextManager[Connection]:
        """The calling thread's, for one transaction; another where it keeps none, or has it in use."""
        if not self._keeps or (self._kept is not None and self._kept.in_use):
            return connect()
        if self._kept is None or self._kept.connection.closed:
            self._kept = _Kept(connect(), self._every)
        return self._kept


class _Kept:
    """One that is kept after a transaction which went well; after another its state is not to be relied on."""

    def __init__(self, connection: Connection, every: set[Connection]) -> None:
        self.connection = connection
        self.in_use = False
        self._every = every
        every.add(connection)

    def __enter__(self) -> Connection:
        self.in_use = True
        return self.connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.in_use = False
        if error is not None:
            self._every.discard(self.connection)
            self.connection.close()
