"""The database: one engine a process, one transaction a request, task or group commit.

All SQL is synchronous and runs on threads of this module's own; the event loop awaits whole transactions, never single
statements, so a group commit costs one thread hop. What is little is written on the loop's own thread where that is
writing a file (`on_the_spot`). deploy/adr/0001-sync-sql-on-threads.md has the measurements.
"""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared import clock
from shared.db import hot
from shared.db.engines import SOON_TRIES, engine
from shared.db.failures import GONE_STATES, READ_ONLY, may_run_again, state_of
from shared.db.kept import KeptConnection, KeptConnections
from shared.db.on_the_spot import TRIES, WAIT_SECONDS, OnTheSpot, TakesLongerError

P = ParamSpec("P")
R = TypeVar("R")

#: Fewer rows than these are faster as an INSERT.
COPY_LEAST = 8
#: Rows in one INSERT of SQLite's: as many as there are of the first number, of the rest as many of the next.
INSERT_TOGETHER = (64, 16, 4)

#: Threads that write and as many that read, of a process on PostgreSQL.
THREADS = 4

#: How long a write waits for other writers before it gives up, in seconds.
WRITE_DEADLINE_SECONDS = 15.0

#: A server that let us wait so long for a connection in vain is not asked again for so long, in seconds: whoever waits
#: for a thread meanwhile hears at once that it is away, and not after everybody before them has waited as well.
_SLOW_SECONDS, _AWAY_SECONDS = 1.0, 1.0


class AmbiguousCommitError(Exception):
    """The connection broke during COMMIT: the transaction may or may not have taken effect; read back by id."""


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached or is held by others, which says nothing against the statement."""
    if isinstance(error, OperationalError):
        return bool(getattr(error.orig, "sqlite_errorname", "") != "SQLITE_ERROR")  # that one is the statement's own
    if isinstance(error, DBAPIError) and state_of(error) == READ_ONLY:
        return True
    return isinstance(error, (AmbiguousCommitError, InterfaceError, PoolTimeoutError))


class Database:
    """Runs functions of one connection, each in a transaction of its own.

    `write` takes the write lock at BEGIN (SQLite) and retries the whole function after a lock refusal, deadlock or a
    connection lost before COMMIT, so such a function must have no effect outside its transaction.
    """

    def __init__(self, url: str, *, threads: int = THREADS) -> None:
        self.engine = engine(url, threads)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._write_lock = threading.Lock() if self.is_sqlite else None
        self._spot = OnTheSpot(self.is_sqlite)
        self._away_until = self._reached_at = 0.0
        self._keeping = set[KeptConnection]()
        self._kept = KeptConnections(self._keeping)
        keep = self._kept.keep if self.is_sqlite else None
        writers = 1 if self.is_sqlite else threads
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="db-write", initializer=keep)
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="db-read", initializer=keep)

    async def write(self, fn: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn(connection, …)` in one write transaction on a thread; its value once it has committed."""
        return await self.on_writer(lambda: self.write_sync(fn, *args, **kwargs), little=False)

    async def write_few(self, fn: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The same of little (`on_the_spot.is_little`): without a thread where to wake one takes longer."""
        return await self.on_writer(lambda: self.write_sync(fn, *args, **kwargs), little=True)

    async def on_writer(self, fn: Callable[[], R], *, little: bool) -> R:
        """Run on a thread that writes what first of all calls `write_sync`, and goes on right after its commit."""
        if little and self._spot.may_be_used():
            self._kept.keep()
            with suppress(TakesLongerError), self._spot:
                return fn()
        return await asyncio.get_running_loop().run_in_executor(self._writers, fn)

    async def read(self, fn: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn(connection, …)` in one read transaction on a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, lambda: self.read_sync(fn, *args, **kwargs))

    def write_sync(self, fn: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The same on the calling thread."""
        deadline = clock.monotonic() + WRITE_DEADLINE_SECONDS
        while True:
            try:
                if self._write_lock is None:
                    return self._transaction(True, fn, *args, **kwargs)
                with self._alone(self._write_lock):
                    return self._transaction(True, fn, *args, **kwargs)
            except DBAPIError as error:
                if not may_run_again(error) or clock.monotonic() > deadline:
                    raise
                if self._spot.is_here:
                    raise TakesLongerError from None
            threading.Event().wait(random.uniform(0.0005, 0.003 if self.is_sqlite else 0.05))

    @contextmanager
    def _alone(self, lock: threading.Lock) -> Iterator[None]:
        """While no other thread of this process writes."""
        if not lock.acquire(timeout=WAIT_SECONDS if self._spot.is_here else -1):
            raise TakesLongerError
        try:
            yield
        finally:
            lock.release()

    def read_sync(self, fn: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A read on the calling thread; tried once more when its connection turns out to be dead."""
        try:
            return self._transaction(False, fn, *args, **kwargs)
        except DBAPIError as error:
            if not may_run_again(error):
                raise
            return self._transaction(False, fn, *args, **kwargs)

    def _transaction(
        self, write: bool, fn: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        with self._kept.take(self._connect) as raw:
            tries = TRIES if self._spot.is_here else SOON_TRIES
            connection = raw.execution_options(fusionai_write=write, fusionai_tries=tries)
            transaction = connection.begin()
            try:
                if not self.is_sqlite and not clock.is_learned():
                    now(connection)
                value = fn(connection, *args, **kwargs)
            except BaseException as error:
                transaction.rollback()
                if isinstance(error, DBAPIError) and state_of(error) == READ_ONLY:
                    connection.invalidate()
                raise
            try:
                transaction.commit()
            except DBAPIError as error:
                if error.connection_invalidated or state_of(error) in GONE_STATES:
                    raise AmbiguousCommitError(state_of(error) or "connection lost") from error
                if self.is_sqlite:  # it may still be in its transaction
                    connection.invalidate()
                raise
            return value

    def _connect(self) -> Connection:
        """A connection that works, or the error that there is none; soon, while the server is silent."""
        began = clock.monotonic()
        if began < self._away_until:
            raise OperationalError("connect", None, psycopg.OperationalError("the database does not answer"))
        try:
            connection = self.engine.connect()
        except DBAPIError as error:
            silent = "FATAL" not in str(error.orig)  # else the server refuses: it is full, or starts
            answered = self._reached_at > began  # somebody else, meanwhile: it is back
            if silent and not answered and clock.monotonic() - began > _SLOW_SECONDS:
                self._away_until = clock.monotonic() + _AWAY_SECONDS
            raise
        self._reached_at, self._away_until = clock.monotonic(), 0.0
        return connection

    def close(self) -> None:
        """Let running transactions end, then close every connection."""
        self._writers.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        for kept in list(self._keeping):
            kept.end()
        self.engine.dispose()


def now(connection: Connection) -> int:
    """The database's own time in microseconds since the epoch, as shifted by a test; the process learns it thereby.

    All times in rows are of one clock: the server's on PostgreSQL; on SQLite this machine's, which is the same thing.
    """
    if connection.dialect.name == "sqlite":
        return clock.now_micros()
    asked = clock.steady_micros()
    told = int(hot.run(connection, _NOW).fetchone()[0])
    clock.learn(told, asked)
    return told + clock.shift_micros()


_NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"


def insert(dialect: str, table: Table) -> Any:
    """An INSERT that knows ON CONFLICT, in the words of this database."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows of the same columns: handed to the driver as they are, at a third of the usual cost a row.

    PostgreSQL is given several as a COPY: measured with jobs and their payloads, 1000 at a time, 17 µs instead of 61.
    SQLite is given INSERT_TOGETHER in a statement: after each, its thread may have to wait for the interpreter while
    another is busy. Measured beside a busy thread, in groups of 120: 7 µs a row instead of 15 to 47.
    """
    if not rows:
        return
    if len(rows) >= COPY_LEAST and connection.dialect.name == "postgresql":
        return _copy(connection, table, rows)
    statement, values = _insertion(table, tuple(rows[0]), connection.dialect.name)
    given = [values(row) for row in rows]
    if connection.dialect.name == "sqlite":
        given = _insert_together(connection, statement, given)
    if given:
        hot.run_each(connection, statement, given)


def _insert_together(connection: Connection, statement: str, given: list[Any]) -> list[Any]:
    """Insert most of them, INSERT_TOGETHER at a time; the few that are left."""
    places, at = statement.rpartition(" VALUES ")[2], 0
    for count in INSERT_TOGETHER:
        several = statement + f", {places}" * (count - 1) if len(given) - at >= count else ""
        while len(given) - at >= count:
            hot.run(connection, several, tuple(chain.from_iterable(given[at : at + count])))
            at += count
    return given[at:]


def _copy(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = tuple(rows[0])
    statement, values = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN", itemgetter(*columns)
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(values(row))
    except psycopg.Error as error:
        raise hot.wrapped(connection, statement, error) from error  # SQLAlchemy knows no COPY


def add_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    keys: tuple[str, ...],
    sums: tuple[str, ...],
) -> None:
    """Add each row's sums to the row of its keys, which is made when there is none."""
    if rows:
        _addition(table, keys, sums, tuple(rows[0])).each(connection, rows)


@lru_cache(maxsize=64)
def _addition(table: Table, keys: tuple[str, ...], sums: tuple[str, ...], columns: tuple[str, ...]) -> hot.Statement:
    def make(dialect: str) -> Any:
        statement = insert(dialect, table)
        added = {name: table.c[name] + statement.excluded[name] for name in sums}
        return statement.on_conflict_do_update(index_elements=list(keys), set_=added)

    return hot.Statement(make, columns)


@lru_cache(maxsize=64)
def _insertion(table: Table, columns: tuple[str, ...], dialect: str) -> tuple[str, Callable[[Mapping[str, Any]], Any]]:
    """The INSERT in the driver's own words, and what makes its parameters of a row."""
    spoken = sqlite.dialect() if dialect == "sqlite" else PGDialect_psycopg()  # type: ignore[no-untyped-call]
    compiled = table.insert().compile(dialect=spoken, column_keys=list(columns))
    return str(compiled), itemgetter(*compiled.positiontup) if compiled.positiontup else dict
