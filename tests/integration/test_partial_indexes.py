"""Conditions of partial indexes: constants beside the models that the databases do use the indexes for."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Index, inspect, text
from sqlalchemy.exc import OperationalError

from shared.db import Database, models

ROOT = Path(__file__).parents[2]
#: Where conditions may stand as literals: beside the models, and in the history of the schema.
LITERAL = ("shared/db/models", "shared/db/migrations")


def partial() -> list[Index]:
    every = (index for table in models.metadata.tables.values() for index in table.indexes)
    return sorted((index for index in every if index.dialect_options["sqlite"]["where"] is not None), key=name)


def name(index: Index) -> str:
    return str(index.name)


def condition(index: Index) -> str:
    return str(index.dialect_options["sqlite"]["where"])


def plan(connection: Connection, index: Index, where: str) -> str:
    """How the database would find the rows of the index's table that meet the condition, if the index is all it has."""
    assert index.table is not None
    table, key = index.table.name, index.columns[0].name
    if connection.dialect.name == "sqlite":  # refused when the index cannot serve it
        rows = connection.execute(
            text(f"EXPLAIN QUERY PLAN SELECT {key} FROM {table} INDEXED BY {index.name} WHERE {where}")
        )
        return "\n".join(row[3] for row in rows)
    others = {one["name"] for one in inspect(connection).get_indexes(table) if "duplicates_constraint" not in one}
    for other in others - {index.name}:
        connection.execute(text(f"DROP INDEX {other}"))
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    return "\n".join(row[0] for row in connection.execute(text(f"EXPLAIN SELECT {key} FROM {table} WHERE {where}")))


def test_a_statement_that_states_the_condition_is_served_by_the_index(database: Database) -> None:
    with database.engine.connect() as connection:
        for index in partial():
            assert name(index) in plan(connection, index, condition(index))
            connection.rollback()


def test_another_condition_is_not_served_by_it(database: Database) -> None:
    running = next(index for index in partial() if index.name == "jobs_running")
    with database.engine.connect() as connection:
        try:
            found = plan(connection, running, "status <> 'succeeded'")
        except OperationalError as error:  # SQLite's word for it
            found = str(error)
        assert "no query solution" in found or "Seq Scan" in found
        connection.rollback()


def test_the_migrated_indexes_have_the_conditions_of_the_models(database: Database) -> None:
    option = f"{database.engine.dialect.name}_where"
    for table in models.metadata.tables.values():
        migrated = {
            one["name"]: str(one["dialect_options"][option])
            for one in inspect(database.engine).get_indexes(table.name)
            if option in one.get("dialect_options", {})
        }
        expected = {name(index): condition(index) for index in partial() if index.table is table}
        if not database.is_sqlite:
            with database.engine.connect() as connection:
                expected = {key: spoken(connection, table.name, where) for key, where in expected.items()}
        assert migrated == expected


def spoken(connection: Connection, table: str, where: str) -> Any:
    """The condition as PostgreSQL tells it back."""
    connection.execute(text(f"CREATE INDEX spoken ON {table} ((1)) WHERE {where}"))
    found = connection.execute(
        text("SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = 'spoken'::regclass")
    ).scalar_one()
    connection.rollback()
    return found


def test_no_condition_is_written_out_again() -> None:
    written = {" ".join(condition(index).split()) for index in partial()}
    for package in ("producer", "workers", "shared"):
        for path in sorted((ROOT / package).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            if not place.startswith(LITERAL):
                source = " ".join(path.read_text().split())
                assert [one for one in written if one in source] == [], place
