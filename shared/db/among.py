"""Whether a row is one of several that are named.

They are a list in ONE parameter, as JSON: an `IN` with a parameter for each value is another statement for each number
of them, which is made, sent, read and planned anew: on PostgreSQL a third of the CPU of settling 50 jobs. Of pairs
SQLite finds rows worse by a list that it cannot count.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, cast, func, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB

_SQLITE = "sqlite"


def among(dialect: str, column: Any, name: str) -> ColumnElement[bool]:
    """The column, a text, is one of those that are `at_once.listed` in the parameter of that name."""
    if dialect == _SQLITE:
        each = func.json_each(bindparam(name)).table_valued("value")
    else:
        each = func.jsonb_array_elements_text(cast(bindparam(name), JSONB)).table_valued("value")
    found: ColumnElement[bool] = column.in_(select(each.c.value))
    return found


def pair_among(dialect: str, text: Any, number: Any, name: str) -> ColumnElement[bool]:
    """The two columns together are one of the `pairs` in the parameter of that name."""
    if dialect == _SQLITE:  # which finds rows by the texts alone
        both = tuple_(text, number).in_(bindparam(name, expanding=True))
        return and_(text.in_(bindparam(f"{name}_texts", expanding=True)), both)
    pair = func.jsonb_array_elements(cast(bindparam(name), JSONB)).table_valued("value").c.value
    return tuple_(text, number).in_(select(pair.op("->>")(0), cast(pair.op("->>")(1), BigInteger)))


def pairs(dialect: str, name: str, given: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """The parameters of `pair_among`."""
    if dialect == _SQLITE:
        return {name: list(given), f"{name}_texts": [text for text, _ in given]}
    return {name: orjson.dumps(given).decode()}
