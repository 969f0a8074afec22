"""Statements of hot paths, given to the driver as they are: SQLAlchemy makes their words once, and no more.

What it does at each execution (contexts, cursors, results, their types) costs 15 to 20 µs, five times what SQLite needs
for most of them; a job's settlement has a dozen. Whoever listens to an engine's statements still hears them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError

#: A row as the driver gives it.
Row = tuple[Any, ...]


def run(connection: Connection, words: str, given: Any = ()) -> Any:
    """Execute a statement in the driver's own words; a cursor, of which `fetchall` and `rowcount` may be asked."""
    if _is_heard(connection):
        return connection.exec_driver_sql(words, given)
    driver: Any = connection.connection.driver_connection
    try:
        return driver.execute(words, given)
    except connection.dialect.loaded_dbapi.Error as error:
        raise wrapped(connection, words, error) from error


def run_each(connection: Connection, words: str, rows: Sequence[Any]) -> None:
    """Execute it for each of several rows of parameters; for none it is not."""
    if len(rows) == 1:
        run(connection, words, rows[0])
    elif rows and _is_heard(connection):
        connection.exec_driver_sql(words, list(rows))
    elif rows:
        driver: Any = connection.connection.driver_connection
        try:
            driver.cursor().executemany(words, rows)
        except connection.dialect.loaded_dbapi.Error as error:
            raise wrapped(connection, words, error) from error


def wrapped(connection: Connection, words: str, error: Exception) -> BaseException:
    """What SQLAlchemy makes of an error of its own statements; a connection that is dead is not used again."""
    driver: Any = connection.connection.driver_connection
    gone = connection.dialect.is_disconnect(error, driver, None)  # type: ignore[arg-type]
    if gone:
        connection.invalidate(error)
    base = connection.dialect.loaded_dbapi.Error
    return DBAPIError.instance(words, None, error, base, hide_parameters=True, connection_invalidated=gone)


@dataclass(frozen=True, slots=True)
class _Made:
    """A statement in one database's words. `arranged` makes the driver's parameters of those that are given."""

    words: str
    arranged: Callable[[Mapping[str, Any]], Any]
    #: Of the columns that come otherwise than they are meant: their place, and what makes them so.
    converted: Sequence[tuple[int, Callable[[Any], Any]]]


class Statement:
    """One statement, made when it is first executed.

    `make`: of a dialect's name ("sqlite", "postgresql") the statement in SQLAlchemy's words, without `expanding`
    parameters. `columns`: of an INSERT without values, what it inserts.
    """

    def __init__(self, make: Callable[[str], Any], columns: Sequence[str] | None = None) -> None:
        self._make = make
        self._columns = columns
        self._made: dict[str, _Made] = {}

    def rows(self, connection: Connection, given: Mapping[str, Any]) -> list[Row]:
        """What it selects, or returns."""
        made = self._in_words_of(connection)
        found: list[Row] = run(connection, made.words, made.arranged(given)).fetchall()
        return [_converted(row, made.converted) for row in found] if made.converted else found

    def count(self, connection: Connection, given: Mapping[str, Any]) -> int:
        """Execute it; how many rows it has changed."""
        made = self._in_words_of(connection)
        return int(run(connection, made.words, made.arranged(given)).rowcount)

    def each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it for each of several rows of parameters."""
        made = self._in_words_of(connection)
        run_each(connection, made.words, [made.arranged(row) for row in rows])

    def _in_words_of(self, connection: Connection) -> _Made:
        name = connection.dialect.name
        if (made := self._made.get(name)) is None:
            made = self._made[name] = _made(self._make(name), name, self._columns)
        return made


def _made(statement: Any, name: str, columns: Sequence[str] | None) -> _Made:
    spoken: Any = sqlite.dialect() if name == "sqlite" else PGDialect_psycopg()  # type: ignore[no-untyped-call]
    compiled = statement.compile(dialect=spoken, column_keys=columns)
    assert not compiled.post_compile_params, "an expanding parameter is another statement for each number of values"
    fixed = {compiled.bind_names[bind]: bind.value for bind in compiled.binds.values() if not bind.required}
    order = tuple(compiled.positiontup or ())
    converted = [
        (at, convert)
        for at, column in enumerate(statement.exported_columns if statement.is_select or statement._returning else ())
        if (convert := column.type.dialect_impl(spoken).result_processor(spoken, None)) is not None
    ]
    return _Made(str(compiled), _arranged(fixed, order), converted)


def _arranged(fixed: Mapping[str, Any], order: Sequence[str]) -> Callable[[Mapping[str, Any]], Any]:
    """What makes the driver's parameters: in its order, or by their names."""
    if not order:
        return (lambda given: {**fixed, **given}) if fixed else dict
    pick = itemgetter(*order)
    pick = pick if len(order) > 1 else lambda given: (given[order[0]],)  # type: ignore[assignment]
    return (lambda given: pick({**fixed, **given})) if fixed else pick


def _converted(row: Row, converted: Sequence[tuple[int, Callable[[Any], Any]]]) -> Row:
    made = list(row)
    for at, convert in converted:
        made[at] = convert(made[at])
    return tuple(made)


def _is_heard(connection: Connection) -> bool:
    """Whether anybody listens to the statements of its engine, as tests do."""
    heard: Any = connection.engine.dispatch
    return bool(heard.before_cursor_execute) or bool(heard.after_cursor_execute)
