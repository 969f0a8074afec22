"""What errors of a database say of a transaction: whether it may run again, or the server has gone."""

from sqlalchemy.exc import DBAPIError, OperationalError

#: SQLSTATEs after which the same transaction may simply run again: serialization failure, deadlock, lock timeout.
_RETRY_STATES = frozenset({"40001", "40P01", "55P03"})

#: Sent by a server that is going away or cannot be reached; the transaction did not commit.
GONE_STATES = frozenset({"57P01", "57P02", "57P03", "08000", "08003", "08006", "08001", "53300"})

#: Sent by a server that takes no writes: one that follows another, or that was made so (a full disk). Another
#: connection may lead to the one that does, or find that it does again; the transaction did not commit.
READ_ONLY = "25006"


def may_run_again(error: DBAPIError) -> bool:
    """Whether the same transaction may simply run again."""
    if error.connection_invalidated or state_of(error) in _RETRY_STATES | GONE_STATES | {READ_ONLY}:
        return True
    if name := getattr(error.orig, "sqlite_errorname", ""):
        return bool(name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")))
    return isinstance(error, OperationalError) and state_of(error) is None  # PostgreSQL: the connection was refused


def state_of(error: DBAPIError) -> str | None:
    """PostgreSQL's SQLSTATE; None where there is none."""
    state = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else None
