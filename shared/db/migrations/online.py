"""Changes of a table that others read and write meanwhile: what PostgreSQL does only outside of a transaction.

A migration that makes an index of a table that was there before it does nothing else, so that one which was killed can
simply be made again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from alembic import op
from sqlalchemy import Connection, text

_INVALID = text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")


def create_index(name: str, table: str, columns: Sequence[Any], **more: Any) -> None:
    """As `op.create_index`, while rows of the table are written; an index that was left half made is made anew.

    Without it the table is locked for as long as it takes to read it: minutes, of a hundred million rows.
    """
    if op.get_bind().dialect.name == "sqlite":
        op.create_index(name, table, columns, **more)
        return
    half = op.get_bind().execute(_INVALID, {"name": name}).first()
    with op.get_context().autocommit_block(), patient(op.get_bind()):
        if half:
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, if_not_exists=True, **more)


def alone(connection: Connection, statement: str) -> None:
    """Run a statement on a connection without a transaction, as its own."""
    if connection.dialect.name == "sqlite":
        with connection.begin():
            connection.exec_driver_sql(statement)
        return
    connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        if "CONCURRENTLY" in statement:
            with patient(connection):
                connection.exec_driver_sql(statement)
        else:
            connection.exec_driver_sql(statement)
    finally:
        connection.rollback()
        connection.execution_options(isolation_level=connection.default_isolation_level)


@contextmanager
def patient(connection: Connection) -> Iterator[None]:
    """Meanwhile what it waits for may last: nobody waits behind it, and what was done of it would be lost."""
    connection.exec_driver_sql("SET lock_timeout = 0")
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql("RESET lock_timeout")
