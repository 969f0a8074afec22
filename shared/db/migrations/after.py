"""What goes once no process of an earlier version runs: `fusionai migrate --after`.

A migration only adds, so that processes of the version before go on beside it. What they alone still name (a column, an
index, a table) is a row of REMOVALS in the version that no longer names it, and may be taken away as soon as all
processes are of that version. Nothing has to remember whether that was done: it is there, or it is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, inspect

from shared.db.migrations.apart import alone


@dataclass(frozen=True)
class Removal:
    """A column or an index of a table, or (with neither) the table itself; `since`: the version without it.

    A column that is still there when the new version's processes run is NULL in what they insert, or has a default.
    """

    table: str
    since: str
    column: str = ""
    index: str = ""

    def __str__(self) -> str:
        kind, name = ("index", self.index) if self.index else ("table", self.table)
        if self.column:
            kind, name = "column", f"{self.table}.{self.column}"
        return f"the {kind} {name}, which versions before {self.since} use"

    def is_left(self, connection: Connection) -> bool:
        """Whether it is there."""
        seen = inspect(connection)
        if not seen.has_table(self.table):
            return False
        if self.index:
            return any(index["name"] == self.index for index in seen.get_indexes(self.table))
        return not self.column or any(column["name"] == self.column for column in seen.get_columns(self.table))

    def take_away(self, connection: Connection) -> None:
        """Drop it; an index of PostgreSQL's without keeping anybody waiting."""
        if self.index:
            beside = "" if connection.dialect.name == "sqlite" else "CONCURRENTLY "
            alone(connection, f"DROP INDEX {beside}IF EXISTS {self.index}")
        elif self.column:
            alone(connection, f"ALTER TABLE {self.table} DROP COLUMN {self.column}")
        else:
            alone(connection, f"DROP TABLE {self.table}")


#: Of this version, and of earlier ones for databases that still have it.
REMOVALS: Final[tuple[Removal, ...]] = ()


def left(connection: Connection) -> Iterator[str]:
    """What is still there, in words."""
    yield from (str(removal) for removal in REMOVALS if removal.is_left(connection))


def take_away(connection: Connection) -> None:
    """Take all of it away that is still there; each thing at once, whatever becomes of the next."""
    for removal in REMOVALS:
        there = removal.is_left(connection)
        connection.rollback()
        if there:
            removal.take_away(connection)
