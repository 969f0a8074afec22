"""Counts over all processes, kept in the database, each added to in the transaction of what it counts."""

import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, func, select

from shared import db
from shared.db.models import counters
from shared.strict_json import dumps

#: Rows a counter is spread over, so that processes that add to it at once do not wait for each other.
SHARDS = 16

#: A name and its labels, as `of` makes it.
Key = tuple[str, str]


def of(name: str, **labels: str) -> Key:
    """The key of a counter; the same labels in any order are the same counter."""
    return name, dumps(dict(sorted(labels.items()))) if labels else ""


def add(connection: Connection, by: Mapping[Key, int]) -> None:
    """Add to some counters at once; a zero is left out."""
    rows: list[dict[str, Any]] = [
        {"name": name, "labels": labels, "shard": _shard(), "value": value}
        for (name, labels), value in sorted(by.items())
        if value
    ]
    db.add_rows(connection, counters, rows, keys=("name", "labels", "shard"), sums=("value",))


def count(connection: Connection, name: str, by: int) -> None:
    """Add to one counter without labels."""
    add(connection, {of(name): by})


@lru_cache(maxsize=1)
def _shard() -> int:
    """This process's; chosen when it first counts, which is after any fork."""
    return random.SystemRandom().randrange(SHARDS)


def totals(connection: Connection, name: str) -> dict[str, int]:
    """The sums of a counter, by its labels."""
    statement = select(counters.c.labels, func.sum(counters.c.value)).where(counters.c.name == name)
    return {labels: int(value) for labels, value in connection.execute(statement.group_by(counters.c.labels))}


def next_number(connection: Connection, name: str) -> int:
    """The next of 1, 2, 3 …: without gaps, since a transaction that is rolled back gives its number back."""
    statement = db.insert(connection.dialect.name, counters).values(name=name, labels="", shard=0, value=1)
    statement = statement.on_conflict_do_update(
        index_elements=["name", "labels", "shard"], set_={"value": counters.c.value + 1}
    )
    return int(connection.execute(statement.returning(counters.c.value)).scalar_one())


def last_number(connection: Connection, name: str) -> int:
    """The last number that `next_number` has given out; 0: none. It gives out no other until the transaction ends."""
    statement = db.insert(connection.dialect.name, counters).values(name=name, labels="", shard=0, value=0)
    connection.execute(statement.on_conflict_do_nothing())
    mine = (counters.c.name == name, counters.c.labels == "", counters.c.shard == 0)
    return int(connection.execute(select(counters.c.value).where(*mine).with_for_update()).scalar_one())


def leave_out(connection: Connection, name: str, up_to: int) -> None:
    """Have `next_number` go on above a number; one that is below the last changes nothing."""
    statement = db.insert(connection.dialect.name, counters).values(name=name, labels="", shard=0, value=up_to)
    statement = statement.on_conflict_do_update(
        index_elements=["name", "labels", "shard"],
        set_={"value": statement.excluded.value},
        where=counters.c.value < statement.excluded.value,
    )
    connection.execute(statement)
