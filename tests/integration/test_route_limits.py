"""What every route is limited by, asked over the application itself: bytes of bodies, requests of a key, its files."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from producer.admission import thread_turns
from producer.app import make_app
from producer.context import Context
from producer.dialects.fusionai import jobs
from producer.operations import asked_sends, webhooks
from producer.web import body as bodies
from producer.web import calls
from producer.web.body import SMALL_BYTES
from shared import accounts
from shared.db import Database
from shared.settings import settings
from tests.integration import world
from tests.integration.batch_world import files_of_its_own as files_of_its_own

Scene = Callable[[httpx.AsyncClient, Context], Awaitable[None]]
CHAT = {"model": "gpt-4", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def caller(database: Database) -> AsyncIterator[tuple[httpx.AsyncClient, Context]]:
    """A client with a key of its own, and the context of the application that it asks."""
    app = make_app()
    app.state.context = context = Context(database, world.RecordedBell())
    _, key = database.write_sync(accounts.create_key, world.open_account(database).account_id, "live")
    headers = {"authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x/v1", headers=headers) as client:
        yield client, context
    await context.close()


def play(database: Database, scene: Scene) -> None:
    async def played() -> None:
        async with caller(database) as (client, context):
            await scene(client, context)

    asyncio.run(played())


def test_a_route_that_takes_little_takes_no_large_body(database: Database) -> None:
    async def scene(client: httpx.AsyncClient, context: Context) -> None:
        large = {"url": "https://example.com/" + "a" * SMALL_BYTES}
        for method, path in (("POST", "/webhooks"), ("PUT", "/credits/thresholds"), ("PATCH", "/webhooks/wh_1")):
            answer = await client.request(method, path, json=large)
            assert answer.status_code == 413 and "256 KB" in answer.json()["error"]["message"], path
        text = [{"role": "user", "content": "a" * SMALL_BYTES}]
        answer = await client.post("/jobs", json={"type": "chat.completion", **CHAT, "messages": text})
        assert answer.status_code == 202

    play(database, scene)


def test_a_key_is_told_when_it_asks_too_often_and_may_still_submit(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "key_requests_per_minute", 3)

    async def scene(client: httpx.AsyncClient, context: Context) -> None:
        codes = [(await client.get("/credits")).status_code for _ in range(3)]
        refused = await client.get("/models")
        assert codes == [200] * 3 and refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert refused.json()["error"]["type"] == "rate_limit_exceeded"
        assert (await client.post("/jobs", json={"type": "chat.completion", **CHAT})).status_code == 202

    play(database, scene)


def test_an_account_has_so_many_test_events_a_minute_whatever_webhooks_it_makes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked_sends, "OF_ACCOUNT_PER_MINUTE", 4)
    monkeypatch.setattr(webhooks.receivers, "check", lambda url: None)

    async def scene(client: httpx.AsyncClient, context: Context) -> None:
        codes = []
        for _ in range(3):
            made = (await client.post("/webhooks", json={"url": "https://hooks.example/"})).json()["id"]
            codes += [(await client.post(f"/webhooks/{made}/test")).status_code for _ in range(2)]
            await client.delete(f"/webhooks/{made}")
        assert codes == [200] * 4 + [429] * 2

    play(database, scene)


def test_a_key_has_so_many_requests_under_way(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "key_open_requests", 1)

    async def scene(client: httpx.AsyncClient, context: Context) -> None:
        job = (await client.post("/jobs", json={"type": "chat.completion", **CHAT})).json()["id"]
        waiting = asyncio.create_task(client.get(f"/jobs/{job}", params={"wait": 30}))
        while not context.waiters._waiting:
            await asyncio.sleep(0)
        refused = await client.get("/credits")
        assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
        context.waiters.release_all()
        assert (await waiting).status_code == 200
        assert (await client.get("/credits")).status_code == 200

    play(database, scene)


def test_an_account_may_keep_so_many_bytes_of_files(
    database: Database, monkeypatch: pytest.MonkeyPatch, files_of_its_own: None
) -> None:
    monkeypatch.setattr(settings(), "account_file_bytes", 2500)

    async def scene(client: httpx.AsyncClient, context: Context) -> None:
        async def upload(size: int) -> httpx.Response:
            return await client.post("/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", bytes(size))})

        first = await upload(1000)
        assert first.status_code == 200, first.text
        assert (await upload(600)).status_code == 200
        full = await upload(901)
        assert full.status_code == 403
        assert full.json()["error"]["reason"] == "file_storage_full" and "1,600 of 2,500 bytes" in full.text
        assert (await client.delete(f"/files/{first.json()['id']}")).status_code == 200
        assert (await upload(901)).status_code == 200

    play(database, scene)


def test_the_lines_of_a_batch_count_as_the_file_that_they_become(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "account_file_bytes", 2500)
    line = {"custom_id": "a", "url": "/v1/chat/completions", "body": {**CHAT, "user": "u" * 400}}

    async def scene(client: httpx.AsyncClient, context: Context) -> None:
        lines = [{**line, "custom_id": str(number)} for number in range(4)]
        made = await client.post("/batches", json={"requests": lines})
        assert made.status_code == 200, made.text
        full = await client.post("/batches", json={"requests": lines})
        assert full.status_code == 403 and full.json()["error"]["reason"] == "file_storage_full"
        assert (await client.delete(f"/files/{made.json()['input_file_id']}")).status_code == 409

    play(database, scene)


def test_the_headers_of_a_part_have_a_bound(database: Database) -> None:
    async def scene(client: httpx.AsyncClient, context: Context) -> None:
        for header in (b"X: " + b"a" * 9000, b"a" * 9000 + b": b", b"\r\n".join([b"Xx: " + b"a" * 3000] * 4)):
            part = (
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n' + header + b"\r\n\r\nx\r\n--b--"
            )
            sent = {"content-type": "multipart/form-data; boundary=b"}
            answer = await client.post("/files", content=part, headers=sent)
            assert answer.status_code == 400, answer.text

    play(database, scene)


def test_nothing_that_takes_long_is_done_on_the_loop(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above THREAD_BYTES: parsing, validation, the fingerprint, pricing."""
    monkeypatch.setattr(thread_turns, "THREAD_BYTES", 200)
    seen: dict[str, set[bool]] = {}

    def watched(name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*args: Any, **more: Any) -> Any:
            seen.setdefault(name, set()).add(threading.current_thread() is threading.main_thread())
            return fn(*args, **more)

        return watching

    monkeypatch.setattr(bodies, "_parse", watched("parse", bodies._parse))
    for module in (jobs, calls):
        monkeypatch.setattr(module, "read_submission", watched("validate", module.read_submission))
        monkeypatch.setattr(module, "claim_of", watched("claim", module.claim_of))

    async def scene(client: httpx.AsyncClient, context: Context) -> None:
        monkeypatch.setattr(type(context.acceptor), "prepare", watched("prepare", type(context.acceptor).prepare))
        body = {**CHAT, "messages": [{"role": "user", "content": "a" * 300}]}
        wanted: dict[str, dict[str, Any]] = {
            "/jobs": {"type": "chat.completion", **body},
            "/chat/completions": body,
            "/jobs?": {"jobs": [{"type": "chat.completion", **body}]},
        }
        for path, what in wanted.items():
            headers = {"idempotency-key": path, "prefer": "respond-async"}
            answer = await client.post(path, json=what, headers=headers)
            assert answer.status_code == 202, answer.text

    play(database, scene)
    assert seen == {name: {False} for name in ("parse", "validate", "claim", "prepare")}
