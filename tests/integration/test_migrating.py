"""Migrating beside processes that use the database: what waits, what is tried again, what is left for later."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, make_url, text
from sqlalchemy.exc import DBAPIError

from shared.db import Database, migrations, schema
from shared.db.migrations import Migrated, after, apart, migrate
from shared.db.migrations.after import Removal
from shared.environment import inherited
from tests import starting
from tests.conditions import await_condition

#: What was released last stops here.
RELEASED = "0039"
INDEX = "jobs_unsuccessful_of_batch"


@pytest.fixture(params=["sqlite", "postgresql"])
def older_url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """A database that the released version has migrated."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'old.sqlite3'}" if sqlite else request.getfixturevalue("postgres").database()
    upgraded(url, RELEASED)
    return str(url)


@pytest.fixture
def older_postgres(postgres: Any) -> str:
    """The same on PostgreSQL."""
    url = postgres.database()
    upgraded(url, RELEASED)
    return str(url)


def upgraded(url: str, to: str) -> None:
    engine = migrations._engine(url)
    with engine.connect() as connection:
        command.upgrade(migrations.config(connection), to)
    engine.dispose()


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """A connection beside."""
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def applied(url: str) -> str | None:
    with opened(url) as connection:
        return schema.revision(connection)


def test_it_says_what_it_came_to(older_url: str) -> None:
    assert migrate(older_url) == Migrated(schema.NEWEST) == migrate(older_url)
    assert applied(older_url) == schema.NEWEST


def test_a_newer_database_is_left_as_it_is(older_url: str) -> None:
    migrate(older_url)
    with opened(older_url) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    found = migrate(older_url, finish=True)
    assert found.is_newer and found.revision == applied(older_url) == "9999"
    schema.require(older_url)  # a process of this version goes on with it


def test_a_killed_migration_leaves_nothing_half(older_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptDirectory.from_config(migrations.config()).get_revision("0040")
    assert script is not None
    whole = script.module.upgrade

    def dies() -> None:
        whole()
        raise KeyboardInterrupt

    monkeypatch.setattr(ScriptDirectory, "from_config", classmethod(lambda cls, config: directory(cls, config, dies)))
    with pytest.raises(KeyboardInterrupt):
        migrate(older_url)
    monkeypatch.undo()
    with opened(older_url) as connection:
        assert "budget_until" not in {column["name"] for column in inspect(connection).get_columns("batches")}
    assert applied(older_url) == RELEASED
    migrate(older_url)
    assert applied(older_url) == schema.NEWEST


def directory(cls: Any, config: Any, upgrade: Any) -> Any:
    """The migrations, of which one is another."""
    found = cls(config.get_main_option("script_location"))
    found.get_revision("0040").module.upgrade = upgrade
    return found


def test_who_uses_a_table_goes_first(older_postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never waits for a table for long, since everybody who asks for that table would wait behind it."""
    monkeypatch.setattr(migrations, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(migrations, "LET_SECONDS", 0.05)
    tries = threading.Semaphore(0)
    with opened(older_postgres) as reader, opened(older_postgres) as other, ThreadPoolExecutor(1) as migrating:
        reader.execute(text("SELECT count(*) FROM batches"))  # and its transaction stays open
        done = migrating.submit(migrate, older_postgres, waiting=lambda why: tries.release())
        for _ in range(3):
            assert tries.acquire(timeout=20)
            other.execute(text("SET lock_timeout = 5000"))
            other.execute(text("SELECT count(*) FROM batches"))
            other.rollback()
        assert not done.done() and applied(older_postgres) == RELEASED
        reader.rollback()
        assert done.result(60) == Migrated(schema.NEWEST)


def test_indexes_are_made_while_rows_are_written(older_postgres: str) -> None:
    """Only who began to write before it is waited for, and nobody waits behind it."""
    upgraded(older_postgres, "0042")
    locked = "SELECT count(*) FROM pg_locks WHERE relation = 'jobs'::regclass AND mode = 'ShareUpdateExclusiveLock'"
    with opened(older_postgres) as writer, opened(older_postgres) as other, ThreadPoolExecutor(1) as migrating:
        writer.execute(text("UPDATE jobs SET priority = 1"))
        done = migrating.submit(migrate, older_postgres)
        await_condition(lambda: told(other, locked), what="the index to be begun")
        other.execute(text("SET lock_timeout = 5000"))
        other.execute(text("UPDATE jobs SET priority = 2"))
        other.rollback()
        assert not done.done()
        writer.rollback()
        done.result(60)
        assert told(other, f"SELECT indisvalid FROM pg_index WHERE indexrelid = '{INDEX}'::regclass") is True


def told(connection: Any, query: str) -> Any:
    value = connection.execute(text(query)).scalar()
    connection.rollback()
    return value


def test_an_index_that_was_left_half_made_is_made_anew(older_postgres: str) -> None:
    upgraded(older_postgres, "0043")
    with opened(older_postgres) as connection, connection.begin():
        connection.execute(text(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0042'"))
    migrate(older_postgres)
    with opened(older_postgres) as connection:
        assert told(connection, f"SELECT indisvalid FROM pg_index WHERE indexrelid = '{INDEX}'::regclass") is True


def test_tables_are_made_where_the_options_of_the_url_have_them_looked_for(postgres: Any) -> None:
    url = postgres.database()
    with opened(url) as connection, connection.begin():
        connection.execute(text("CREATE SCHEMA apart"))
    apart = make_url(url).update_query_dict({"options": "-c search_path=apart"}).render_as_string(hide_password=False)
    migrate(apart)
    with opened(url) as connection:
        assert inspect(connection).has_table("jobs", schema="apart") and not inspect(connection).has_table("jobs")
    schema.require(apart)


def test_patience_for_an_index_ends_with_it_also_when_it_fails(older_postgres: str) -> None:
    """Or the migration that is tried again would wait for its tables without end, and others behind it."""
    engine = migrations._engine(older_postgres)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with pytest.raises(DBAPIError), apart.patient(connection):
            connection.exec_driver_sql("SELECT 1 / 0")
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == f"{migrations.LOCK_SECONDS:.0f}s"
    engine.dispose()


REMOVALS = (Removal("jobs", "2", column="colour"), Removal("jobs", "2", index="jobs_by_id"), Removal("paints", "2"))


def test_what_earlier_versions_use_goes_when_it_is_said(older_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(older_url) as connection, connection.begin():
        connection.execute(text("ALTER TABLE jobs ADD COLUMN colour TEXT"))
        connection.execute(text("CREATE INDEX jobs_by_id ON jobs (id, lane)"))
        connection.execute(text("CREATE TABLE paints (id TEXT)"))
    monkeypatch.setattr(after, "REMOVALS", REMOVALS)
    left = migrate(older_url).left
    assert left == tuple(
        f"the {what}, which versions before 2 use"
        for what in ("column jobs.colour", "index jobs_by_id", "table paints")
    )
    assert migrate(older_url).left == left, "it stays until it is said"
    assert migrate(older_url, finish=True).left == () == migrate(older_url, finish=True).left
    with opened(older_url) as connection:
        seen = inspect(connection)
        assert not seen.has_table("paints") and "colour" not in {one["name"] for one in seen.get_columns("jobs")}
        assert "jobs_by_id" not in {one["name"] for one in seen.get_indexes("jobs")}


def test_an_empty_database_has_nothing_left_for_later(
    request: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(after, "REMOVALS", (Removal("queue_pauses", "2", column="reason"),))
    for url in (f"sqlite:///{tmp_path / 'new.sqlite3'}", request.getfixturevalue("postgres").database()):
        assert migrate(url).left == ()


@pytest.mark.parametrize("module", ["producer.app", "workers.app", "workers.batches", "workers.maintenance.sweep"])
def test_a_process_says_that_the_schema_is_older_than_it(tmp_path: Any, module: str) -> None:
    url, log = f"sqlite:///{tmp_path / 'old.sqlite3'}", tmp_path / "log"
    upgraded(url, RELEASED)
    assert ended(module, url, log) == (
        f"The database's schema is {RELEASED}, and this version needs {schema.NEWEST}: run `fusionai migrate` first. "
        "Processes of the version before go on with the new schema.\n"
    )


def test_a_process_says_that_there_are_no_tables(tmp_path: Any) -> None:
    path = tmp_path / "none.sqlite3"
    said = ended("workers.batches", f"sqlite:///{path}", tmp_path / "log")
    assert said == "The database has no tables yet: run `fusionai migrate` first.\n"
    assert not path.exists(), "an empty one would hide that a restore was not finished"


def ended(module: str, url: str, log: Any) -> str:
    """What a process says that does not start."""
    settings = {"FUSIONAI_DATABASE_URL": url, "FUSIONAI_KEY_SECRET": "x" * 40, "FUSIONAI_LOG_LEVEL": "ERROR"}
    with log.open("wb") as output:
        process = starting.start(module, {**inherited(), **settings}, output)
        assert process.wait(60) == 1
    return str(log.read_text())


def test_a_database_that_is_away_may_be_anything(tmp_path: Any) -> None:
    schema.require(f"postgresql://nobody@/none?host={tmp_path}")


def test_the_newest_schema_is_what_processes_ask_for(database: Database) -> None:
    schema.require(database.engine.url.render_as_string(hide_password=False))


def test_who_waits_for_another_that_migrates_says_so(older_postgres: str) -> None:
    said = threading.Semaphore(0)
    with opened(older_postgres) as connection, ThreadPoolExecutor(1) as beside:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": migrations._LOCK})
        done = beside.submit(migrate, older_postgres, waiting=lambda why: said.release() if "Another" in why else None)
        assert said.acquire(timeout=20)
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": migrations._LOCK})
        connection.commit()
        assert done.result(30).revision == schema.NEWEST
