"""Messages for failures of the database, the file system or the platform: the cause and what to do.

SQLAlchemy is imported when something has failed that imported it: commands that call the API do without it.
"""

import sys
from typing import Any

from shared.errors import FusionError
from shared.settings import settings


def explained() -> tuple[type[Exception], ...]:
    """What `message` explains, for an `except` clause: it is asked when something has failed."""
    if "sqlalchemy" not in sys.modules:
        return FusionError, OSError
    from sqlalchemy.exc import ArgumentError, DBAPIError

    return FusionError, OSError, DBAPIError, ArgumentError


def message(error: Exception) -> str:
    """One line for an error that is explained, or two where there is a hint; never a password."""
    if isinstance(error, FusionError):
        return error.message
    if isinstance(error, OSError):
        return str(error)
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, DBAPIError):
        place = settings().database_url.rpartition("@")[2]
        if _lacks_tables(error.orig):
            return f"the database {place} has no tables yet, or older ones: run `fusionai migrate` first"
        return f"the database {place} refused: {error.orig}\n(FUSIONAI_DATABASE_URL says where it is)"
    return "FUSIONAI_DATABASE_URL is not the URL of a database"


def _lacks_tables(error: Any) -> bool:
    """Whether a table, or a column of one, is not there: of PostgreSQL by its code, of SQLite by its words."""
    if getattr(error, "sqlstate", None) in ("42P01", "42703"):
        return True
    return any(words in str(error) for words in ("no such table", "no such column"))
