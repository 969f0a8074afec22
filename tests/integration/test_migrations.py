"""The migrated schema is the models' schema, however often and by however many it is migrated."""

import os
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from shared.db import Database, models
from shared.db.migrations import config, migrate
from shared.db.schema import NEWEST
from shared.environment import inherited
from tests import starting


def options(index: Any) -> list[str]:
    """The conditions of a partial index, and whatever else is its database's own."""
    return sorted(f"{name} {value}" for name, value in index.get("dialect_options", {}).items())


def schema(engine: Any) -> dict[str, Any]:
    """Columns, keys, indexes, uniques and checks of every table but alembic's own, as the database tells them."""
    found: dict[str, Any] = {}
    inspector = inspect(engine)
    for name in inspector.get_table_names():
        if name == "alembic_version":
            continue
        indexes = {
            index["name"]: (index["column_names"], bool(index["unique"]), options(index))
            for index in inspector.get_indexes(name)
        }
        found[name] = {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], str(column["default"]))
                for column in inspector.get_columns(name)
            },
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "indexes": indexes,
            "uniques": sorted(str(one["column_names"]) for one in inspector.get_unique_constraints(name)),
            "checks": {one["name"]: one["sqltext"] for one in inspector.get_check_constraints(name)},
        }
    return found


def merged(part: dict[str, Any]) -> dict[str, Any]:
    """A unique index and a unique constraint are the same thing; which of them it is does not matter."""
    constraints = set(part.pop("uniques"))
    indexes = part["indexes"].items()
    alone = {str(row[0]) for name, row in indexes if row[1] and not row[2] and not name.startswith("one_")}
    part["indexes"] = {name: row for name, row in indexes if not row[1] or row[2] or name.startswith("one_")}
    return part | {"unique": constraints | alone}


def test_models_and_migrations_agree(database: Database, tmp_path: Any, request: Any) -> None:
    migrated = schema(database.engine)
    if database.is_sqlite:
        fresh = create_engine(f"sqlite:///{tmp_path / 'models.sqlite3'}")
    else:
        fresh = create_engine(request.getfixturevalue("postgres").database())
    models.metadata.create_all(fresh)
    made = schema(fresh)
    fresh.dispose()
    assert set(migrated) == set(made) == set(models.metadata.tables)
    for table in made:
        assert merged(migrated[table]) == merged(made[table]), table


def test_alembic_finds_nothing_to_do(database: Database) -> None:
    with database.engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), models.metadata)
    # SQLite does not tell the DESC of this one's third column back; the test above compares what it does tell.
    assert [step for step in found if not (database.is_sqlite and step[1].name == "jobs_to_wake")] == []


def test_the_newest_is_alembics_head() -> None:
    assert ScriptDirectory.from_config(config()).get_heads() == [NEWEST]


def test_migrating_again_changes_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "upgrade", None)
    opened = Database(database_url)
    before = schema(opened.engine)
    migrate(database_url)
    assert schema(opened.engine) == before
    opened.close()


def _migrating(url: str, errors: Path) -> starting.Process:
    env = {**inherited(), "FUSIONAI_DATABASE_URL": url}
    with errors.open("wb") as file, open(os.devnull, "r+b") as nothing:
        return starting.start_command(["migrate"], env, nothing, nothing, file)


def test_two_processes_migrate_at_once(request: Any, tmp_path: Any) -> None:
    for url in (f"sqlite:///{tmp_path / 'new' / 'two.sqlite3'}", request.getfixturevalue("postgres").database()):
        logs = [tmp_path / f"errors-{number}" for number in range(2)]
        both = [_migrating(url, log) for log in logs]
        assert [process.wait(60) for process in both] == [0, 0]
        assert {log.read_text() for log in logs} <= {
            "",
            "Another `fusionai migrate` is at work: waiting for its end.\n",
        }
        opened = Database(url)
        with opened.engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
        opened.close()
