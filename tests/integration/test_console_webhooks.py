"""The pages of webhooks and events, without a browser: rendered with what the API says, and changing by forms."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from producer.app import make_app
from producer.context import Context
from shared import accounts, console_sessions
from shared.db import Database
from shared.db import models as m
from shared.settings import settings
from tests.integration import world
from workers.webhooks import claims, results
from workers.webhooks.client import SendResult

Scene = Callable[[httpx.AsyncClient, Database], Awaitable[None]]
URL = "http://127.0.0.1:9/hook"


@asynccontextmanager
async def visitor(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a screen, signed in with a key of its own."""
    key_id, _ = database.write_sync(accounts.create_key, world.open_account(database).account_id, "live")
    token = database.write_sync(console_sessions.begin, key_id=key_id)
    app = make_app()
    app.state.context = context = Context(database, world.RecordedBell())
    base = "http://x.example"
    headers = {"origin": base, "cookie": f"fusionai_session={token}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base, headers=headers) as client:
        yield client
    await context.close()


def play(database: Database, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "webhooks_allow_loopback", True)
    monkeypatch.setattr(settings(), "console", True, raising=False)

    async def played() -> None:
        async with visitor(database) as client:
            await scene(client, database)

    asyncio.run(played())


async def seen(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 200, (path, answer.status_code, answer.text[:2000])
    return answer.text


async def sent(client: httpx.AsyncClient, page: str, path: str, **fields: object) -> httpx.Response:
    """A form of a page, sent as a browser does."""
    found = re.search(r'name="csrf" value="([^"]+)"', await seen(client, page))
    assert found is not None
    answer = await client.post(path, data={"csrf": found[1], **fields})
    assert answer.status_code in (200, 303), (path, answer.status_code, answer.text[:2000])
    return answer


def notice(answer: httpx.Response) -> str:
    """The sentence that the next page shows."""
    return base64.urlsafe_b64decode(answer.cookies["fusionai_notice"].strip('"')).decode()


def test_endpoints_are_made_and_each_page_shows_them(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(client: httpx.AsyncClient, database: Database) -> None:
        assert "There is no endpoint yet" in await seen(client, "/console/webhooks")
        assert "No events yet" in await seen(client, "/console/events")
        form = {"url": URL, "description": "<b>Orders</b>", "every": "yes", "once": "n1"}
        first, again = [await sent(client, "/console/webhooks/new", "/console/webhooks/new", **form) for _ in "12"]
        secret = re.search(r"whsec_[A-Za-z0-9+/=]+", first.text)
        assert secret is not None and secret[0] in again.text, "sent twice, it is made once"
        (hook,) = world.rows(database, m.webhooks)
        page = f"/console/webhooks/{hook['id']}"
        listed = await seen(client, "/console/webhooks")
        assert "whsec_" not in listed and "&lt;b&gt;Orders" in listed and "credit.expiring" in listed
        assert "Nothing has been sent to this endpoint yet" in await seen(client, page)
        await sent(client, page, f"{page}/test")
        (waiting,) = world.rows(database, m.deliveries)
        (claimed,) = database.write_sync(claims.claim, [waiting["id"]])
        result = results.result(claimed, SendResult(503, b"<i>down</i>", 0.2))
        database.write_sync(results.record, [result])
        shown = await seen(client, page)
        assert "503" in shown and "&lt;i&gt;down" in shown and "200 ms" in shown and "webhook.test" in shown
        (event,) = world.rows(database, m.events)
        assert "webhook.test" in await seen(client, "/console/events")
        assert "&lt;i&gt;down" in await seen(client, f"/console/events/{event['id']}")

    play(database, scene, monkeypatch)


def test_an_endpoint_is_changed_by_forms(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(client: httpx.AsyncClient, database: Database) -> None:
        await sent(client, "/console/webhooks/new", "/console/webhooks/new", url=URL, every="yes")
        (hook,) = world.rows(database, m.webhooks)
        page = f"/console/webhooks/{hook['id']}"
        await sent(client, f"{page}/edit", f"{page}/edit", url=URL, events=["job.failed", "job.expired"])
        (hook,) = world.rows(database, m.webhooks)
        assert hook["events"] == '["job.expired", "job.failed"]' and hook["description"] is None
        rotated = await sent(client, page, f"{page}/rotate", once="r1")
        leaked = await sent(client, page, f"{page}/rotate", once="r2", leaked="yes")
        assert "for a day" in rotated.text and "sign nothing any more" in leaked.text
        (hook,) = world.rows(database, m.webhooks)
        assert hook["secret"] in leaked.text and hook["previous_secret"] is None
        again = await sent(client, page, f"{page}/redeliver", which="all", period="86400")
        assert again.headers["location"] == page
        await sent(client, page, f"{page}/status", status="disabled")
        assert "Enable" in await seen(client, page)
        await sent(client, page, f"{page}/delete")
        (hook,) = world.rows(database, m.webhooks)
        assert hook["status"] == "deleted"
        actions = {row["action"] for row in world.rows(database, m.audit_log)}
        assert {"console.webhooks.create", "console.webhooks.rotate", "console.webhooks.delete"} <= actions

    play(database, scene, monkeypatch)


def test_what_the_api_refuses_is_said_beside_its_field(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(client: httpx.AsyncClient, database: Database) -> None:
        form = await seen(client, "/console/webhooks/new")
        token = re.search(r'name="csrf" value="([^"]+)"', form)
        assert token is not None
        fields = {"csrf": token[1], "url": "http://10.0.0.1/", "events": "job.failed"}
        answer = await client.post("/console/webhooks/new", data=fields)
        assert answer.status_code == 400 and 'id="e-url"' in answer.text and "http://10.0.0.1/" in answer.text
        assert re.search(r'value="job.failed" checked', answer.text)
        assert world.rows(database, m.webhooks) == []

    play(database, scene, monkeypatch)


def test_types_are_chosen_or_all_and_nothing_chosen_is_an_error(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(client: httpx.AsyncClient, database: Database) -> None:
        new = "/console/webhooks/new"
        page = await seen(client, new)
        assert 'name="was_every"' in page and "http://127.0.0.1" in page, "a loopback address is allowed here"
        csrf = re.search(r'name="csrf" value="([^"]+)"', page)
        assert csrf is not None
        refused = await client.post(new, data={"csrf": csrf[1], "url": URL, "was_every": "yes"})
        assert refused.status_code == 400 and refused.text.count("choose All, or at least one type") == 1
        assert 'id="e-events"' in refused.text and not world.rows(database, m.webhooks)
        await sent(client, new, new, url=URL, every="yes", was_every="yes", events=["job.failed"])
        (hook,) = world.rows(database, m.webhooks)
        assert hook["events"] == '["job.failed"]', "types that are ticked hold, though All was left ticked"
        edit = f"/console/webhooks/{hook['id']}/edit"
        assert 'name="was_every"' not in await seen(client, edit)
        await sent(client, edit, edit, url=URL, every="yes", events=["job.failed"])
        (hook,) = world.rows(database, m.webhooks)
        assert hook["events"] == '["*"]', "All, ticked last, holds"

    play(database, scene, monkeypatch)


def test_sending_again_says_why_nothing_is_sent(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(client: httpx.AsyncClient, database: Database) -> None:
        await sent(client, "/console/webhooks/new", "/console/webhooks/new", url=URL, every="yes")
        (hook,) = world.rows(database, m.webhooks)
        page = f"/console/webhooks/{hook['id']}"
        nothing = await sent(client, page, f"{page}/redeliver", which="failed", period="86400")
        assert notice(nothing).endswith("no delivery of that time has failed for good.")
        await sent(client, page, f"{page}/test")
        (waiting,) = world.rows(database, m.deliveries)
        (claimed,) = database.write_sync(claims.claim, [waiting["id"]])
        database.write_sync(results.record, [results.result(claimed, SendResult(503, b"", 0.2))])
        nothing = await sent(client, page, f"{page}/redeliver", which="failed", period="86400")
        assert "1 is being retried, next at 20" in notice(nothing)

    play(database, scene, monkeypatch)
