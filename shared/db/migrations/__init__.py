"""The schema's history (alembic), and `migrate`, which brings a database up to date under a lock, beside its users.

Each migration is one transaction. On PostgreSQL it waits but LOCK_SECONDS for a table, since whoever asks for the table
meanwhile waits behind it; it then lets go and tries again. Alembic is imported where there is something to do: that
takes longer than to see that there is not.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError

from shared import clock
from shared.db import schema, silence
from shared.db.addresses import address, sqlite_path
from shared.db.migrations import after
from shared.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

#: Any constant: the advisory lock that two migrating processes meet at.
_LOCK: Final = 7_203_114
#: How long a migration waits for a table that others use, and then lets them have it; how long it tries, in seconds.
LOCK_SECONDS, LET_SECONDS, TRY_SECONDS = 2.0, 1.0, 600.0
#: Between two looks whether another `migrate` is done, in seconds.
_TURN_SECONDS: Final = 0.2
#: SQLSTATEs of a lock that was not had in time, and of a deadlock: the migration was not made, and is tried again.
_LOCKED: Final = frozenset({"55P03", "40P01"})


@dataclass(frozen=True)
class Migrated:
    """What came of it."""

    #: The newest migration that the database has had, also of a version that is newer than this one.
    revision: str
    #: What may go once no process of an earlier version runs: a sentence each.
    left: tuple[str, ...] = ()

    @property
    def is_newer(self) -> bool:
        """Whether a newer version has migrated the database."""
        return self.revision > schema.NEWEST


def migrate(url: str, *, finish: bool = False, waiting: Callable[[str], None] = lambda why: None) -> Migrated:
    """Upgrade to the newest revision; a second process waits, then finds nothing to do.

    `finish`: take away too what no version from this one on needs. `waiting` is told before each try, in a sentence,
    what for: a table, which is Unavailable after TRY_SECONDS, or another process that migrates, however long it does.
    A database that a newer version has migrated is left as it is. Conflict: a restore is unfinished.
    """
    if path := sqlite_path(url):
        check_restored(path)
    engine = _engine(url)
    try:
        with _locked(engine, waiting) as connection:
            before = schema.revision(connection)
            connection.rollback()
            if before is None or before < schema.NEWEST:
                _patiently(connection, lambda: _upgrade(connection), waiting)
            if before is None or (finish and before <= schema.NEWEST):  # nobody can be using an empty database
                _patiently(connection, lambda: after.take_away(connection), waiting)
            return Migrated(max(before or "", schema.NEWEST), tuple(after.left(connection)))
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(config(connection), "head")


def check_known(found: str | None) -> None:
    """Conflict, when the schema is of a newer version than this one."""
    if found is not None and found > schema.NEWEST:
        raise Conflict(
            f"the database has the schema {found} of a newer version of FusionAI; this version cannot use it"
        )


def being_restored(path: str) -> Path:
    """Where a backup is made ready to be the SQLite database at `path`: while it is there, a restore is unfinished."""
    return Path(f"{path}.restoring")


def check_restored(path: str) -> None:
    """Conflict, where a restore was begun and has not been finished: an empty database is no substitute."""
    if being_restored(path).exists() and not Path(path).exists():
        raise Conflict(
            f"a restore of {path} was not finished: run `fusionai restore` again, or delete {being_restored(path)}"
        )


def _patiently(connection: Connection, step: Callable[[], None], waiting: Callable[[str], None]) -> None:
    """Do it, again and again while a table is not to be had; what was done of it stays done."""
    deadline, pause = clock.monotonic() + TRY_SECONDS, threading.Event()
    while True:
        try:
            return step()
        except OperationalError as error:
            connection.rollback()
            if getattr(error.orig, "sqlstate", None) not in _LOCKED:
                raise
            if clock.monotonic() > deadline:
                raise Unavailable(
                    "a table of the database is in use by a transaction that does not end (a backup, a long query): "
                    "run `fusionai migrate` again when it is over; nothing is half done"
                ) from None
        waiting("A table is in use by a long transaction: trying again.")
        pause.wait(LET_SECONDS)


def _engine(url: str) -> Engine:
    if address(url).get_backend_name() != "sqlite":
        session = {"lock_timeout": int(LOCK_SECONDS * 1000)}
        return create_engine(address(url), connect_args=silence.connect_args(address(url), **session))
    if path := sqlite_path(url):
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    engine = create_engine(address(url), connect_args={"timeout": 60})
    event.listen(engine, "connect", _without_transactions)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _without_transactions(connection: Any, _: Any) -> None:
    """Its driver would begin none before a change of the schema, half of which a killed process would leave."""
    connection.isolation_level = None


def _make(path: str) -> None:
    """Make the file for its owner alone, whatever the umask; what SQLite puts beside it is of the same mode."""
    if path != ":memory:" and not path.startswith("file:"):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def config(connection: Connection | None = None) -> "Config":
    """Alembic's configuration, without a file."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.attributes["connection"] = connection
    return made


@contextmanager
def _locked(engine: Engine, waiting: Callable[[str], None]) -> Iterator[Connection]:
    """A connection without a transaction, on which no other process migrates meanwhile."""
    if engine.dialect.name == "sqlite":
        _make(lock := f"{engine.url.database}.migrating")
        with open(lock, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with engine.connect() as connection:
                yield connection
        return
    # Asked for again and again: one that waited in the database for it would keep an index from being made beside users
    # (CREATE INDEX CONCURRENTLY waits for every statement that is older).
    with engine.connect() as connection:
        while not _told(connection, "SELECT pg_try_advisory_lock(:lock)"):
            waiting("Another `fusionai migrate` is at work: waiting for its end.")
            threading.Event().wait(_TURN_SECONDS)
        try:
            yield connection
        finally:
            connection.rollback()
            _told(connection, "SELECT pg_advisory_unlock(:lock)")


def _told(connection: Connection, statement: str) -> Any:
    value = connection.execute(text(statement), {"lock": _LOCK}).scalar()
    connection.commit()
    return value
