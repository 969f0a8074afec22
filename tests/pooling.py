"""Keeps the connections to databases that are lent to one test after the other: to make one costs more than most tests.

A connection keeps its prepared statements, with their plans, which the next test would make again. Its transactions end
with the test's; a database that a test has left in use is not lent again (`tests/lending.py`).
"""

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import QueuePool

#: More than any test has at once.
_CONNECTIONS = 40


class KeptPool(QueuePool):
    """The connections to one database; closing an engine that has it closes none of them."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        #: The server's process of each connection that was made.
        self.pids: set[int] = set()
        event.listen(self, "connect", lambda connection, _: self.pids.add(connection.info.backend_pid))

    def dispose(self) -> None:
        """Nothing: the next engine has it, too."""

    def recreate(self) -> "KeptPool":
        """The same."""
        return self

    def end(self) -> None:
        """Close what is not in use."""
        super().dispose()


#: The name of its logger begins so: one of SQLAlchemy's, which are silent where a test asks for all that is logged.
KeptPool.__module__ = QueuePool.__module__

_pools: dict[str, KeptPool | None] = {}


def keep(url: str) -> None:
    """From now on all engines of this URL have the same connections."""
    _pools.setdefault(url, None)


def drop(url: str) -> None:
    """Not any more: close them."""
    if pool := _pools.pop(url, None):
        pool.end()


def pool_of(url: str) -> KeptPool | None:
    """The connections of this URL's engines; None: there are none."""
    return _pools.get(url)


def give(engine: Engine, url: str) -> None:
    """Let a new engine have the connections that are kept for its URL, if they are."""
    if url in _pools:
        engine.pool = _pools[url] = _pools[url] or _pool(engine)


def _pool(engine: Engine) -> KeptPool:
    made = engine.pool
    assert isinstance(made, QueuePool)
    return KeptPool(
        made._creator,
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pre_ping=made._pre_ping,
        use_lifo=True,  # so that one that has been used before is used most
        _dispatch=made.dispatch,
        dialect=engine.dialect,
    )
