"""Retention marks: up to when rows of a kind may have been removed, so that `verify` does not miss them.

Whoever removes rows raises the mark in the same transaction. Rows of money (transfers, sums, invoices, batches) stay.
"""

from typing import Final, Literal

from sqlalchemy import Connection, select

from shared import db
from shared.db import counters
from shared.db import models as m

#: `jobs`: jobs with payload and result, by the end of the job; `payloads`: payloads alone, by the same; `events` and
#: `deliveries`: by the event's time; `files`: rows of files that batches made, by the end of the batch.
Kind = Literal["jobs", "payloads", "events", "deliveries", "files"]
KINDS: Final[tuple[Kind, ...]] = ("jobs", "payloads", "events", "deliveries", "files")

_NAME = "forgotten"


def raise_to(connection: Connection, kind: Kind, micros: int) -> None:
    """Note that rows of this kind up to this instant, in microseconds, may be gone; a mark never goes back."""
    name, labels = counters.of(_NAME, kind=kind)
    statement = db.insert(connection.dialect.name, m.counters).values(name=name, labels=labels, shard=0, value=micros)
    higher = m.counters.c.value < statement.excluded.value
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name", "labels", "shard"], set_={"value": statement.excluded.value}, where=higher
        )
    )


def marks(connection: Connection) -> dict[Kind, int]:
    """The mark of each kind; 0: nothing was ever removed."""
    statement = select(m.counters.c.labels, m.counters.c.value).where(m.counters.c.name == _NAME)
    found = {labels: value for labels, value in connection.execute(statement)}
    return {kind: int(found.get(counters.of(_NAME, kind=kind)[1], 0)) for kind in KINDS}


def mark_sql(kind: str) -> str:
    """The mark of a kind as a part of a statement, which so sees it as of the instant at which it sees the rows."""
    name, labels = counters.of(_NAME, kind=kind)
    return f"(SELECT coalesce(max(value), 0) FROM counters WHERE name = '{name}' AND labels = '{labels}')"
