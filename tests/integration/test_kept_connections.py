"""The connection to SQLite that a thread keeps: one at a time, none after a failure, and none left open in the end."""

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError

from shared.db import Database
from tests.servers import migrated_sqlite


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Database]:
    """A database whose calling thread keeps its connection, as an event loop's does."""
    database = Database(migrated_sqlite(tmp_path / "kept.sqlite3"))
    database._kept.keep()
    yield database
    database.close()


def driver(connection: Connection) -> int:
    """Which of the driver's connections it is."""
    return id(connection.connection.driver_connection)


def note(connection: Connection, name: str) -> None:
    words = "INSERT INTO counters (name, labels, shard, value) VALUES (:name, '', 0, 1)"
    connection.execute(text(words), {"name": name})


def names(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT name FROM counters ORDER BY name")).scalars())


def test_transactions_one_after_the_other_have_the_same_and_see_what_others_wrote(
    kept: Database, tmp_path: Path
) -> None:
    first = kept.write_sync(driver)
    other = Database(kept.engine.url.render_as_string())
    other.write_sync(note, "theirs")
    assert kept.read_sync(driver) == first == kept.write_sync(driver) and kept.read_sync(names) == ["theirs"]
    kept.write_sync(note, "ours")
    assert other.read_sync(names) == ["ours", "theirs"]
    assert len(kept._keeping) == 1
    other.close()


def test_a_read_within_a_write_has_another(kept: Database) -> None:
    def within(connection: Connection) -> tuple[int, int, list[str]]:
        note(connection, "mine")
        return driver(connection), kept.read_sync(driver), kept.read_sync(names)

    mine, other, seen = kept.write_sync(within)
    assert mine != other and seen == [] and kept.read_sync(names) == ["mine"]


def test_after_a_failure_there_is_a_new_one_without_what_failed(kept: Database) -> None:
    def fail(connection: Connection) -> None:
        note(connection, "undone")
        raise ValueError

    before = kept.write_sync(lambda connection: connection)
    with pytest.raises(ValueError):
        kept.write_sync(fail)
    with pytest.raises(IntegrityError):
        kept.write_sync(lambda connection: [note(connection, "twice"), note(connection, "twice")])
    with pytest.raises(OperationalError):
        kept.read_sync(lambda connection: connection.execute(text("SELECT nothing FROM nowhere")))
    after = kept.write_sync(lambda connection: connection)
    assert before.closed and after is not before and not after.closed
    assert kept.read_sync(names) == [] and len(kept._keeping) == 1


def test_a_commit_that_fails_leaves_none(kept: Database) -> None:
    broken = kept.write_sync(lambda connection: connection)

    tries = 0

    def fail() -> None:
        nonlocal tries
        tries += 1
        raise OperationalError("COMMIT", None, Exception("disk I/O error"))

    broken._commit_impl = fail  # type: ignore[method-assign]
    kept.write_sync(note, "again")  # over another, as after any error that says nothing against what was done
    assert tries == 1 and broken.closed and kept.read_sync(names) == ["again"]
    kept.write_sync(note, "kept")
    assert kept.read_sync(names) == ["again", "kept"]


def test_each_thread_has_its_own_and_all_are_closed_in_the_end(tmp_path: Path) -> None:
    async def use(database: Database) -> set[int]:
        await database.write_few(note, "a")
        await database.write(note, "b")
        await asyncio.gather(*(database.read(names) for _ in range(8)))
        return {driver(one.connection) for one in database._keeping}

    database = Database(migrated_sqlite(tmp_path / "kept.sqlite3"))
    drivers = asyncio.run(use(database))
    assert len(drivers) == len(database._keeping) >= 3  # the loop's, the writer's, a reader's
    all = [one.connection for one in database._keeping]
    database.close()
    assert [one.closed for one in all] == [True] * len(all) and database.engine.pool.checkedout() == 0


def test_a_thread_that_was_not_asked_to_keeps_none(kept: Database) -> None:
    kept.write_sync(note, "a")
    thread = threading.Thread(target=kept.write_sync, args=(note, "b"))
    thread.start()
    thread.join()
    assert kept.read_sync(names) == ["a", "b"] and len(kept._keeping) == 1


def test_only_sqlite_has_them(database: Database) -> None:
    async def use() -> None:
        await database.write_few(lambda connection: connection.execute(text("SELECT 1")))
        await database.read(lambda connection: connection.execute(text("SELECT 1")))

    asyncio.run(use())
    assert bool(database._keeping) is database.is_sqlite


def test_a_thread_that_ends_gives_it_back(kept: Database) -> None:
    """Of which a pool has no more than it has."""

    def use() -> None:
        asyncio.run(kept.write_few(names))

    for _ in range(40):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    del thread
    gc.collect()
    kept.write_sync(note, "a")
    assert len(kept._keeping) == 1


def test_closing_lets_a_transaction_of_another_thread_end(tmp_path: Path) -> None:
    database = Database(migrated_sqlite(tmp_path / "kept.sqlite3"))
    begun, closed = threading.Event(), threading.Event()

    def slowly(connection: Connection) -> None:
        note(connection, "late")
        begun.set()
        assert closed.wait(10)

    thread = threading.Thread(target=lambda: asyncio.run(database.write_few(slowly)))
    thread.start()
    assert begun.wait(10)
    database.close()
    closed.set()
    thread.join()
    again = Database(database.engine.url.render_as_string())
    assert again.read_sync(names) == ["late"]
    again.close()
