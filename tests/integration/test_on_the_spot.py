"""Short transactions on the event loop's own thread: where, when not, and that each is done once."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import Connection, text

from shared.db import Database, on_the_spot
from tests.integration import world
from tests.integration.test_engine import scene
from workers.running.engine import Engine
from workers.running.slots import Slots

NOTED = text("SELECT thread FROM noted")


def note(connection: Connection) -> int:
    """Write down which thread it is."""
    connection.execute(text("INSERT INTO noted VALUES (:thread)"), {"thread": threading.get_ident()})
    return threading.get_ident()


def noted(database: Database) -> list[int]:
    """The threads that have been."""
    return list(database.read_sync(lambda connection: connection.execute(NOTED).scalars()))


@pytest.fixture
def noting(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database with a table of threads, where nothing lasts long."""
    monkeypatch.setattr(on_the_spot, "_LONG_SECONDS", 3600.0)
    column = "INTEGER" if database.is_sqlite else "BIGINT"
    database.write_sync(lambda connection: connection.execute(text(f"CREATE TABLE noted (thread {column})")))
    yield database
    database.write_sync(lambda connection: connection.execute(text("DROP TABLE noted")))


def test_little_is_written_without_a_thread_where_that_is_writing_a_file(noting: Database) -> None:
    here = asyncio.run(noting.write_few(note)) == threading.get_ident()
    assert here == noting.is_sqlite and len(noted(noting)) == 1
    assert asyncio.run(noting.write(note)) != threading.get_ident()


@pytest.mark.parametrize("of", ["another process", "another thread"])
def test_who_would_wait_for_another_writer_leaves_the_loop_to_others(noting: Database, of: str) -> None:
    """The other one ends its transaction on this very loop, which could not go on while it waited there."""
    if not noting.is_sqlite:
        assert asyncio.run(noting.write_few(note)) != threading.get_ident()
        return

    async def beside(end: asyncio.Event) -> int:
        writing = asyncio.create_task(noting.write_few(note))
        await asyncio.sleep(0)  # it has begun, and has given up waiting on the spot
        end.set()
        return await writing

    async def process() -> int:
        with closing(sqlite3.connect(str(noting.engine.url.database), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            end = asyncio.Event()
            writing = asyncio.create_task(beside(end))
            await end.wait()
            other.execute("COMMIT")
            return await writing

    async def thread() -> int:
        begun, may_end, end = threading.Event(), threading.Event(), asyncio.Event()

        def hold(connection: Connection) -> None:
            begun.set()
            assert may_end.wait(20)

        holding = asyncio.create_task(noting.write(hold))
        await asyncio.to_thread(begun.wait, 20)
        writing = asyncio.create_task(beside(end))
        await end.wait()
        may_end.set()
        await holding
        return await writing

    assert asyncio.run(process() if of == "another process" else thread()) != threading.get_ident()
    assert len(noted(noting)) == 1, "what found the database taken has done nothing"
    assert asyncio.run(noting.write_few(note)) == threading.get_ident(), "the next is on the spot again"


def test_after_one_that_lasted_long_the_next_are_on_the_thread(
    noting: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_the_spot, "_LONG_SECONDS", 0.0)
    monkeypatch.setattr(on_the_spot, "_REST_TIMES", 1e9)
    asyncio.run(noting.write_few(note))
    assert asyncio.run(noting.write_few(note)) != threading.get_ident()


def test_an_error_is_the_callers_and_nothing_is_left_of_it(noting: Database) -> None:
    def fail(connection: Connection) -> None:
        note(connection)
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            asyncio.run(noting.write_few(fail))
    assert noted(noting) == []
    assert (asyncio.run(noting.write_few(note)) == threading.get_ident()) == noting.is_sqlite


def test_others_write_on_threads_while_one_is_on_the_spot(noting: Database) -> None:
    """A thread that writes meanwhile does not take itself for the event loop's: it waits as long as it has to."""
    done = threading.Event()

    def write() -> None:
        noting.write_sync(note)
        done.set()

    def beside(connection: Connection) -> None:
        other = threading.Thread(target=write)
        other.start()
        assert not done.wait(on_the_spot.WAIT_SECONDS * 20) or not noting.is_sqlite
        note(connection)

    asyncio.run(noting.write_few(beside))
    assert done.wait(20) and len(noted(noting)) == 2


def test_others_have_their_turns_between_leases_on_the_spot(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doorbells of jobs that are over, more than there are slots: one lease follows another, each for nothing."""
    turns, at = 0, list[int]()

    def none(*args: object, **more: object) -> list[object]:
        at.append(turns)
        return []

    monkeypatch.setattr("workers.running.leasing._lease", none)

    async def play(engine: Engine, slots: Slots) -> None:
        nonlocal turns
        engine.offer(world.QUEUE, [f"job_{number}" for number in range(20)])
        while slots.busy():
            await asyncio.sleep(0)
            turns += 1

    scene(database, play, capacity=1)
    assert len(set(at)) == len(at) == 20


@pytest.mark.parametrize(
    ("rows", "characters", "little"),
    [
        (1, [10], True),
        (8, [10] * 8, True),
        (9, [10] * 9, False),
        (1, [65_536], True),
        (1, [65_537], False),
        (0, [], True),
    ],
)
def test_what_little_is(rows: int, characters: list[int], little: bool) -> None:
    assert on_the_spot.is_little(rows, characters) == little
