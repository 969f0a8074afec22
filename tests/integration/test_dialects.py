"""A second dialect is one package: the example of the tests, mounted beside the native one on the real application."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import orjson
import pytest
import schemathesis
from openai._streaming import SSEDecoder

from producer.admission.limits.rates import Dimension
from producer.app import make_app
from producer.context import Context
from producer.dialects import DIALECTS
from producer.web.dialect import Dialect
from shared import accounts
from shared.answers.streams import part
from shared.db import Database
from shared.db import models as m
from shared.jobs import transitions
from shared.jobs.outcomes import Ending
from shared.settings import settings
from tests.conditions import eventually
from tests.integration import world
from tests.integration.example_dialect import EXAMPLE
from tests.servers import RedisServer
from workers.running.publisher import Publisher

SAY = "/example/v2/say"
HELLO: dict[str, Any] = {"to": "gpt-4", "text": "hello"}
HEAD: dict[str, Any] = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


@dataclass
class Caller:
    """A client of an app that speaks both, and an account's key."""

    client: httpx.AsyncClient
    context: Context
    database: Database
    account_id: str
    key: str

    async def say(self, body: dict[str, Any], **headers: str) -> httpx.Response:
        """A call in the example dialect."""
        sent = {"x-example-key": self.key, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.client.post(SAY, json=body, headers=sent)

    async def _read(self) -> bool | None:
        """Whether what was said has been read from Redis: then it is no answer made from the result."""
        return any(reader.count for reader in self.context.readers.all()) or None

    async def run(self, call: Awaitable[httpx.Response], publisher: Publisher | None = None) -> httpx.Response:
        """A call whose job a worker takes, says in two words, and ends."""
        task = asyncio.ensure_future(call)
        worker = world.new_worker(self.database)

        async def queued() -> list[dict[str, Any]] | None:
            return world.rows(self.database, m.jobs, status="queued") or None

        (row,) = await eventually(queued)
        (job,) = world.take(self.database, worker, [row["id"]])
        if publisher is not None:
            sink = publisher.open(job.id, job.epoch)
            for delta in ({"role": "assistant", "content": ""}, {"content": "good "}, {"content": "day"}):
                sink.send(HEAD, [part(0, delta)])
            sink.send(HEAD, [part(0, {}, "stop")])
            sink.end()
            await eventually(self._read)
        choice = {"index": 0, "message": {"role": "assistant", "content": "good day"}, "finish_reason": "stop"}
        body = {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}
        ending = Ending(job.id, job.epoch, "succeeded", response=orjson.dumps(body).decode())
        await self.database.write(lambda connection: transitions.settle(connection, [ending]))
        self.context.waiters.ended([job.id])
        return await task


@asynccontextmanager
async def caller(
    database: Database, *, credits: float = 1000, per_minute: int | None = None, spoken: Dialect = EXAMPLE
) -> AsyncIterator[Caller]:
    app = make_app((*DIALECTS, spoken))
    app.state.context = context = Context(database, world.RecordedBell())
    account = world.open_account(database, credits).account_id
    if per_minute is not None:
        database.write_sync(accounts.set_requests_per_minute, account, per_minute)
    _, key = database.write_sync(accounts.create_key, account, "live")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x", timeout=40) as client:
        yield Caller(client, context, database, account, key)
    await context.close()


def play(database: Database, scene: Callable[[Caller], Awaitable[None]], **more: Any) -> None:
    async def played() -> None:
        async with asyncio.timeout(60), caller(database, **more) as one:
            await scene(one)

    asyncio.run(played())


def fault(answer: httpx.Response, status: int, word: str) -> str:
    """The text of a refusal, which must be in the example's form and in no other."""
    assert (answer.status_code, answer.headers["x-example-fault"]) == (status, word), answer.text
    assert answer.headers["example-request"] == answer.headers["x-request-id"]
    shown = answer.json()
    assert set(shown) == {"fault"} and shown["fault"]["word"] == word
    assert shown["fault"]["request"] == answer.headers["x-request-id"]
    return str(shown["fault"]["text"])


def test_its_key_header_authenticates_and_no_other(database: Database) -> None:
    async def scene(one: Caller) -> None:
        good = await one.run(one.say(HELLO))
        assert good.status_code == 200 and good.json() == {"said": "good day", "by": "gpt-4"}
        assert good.headers["x-example-left"] == "99/100" and "x-ratelimit-limit-requests" not in good.headers
        bearer = {"authorization": f"Bearer {one.key}"}
        wrong: tuple[tuple[dict[str, str], int, str], ...] = (
            ({}, 401, "WHO"),
            (bearer, 401, "WHO"),
            ({"x-example-key": "fusionai_live_none"}, 401, "WHO"),
            ({"x-example-key": one.key, **bearer}, 400, "BAD"),
        )
        for headers, status, word in wrong:
            answer = await one.client.post(SAY, json=HELLO, headers=headers)
            fault(answer, status, word)
            assert "www-authenticate" not in answer.headers
        native = await one.client.get("/v1/models", headers={"x-example-key": one.key})
        assert native.status_code == 401 and native.json()["error"]["type"] == "unauthorized"
        assert native.headers["www-authenticate"] == "Bearer" and "example-request" not in native.headers
        assert (await one.client.get("/v1/models", headers=bearer)).status_code == 200

    play(database, scene)


def test_its_refusals_look_as_it_says(database: Database) -> None:
    async def scene(one: Caller) -> None:
        key = {"x-example-key": one.key}
        assert fault(await one.say({"words": "hi"}), 400, "BAD") == "send to and text"
        assert "no-model" in fault(await one.say({**HELLO, "to": "no-model"}), 400, "BAD")
        for path in ("/example/v2/nothing", "/example/v2", "/example/v2/sayings/1"):
            fault(await one.client.get(path, headers=key), 404, "NOWHERE")
        fault(await one.client.get(SAY, headers=key), 405, "HOW")
        assert "bug" not in fault(await one.client.get("/example/v2/sayings/broken", headers=key), 500, "SORRY")
        for path in ("/nothing", "/example/v3/say", "/v1/say", "/example"):
            assert (await one.client.get(path, headers=key)).json()["error"]["type"] == "not_found", path

    play(database, scene)


def test_a_402_and_a_429_do_too(database: Database) -> None:
    async def scene(one: Caller) -> None:
        fault(await one.say(HELLO), 403, "POOR")  # its own status for it
        slow = await one.say(HELLO)
        fault(slow, 429, "SLOWLY")
        assert slow.headers["x-example-left"] == "0/1" and int(slow.headers["retry-after"]) > 0

    play(database, scene, credits=0, per_minute=1)


def test_it_may_have_limits_of_its_own(database: Database) -> None:
    async def scene(one: Caller) -> None:
        bad = [await one.say({}) for _ in range(3)]
        assert [answer.headers["x-example-left"] for answer in bad] == ["1/2", "0/2", "0/2"]
        assert "2 requests per hour" in fault(bad[-1], 429, "SLOWLY")
        bearer = {"authorization": f"Bearer {one.key}"}
        native = await one.client.post("/v1/chat/completions", json={}, headers=bearer)
        assert native.status_code == 400 and native.headers["x-ratelimit-remaining-requests"] == "96"

    two_an_hour = Dimension(lambda holder: f"example.{holder.key_id}", lambda holder: 2, 3600.0)
    play(database, scene, spoken=replace(EXAMPLE, dimensions=(two_an_hour,)))


def test_a_bug_in_its_own_code_is_refused_in_its_own_form(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*args: Any) -> None:
        raise RuntimeError("a bug")

    async def scene(one: Caller) -> None:
        monkeypatch.setattr(type(one.context.placer), "place", bug)
        assert "bug" not in fault(await one.say(HELLO), 500, "SORRY")

    play(database, scene)


def test_a_stream_has_its_frames(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    server = RedisServer().start()
    monkeypatch.setattr(settings(), "redis_url", server.url)

    async def scene(one: Caller) -> None:
        publisher = Publisher(settings().redis_url)
        answer = await one.run(one.say({**HELLO, "live": True}), publisher)
        await publisher.close()
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        found = [(event.event, orjson.loads(event.data)) for event in SSEDecoder().iter_bytes(iter([answer.content]))]
        begin, *pieces, finish = found
        assert (begin, finish) == (("begin", {"by": "gpt-4"}), ("finish", {"usage": USAGE}))
        assert pieces and {name for name, _ in pieces} == {"piece"}
        assert "".join(piece["text"] for _, piece in pieces) == "good day"
        assert b"[DONE]" not in answer.content and answer.headers["fusionai-job-id"]

    try:
        play(database, scene)
    finally:
        server.stop()


def test_a_stream_that_breaks_off_ends_with_its_error_after_its_comments(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "stream_begin_seconds", 0.1)

    async def scene(one: Caller) -> None:
        wait = {"prefer": "wait=3", "x_stainless_read_timeout": "1"}
        answer = await one.say({**HELLO, "live": True}, **wait)
        *pings, last = SSEDecoder().iter_bytes(iter([answer.content]))
        assert pings and {event.event for event in pings} == {"ping"}
        broken = orjson.loads(last.data)
        assert last.event == "fault" and broken["fault"]["word"] == "OTHER"
        assert broken["job"] == answer.headers["fusionai-job-id"]

    play(database, scene)


def test_a_host_of_its_own_needs_no_prefix(database: Database) -> None:
    async def scene(one: Caller) -> None:
        key = {"x-example-key": one.key}
        for path in ("/say", "/api/say", SAY):
            said = one.client.post(f"http://Example.test:8000{path}", json=HELLO, headers=key)
            assert (await one.run(said)).json()["said"] == "good day", path
        for path in ("/v1/models", "/models"):
            fault(await one.client.get(f"http://example.test{path}", headers=key), 404, "NOWHERE")
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert (await one.client.get(f"http://example.test{path}")).status_code == 200, path

    play(database, scene)


def test_an_idempotency_key_and_a_retry_are_its_own(database: Database) -> None:
    async def scene(one: Caller) -> None:
        first = await one.run(one.say(HELLO, idempotency_key="k"))
        again = await one.say(HELLO, idempotency_key="k")
        assert again.json() == first.json() and again.headers["idempotent-replayed"] == "true"
        native = {"model": "gpt-4", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"authorization": f"Bearer {one.key}", "idempotency-key": "k"}
        other = await one.client.post("/v1/chat/completions", json=native, headers=headers)
        assert other.status_code == 422 and other.json()["error"]["type"] == "idempotency_mismatch"
        bought = await one.run(one.say(HELLO, x_stainless_retry_count="0"))
        retried = await one.say(HELLO, x_stainless_retry_count="1")
        assert retried.headers["fusionai-job-id"] == bought.headers["fusionai-job-id"]

    play(database, scene)


def test_its_part_of_the_document_is_served(database: Database) -> None:
    async def scene(one: Caller) -> None:
        document = (await one.client.get("/openapi.json")).json()
        schemathesis.openapi.from_dict(document).validate()
        said = document["paths"][SAY]["post"]
        assert (said["operationId"], said["security"], said["tags"]) == (
            "Examplesay",
            [{"ExampleKey": []}],
            ["Example"],
        )
        assert said["responses"]["402"] == {"$ref": "#/components/responses/ExampleInsufficientCredits"}
        refusal = document["components"]["responses"]["ExampleRateLimited"]
        assert set(refusal["content"]["application/json"]["example"]["fault"]) == {"word", "text", "request"}
        assert document["components"]["securitySchemes"]["ExampleKey"]["name"] == "X-Example-Key"
        assert EXAMPLE.document.about in document["info"]["description"]
        alone = orjson.loads(make_app().state.document.content)
        assert SAY not in alone["paths"] and "ExampleKey" not in alone["components"]["securitySchemes"]
        for path, shown in alone["paths"].items():
            assert document["paths"][path] == shown

    play(database, scene)
