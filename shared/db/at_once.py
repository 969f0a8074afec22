"""Many rows as one, on SQLite.

Its driver lets go of the interpreter at each step of a statement, and a statement steps once for each row that it
gives: beside a busy event loop the thread of the database waits for its turn that often. So hot queries give all their
rows in one, as JSON, which is read here; and what changes those rows is another statement of the same transaction,
which is the only one that writes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Boolean, Column, Connection

from shared.db import hot

#: In the driver's own words: the values of a list that is one parameter, as `listed` makes it. Whatever is joined to
#: it by CROSS JOIN is looked up for each of them: of a list that it cannot count SQLite guesses worse.
EACH = "json_each(?) AS wanted CROSS JOIN"


def listed(values: Iterable[Any]) -> str:
    """The parameter of EACH, and of `among.among`: texts, or lists of texts and numbers."""
    return orjson.dumps(list(values)).decode()


def as_one(*columns: Column[Any] | str) -> str:
    """What a query selects that gives all its rows in one: these columns, or expressions."""
    return f"json_group_array(json_array({', '.join(map(_expressed, columns))}))"


def rows(connection: Connection, query: str, given: Sequence[Any]) -> list[list[Any]]:
    """The rows of a query in the driver's own words, which selects `as_one`."""
    found: list[list[Any]] = orjson.loads(hot.run(connection, query, tuple(given)).fetchone()[0])
    return found


def _expressed(column: Column[Any] | str) -> str:
    if isinstance(column, str):
        return column
    name = f"{column.table.name}.{column.name}"
    return f"json(CASE WHEN {name} THEN 'true' ELSE 'false' END)" if isinstance(column.type, Boolean) else name
