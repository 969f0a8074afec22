"""Storage that is away, or hangs: who asks is told 503 with Retry-After, and what needs it waits."""

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from producer.admission import idempotency
from producer.app import make_app
from producer.context import Context
from producer.operations import files
from shared import accounts, clock
from shared.db import Database
from shared.db import models as m
from shared.errors import StorageAway
from shared.files import blobs, images
from tests.integration import batch_world, world
from tests.integration.batch_world import chat, files_of_its_own  # noqa: F401
from workers.batches import releasing, scheduler
from workers.batches.scheduler import BatchScheduler

INLINE = {"custom_id": "a", "url": "/v1/embeddings", "body": {"model": "text-embedding-3-large", "input": "x"}}
LINE = json.dumps({**INLINE, "method": "POST"}).encode() + b"\n"


@pytest.fixture(autouse=True)
def _virtual() -> Iterator[None]:
    with world.virtual_time():
        yield


def served(database: Database, play: Callable[[httpx.AsyncClient], Awaitable[None]]) -> str:
    """Play something at the front of a new account; the account's id."""
    holder = world.open_account(database)
    _, key = database.write_sync(accounts.create_key, holder.account_id, "live")

    async def scene() -> None:
        app = make_app()
        app.state.context = Context(database, world.RecordedBell())
        headers = {"authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/v1", headers=headers) as client:
            await play(client)
        await app.state.context.close()

    asyncio.run(scene())
    return holder.account_id


async def upload(client: httpx.AsyncClient, content: bytes = LINE) -> httpx.Response:
    return await client.post("/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", content)})


def away(*args: Any, **more: Any) -> Any:
    raise OSError("SlowDown: please reduce your request rate (503)")


@contextlib.contextmanager
def storage_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The store itself refuses everything, as a bucket does."""
    with monkeypatch.context() as broken:
        for name in ("writer", "reader", "size", "delete"):
            broken.setattr(f"shared.files.blob_stores.Directory.{name}", away)
        yield


def refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503, (answer.status_code, answer.text)
    assert answer.json()["error"]["type"] == "unavailable" and int(answer.headers["retry-after"]) > 0


def test_whoever_needs_storage_is_told_to_come_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    name = images.put("job_1-0", b"\x89PNG")
    link = images.link(name)

    async def play(client: httpx.AsyncClient) -> None:
        kept = (await upload(client)).json()
        with storage_away(monkeypatch):
            refused(await upload(client))
            refused(await client.get(f"/files/{kept['id']}/content"))
            refused(await client.post("/batches", json={"dry_run": True, "input_file_id": kept["id"]}))
            refused(await client.post("/batches", json={"requests": [INLINE]}))
            refused(await client.get(link.partition("/v1")[2]))
        with monkeypatch.context() as broken:
            broken.setattr("shared.files.blob_stores.Directory.reader", lambda *_: Broken())
            refused(await client.get(f"/files/{kept['id']}/content"))
            refused(await client.post("/batches", json={"dry_run": True, "input_file_id": kept["id"]}))
            refused(await client.get(link.partition("/v1")[2]))
        assert (await client.get(link.partition("/v1")[2])).status_code == 200
        assert (await client.get(f"/files/{kept['id']}/content")).content == LINE
        assert (await client.post("/batches", json={"requests": [INLINE]})).status_code == 200

    account_id = served(database, play)
    assert len(world.rows(database, m.files, account_id=account_id, status="uploading")) == 0


def test_storage_that_hangs_is_waited_for_no_longer_than_a_while(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many uploads hang that every thread does, and the parsing of another goes on all the same."""
    monkeypatch.setattr(files, "STORAGE_SECONDS", 0.05)
    back = threading.Event()

    @contextlib.contextmanager
    def hanging(store: Any, name: str) -> Iterator[Any]:
        back.wait(60)
        raise OSError("too late")
        yield

    async def play(client: httpx.AsyncClient) -> None:
        with monkeypatch.context() as broken:
            broken.setattr("shared.files.blob_stores.Directory.writer", hanging)
            try:
                for answer in await asyncio.gather(*(upload(client) for _ in range(12))):
                    refused(answer)
            finally:
                back.set()

    served(database, play)


class Broken(io.RawIOBase):
    """A blob that is there, and cannot be read or written."""

    readinto = write = away


def test_a_read_or_write_that_fails_midway_is_storage_away() -> None:
    with pytest.raises(StorageAway):
        blobs._Raw("files/a", Broken()).read(10)  # type: ignore[arg-type]
    with pytest.raises(StorageAway):
        blobs.BlobWriter("files/a", Broken()).write(b"x")  # type: ignore[arg-type]


def test_a_file_without_a_name_gets_one(database: Database) -> None:
    """As `curl -F 'file=<lines.jsonl'` and some SDKs send it."""
    form = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    form += b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n%s\r\n--b--\r\n' % LINE

    async def play(client: httpx.AsyncClient) -> None:
        kind = {"content-type": "multipart/form-data; boundary=b"}
        answer = await client.post("/files", content=form, headers=kind)
        assert answer.status_code == 200 and answer.json()["filename"] == "upload.jsonl", answer.text
        assert (await client.get(f"/files/{answer.json()['id']}/content")).content == LINE

    served(database, play)


@pytest.mark.parametrize("state", ["reading", "making", "rendering"])
def test_a_batch_waits_for_storage(database: Database, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    monkeypatch.setattr(scheduler, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(releasing, "CHUNK", 1)
    monkeypatch.setattr(releasing, "SLICE_SECONDS", 0.0)
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat(name) for name in "abc"])
    process = BatchScheduler(database, world.RecordedBell())
    while state != "reading" and not batch_world.job_ids(database, id):
        process.run_once()
    if state == "rendering":
        process = batch_world.take_turns(database)
        leased = world.take(database, world.new_worker(database), batch_world.job_ids(database, id))
        world.settle(database, *(world.good_end(job, 1) for job in leased))
    process.close()
    process = BatchScheduler(database, world.RecordedBell())
    with storage_away(monkeypatch):
        for _ in range(10):
            process.run_once()
        seen = batch_world.shown(database, holder, id)
        assert seen["status"] in ("validating", "in_progress", "finalizing") and seen["errors"] is None
    while process.run_once() or process._not_before:
        pass
    assert len(batch_world.job_ids(database, id)) == 3
    assert batch_world.row(database, id)["status"] == ("completed" if state == "rendering" else "in_progress")
    assert world.violations(database) == []


def test_an_input_file_that_cannot_be_found_is_looked_for(database: Database) -> None:
    """Storage that is not mounted looks like a directory without files."""
    holder = world.open_account(database)
    id = batch_world.new_batch(database, holder, [chat("a")])
    blobs.delete(f"files/{batch_world.row(database, id)['input_file_id']}")
    batch_world.take_turns(database)
    assert batch_world.row(database, id)["status"] == "validating"
    clock.shift(2 * 3600 * clock.MICROS)
    batch_world.take_turns(database)
    (error,) = batch_world.shown(database, holder, id)["errors"]["data"]
    assert error["code"] == "file_not_found"


def test_while_storage_hangs_a_cancelled_batch_is_ended_all_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "HANGS_SECONDS", -1.0)  # whatever fails has hung
    monkeypatch.setattr(scheduler, "SPARED", 1e6)
    reading, stopped = world.open_account(database), world.open_account(database)
    cancelled = batch_world.new_batch(database, stopped, [chat("a")])
    batch_world.take_turns(database)
    process = BatchScheduler(database, world.RecordedBell())
    waiting = [batch_world.new_batch(database, reading, [chat("a")]) for _ in range(3)]
    with storage_away(monkeypatch):
        while not process._errors:
            process.run_once()
        database.write_sync(batch_world.producer_batches.cancel, stopped, cancelled)
        while batch_world.row(database, cancelled)["cancelled"] < 1:
            process.run_once()
    assert len(process._errors) == 1, "the others of the same storage are not tried meanwhile"
    assert {batch_world.row(database, id)["status"] for id in waiting} == {"validating"}


@pytest.mark.parametrize("path", ["/batches", "/batches/{id}/retry"])
def test_an_earlier_answer_that_is_forgotten_just_now_is_given_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Its idempotency row is there when it is looked for, and gone when the answer is read from it."""
    monkeypatch.setattr(idempotency, "is_known", lambda connection, claim: True)

    async def play(client: httpx.AsyncClient) -> None:
        body: dict[str, Any] = {"requests": [INLINE]}
        answer = await client.post("/batches", json=body, headers={"idempotency-key": "k"})
        assert answer.status_code == 200 and answer.json()["status"] == "validating", answer.text
        id = answer.json()["id"]
        if path != "/batches":
            await asyncio.to_thread(batch_world.take_turns, database)
            leased = world.take(database, world.new_worker(database), batch_world.job_ids(database, id))
            error = {"message": "no", "type": "upstream_error", "code": 502}
            ends = [world.Ending(job.id, job.epoch, "failed", error=error) for job in leased]
            world.settle(database, *ends)
            await asyncio.to_thread(batch_world.take_turns, database)
            answer = await client.post(path.format(id=id), headers={"idempotency-key": "r"})
            assert answer.status_code == 200 and answer.json()["retry_of"] == id, answer.text

    served(database, play)
