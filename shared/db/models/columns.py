"""Columns that a plain annotation does not give (64-bit integers, long text, flags), and partial indexes."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Text, false, text
from sqlalchemy.sql.elements import TextClause
from sqlmodel import Field


def big(*, null: bool = False, default: int | None = None) -> Any:
    """A 64-bit integer: a time in microseconds, or an amount in micro-credits."""
    column: Column[Any] = Column(BigInteger, nullable=null, server_default=None if default is None else str(default))
    return Field(default=None if null else (default if default is not None else 0), sa_column=column)


def long_text(*, null: bool = False) -> Any:
    """Text without a limit; mostly JSON that this program wrote itself."""
    column: Column[Any] = Column(Text, nullable=null)
    return Field(default=None if null else "", sa_column=column)


def flag() -> Any:
    """False unless it is said, also by a version that does not know the column."""
    column: Column[Any] = Column(Boolean, nullable=False, server_default=false())
    return Field(default=False, sa_column=column)


def partial_index(name: str, *columns: str | TextClause, where: str, unique: bool = False) -> Index:
    """An index of the rows that meet a condition.

    Statements must state the condition in the same words, or neither database uses the index: it is a constant
    beside the model.
    """
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
