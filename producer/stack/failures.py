"""Messages for failures of the database, the file system or the platform: the cause and what to do.

SQLAlchemy is imported when something has failed that imported it: commands that call the API do without it.
"""

import sys

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
        hint = "`fusionai migrate` makes the tables, FUSIONAI_DATABASE_URL says where"
        return f"the database {place} refused: {error.orig}\n({hint})"
    return "FUSIONAI_DATABASE_URL is not the URL of a database"
