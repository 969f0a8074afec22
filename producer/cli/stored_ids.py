"""Short ids, and numbers of invoices, in operators' commands: which row of the database is meant."""

from collections.abc import Mapping
from typing import Any, Final

import click
from sqlalchemy import Connection, Table, select

from producer.cli.ids import Short, only
from shared.db import models as m

#: How many of the newest rows are searched: operators see those of every account.
_NEWEST: Final = 10_000
_TABLES: Final[Mapping[str, tuple[str, Table]]] = {
    "account": ("accounts", m.accounts),
    "entry": ("entries of the audit log", m.audit_log),
    "invoice": ("invoices", m.invoices),
    "job": ("jobs", m.jobs),
}


def whole(connection: Connection, given: Any) -> Any:
    """The one id that a short one means; a usage error where none or several fit. Anything else is itself."""
    if not isinstance(given, Short):
        return given
    if given.number is not None:
        return _numbered(connection, given.number)
    (kind,) = given.kinds
    name, table = _TABLES[kind]
    ids = connection.scalars(select(table.c.id).order_by(table.c.id.desc()).limit(_NEWEST))
    return only(given, [str(id) for id in ids], f"newest {_NEWEST:,} {name}")


def _numbered(connection: Connection, number: int) -> str:
    found = connection.execute(select(m.invoices.c.id).where(m.invoices.c.number == number)).scalar()
    if found is None:
        raise click.UsageError(f"there is no invoice of number {number}")
    return str(found)
