"""Statements that are given to the driver as they are say and do what SQLAlchemy's own would."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Boolean, Column, Integer, MetaData, String, Table, bindparam, event, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from shared.db import Database, hot
from shared.db.among import among
from shared.db.at_once import listed

_PLACES = Table(
    "places",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String),
    Column("open", Boolean, nullable=False, server_default="0"),
)
_ADD = hot.Statement(lambda _: insert(_PLACES), ("id", "name", "open"))
_OF = hot.Statement(
    lambda dialect: select(_PLACES).where(among(dialect, _PLACES.c.name, "b_names")).order_by(_PLACES.c.id)
)
_CLOSE = hot.Statement(
    lambda _: (
        update(_PLACES)
        .where(_PLACES.c.name == bindparam("b_name"))
        .values(open=False, name=None)
        .returning(_PLACES.c.id, _PLACES.c.open)
    )
)
ROWS = [{"id": 1, "name": "here", "open": True}, {"id": 2, "name": "the're", "open": False}]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/places.sqlite3")
    made.write_sync(lambda connection: _PLACES.create(connection))
    made.write_sync(_ADD.each, ROWS)
    yield made
    made.close()


def test_rows_come_as_they_are_meant(database: Database) -> None:
    found = database.read_sync(_OF.rows, {"b_names": listed(["the're", "here", "nowhere"])})
    assert found == [(1, "here", True), (2, "the're", False)] and found[0][2] is True


def test_values_of_the_statement_are_sent_with_those_that_are_given(database: Database) -> None:
    assert database.write_sync(_CLOSE.rows, {"b_name": "here"}) == [(1, False)]
    assert database.read_sync(lambda c: c.execute(select(_PLACES.c.name).where(_PLACES.c.id == 1)).scalar()) is None


def test_it_says_how_many_rows_it_changed(database: Database) -> None:
    statement = hot.Statement(lambda _: update(_PLACES).values(open=bindparam("b_open")))
    assert database.write_sync(statement.count, {"b_open": True}) == len(ROWS)


def test_none_one_and_several_rows_of_parameters(database: Database) -> None:
    for rows in ([], [{"id": 3, "name": "a", "open": False}], [{"id": n, "name": "b", "open": True} for n in (4, 5)]):
        database.write_sync(_ADD.each, rows)
    assert database.read_sync(lambda c: len(c.execute(select(_PLACES)).all())) == 5


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS])
def test_an_error_is_what_sqlalchemy_makes_of_it(database: Database, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(IntegrityError) as caught:
        database.write_sync(_ADD.each, rows)
    assert "here" not in str(caught.value), "no parameter stands in an error"


def test_a_lock_that_is_held_is_waited_for(database: Database, tmp_path: Path) -> None:
    other = Database(f"sqlite:///{tmp_path}/places.sqlite3")
    with other.engine.connect() as connection, connection.begin():
        with pytest.raises(OperationalError), database.engine.connect() as second, second.begin():
            raise AssertionError("two write at once")
    database.write_sync(_CLOSE.rows, {"b_name": "here"})
    other.close()


def test_whoever_listens_hears_them(database: Database) -> None:
    heard: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: heard.append(given[2]))
    assert database.read_sync(_OF.rows, {"b_names": listed(["here"])}) == [(1, "here", True)]
    database.write_sync(_ADD.each, [{"id": 8, "name": "x", "open": True}, {"id": 9, "name": "y", "open": True}])
    assert any("FROM places" in one for one in heard) and any("INSERT INTO places" in one for one in heard)


def test_a_parameter_for_each_value_is_refused(database: Database) -> None:
    statement = hot.Statement(lambda _: select(_PLACES).where(_PLACES.c.id.in_(bindparam("ids", expanding=True))))
    with pytest.raises(AssertionError, match="expanding"):
        database.read_sync(statement.rows, {"ids": [1]})
