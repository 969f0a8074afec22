"""Whether a database has the schema that this version needs: before `fusionai migrate` none of its processes starts."""

from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from shared.db import Database, is_away
from shared.db.addresses import sqlite_path

#: The newest migration, without which no process of this version runs.
NEWEST: Final = "0048"
#: Where alembic keeps which of them there were.
TABLE: Final = "alembic_version"
_NO_TABLES: Final = "The database has no tables yet: run `fusionai migrate` first."


class BehindError(SystemExit):
    """The schema is older than this version: the process says so, and ends."""


def require(url: str) -> None:
    """End this process with a sentence if the database at `url` is older than it. One that is away may be anything.

    A file that is not there is not made, as a connection would: a restore may be under way, or unfinished.
    """
    if (path := sqlite_path(url)) and not Path(path).exists():
        raise BehindError(_NO_TABLES)
    with closing(Database(url, threads=1)) as database:
        try:
            applied = database.read_sync(revision)
        except DBAPIError as error:
            if is_away(error):
                return
            raise
    if applied is None:
        raise BehindError(_NO_TABLES)
    if applied < NEWEST:
        raise BehindError(
            f"The database's schema is {applied}, and this version needs {NEWEST}: run `fusionai migrate` first. "
            "Processes of the version before go on with the new schema."
        )


def revision(connection: Connection) -> str | None:
    """The newest migration that there was; None: none was."""
    if not inspect(connection).has_table(TABLE):
        return None
    newest: str | None = connection.execute(text(f"SELECT max(version_num) FROM {TABLE}")).scalar()
    return newest
