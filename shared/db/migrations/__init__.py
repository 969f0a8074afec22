"""The schema's history (alembic), and `migrate`, which brings a database up to date under a lock.

Alembic is imported where there is something to do: to import it takes longer than to see that there is not.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, inspect, text

from shared.db import silence
from shared.db.addresses import address, sqlite_path
from shared.errors import Conflict

if TYPE_CHECKING:
    from alembic.config import Config

#: Any constant: the advisory lock that two migrating processes meet at.
_LOCK = 7_203_114


def migrate(url: str) -> None:
    """Upgrade to the newest revision; a second process waits, then finds nothing to do.

    Conflict: the schema is a newer version's, or a restore has not been finished.
    """
    if path := sqlite_path(url):
        check_restored(path)
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    engine = _engine(url)
    try:
        with _lock(engine), engine.begin() as connection:
            if (found := revision(connection)) != newest():
                check_known(found)
                from alembic import command

                command.upgrade(config(connection), "head")
    finally:
        engine.dispose()


def revision(connection: Connection) -> str | None:
    """The revision of a database's schema; None: it has none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def check_known(found: str | None) -> None:
    """Conflict, unless this version knows the revision and so can go on from it."""
    if found is not None and found > newest():
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


def _engine(url: str) -> Engine:
    """A host that is cut off in the middle of a migration does not keep its locks, which stop everybody."""
    at = address(url)
    return create_engine(at, connect_args={} if at.get_backend_name() == "sqlite" else silence.connect_args(at))


def _make(path: str) -> None:
    """Make the file for its owner alone, whatever the umask; what SQLite puts beside it is of the same mode."""
    if path != ":memory:" and not path.startswith("file:"):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def newest() -> str:
    """The newest revision, by the names of the files: `0045` of `0045_traces.py`."""
    return max(path.name for path in (Path(__file__).parent / "versions").glob("[0-9]*.py")).partition("_")[0]


def config(connection: Connection | None = None) -> "Config":
    """Alembic's configuration, without a file."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    made.attributes["connection"] = connection
    return made


@contextmanager
def _lock(engine: Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        _make(lock := f"{engine.url.database}.migrating")
        with open(lock, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
