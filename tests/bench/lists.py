"""Lists: how long a page of jobs takes by each filter, of an account that has a million, on SQLite and PostgreSQL."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, insert, text

from producer.operations import jobs as jobs_ops
from producer.operations.job_filters import read_filter
from producer.operations.pages import PageQuery
from shared import accounts, clock, key_holders
from shared.db import Database
from shared.db import models as m
from shared.key_holders import KeyHolder
from tests.bench.stack import temporary_directory
from tests.bench.table import row
from tests.servers import PostgresServer, migrated_sqlite

#: The longest that a page may take, in seconds.
BAR: Final = 0.1
CHUNK: Final = 10_000
TRIES: Final = 5
#: Filters whose jobs are many, few, none, and scattered over all of them.
FILTERS: Final[Mapping[str, Mapping[str, str]]] = {
    "without a filter": {},
    "succeeded": {"status": "succeeded"},
    "failed, 1 in 100,000": {"status": "failed"},
    "queued or running": {"status": "queued,running"},
    "of a model with a few jobs": {"model": "rare"},
    "of a type without jobs": {"type": "image"},
    "by metadata": {"metadata.team": "search"},
    "failed, of a model with a few jobs": {"status": "failed", "model": "rare"},
}


def lists_rows(count: int) -> None:
    """Fill a database of each kind with so many ended jobs of one account, then ask for pages."""
    with temporary_directory() as directory:
        _measure("SQLite", migrated_sqlite(Path(directory) / "lists.sqlite3"), count)
    server = PostgresServer()
    try:
        _measure("PostgreSQL", server.migrated(), count)
    finally:
        server.stop()


def _measure(kind: str, url: str, count: int) -> None:
    database = Database(url)
    try:
        holder = database.write_sync(_open)
        for start in range(0, count, CHUNK):
            database.write_sync(_fill, holder, start, min(start + CHUNK, count), count)
        database.write_sync(lambda connection: connection.execute(text("ANALYZE")))
        for name, given in FILTERS.items():
            seconds, more = min(_page(database, holder, given) for _ in range(TRIES))
            rest = ", continued by its cursor" if more else ""
            row(f"a page of {count:,} jobs, {kind}: {name}{rest}", f"{seconds * 1000:.0f} ms", "100 ms", seconds <= BAR)
    finally:
        database.close()


def _page(database: Database, holder: KeyHolder, given: Mapping[str, str]) -> tuple[float, bool]:
    began = time.perf_counter()
    found = database.read_sync(jobs_ops.list_jobs, holder, PageQuery(limit=25), read_filter(given))
    return time.perf_counter() - began, "incomplete" in found


def _open(connection: Connection) -> KeyHolder:
    account = accounts.create_account(connection, "lists", "enterprise")
    found = key_holders.find_key(connection, accounts.create_key(connection, account, "live")[1])
    assert found is not None
    return found


def _fill(connection: Connection, holder: KeyHolder, start: int, stop: int, count: int) -> None:
    jobs, payloads = [], []
    for number in range(start, stop):
        id, now = clock.new_id("job"), clock.now_micros()
        status = "failed" if number % 100_000 == 7 else "queued" if number > count - 5 else "succeeded"
        jobs.append(_job(holder, id, now, status, "rare" if number % 200_000 == 9 else "gpt-4"))
        labels = '{"team": "search"}' if number % 100_000 == 11 else None
        payloads.append({"job_id": id, "request": '{"messages": []}', "offers": "[]", "labels": labels})
    connection.execute(insert(m.jobs), jobs)
    connection.execute(insert(m.job_payloads), payloads)


def _job(holder: KeyHolder, id: str, now: int, status: str, model: str) -> dict[str, Any]:
    return {
        "id": id,
        "account_id": holder.account_id,
        "key_id": holder.key_id,
        "type": "chat.completion",
        "model": model,
        "test": False,
        "status": status,
        "queue": "openai.realtime",
        "lane": "realtime",
        "run_at": 0,
        "expires_at": now + 86_400 * clock.MICROS,
        "lease_epoch": 1,
        "created_at": now,
        "finished_at": None if status == "queued" else now,
    }
