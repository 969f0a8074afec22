"""GET /models: what a key can use, which for a live key is what has a provider here."""

import asyncio
from typing import Any

import httpx
import pytest

from producer.app import make_app
from producer.context import Context
from shared import accounts
from shared.db import Database
from tests.integration import world


def shown(database: Database, mode: Any, *paths: str) -> list[httpx.Response]:
    holder = world.open_account(database)
    _, key = database.write_sync(accounts.create_key, holder.account_id, mode)

    async def scene() -> list[httpx.Response]:
        app = make_app()
        app.state.context = Context(database, world.RecordedBell())
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test", headers=headers
        ) as client:
            answers = [await client.get(path) for path in paths]
        await app.state.context.close()
        return answers

    return asyncio.run(scene())


@pytest.mark.parametrize(("mode", "status"), [("live", 404), ("test", 200)])
def test_a_model_that_is_not_listed_is_not_shown_either(
    database: Database, monkeypatch: pytest.MonkeyPatch, mode: str, status: int
) -> None:
    for name in ("ANTHROPIC_API_KEY", "GEMINI_API_KEY", "DEEPINFRA_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    listed, one, other = shown(database, mode, "/v1/models", "/v1/models/gpt-4", "/v1/models/claude-3-opus")
    ids = [model["id"] for model in listed.json()["data"]]
    assert "gpt-4" in ids and one.status_code == 200
    assert other.status_code == status and ("claude-3-opus" in ids) == (status == 200)
    assert (listed.json()["first_id"], listed.json()["last_id"]) == (ids[0], ids[-1])
