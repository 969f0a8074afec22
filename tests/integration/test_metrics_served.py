"""How /metrics is served: one collection at a time, at most one a second, by the indexes alone; 503 and no hang without
a database; on a port of its own, which web processes share.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from producer import metrics
from producer.metrics import Metrics, readings
from shared import processes
from shared.db import Database
from shared.environment import inherited
from tests import starting
from tests.conditions import await_condition
from tests.integration.attempts import NOWHERE
from tests.servers import PostgresServer, free_port, migrated_sqlite


def test_a_million_queued_jobs_are_counted_by_their_indexes_alone(tmp_path: Path) -> None:
    url = migrated_sqlite(tmp_path / "a.sqlite3")
    database = Database(url)
    for waiting, index in zip(readings._WAITING, ("jobs_to_wake", "jobs_woken", "jobs_deferred"), strict=True):
        plan = f"EXPLAIN QUERY PLAN SELECT queue, count(*) FROM jobs WHERE {waiting} GROUP BY queue"
        step, *more = database.read_sync(lambda connection, plan=plan: connection.execute(text(plan)).all())
        assert step[3] == f"SCAN jobs USING INDEX {index}"
        # Those put off are in the order of their times, and so are sorted; the others are not.
        assert [one[3] for one in more] == (["USE TEMP B-TREE FOR GROUP BY"] if index == "jobs_deferred" else [])
    database.close()


class Counting(Database):
    """A database that counts its reads and how many are under way at once."""

    def __init__(self, real: Database) -> None:
        self.__dict__.update(real.__dict__)
        self.reads = self.now = self.most = 0

    async def read(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        self.reads, self.now = self.reads + 1, self.now + 1
        self.most = max(self.most, self.now)
        try:
            return await Database.read(self, fn, *args, **kwargs)
        finally:
            self.now -= 1


def test_many_who_ask_at_once_have_one_collection_made(database: Database) -> None:
    counting = Counting(database)

    async def main() -> None:
        answers = Metrics(counting, NOWHERE)
        assert len(set(await asyncio.gather(*(answers.text() for _ in range(50))))) == 1
        await answers.text()
        assert counting.reads == 1
        answers._collected -= metrics.FRESH_SECONDS
        await asyncio.gather(*(answers.text() for _ in range(50)))
        assert (counting.reads, counting.most) == (2, 1)

    asyncio.run(main())


def test_a_collection_that_fails_is_tried_again_by_the_next_who_asks(database: Database) -> None:
    class Broken(Counting):
        async def read(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
            value = await super().read(fn, *args, **kwargs)
            if self.reads == 1:
                raise ConnectionError("away")
            return value

    async def main() -> None:
        answers = Metrics(Broken(database), NOWHERE)
        with pytest.raises(ConnectionError):
            await answers.text()
        assert b"fusionai_jobs_queued" in await answers.text()

    asyncio.run(main())


def started(url: str, directory: Path, port: int, **given: Any) -> starting.Process:
    """A web process on a database, and a broker that is away; `given` are settings of its own."""
    env = {**inherited(), "FUSIONAI_DATABASE_URL": url, "FUSIONAI_PORT": str(port)}
    env |= {"FUSIONAI_REDIS_URL": f"redis://127.0.0.1:{free_port()}", "FUSIONAI_STATE_DIRECTORY": str(directory)}
    env |= {f"FUSIONAI_{name}": str(value) for name, value in given.items()}
    with (directory / "web.log").open("ab") as output:
        return starting.start("producer.app", env, output)


@contextmanager
def web(url: str, directory: Path, **given: Any) -> Iterator[str]:
    """Such a process; its address."""
    process = started(url, directory, port := free_port(), **given)
    try:
        address = f"http://127.0.0.1:{port}"
        await_condition(lambda: lives(address), what="the web process")
        yield address
    finally:
        processes.kill(process)
        process.wait()


def lives(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False


AWAY = {"status": "unavailable", "database": False}


def test_without_a_database_it_is_503(tmp_path: Path) -> None:
    with web("postgresql://nobody@127.0.0.1:1/nowhere", tmp_path) as address:
        for path in ("/readyz", "/metrics"):
            answer = httpx.get(address + path, timeout=10)
            assert answer.status_code == 503 and answer.json() == AWAY, path


def test_a_database_that_hangs_does_not_hang_it(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.migrated()
    holder = Database(url)
    locked, over = threading.Event(), threading.Event()

    def hold(connection: Any) -> None:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
        locked.set()
        over.wait(30)

    thread = threading.Thread(target=holder.write_sync, args=(hold,))
    with web(url, tmp_path) as address:
        assert httpx.get(f"{address}/metrics", timeout=10).status_code == 200
        thread.start()
        try:
            assert locked.wait(10)
            await_condition(lambda: httpx.get(f"{address}/metrics", timeout=8).status_code == 503)
            assert httpx.get(f"{address}/metrics", timeout=8).json() == AWAY
        finally:
            over.set()
            thread.join()
        await_condition(lambda: httpx.get(f"{address}/metrics", timeout=8).status_code == 200)
    holder.close()


def at(port: int, path: str = "/metrics") -> httpx.Response:
    """Asked of that port on a connection of its own."""
    return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10)


def test_a_port_of_its_own_serves_it_and_nothing_else_and_the_api_does_not(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    own = free_port()
    with web(postgres.migrated(), tmp_path, METRICS_PORT=own) as address:
        shown = at(own)
        assert shown.status_code == 200 and "fusionai_credits_held" in shown.text and "x-request-id" in shown.headers
        hidden = httpx.get(f"{address}/metrics", timeout=10)
        assert hidden.status_code == 404 and hidden.json()["error"]["type"] == "not_found"
        assert "/metrics" not in httpx.get(f"{address}/openapi.json", timeout=10).json()["paths"]
        for path in ("/", "/healthz", "/v1/models", "/openapi.json", "/metrics/"):
            assert at(own, path).status_code == 404, path
        assert httpx.post(f"http://127.0.0.1:{own}/metrics", timeout=10).status_code == 405


def test_web_processes_share_the_port_and_it_lives_as_long_as_one_of_them(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    own, url = free_port(), postgres.migrated()
    with web(url, tmp_path, METRICS_PORT=own):
        with web(url, tmp_path, METRICS_PORT=own) as second:
            assert {at(own).status_code for _ in range(20)} == {200}
            assert httpx.get(f"{second}/readyz", timeout=10).status_code == 200
        assert {at(own).status_code for _ in range(20)} == {200}


def test_a_port_that_another_program_has_ends_the_start_and_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        own = other.getsockname()[1]
        process = started(migrated_sqlite(tmp_path / "a.sqlite3"), tmp_path, free_port(), METRICS_PORT=own)
        try:
            assert process.wait(30) != 0
        finally:
            processes.kill(process)
    said = (tmp_path / "web.log").read_text()
    assert f"FUSIONAI_METRICS_PORT: 127.0.0.1 port {own}: cannot listen" in said and "Traceback" not in said
