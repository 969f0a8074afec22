"""The schema's history (alembic), and `migrate`, which brings a database up to date under a lock.

Alembic is imported where there is something to do: to import it takes longer than to see that there is not.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, inspect, make_url, text

if TYPE_CHECKING:
    from alembic.config import Config

#: Any constant: the advisory lock that two migrating processes meet at.
_LOCK = 7_203_114


def migrate(url: str) -> None:
    """Upgrade to the newest revision; a second process waits, then finds nothing to do."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(parsed.database)
    elif parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed)
    try:
        with _lock(engine), engine.begin() as connection:
            if _revisions(connection) != [newest()]:
                from alembic import command

                command.upgrade(config(connection), "head")
    finally:
        engine.dispose()


def _make(path: str) -> None:
    """Make the file for its owner alone, whatever the umask; what SQLite puts beside it is of the same mode."""
    if path != ":memory:" and not path.startswith("file:"):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def newest() -> str:
    """The newest revision, by the names of the files: `0045` of `0045_traces.py`."""
    return max(path.name for path in (Path(__file__).parent / "versions").glob("[0-9]*.py")).partition("_")[0]


def _revisions(connection: Connection) -> list[str]:
    """Those that the database has come to: one, or none before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return []
    return list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())


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
