"""What `fusionai verify` checks, for tests that ask after each step: its statements go straight to the driver.

A statement without a row has found nothing. Where one has a row, `verify` itself says what that means.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from shared.verify import CHECKS, verify
from shared.verify.query import Query, parameters

_QUERIES = tuple(check for check in CHECKS if isinstance(check, Query))
#: Those that are more than a statement.
_OTHERS = tuple(check for check in CHECKS if not isinstance(check, Query))


def violations(connection: Connection) -> list[str]:
    """The same as `verify` finds."""
    if _finds(connection):
        return verify(connection)
    return [str(finding) for check in _OTHERS for finding in check(lambda work: work(connection))]


def _finds(connection: Connection) -> bool:
    values, dialect = parameters(), connection.dialect.name
    asked = [(_spoken(query.statement(dialect)[0], dialect)) for query in _QUERIES]
    driver: Any = connection.connection.driver_connection
    if dialect == "sqlite":
        cursor = driver.cursor()
        return any(cursor.execute(sql, [values[name] for name in names]).fetchone() for sql, names in asked)
    with driver.pipeline():
        cursors = [driver.execute(sql, {name: values[name] for name in names}, prepare=True) for sql, names in asked]
        return any([cursor.fetchone() for cursor in cursors])


@cache
def _spoken(statement: TextClause, dialect: str) -> tuple[str, Sequence[str]]:
    """A statement in the driver's words, and the names of its parameters; on SQLite in their order."""
    spoken = sqlite.dialect() if dialect == "sqlite" else PGDialect_psycopg()  # type: ignore[no-untyped-call]
    compiled = statement.compile(dialect=spoken)
    return str(compiled), compiled.positiontup or tuple(compiled.params)
