"""Messages for failures of the database, the file system or the platform: the cause and what to do."""

from sqlalchemy.exc import ArgumentError, DBAPIError

from shared.errors import FusionError
from shared.settings import settings

#: What `message` explains.
EXPLAINED = (FusionError, DBAPIError, ArgumentError, OSError)


def message(error: FusionError | DBAPIError | ArgumentError | OSError) -> str:
    """One line, or two where there is a hint; never a password."""
    if isinstance(error, FusionError):
        return error.message
    if isinstance(error, DBAPIError):
        place = settings().database_url.rpartition("@")[2]
        hint = "`fusionai migrate` makes the tables, FUSIONAI_DATABASE_URL says where"
        return f"the database {place} refused: {error.orig}\n({hint})"
    if isinstance(error, ArgumentError):
        return "FUSIONAI_DATABASE_URL is not the URL of a database"
    return str(error)
