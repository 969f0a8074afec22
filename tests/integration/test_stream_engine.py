"""Streamed jobs in the engine: no second attempt once something was said, and no harm from a Redis that is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
import redis

from shared.answers.streams import FIELD, key, part
from shared.db import Database
from shared.errors import ProviderError
from shared.submissions.schemas import Usage
from tests.integration import attempts, world
from tests.integration.test_engine import Provider, Silent
from tests.servers import RedisServer, free_port
from workers.providers import ProviderAnswer, ProviderCall
from workers.running.engine import Engine
from workers.running.publisher import Publisher
from workers.running.settler import Settler
from workers.running.slots import Slots

HEAD = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4"}
FALLBACK = {"fallbacks": ["claude-3-opus"]}
Behave = Callable[[ProviderCall], Awaitable[ProviderAnswer]]


def accepted(database: Database, *, stream: bool = True, **more: Any) -> str:
    """A job that has just been accepted."""
    holder = world.open_account(database)
    order = world.Acceptor(database, world.RecordedBell()).prepare(
        holder, [world.submission(stream=stream, **more)], listed=False, claim=None
    )
    world.accept_all(database, [order])
    return str(order.rows[0]["id"])


def run(database: Database, url: str, behave: Behave, *ids: str, stop_when: Callable[[], bool] | None = None) -> None:
    """Run jobs with an engine that streams to this Redis, until they are done."""
    worker = world.new_worker(database)

    async def main() -> None:
        slots, publisher = Slots({world.QUEUE: 10}), Publisher(url)
        settler = Settler(database, Silent(), lambda deliveries: None)
        engine = Engine(database, worker, attempts.of(Provider(behave), publisher), slots, settler)
        engine.start()
        async with asyncio.timeout(30):
            engine.offer(world.QUEUE, list(ids))
            while stop_when is not None and not stop_when():
                await asyncio.sleep(0.01)
            if stop_when is None:
                await engine.quiet()
            await engine.stop(0.05)
            await publisher.close()

    asyncio.run(main())


def say(ask: ProviderCall, *words: str) -> None:
    assert ask.sink is not None
    for word in words:
        ask.sink.send(HEAD, [part(0, {"content": word})])


async def good(ask: ProviderCall) -> ProviderAnswer:
    if ask.sink is not None:
        say(ask, "Hel", "lo")
    return ProviderAnswer({"choices": []}, Usage(prompt_tokens=10, completion_tokens=5))


@pytest.mark.parametrize("code", ["timeout", "reset", "protocol", "insufficient_quota", None])
def test_nothing_is_tried_again_once_something_was_said(
    database: Database, redis_server: RedisServer, code: str | None
) -> None:
    calls = 0

    async def broken(ask: ProviderCall) -> ProviderAnswer:
        nonlocal calls
        calls += 1
        say(ask, "Hel")
        raise ProviderError("it broke", code=code, upstream_status=None if code else 400)

    id = accepted(database, routing=FALLBACK)
    run(database, redis_server.url, broken, id)
    (result,) = world.rows(database, world.m.job_results, job_id=id)
    error = orjson.loads(result["error"])
    assert calls == 1 and world.row(database, id)["status"] == "failed"
    assert (error["type"], error["code"], error["reason"]) == ("upstream_error", 502, "stream_broken")
    assert result["charged_micros"] > 0 and result["estimated"] and world.violations(database) == []


def test_before_that_a_fallback_is_as_usual(database: Database, redis_server: RedisServer) -> None:
    async def refused(ask: ProviderCall) -> ProviderAnswer:
        raise ProviderError("no", code="insufficient_quota")

    id = accepted(database, routing=FALLBACK)
    run(database, redis_server.url, refused, id)
    row = world.row(database, id)
    assert row["status"] == "queued" and row["queue"] == "anthropic.realtime" and row["offer"] == 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_redis_that_is_away_changes_nothing_of_the_job(database: Database, stream: bool) -> None:
    ids = [accepted(database, stream=stream) for _ in range(3)]
    run(database, f"redis://127.0.0.1:{free_port()}/0", good, *ids)
    for id in ids:
        (result,) = world.rows(database, world.m.job_results, job_id=id)
        assert world.row(database, id)["status"] == "succeeded" and result["charged_micros"] > 0
    assert world.violations(database) == []


def test_only_what_asked_for_it_is_streamed(database: Database, redis_server: RedisServer) -> None:
    one, other = accepted(database), accepted(database, stream=False)
    seen: dict[str, bool] = {}

    async def noted(ask: ProviderCall) -> ProviderAnswer:
        seen[ask.job_id] = ask.sink is not None
        return await good(ask)

    run(database, redis_server.url, noted, one, other)
    assert seen == {one: True, other: False}
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.xlen(key(one)) >= 1 and not client.exists(key(other))
        assert client.ttl(key(one)) <= 120


def test_a_stopping_worker_hands_back_what_it_has_begun_to_say(database: Database, redis_server: RedisServer) -> None:
    began: list[str] = []

    async def endless(ask: ProviderCall) -> ProviderAnswer:
        say(ask, "Hel")
        began.append(ask.job_id)
        await asyncio.Event().wait()
        raise AssertionError

    id = accepted(database)
    run(database, redis_server.url, endless, id, stop_when=lambda: bool(began))
    assert world.row(database, id)["status"] == "queued"
    run(database, redis_server.url, good, id)
    with redis.Redis.from_url(redis_server.url) as client:
        epochs = [entry[0].partition(b"-")[0] for entry in client.xrange(key(id))]
    assert world.row(database, id)["status"] == "succeeded" and set(epochs) == {b"1", b"2"}
    assert world.violations(database) == []


def test_a_held_stream_says_nothing_before_it_is_whole_so_that_another_attempt_can_save_it(
    database: Database, redis_server: RedisServer
) -> None:
    calls = 0

    async def breaks_once(ask: ProviderCall) -> ProviderAnswer:
        nonlocal calls
        calls += 1
        if calls == 1:
            say(ask, "spo", "iled")
            raise ProviderError("cut off", code="truncated", head=True)
        return await good(ask)

    id = accepted(database, routing={"hold_stream": True})
    run(database, redis_server.url, breaks_once, id)
    assert calls == 2 and world.row(database, id)["status"] == "succeeded"
    with redis.Redis.from_url(redis_server.url) as client:
        said = [orjson.loads(fields[FIELD]) for _, fields in client.xrange(key(id))]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in said)
    assert text == "Hello" and world.violations(database) == []
