"""Rows that are inserted together, in groups of any size."""

from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, select

from shared import db
from shared.db import INSERT_TOGETHER, Database

_PLACES = Table("places", MetaData(), Column("id", Integer, primary_key=True), Column("name", String))


@pytest.mark.parametrize(
    "count", [0, 1, *(more for several in INSERT_TOGETHER for more in (several - 1, several, 2 * several)), 87, 151]
)
def test_a_group_of_any_size_is_inserted_whole(tmp_path: Path, count: int) -> None:
    database = Database(f"sqlite:///{tmp_path}/places.sqlite3")
    database.write_sync(lambda connection: _PLACES.create(connection))
    rows = [{"id": number, "name": f"place {number}"} for number in range(count)]
    database.write_sync(db.insert_rows, _PLACES, rows)
    found = database.read_sync(lambda c: c.execute(select(_PLACES).order_by(_PLACES.c.id)).mappings().all())
    database.close()
    assert [dict(row) for row in found] == rows
