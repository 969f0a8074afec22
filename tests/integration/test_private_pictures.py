"""A provider that fetches pictures from a network of ours is given no address of a private host, by any way in."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from producer.app import make_app
from producer.context import Context
from shared import accounts
from shared.db import Database
from shared.db import models as m
from shared.settings import settings
from shared.submissions import catalogue
from tests import catalogues
from tests.integration import batch_world, world
from tests.integration.batch_world import files_of_its_own as files_of_its_own
from tests.pictures import data_url, png

ROWS = catalogues.served("hosted").replace("[providers.hosted]", "[providers.hosted]\nfetches_privately = true")
#: By a provider elsewhere, which goes on to the hosted one when it fails.
FALLING = catalogues.served("afar").replace('upstream = "afar"', 'upstream = "afar"\nfallbacks = ["hosted"]')
PRIVATE = ("https://169.254.169.254/latest/meta-data/", "https://metadata.google.internal/", "https://10.0.0.1/a.png")
PUBLIC = "https://pictures.example/a.png"
PLACE = "messages[1].content[1].image_url.url"


@pytest.fixture(autouse=True)
def _hosted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(settings(), "catalogue", catalogues.written(tmp_path, ROWS, FALLING))
    catalogue.forget()
    yield
    catalogue.forget()


def body(url: str, model: str = "hosted", **more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]
    turns = [{"role": "system", "content": "hi"}, {"role": "user", "content": content}]
    return {"model": model, "messages": turns, "max_tokens": 5, **more}


def job(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "chat.completion", **body(url, **more)}


def line(custom_id: str, url: str) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body(url)}


def play(database: Database, scene: Callable[[httpx.AsyncClient], Awaitable[None]], *, mode: Any = "live") -> str:
    """Play something at the front with a key of a new account; the account's id."""
    holder = world.open_account(database)
    _, key = database.write_sync(accounts.create_key, holder.account_id, mode)

    async def played() -> None:
        app = make_app()
        app.state.context = Context(database, world.RecordedBell())
        headers, transport = {"authorization": f"Bearer {key}"}, httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x/v1", headers=headers) as client:
            await scene(client)
        await app.state.context.close()

    asyncio.run(played())
    return holder.account_id


def check_refused(answer: httpx.Response, place: str) -> None:
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["type"] == "invalid_request" and error["param"] == place, answer.text
    assert error["message"].startswith(
        f"{place}: hosted, which serves hosted, is not allowed to fetch from this host ("
    )


@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_job_and_a_list_are_refused_whole_and_name_the_place(database: Database, mode: str) -> None:
    async def scene(client: httpx.AsyncClient) -> None:
        for url in PRIVATE:
            check_refused(await client.post("/jobs", json=job(url)), PLACE)
            check_refused(await client.post("/chat/completions", json=body(url)), PLACE)
            listed = {"jobs": [job(PUBLIC), job(url)]}
            check_refused(await client.post("/jobs", json=listed), f"jobs[1].{PLACE}")

    assert world.rows(database, m.jobs, account_id=play(database, scene, mode=mode)) == []


def test_public_addresses_and_base64_are_taken_and_so_is_anything_for_who_fetches_elsewhere(database: Database) -> None:
    async def scene(client: httpx.AsyncClient) -> None:
        for one in (job(PUBLIC), job(data_url(png())), *(job(url, model="gpt-4") for url in PRIVATE)):
            assert (await client.post("/jobs", json=one)).status_code == 202, one

    assert len(world.rows(database, m.jobs, account_id=play(database, scene))) == 5


def test_a_fallback_that_is_asked_for_is_refused_and_a_rows_own_is_passed_over(database: Database) -> None:
    async def scene(client: httpx.AsyncClient) -> None:
        asked = job(PRIVATE[0], model="gpt-4", routing={"fallbacks": ["hosted"]})
        check_refused(await client.post("/jobs", json=asked), PLACE)
        for url, served in ((PRIVATE[0], ["afar"]), (PUBLIC, ["afar", "hosted"])):
            id = (await client.post("/jobs", json=job(url, model="afar"))).json()["id"]
            (kept,) = world.rows(database, m.job_payloads, job_id=id)
            assert [offer["provider"] for offer in json.loads(kept["offers"])] == served

    play(database, scene)


def test_a_batchs_lines_and_its_dry_run_are_refused_alike(database: Database) -> None:
    lines = [line("good", PUBLIC), *(line(f"bad-{n}", url) for n, url in enumerate(PRIVATE))]
    made: list[str] = []

    async def scene(client: httpx.AsyncClient) -> None:
        quoted = (await client.post("/batches", json={"requests": lines, "dry_run": True})).json()
        made.append(json.dumps(quoted))
        made.append((await client.post("/batches", json={"requests": lines})).json()["id"])

    account_id = play(database, scene)
    batch_world.take_turns(database)
    errors = json.loads(batch_world.row(database, made[1])["errors"])
    assert [(one["line"], one["param"]) for one in errors] == [(n, f"body.{PLACE}") for n in (2, 3, 4)]
    assert made[0].count("is not allowed to fetch from this host") == 3
    assert world.rows(database, m.jobs, account_id=account_id) == []
