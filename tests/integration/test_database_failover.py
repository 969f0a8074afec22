"""PostgreSQL by several hosts: the one that takes writes is found, also when it is another one than before."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import InternalError as ReadOnly

from shared import db
from shared.db import Database, is_away
from shared.db import models as m
from shared.db.migrations import migrate
from tests.conditions import await_condition
from tests.integration import world
from tests.servers import PostgresServer
from tests.standby import Pair, Standby, several


def accounts(connection: Connection) -> int:
    return len(connection.execute(select(m.accounts.c.id)).all())


def test_the_standby_is_used_once_it_takes_writes() -> None:
    with Pair() as pair:
        url = several(pair.standby.host, pair.primary.host)
        migrate(url)  # the standby comes first, and takes none
        database = Database(url)
        world.open_account(database)
        assert database.read_sync(accounts) == 1
        await_condition(lambda: seen(pair.standby) == 1, what="the standby's copy")
        with ThreadPoolExecutor(1) as threads:
            pair.primary.kill()
            written = threads.submit(world.open_account, database)
            pair.standby.promote()
            written.result(30)
        assert database.read_sync(accounts) == 2
        assert world.violations(database) == []
        database.close()


def seen(standby: Standby) -> int:
    """How many accounts the standby has."""
    database = Database(f"postgresql://postgres@/postgres?host={standby.host}", threads=1)
    try:
        return database.read_sync(accounts)
    finally:
        database.close()


@pytest.fixture
def read_only(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database whose sessions take no writes until the test says so, as a provider makes one whose disk is full."""
    with postgres.lent() as url:
        database = Database(url)
        world.open_account(database)
        _set_read_only(database, True)
        monkeypatch.setattr(db, "WRITE_DEADLINE_SECONDS", 0.2)
        yield database
        _set_read_only(database, False)
        database.close()


def _set_read_only(database: Database, on: bool) -> None:
    """Of the whole database: connections from now on."""
    autocommit = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        connection.execute(text("SET default_transaction_read_only = off"))
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        change = "SET default_transaction_read_only = on" if on else "RESET default_transaction_read_only"
        connection.execute(text(f"ALTER DATABASE {name} {change}"))
    database.engine.dispose()


def test_a_database_that_takes_no_writes_is_away(read_only: Database) -> None:
    with pytest.raises(ReadOnly) as refused:
        world.open_account(read_only)
    assert is_away(refused.value)
    assert read_only.read_sync(accounts) == 1, "reads go on"


def test_and_comes_back_by_itself(read_only: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "WRITE_DEADLINE_SECONDS", 15.0)
    tried = threading.Event()
    real = Database._transaction

    def noted(self: Database, *given: object, **named: object) -> object:
        try:
            return real(self, *given, **named)  # type: ignore[arg-type]
        except DBAPIError:
            tried.set()
            raise

    monkeypatch.setattr(Database, "_transaction", noted)
    with ThreadPoolExecutor(1) as threads:
        written = threads.submit(world.open_account, read_only)
        assert tried.wait(10)
        _set_read_only(read_only, False)
        written.result(30)
    assert read_only.read_sync(accounts) == 2
