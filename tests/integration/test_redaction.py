"""Canary keys and prompts through the paths that fail: none in a log line, an answer, or a message to the broker."""

import asyncio
import base64
import logging
import traceback
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.responses import StreamingResponse

from producer.app import make_app
from producer.context import Context
from producer.operations import credits
from producer.web import calls
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


#: The calls that make a job, with a body that holds the canary wherever a caller may put text.
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"model": "gpt-4", "messages": [{"role": "user", "content": CANARY}], "user": CANARY}),
    ("/chat/completions", {"model": "gpt-4", "messages": [{"role": "user", "content": "a"}], "stop": CANARY}),
    ("/v1/embeddings", {"model": "text-embedding-3-large", "input": [CANARY]}),
    ("/v1/images", {"model": "image-gen-2", "prompt": CANARY}),
    ("/v1/images/generations", {"model": "image-gen-2", "prompt": "a", "metadata": {"k": CANARY}}),
]
DATA = base64.b64encode(CANARY.encode()).decode()
#: Fields of a chat that are wrong and hold the canary.
WRONG: list[dict[str, Any]] = [
    {"messages": CANARY}, {"messages": [{"role": CANARY, "content": CANARY}]}, {"messages": [CANARY]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": [CANARY]}]}]},
    {"messages": [{"role": "tool", "content": CANARY}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"http://{CANARY}/"}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"https://{CANARY} /"}}]}]},
    {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:{CANARY},{DATA}"}}]}]},
    {"tools": [{"type": "function", "function": {"name": f"{CANARY} x", "description": CANARY}}]},
    {"tools": [{"type": "function", "function": {"name": "f", "parameters": CANARY}}]},
    {"tool_choice": CANARY}, {"tool_choice": {"type": "function", "function": {"name": CANARY}}},
    {"response_format": {"type": CANARY}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": [CANARY]}}},
    {"stop": [CANARY] * 5}, {"temperature": CANARY}, {"seed": CANARY}, {"user": CANARY * 60},
    {"logit_bias": {"a": CANARY}},
    {"routing": CANARY}, {"metadata": CANARY}, {"metadata": {"a": [CANARY]}}, {"stream_options": CANARY},
]  # fmt: skip


def asked(database: Database, *requests: tuple[str, str, Any], bell: world.RecordedBell | None = None) -> Any:
    """Answers of the real application, on this database, to requests with a good key; and the key."""
    holder = world.open_account(database)
    _, key = database.write_sync(accounts.create_key, holder.account_id, "live")

    async def scene() -> list[httpx.Response]:
        app = make_app()
        app.state.context = Context(database, bell or world.RecordedBell())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {key}", "prefer": "respond-async"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            answers = [await client.request(method, path, json=json) for method, path, json in requests]
        await app.state.context.close()
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


@pytest.mark.parametrize(("path", "given"), CALLS, ids=[row[0] for row in CALLS])
def test_a_call_that_fails_inside(
    database: Database, caplog: pytest.LogCaptureFixture, path: str, given: dict[str, Any]
) -> None:
    database.write_sync(lambda connection: connection.execute(text("DROP TABLE job_payloads")).rowcount)
    (answer,), key = asked(database, ("POST", path, given))
    assert answer.status_code == 500 and answer.json()["error"]["type"] == "internal_error"
    for secret in (CANARY, key[14:]):
        assert secret not in caplog.text and secret not in answer.text


@pytest.mark.parametrize(("path", "given"), CALLS, ids=[row[0] for row in CALLS])
def test_a_bug_that_shows_what_was_sent_shows_it_to_nobody(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
    given: dict[str, Any],
) -> None:
    def bug(type: str, body: Any, **_: Any) -> None:
        raise KeyError(f"{body}")

    monkeypatch.setattr(calls, "read_submission", bug)
    (answer,), _ = asked(database, ("POST", path, given))
    assert answer.status_code == 500 and answer.headers["x-request-id"] in caplog.text and "KeyError" in caplog.text
    assert CANARY not in answer.text and CANARY not in caplog.text


def test_a_bug_in_the_middle_of_an_answer_shows_nothing_either(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"begun"
        raise KeyError(CANARY)

    async def scene() -> BaseException:
        app = make_app()
        app.add_route("/broken", lambda request: StreamingResponse(broken()))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            with pytest.raises(ConnectionResetError) as error:
                await client.get("/broken")
            return error.value

    logged = "".join(traceback.format_exception(asyncio.run(scene())))
    assert "KeyError" in caplog.text and CANARY not in caplog.text and CANARY not in logged


def test_a_bug_of_ours_is_a_500_without_its_message(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: Any, **__: Any) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(credits, "show_credits", bug)
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


def test_calls_that_are_refused_repeat_neither(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    good = CALLS[0][1]
    calls = [("POST", path, {**good, **wrong}) for wrong in WRONG for path in ("/v1/chat/completions", "/v1/jobs")]
    calls = [
        (how, path, {**one, "type": "chat.completion"} if path.endswith("jobs") else one) for how, path, one in calls
    ]
    calls += [
        ("POST", "/v1/embeddings", {**CALLS[2][1], "input": given})
        for given in ([[CANARY]], {"a": CANARY}, [CANARY, 5])
    ]
    calls += [("POST", "/v1/images", {**CALLS[3][1], **wrong}) for wrong in ({"prompt": [CANARY]}, {"n": CANARY})]
    line = {"custom_id": "a", "url": "/v1/chat/completions", "body": {**good, "temperature": CANARY}}
    calls += [("POST", "/v1/batches", {"requests": [line], "dry_run": True})]
    answers, key = asked(database, *calls)
    for answer in answers[:-1]:
        assert answer.status_code == 400 and CANARY not in answer.text and DATA not in answer.text, answer.text
    assert answers[-1].json()["valid"] is False and CANARY not in answers[-1].text
    assert CANARY not in caplog.text and DATA not in caplog.text and key[14:] not in caplog.text


@pytest.mark.parametrize("headers", [
    {"authorization": f"Bearer fusionai_live_{CANARY}"}, {"authorization": f"Basic {CANARY}"}, {"x-api-key": CANARY},
    {"authorization": f"Bearer {CANARY}", "x-api-key": CANARY}, {"authorization": CANARY},
])  # fmt: skip
def test_a_wrong_key_is_not_repeated(
    database: Database, caplog: pytest.LogCaptureFixture, headers: dict[str, str]
) -> None:
    async def scene() -> list[httpx.Response]:
        app = make_app()
        app.state.context = Context(database, world.RecordedBell())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            answers = [await client.post(path, json=given) for path, given in CALLS]
        await app.state.context.close()
        return answers

    for answer in asyncio.run(scene()):
        assert answer.status_code in (400, 401) and CANARY not in answer.text
        assert not any(CANARY in value for value in answer.headers.values())
    assert CANARY not in caplog.text


def test_an_accepted_call_is_in_no_log(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Also not in what the broker gets."""
    bell = world.RecordedBell()
    answers, key = asked(database, *(("POST", path, given) for path, given in CALLS), bell=bell)
    assert [answer.status_code for answer in answers] == [202] * len(CALLS)
    ids = {answer.json()["id"] for answer in answers}
    assert {id for _, rung in bell.rung for id in rung} == ids and CANARY not in repr(bell.rung)
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
