"""Keys on both databases: none can be had from a dump, typos cost no look-up, their last use is written down."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from producer.admission import auth
from producer.admission.auth import Keys
from producer.app import make_app
from producer.context import Context
from producer.operations import jobs as jobs_ops
from producer.operations.pages import PageQuery
from shared import accounts, clock, key_holders
from shared.db import Database
from shared.db import models as m
from shared.errors import NotFound, Unauthorized
from shared.key_holders import KeyHolder
from shared.key_texts import Mode, well_formed
from shared.key_texts import new_key as new_key_text
from tests.integration import world


class Counted(Database):
    """Counts its reads and writes."""

    reads = writes = 0

    async def read(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        self.reads += 1
        return await super().read(fn, *args, **kwargs)

    async def write(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        self.writes += 1
        return await super().write(fn, *args, **kwargs)


@pytest.fixture
def counted(database_url: str) -> Iterator[Counted]:
    """A database that counts."""
    opened = Counted(database_url)
    yield opened
    opened.close()


def new_key(database: Database, mode: Mode = "live", **more: Any) -> tuple[str, str]:
    """A key of a new account: its id, and the key."""
    account = world.open_account(database).account_id
    return database.write_sync(lambda connection: accounts.create_key(connection, account, mode, **more))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def last_used(database: Database, id: str) -> int | None:
    (row,) = world.rows(database, m.api_keys, id=id)
    used: int | None = row["last_used_at"]
    return used


def texts(database: Database) -> list[str]:
    """Every text that a dump of the database has."""
    found: list[str] = []
    for table in m.metadata.tables.values():
        for row in world.rows(database, table):
            found += [value for value in row.values() if isinstance(value, str)]
    return found


def test_nothing_in_a_dump_is_a_key_or_tells_one(database: Database) -> None:
    holder = world.open_account(database)

    def make(mode: Mode) -> str:
        return database.write_sync(accounts.create_key, holder.account_id, mode)[1]

    keys = [make("live"), make("test"), make("live")]
    headers = {"Idempotency-Key": "k"}
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/v1/jobs", {"type": "embedding", "model": "text-embedding-3-large", "input": "a"}),
        ("POST", "/v1/jobs", {"nonsense": True}),
        ("POST", "/v1/batches", {"requests": []}),
        ("PUT", "/v1/credits/thresholds", {"thresholds": []}),
    ]

    async def scene() -> None:
        app = make_app()
        app.state.context = Context(database, world.RecordedBell())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for key in keys:
                for method, path, body in requests:
                    await client.request(method, path, json=body, headers={**bearer(key), **headers})
        await app.state.context.close()

    asyncio.run(scene())
    database.write_sync(accounts.revoke_key, keys[2])
    dump = texts(database)
    assert len(dump) > 50 and any(key[:18] in dump for key in keys)
    written = re.compile(r"fusionai_(?:live|test)_[0-9A-Za-z]+")
    candidates = {piece for text in dump for piece in (text, *written.findall(text))}
    for text in candidates:
        assert not well_formed(text)
        assert database.read_sync(key_holders.find_key, text) is None
    everything = "\n".join(dump)
    for key in keys:
        assert key[18:] not in everything and key[14:] not in everything
        for digest in (hashlib.sha256, hashlib.md5, hashlib.sha1):
            assert digest(key.encode()).hexdigest() not in everything, "a hash without the secret can be tried out"


def test_a_typo_is_refused_without_a_look_at_the_database(counted: Counted) -> None:
    _, key = new_key(counted)

    async def scene() -> None:
        keys = Keys(counted)
        for at in range(14, len(key)):
            typo = key[:at] + ("a" if key[at] != "a" else "b") + key[at + 1 :]
            with pytest.raises(Unauthorized):
                await keys.holder(typo)
        with pytest.raises(Unauthorized):
            await keys.holder(key.replace("_live_", "_test_"))
        assert counted.reads == 0
        await keys.holder(key)
        assert counted.reads == 1

    asyncio.run(scene())


def test_a_crowd_with_one_key_looks_it_up_once_a_second(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "TRUST_SECONDS", 0.2)
    id, key = new_key(counted)

    async def scene() -> None:
        keys = Keys(counted)
        await asyncio.gather(*(keys.holder(key) for _ in range(100)))
        assert counted.reads == 1
        await asyncio.to_thread(counted.write_sync, accounts.revoke_key, id)
        refused = asyncio.Event()
        began = clock.monotonic()
        while not refused.is_set():
            assert clock.monotonic() - began < 5
            try:
                await keys.holder(key)
            except Unauthorized:
                refused.set()
            await asyncio.sleep(0.01)
        assert counted.reads == 2

    asyncio.run(scene())


def test_an_expired_key_is_refused_in_the_words_of_an_unknown_one(database: Database) -> None:
    soon = clock.now_micros() + 3600 * clock.MICROS
    _, expiring = new_key(database, expires_at=soon)
    id, revoked = new_key(database)
    database.write_sync(accounts.revoke_key, id)

    async def refusal(keys: Keys, key: str) -> str:
        with pytest.raises(Unauthorized) as refused:
            await keys.holder(key)
        return refused.value.message

    async def scene() -> None:
        keys = Keys(database)
        assert (await keys.holder(expiring)).mode == "live"
        with world.virtual_time():
            clock.shift(3600 * clock.MICROS)
            said = {await refusal(keys, key) for key in (expiring, revoked, new_key_text("live"))}
        assert len(said) == 1 and "expired" in said.pop()

    asyncio.run(scene())


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.01)


def test_a_use_is_recorded_at_most_once_a_minute(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "LOOK_SECONDS", 0.01)
    id, key = new_key(counted)
    began = clock.now_micros()

    async def scene() -> None:
        keys = Keys(counted)
        looking = asyncio.create_task(keys.run())
        await keys.holder(key)
        await until(lambda: last_used(counted, id))
        first = last_used(counted, id)
        assert first is not None and began <= first <= clock.now_micros() and counted.writes == 1
        with world.virtual_time():
            for _ in range(5):
                clock.shift(11 * clock.MICROS)
                await keys.holder(key)
                await asyncio.sleep(0.05)
            assert last_used(counted, id) == first and counted.writes == 1
            clock.shift(6 * clock.MICROS)
            await keys.holder(key)
            await until(lambda: last_used(counted, id) != first)
            assert counted.writes == 2
        looking.cancel()

    asyncio.run(scene())


def test_a_clean_end_loses_no_use_and_an_older_one_replaces_none(database: Database) -> None:
    id, key = new_key(database)

    async def scene() -> None:
        one, other = Keys(database), Keys(database)
        await one.holder(key)
        with world.virtual_time():
            clock.shift(5 * clock.MICROS)
            await other.holder(key)
            latest = clock.now_micros()
        await other.close()
        assert abs((last_used(database, id) or 0) - latest) < clock.MICROS
        await one.close()
        assert abs((last_used(database, id) or 0) - latest) < clock.MICROS, "the later use stays"
        await one.close()

    asyncio.run(scene())


def test_two_processes_record_one_use_a_minute(database: Database) -> None:
    id, _ = new_key(database)
    now = clock.now_micros()
    for used, noted in [(now, now), (now + 59 * clock.MICROS, now), (now + 61 * clock.MICROS, now + 61 * clock.MICROS)]:
        database.write_sync(key_holders.record_uses, {id: used}, older_seconds=60)
        assert last_used(database, id) == noted


def test_live_and_test_keys_do_not_see_each_others_jobs(database: Database) -> None:
    live = world.open_account(database)
    test = KeyHolder("key_test", live.account_id, "test", None)
    ids = {"live": world.queued(database, live)[0], "test": world.queued(database, test)[0]}
    for holder, mine, others in ((live, ids["live"], ids["test"]), (test, ids["test"], ids["live"])):
        listed = database.read_sync(jobs_ops.list_jobs, holder, PageQuery(), ids=list(ids.values()))
        assert [job["id"] for job in listed["data"]] == [mine]
        assert database.read_sync(jobs_ops.show_job, holder, mine)["id"] == mine
        for operation in (jobs_ops.show_job, jobs_ops.cancel_job):
            with pytest.raises(NotFound):
                database.write_sync(operation, holder, others)
    statuses = database.read_sync(lambda c: set(c.execute(select(m.jobs.c.status)).scalars()))
    assert statuses == {"queued"}


def test_a_beginning_is_taken_letter_for_letter(database: Database) -> None:
    """What is told in other letters, or with a wildcard, is another key, or none: nobody else's is listed or ended."""
    id, key = new_key(database)
    start = key[:14]
    database.write_sync(
        lambda c: c.execute(update(m.api_keys).where(m.api_keys.c.id == id).values(prefix=start + "aB_9"))
    )
    for told in ("Ab_9", "ab_9", "aBx9", "a%", "aB__"):
        words = start + told
        assert database.read_sync(accounts.list_keys, prefix=words) == [], words
        with pytest.raises(NotFound):
            database.write_sync(accounts.revoke_key, words)
    assert [one["id"] for one in database.read_sync(accounts.list_keys, prefix=start + "aB_")] == [id]
    assert database.write_sync(accounts.revoke_key, start + "aB_9") == id
