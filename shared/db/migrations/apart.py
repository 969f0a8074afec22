"""Statements that PostgreSQL runs only outside of a transaction; without Alembic, whose import costs 0.1 s."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection


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
