"""Canary keys and prompts through the paths that fail: none in a log line, an answer, or a message to the broker."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from producer import operations
from producer.app import make_app
from producer.desk import Desk
from shared import accounts
from shared.db import Database
from tests.integration import world

CANARY = "canary-5d1c"


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def body() -> dict[str, Any]:
    messages = [{"role": "user", "content": CANARY}]
    return {"type": "chat.completion", "model": "gpt-4", "messages": messages, "metadata": {"k": CANARY}}


def asked(database: Database, *requests: tuple[str, str, Any], bell: world.RecordedBell | None = None) -> Any:
    """Answers of the real application, on this database, to requests with a good key; and the key."""
    holder = world.open_account(database)
    _, key = database.write_sync(accounts.create_key, holder.account_id, "live")

    async def scene() -> list[httpx.Response]:
        app = make_app()
        app.state.desk = Desk(database, bell or world.RecordedBell())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            answers = [await client.request(method, path, json=json) for method, path, json in requests]
        await app.state.desk.close()
        return answers

    return asyncio.run(scene()), key


def test_a_failing_statement_shows_no_parameters(database: Database) -> None:
    def fail(connection: Any) -> None:
        connection.execute(text("INSERT INTO nowhere (a) VALUES (:a)"), {"a": CANARY})

    with pytest.raises(DBAPIError) as error:
        database.write_sync(fail)
    assert CANARY not in str(error.value)


def test_a_database_that_fails_while_accepting(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    database.write_sync(lambda connection: connection.execute(text("DROP TABLE job_payloads")).rowcount)
    (answer,), key = asked(database, ("POST", "/v1/jobs", body()))
    error = answer.json()["error"]
    assert answer.status_code == 500 and error["type"] == "internal_error"
    assert error["request_id"] == answer.headers["x-request-id"] and answer.headers["fusionai-version"] == "v1"
    assert error["request_id"] in caplog.text
    for secret in (CANARY, key[14:]):
        assert secret not in caplog.text and secret not in answer.text


def test_a_bug_of_ours_is_a_500_without_its_message(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: Any, **__: Any) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(operations, "show_credits", bug)
    (answer,), _ = asked(database, ("GET", "/v1/credits", None))
    assert answer.status_code == 500 and CANARY not in answer.text and answer.headers["x-request-id"]


def test_refusals_repeat_neither_prompts_nor_keys(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    bad = [
        {**body(), "messages": CANARY},
        {**body(), "messages": [{"role": "user", "content": [CANARY]}]},
        {**body(), "messages": [{"role": "user", "content": {"text": CANARY}}]},
        {**body(), "max_tokens": CANARY},
        {**body(), "stop": [CANARY] * 5},
        {**body(), "metadata": {"a": [CANARY]}},
        {"type": "image", "model": "image-gen-2", "prompt": [CANARY]},
        {"type": "embedding", "model": "text-embedding-3-large", "input": [{"a": CANARY}]},
    ]
    answers, key = asked(database, *(("POST", "/jobs", one) for one in bad))
    for answer in answers:
        assert answer.status_code == 400 and CANARY not in answer.text and key not in answer.text
    assert CANARY not in caplog.text and key[14:] not in caplog.text


def test_the_broker_gets_ids_and_nothing_else(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    bell = world.RecordedBell()
    (one, many), key = asked(
        database, ("POST", "/jobs", body()), ("POST", "/jobs", {"jobs": [body(), body()]}), bell=bell
    )
    assert (one.status_code, many.status_code) == (202, 202)
    assert bell.rung == [("openai.realtime", [one.json()["id"]])]
    assert CANARY not in caplog.text and key[14:] not in caplog.text


@pytest.mark.parametrize(
    "path",
    ["/jobs/%00", "/jobs?after=%00", "/jobs?status=%00", "/jobs?ids=a%00", "/events?after=a%00", "/webhooks/%00"],
)
def test_a_nul_never_reaches_a_database_that_cannot_take_it(database: Database, path: str) -> None:
    (answer,), _ = asked(database, ("GET", path, None))
    assert answer.status_code in (400, 404), answer.text
