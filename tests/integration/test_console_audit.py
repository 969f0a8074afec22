"""The entry in the audit log of a change that is made in the console: in the transaction of the change."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text
from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.requests import Request

from producer.app import make_app
from producer.console.api import ApiError, Call
from producer.console.visit import Visit
from producer.context import Context
from shared import audit, clock, console_sessions, crash
from shared.db import Database
from shared.db import models as m
from shared.key_holders import KeyHolder
from shared.settings import settings
from tests.integration import batch_world, world
from tests.integration.batch_world import files_of_its_own  # noqa: F401

#: What a change of the console may change: each row of them is looked at.
TABLES = (
    m.jobs,
    m.batches,
    m.webhooks,
    m.deliveries,
    m.thresholds,
    m.auto_top_ups,
    m.invoices,
    m.purchases,
    m.transfers,
)
HOOK = {"url": "http://127.0.0.1:9/hook", "events": ["job.failed"]}
CHAT = {"type": "chat.completion", **world.submission().request, "model": "gpt-4"}
LINES = [batch_world.chat("a"), batch_world.chat("b")]


class Things:
    """An account with one thing of each kind."""

    def __init__(self, database: Database) -> None:
        self.database, self.holder = database, world.open_account(database)
        (self.job,) = world.queued(database, self.holder)
        self.batch = batch_world.new_batch(database, self.holder, LINES)
        self.file = batch_world.upload(database, self.holder, b'{"custom_id": "c"}\n')

    def entries(self) -> list[dict[str, Any]]:
        return self.database.read_sync(audit.entries, self.holder.account_id)

    def state(self) -> Mapping[str, Any]:
        """Every row that a change may change, and the files that can be seen."""
        found = {table.name: world.rows(self.database, table) for table in TABLES}
        return {**found, "files": world.rows(self.database, m.files, status="processed")}


@asynccontextmanager
async def visited(database: Database, holder: KeyHolder) -> AsyncIterator[tuple[Starlette, Visit]]:
    """The app, and a POST of somebody who is signed in with the key."""
    token = database.write_sync(console_sessions.begin, key_id=holder.key_id)
    session = database.read_sync(console_sessions.find, token)
    assert session is not None
    app = make_app()
    app.state.context = context = Context(database, world.RecordedBell())
    scope = {"type": "http", "app": app, "asgi": {"version": "3.0"}, "scheme": "http", "method": "POST", "path": "/"}
    yield app, Visit(Request({**scope, "headers": [], "query_string": b""}), session, token, FormData())
    await context.close()


def upload(content: bytes) -> tuple[Call, bytes]:
    head = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; '
    )
    body = head + b'name="file"; filename="a.jsonl"\r\n\r\n' + content + b"\r\n--b--\r\n"
    return Call("POST", "/v1/files", headers={"Content-Type": "multipart/form-data; boundary=b"}), body


#: What the console's pages send, by what the entry calls it; the ids are those of `Things`.
CHANGES: Mapping[str, Callable[[Things], Call | tuple[Call, bytes]]] = {
    "console.jobs.create": lambda its: Call("POST", "/v1/jobs", body=CHAT),
    "console.jobs.cancel": lambda its: Call("POST", f"/v1/jobs/{its.job}/cancel"),
    "console.files.create": lambda its: upload(b'{"custom_id": "d"}\n'),
    "console.files.delete": lambda its: Call("DELETE", f"/v1/files/{its.file}"),
    "console.batches.create": lambda its: Call("POST", "/v1/batches", body={"input_file_id": its.file}),
    "console.batches.cancel": lambda its: Call("POST", f"/v1/batches/{its.batch}/cancel"),
    "console.webhooks.create": lambda its: Call("POST", "/v1/webhooks", body=HOOK),
    "console.credits.thresholds.set": lambda its: Call(
        "PUT", "/v1/credits/thresholds", body={"thresholds": [{"kind": "remaining", "credits": 7}]}
    ),
    "console.credits.auto_top_up.set": lambda its: Call(
        "PUT", "/v1/credits/auto_top_up", body={"enabled": True, "threshold": 1, "credits": 5, "monthly_limit": 9}
    ),
    "console.invoices.create": lambda its: Call("POST", "/v1/invoices", body={"credits": 50}),
}
#: The same of a webhook that has just been made.
OF_WEBHOOKS: Mapping[str, Callable[[str], Call]] = {
    "console.webhooks.update": lambda id: Call("PATCH", f"/v1/webhooks/{id}", body={"description": "refunds"}),
    "console.webhooks.rotate": lambda id: Call("POST", f"/v1/webhooks/{id}/rotate", body={}),
    "console.webhooks.test": lambda id: Call("POST", f"/v1/webhooks/{id}/test", body={}),
    "console.webhooks.redeliver": lambda id: Call(
        "POST", f"/v1/webhooks/{id}/redeliver", body={"since": clock.now_seconds() - 60, "status": "all"}
    ),
    "console.webhooks.delete": lambda id: Call("DELETE", f"/v1/webhooks/{id}"),
}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "webhooks_allow_loopback", True)


def killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies when a change and its entry are written and not committed: an error, to the database."""

    def point(name: str) -> None:
        if name == "audit.before_commit":
            raise RuntimeError("killed")

    monkeypatch.setattr(crash, "point", point)


async def send(visit: Visit, sent: Call | tuple[Call, bytes]) -> Any:
    call, content = sent if isinstance(sent, tuple) else (sent, b"")
    return (await visit.change(call, content)).data


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_and_its_entry_are_one_transaction(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    its = Things(database)

    async def scene() -> None:
        async with visited(database, its.holder) as (_, visit):
            before = its.state()
            with monkeypatch.context() as dying:
                killed(dying)
                with pytest.raises(ApiError) as refused:
                    await send(visit, CHANGES[name](its))
                assert refused.value.status == 500
            assert its.entries() == [] and its.state() == before
            made = await send(visit, CHANGES[name](its))
            (entry,) = its.entries()
            subject = getattr(its, entry["subject"]["type"], None) if "create" not in name else made["id"]
            assert entry["action"] == name and entry["operator"].startswith("key fusionai_live_")
            assert entry["subject"]["id"] == (subject or "") and its.state() != before

    asyncio.run(scene())


def test_changes_of_a_webhook_are_in_one_with_their_entries(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = Things(database)

    async def scene() -> None:
        async with visited(database, its.holder) as (_, visit):
            id = (await visit.change(Call("POST", "/v1/webhooks", body=HOOK))).data["id"]
            for name, call in OF_WEBHOOKS.items():
                before, entries = its.state(), its.entries()
                with monkeypatch.context() as dying:
                    killed(dying)
                    with pytest.raises(ApiError):
                        await visit.change(call(id))
                assert (its.state(), its.entries()) == (before, entries), name
                await visit.change(call(id))
                newest, *rest = its.entries()
                assert (newest["action"], newest["subject"]["id"], rest) == (name, id, entries)

    asyncio.run(scene())


def test_what_was_done_before_and_what_nobody_does_in_the_console_has_no_entry(database: Database) -> None:
    its = Things(database)

    async def scene() -> None:
        async with visited(database, its.holder) as (_, visit):
            for once in ("a", "a", "b"):
                await visit.change(Call("POST", "/v1/jobs", body=CHAT, headers={"Idempotency-Key": once}))
                await visit.change(Call("POST", "/v1/webhooks", body=HOOK, headers={"Idempotency-Key": f"hook {once}"}))
            await visit.api.send(Call("POST", "/v1/jobs", body=CHAT))
            with pytest.raises(ApiError):
                await visit.change(Call("POST", "/v1/jobs", body={**CHAT, "model": "none"}))

    asyncio.run(scene())
    found = [entry["action"] for entry in its.entries()]
    assert sorted(found) == ["console.jobs.create"] * 2 + ["console.webhooks.create"] * 2


def test_signing_in_and_out_and_looking_at_an_account_are_written_down(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "console", True, raising=False)
    monkeypatch.setattr(settings(), "operator_password", "a long password of the operator")
    holder = world.open_account(database)
    keys = database.write_sync(console_sessions.begin, key_id=holder.key_id)
    operators = database.write_sync(console_sessions.begin, operator="grace")

    async def scene() -> None:
        async with visited(database, holder) as (app, _):
            for token in (keys, operators):
                headers = {"origin": "http://x.example", "cookie": f"fusionai_session={token}"}
                transport = httpx.ASGITransport(app)
                async with httpx.AsyncClient(transport=transport, base_url="http://x.example", headers=headers) as http:
                    page = (await http.get("/console/account" if token == operators else "/console/keys")).text
                    found = re.search(r'name="csrf" value="([^"]+)"', page)
                    assert found is not None
                    if token == operators:
                        form = {"csrf": found[1], "account_id": holder.account_id}
                        assert (await http.post("/console/account", data=form)).headers["location"] == "/console"
                    for _ in range(2):
                        left = await http.post("/console/sign-out", data={"csrf": found[1]})
                        assert left.headers["location"] == "/console/sign-in"

    asyncio.run(scene())
    found = [(one["action"], one["subject"]["id"], one["account_id"]) for one in database.read_sync(audit.entries)]
    of_key = ("console.sign_out", holder.key_id, holder.account_id)
    look = ("console.look_at", holder.account_id, holder.account_id)
    assert found == [("console.sign_out", "grace", None), look, of_key]
    assert database.read_sync(console_sessions.find, keys) is None


def test_entries_of_an_action_are_found_among_any_number_of_others(database: Database) -> None:
    def many(connection: Any) -> None:
        rows = [
            {
                "id": f"aud_{n:06d}",
                "created_at": n,
                "operator": "ada",
                "action": "credits.grant" if n in (5, 17) else "credits.refund" if n == 9 else "console.jobs.cancel",
                "account_id": f"acct_{n % 2}",
                "subject_type": "job",
                "subject_id": "job_1",
            }
            for n in range(5000)
        ]
        connection.execute(m.audit_log.insert(), rows)

    database.write_sync(many)

    def read(account_id: str | None = None, **more: Any) -> list[int]:
        return [int(one["id"][4:]) for one in database.read_sync(audit.entries, account_id, **more)]

    assert read(action="credits") == [17, 9, 5]
    assert read(action="credits.grant", limit=1) == [17] and read(action="credits", after="aud_000017") == [9, 5]
    assert read("acct_1", action="credits") == [17, 9, 5] and read("acct_0", action="credits") == []
    assert read(action="nothing") == [] and read(action="console", limit=2) == [4999, 4998]
    assert read("acct_0", action="console", limit=2, after="aud_000100") == [98, 96]
    wanted = select(m.audit_log).where(m.audit_log.c.action == "credits.grant").order_by(m.audit_log.c.id.desc())
    asked = str(wanted.limit(3).compile(database.engine, compile_kwargs={"literal_binds": True}))
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    plan = database.read_sync(lambda connection: str(connection.execute(text(explain + asked)).all()))
    assert "audit_by_action" in plan
