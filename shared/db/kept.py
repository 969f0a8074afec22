"""The connection to SQLite that a thread keeps from one transaction to the next.

SQLAlchemy makes a connection of its own for each transaction, around one of its pool. Measured with one synchronous
caller, whose call is three transactions: 38 to 60 µs to get it each time, and some more to give it back.
"""

import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError


class KeptConnection:
    """One that is kept after a transaction which went well; after another its state is not to be relied on."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.in_use = False
        self._is_over = False

    def __enter__(self) -> Connection:
        self.in_use = True
        return self.connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.in_use = False
        if error is not None or self._is_over:
            self.connection.close()

    def end(self) -> None:
        """Close it, once it is not in use."""
        self._is_over = True
        if not self.in_use:
            with suppress(SQLAlchemyError):
                self.connection.close()


class KeptConnections(threading.local):
    """Of each thread that is to keep one its own. `every`: those of all threads, to be ended in the end."""

    def __init__(self, every: set[KeptConnection]) -> None:
        self._every = every
        self._own: _Own | None = None

    def keep(self) -> None:
        """The calling thread keeps one from now on, until it ends."""
        if self._own is None:
            self._own = _Own()
            weakref.finalize(threading.current_thread(), _give_back, self._every, self._own).atexit = False

    def take(self, connect: Callable[[], Connection]) -> AbstractContextManager[Connection]:
        """The calling thread's, for one transaction; another where it keeps none, or has it in use."""
        if (own := self._own) is None or (own.kept is not None and own.kept.in_use):
            return connect()
        if own.kept is None or own.kept.connection.closed:
            _give_back(self._every, own)
            own.kept = KeptConnection(connect())
            self._every.add(own.kept)
        return own.kept


class _Own:
    """What a thread keeps."""

    kept: KeptConnection | None = None


def _give_back(every: set[KeptConnection], own: _Own) -> None:
    if own.kept is not None:
        every.discard(own.kept)
        own.kept.end()
        own.kept = None
