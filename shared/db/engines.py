"""SQLAlchemy's engines, one for each kind of database: what a connection is told when it is made."""

import logging
import random
import sqlite3
import threading
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event

from shared.db import hot, pipelines, silence
from shared.db.addresses import address

#: Where the log of the database is kept short.
log = logging.getLogger("shared.db")

#: Connections to PostgreSQL that a process keeps beside one for each thread that writes, and opens for a moment beside
#: these.
SPARE, MORE = 2, 8
#: Transactions here last milliseconds: one that waits so long for a lock starts anew; one that idles so long is dead,
#: and its locks are free before those who wait for them give up (shared.db.WRITE_DEADLINE_SECONDS). In milliseconds.
LOCK_MILLIS, _IDLE_MILLIS = 5_000, 5_000
_SESSION = {"lock_timeout": LOCK_MILLIS, "idle_in_transaction_session_timeout": _IDLE_MILLIS}

#: So often a writer of SQLite's looks soon again, and after which pauses, in seconds.
SOON_TRIES, SOON_SECONDS = 40, (0.0001, 0.0003)

pipelines.end_by_sync()


def engine(url: str, threads: int) -> Engine:
    """Connections to the database at `url`, for a process with so many threads of each kind."""
    at = address(url)
    if at.get_backend_name() == "sqlite":
        made = create_engine(
            at,
            connect_args={"timeout": 0, "check_same_thread": False},
            pool_size=threads + 4,
            max_overflow=16,
            pool_use_lifo=True,  # its statements and pages are at hand
            hide_parameters=True,
        )
        event.listen(made, "connect", _prepare_sqlite)
        event.listen(made, "begin", _begin_sqlite)
        return made
    made = create_engine(
        at,
        connect_args=silence.connect_args(at, **_SESSION),
        pool_size=threads + SPARE,
        max_overflow=MORE,
        pool_pre_ping=True,
        hide_parameters=True,
    )
    event.listen(made, "do_connect", _connect_postgresql)
    return made


def _connect_postgresql(dialect: Any, _record: Any, args: Any, given: Any) -> Any:
    """A connection; where there is none to be had, the log says why: libpq's words have server and user, no secret."""
    try:
        return dialect.connect(*args, **given)
    except psycopg.OperationalError as error:
        log.warning("the database cannot be connected to: %s", str(error).partition("\n")[0])
        raise


def _prepare_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for attempt in range(200):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except Exception:
            if attempt == 199:
                raise
            threading.Event().wait(0.02)
    for pragma in (
        "synchronous=FULL",
        "busy_timeout=0",
        "cache_size=-65536",
        "temp_store=MEMORY",
        "journal_size_limit=67108864",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Begin, of a writer as soon as the other processes' writers are done, for which it looks again and again.

    Most transactions are short, and with 16 synchronous callers one of two has to wait. A look at the driver costs a
    tenth of what an error costs that goes through SQLAlchemy (`Database.write_sync` goes on from that).
    """
    options = connection.get_execution_options()
    if not options.get("fusionai_write", True):
        hot.run(connection, "BEGIN")
        return
    driver: Any = connection.connection.driver_connection
    pause = threading.Event()
    for _ in range(options.get("fusionai_tries", SOON_TRIES)):
        try:
            driver.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY":
                break
        pause.wait(random.uniform(*SOON_SECONDS))
    hot.run(connection, "BEGIN IMMEDIATE")
