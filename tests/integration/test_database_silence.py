"""A database that goes without a word: what connections to it are told, and how long those who ask wait."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import OperationalError

from shared import clock
from shared.db import WRITE_DEADLINE_SECONDS, AmbiguousCommitError, Database, is_away, silence
from tests.conditions import await_condition
from tests.servers import PostgresServer


def ask(connection: Connection) -> int:
    return int(connection.execute(text("SELECT 1")).scalar_one())


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


def test_both_ends_of_a_connection_notice_silence() -> None:
    given = silence.connect_args("postgresql://db/fusionai", lock_timeout=5_000)
    assert given["tcp_user_timeout"] == 1000 * silence.SILENT_SECONDS
    asked = given["keepalives_idle"] + given["keepalives_interval"] * given["keepalives_count"]
    assert asked <= silence.SILENT_SECONDS
    assert "-c tcp_user_timeout=10000" in given["options"] and "-c tcp_keepalives_idle=4" in given["options"]
    assert "-c lock_timeout=5000" in given["options"]


def test_what_the_url_says_of_it_wins() -> None:
    url = "postgresql://db/fusionai?tcp_user_timeout=60000&connect_timeout=9&options=-c%20lock_timeout%3D1"
    given = silence.connect_args(url, lock_timeout=5_000)
    assert "tcp_user_timeout" not in given and "connect_timeout" not in given
    assert given["options"].endswith("-c lock_timeout=1")


def test_the_server_is_told_how_long_a_transaction_may_idle(postgres: PostgresServer) -> None:
    database = Database(postgres.database())
    shown = "SELECT setting::int FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"
    idle = database.read_sync(lambda connection: connection.execute(text(shown)).scalar_one())
    assert 0 < idle < 1000 * WRITE_DEADLINE_SECONDS, "locks are free before those who wait for them give up"
    database.close()


def test_a_transaction_that_idles_after_many_rows_at_once_is_ended_as_well(postgres: PostgresServer) -> None:
    """As psycopg ends an executemany the server's timer would stay turned off."""
    database = Database(postgres.database())
    database.write_sync(lambda connection: connection.execute(text("CREATE TABLE t (a int)")))
    alive = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")

    def hang(connection: Connection) -> None:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 100"))
        connection.execute(text("INSERT INTO t VALUES (:a)"), [{"a": 1}, {"a": 2}])
        await_condition(
            lambda: not database.read_sync(lambda other: other.execute(alive, {"pid": pid}).scalar_one()),
            seconds=10,
            what="the end of the transaction",
        )

    with pytest.raises(AmbiguousCommitError):  # its COMMIT meets a connection that is over
        database.write_sync(hang)
    database.close()


def test_those_who_wait_for_a_silent_server_hear_of_it_together() -> None:
    """Forty at four threads, each of which would wait for two connections, are told after about two."""
    with silent_server() as port, ThreadPoolExecutor(4) as threads:
        database, began = (
            Database(f"postgresql://127.0.0.1:{port}/x?connect_timeout=2&sslmode=disable"),
            clock.monotonic(),
        )
        asked = [threads.submit(database.read_sync, ask) for _ in range(40)]
        errors = [one.exception() for one in asked]
        assert all(isinstance(error, OperationalError) and is_away(error) for error in errors)
        assert clock.monotonic() - began < 8, "of a few times two seconds"
        database.close()


def test_who_connects_in_vain_while_another_is_answered_keeps_nobody_waiting(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is back answers a new connection while older ones still wait for their packets to be sent again.

    Their end, later, says nothing about the server: whoever asks then is answered.
    """
    database, connect = Database(postgres.database()), psycopg.connect
    waiting, may_end = threading.Event(), threading.Event()

    def in_vain(*args: Any, **more: Any) -> Any:
        if threading.current_thread() is not old:
            return connect(*args, **more)
        waiting.set()
        assert may_end.wait(20)
        raise psycopg.OperationalError("connection timeout expired")

    monkeypatch.setattr(psycopg, "connect", in_vain)
    monkeypatch.setattr("shared.db._SLOW_SECONDS", 0)
    refused: list[Exception] = []

    def ask_of_old() -> None:
        try:
            with database._connect():
                pass
        except OperationalError as error:
            refused.append(error)

    old = threading.Thread(target=ask_of_old)
    old.start()
    assert waiting.wait(20)
    assert database.read_sync(ask) == 1
    may_end.set()
    old.join()
    assert refused and database.read_sync(ask) == 1
    database.close()


def test_a_server_that_answers_is_away_no_longer(postgres: PostgresServer) -> None:
    """Whoever began before it was known to be away, and is answered, has everybody else ask it again."""
    database = Database(postgres.database())
    connect = database.engine.connect

    def found_silent_meanwhile() -> Connection:
        database._away_until = clock.monotonic() + 3600
        return connect()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database.engine, "connect", found_silent_meanwhile)
        assert database.read_sync(ask) == 1
    assert database.read_sync(ask) == 1
    database.close()


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_a_url_is_read_in_either_spelling(scheme: str) -> None:
    url = make_url(f"{scheme}://db/x?keepalives_idle=30")
    assert "keepalives_idle" not in silence.connect_args(url)
