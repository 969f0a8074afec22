"""The imported entities, as rows: an account's own, and those shared by all accounts. An account's own one wins."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, delete, select, tuple_

from shared import clock, db
from shared.db.models import entities
from shared.submissions.linked_context import Entity, Key

#: Whose the shared ones are.
SHARED: Final = ""
#: Rows of one statement.
CHUNK: Final = 200


def find(connection: Connection, account_id: str, keys: Iterable[Key]) -> dict[Key, Entity]:
    """Those of these entities that the account may link: its own, and shared ones."""
    wanted = list(dict.fromkeys(keys))
    found: dict[Key, Entity] = {}
    for first in range(0, len(wanted), CHUNK):
        statement = (
            select(entities)
            .where(entities.c.account_id.in_([SHARED, account_id]))
            .where(tuple_(entities.c.type, entities.c.id).in_(wanted[first : first + CHUNK]))
            .order_by(entities.c.account_id)  # the shared ones first
        )
        found |= {(row.type, row.id): _entity(row) for row in connection.execute(statement)}
    return found


def save(connection: Connection, account_id: str, imported: Sequence[Entity]) -> None:
    """Write entities of one owner, over those of the same type and id; of several such, the last."""
    last = {entity.key: entity for entity in imported}
    now = clock.now_micros()
    rows = [
        {
            "account_id": account_id,
            "type": entity.type,
            "id": entity.id,
            "name": entity.name,
            "attributes": orjson.dumps(entity.attributes).decode(),
            "text": entity.text,
            "updated_at": now,
        }
        for _, entity in sorted(last.items())
    ]
    statement = db.insert(connection.dialect.name, entities)
    changed = {name: statement.excluded[name] for name in ("name", "attributes", "text", "updated_at")}
    upsert = statement.on_conflict_do_update(index_elements=["account_id", "type", "id"], set_=changed)
    if rows:
        connection.execute(upsert, rows)


def page(
    connection: Connection, owner: str | None, type: str | None, after: tuple[str, str, str] | None, limit: int
) -> list[Mapping[str, Any]]:
    """Owner, type, id, name and time of entities, in this order; of one owner or type, if one is named."""
    columns = entities.c
    statement = select(columns.account_id, columns.type, columns.id, columns.name, columns.updated_at)
    if owner is not None:
        statement = statement.where(columns.account_id == owner)
    if type is not None:
        statement = statement.where(columns.type == type)
    if after is not None:
        statement = statement.where(tuple_(columns.account_id, columns.type, columns.id) > after)
    ordered = statement.order_by(columns.account_id, columns.type, columns.id).limit(limit)
    return [dict(row) for row in connection.execute(ordered).mappings()]


def get(connection: Connection, owner: str, key: Key) -> Entity | None:
    """One owner's entity."""
    row = connection.execute(select(entities).where(*_is(owner, key))).first()
    return None if row is None else _entity(row)


def remove(connection: Connection, owner: str, key: Key) -> bool:
    """Delete one owner's entity; whether it was there."""
    return bool(connection.execute(delete(entities).where(*_is(owner, key))).rowcount)


def _is(owner: str, key: Key) -> tuple[Any, ...]:
    return entities.c.account_id == owner, entities.c.type == key[0], entities.c.id == key[1]


def _entity(row: Row[Any]) -> Entity:
    return Entity(row.type, row.id, row.name, orjson.loads(row.attributes), row.text)
