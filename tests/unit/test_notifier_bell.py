"""Notifications over a Redis that comes and goes; doorbells of at most a hundred ids, and what a dead broker means."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection

from shared import clock
from shared import notifier as hints_module
from shared.broker.app import make_app
from shared.broker.bell import CHUNK, FULL_MESSAGES, Bell
from shared.notifier import CANCEL, DONE, Notifier
from shared.settings import settings
from tests.servers import RedisServer


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def test_who_listens_hears_what_is_told_and_nothing_else(redis_server: RedisServer) -> None:
    async def scene() -> None:
        speaker, listener = Notifier(redis_server.url), Notifier(redis_server.url)
        heard: list[list[str]] = []
        ready: list[bool] = []
        listener.listen(DONE, heard.append, lambda: ready.append(True))
        await until(lambda: ready)
        await asyncio.sleep(0.05)
        speaker.publish(CANCEL, ["other"])
        for n in range(20):
            speaker.publish(DONE, [f"job_{n}", "é"])
        await until(lambda: len(heard) == 20)
        assert sorted(ids[0] for ids in heard) == sorted(f"job_{n}" for n in range(20)) and heard[0][1] == "é"
        await speaker.close()
        await listener.close()

    asyncio.run(scene())


def test_a_redis_that_died_is_heard_again_and_the_gap_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints_module, "RECONNECT_SECONDS", 0.05)
    server = RedisServer().start()

    async def scene() -> None:
        notifier = Notifier(server.url)
        heard: list[list[str]] = []
        missed: list[bool] = []
        notifier.listen(DONE, heard.append, lambda: missed.append(True))
        await until(lambda: len(missed) == 1)
        await asyncio.to_thread(server.kill)
        notifier.publish(DONE, ["lost"])
        await asyncio.to_thread(server.start)
        await until(lambda: len(missed) == 2)
        await asyncio.sleep(0.05)
        notifier.publish(DONE, ["job_2"])
        await until(lambda: heard)
        assert heard == [["job_2"]]
        await notifier.close()

    try:
        asyncio.run(scene())
    finally:
        server.kill()


def test_telling_nobody_and_a_garbled_hint_are_no_errors(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints_module, "RECONNECT_SECONDS", 0.02)

    async def scene() -> None:
        away = Notifier("redis://127.0.0.1:1/0")
        away.publish(DONE, ["job_1"])
        notifier = Notifier(redis_server.url)
        heard: list[list[str]] = []
        missed: list[bool] = []
        notifier.listen(DONE, heard.append, lambda: missed.append(True))
        await until(lambda: len(missed) == 1)
        await asyncio.sleep(0.05)
        await notifier._redis("PUBLISH", DONE, "{not json")
        await until(lambda: len(missed) == 2)
        await asyncio.sleep(0.05)
        notifier.publish(DONE, ["job_9"])
        await until(lambda: heard)
        assert heard == [["job_9"]]
        await away.close()
        await notifier.close()

    asyncio.run(scene())


@contextmanager
def memory_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """The real Celery app over kombu's in-memory transport, its queues declared and empty."""
    monkeypatch.setattr(settings(), "broker_url", "memory://")
    app = make_app()
    with app.connection_for_write() as connection:
        for each in app.conf.task_queues:
            bound = each(connection.default_channel)
            bound.declare()
            bound.purge()
    yield app
    app.close()


def messages(app: Celery, name: str) -> list[list[Any]]:
    """What waits in a queue: each message's positional arguments."""
    found = []
    with Connection("memory://") as connection:
        simple = connection.SimpleQueue(next(q for q in app.conf.task_queues if q.name == name))
        while simple.qsize():
            message = simple.get(block=False)
            found.append([message.headers["task"], *message.payload[0]])
            message.ack()
        simple.close()
    return found


def test_ids_travel_in_messages_of_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_app(monkeypatch) as app:
        bell = Bell(app)
        ids = [f"job_{n}" for n in range(2 * CHUNK + 1)]
        assert bell.ring("openai.realtime", ids).result(10) is True
        assert bell.ring("webhooks", ["dlv_1"]).result(10) is True
        assert bell.depth("openai.realtime").result(10) == 3
        got = messages(app, "openai.realtime")
        assert [task for task, *_ in got] == ["offer"] * 3 and {name for _, name, _ in got} == {"openai.realtime"}
        assert [id for _, _, part in got for id in part] == ids and max(len(part) for *_, part in got) == CHUNK
        assert messages(app, "webhooks") == [["deliver", "webhooks", ["dlv_1"]]]
        bell.close()


def test_a_queue_that_nobody_reads_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_app(monkeypatch) as app:
        bell = Bell(app)
        assert bell.ring("openai.realtimes", ["job_1"]).result(10) is False
        bell.close()


def test_a_dead_broker_is_an_answer_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "broker_url", "redis://127.0.0.1:1/0")
    monkeypatch.setattr("shared.broker.bell.DOWN_SECONDS", 30.0)
    app = make_app()
    app.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0}  # or kombu takes six seconds
    bell = Bell(app)
    assert bell.ring("openai.realtime", ["job_1"]).result(20) is False
    since = clock.monotonic()
    assert bell.depth("openai.realtime").result(20) is None
    assert not any(bell.ring("openai.realtime", [f"job_{n}"]).result(20) for n in range(100))
    assert clock.monotonic() - since < 1, "a broker known to be away is not waited for a hundred times"
    assert bell.has_room("openai.realtime")
    bell.close()


def test_a_full_queue_has_no_room_until_a_look_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_app(monkeypatch) as app:
        bell = Bell(app)
        assert bell.has_room("openai.realtime"), "never looked at"
        bell.ring("openai.realtime", [f"j{n}" for n in range(FULL_MESSAGES * CHUNK)]).result(10)
        assert not bell.has_room("openai.realtime")
        messages(app, "openai.realtime")
        assert not bell.has_room("openai.realtime"), "the look is still believed"
        monkeypatch.setattr("shared.broker.bell.LOOK_SECONDS", 0.0)
        bell.has_room("openai.realtime")
        bell.depth("openai.batch").result(10)
        assert bell.has_room("openai.realtime")
        bell.close()


def test_a_broker_that_is_full_is_away_until_it_has_room(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "broker_url", redis_server.url.replace("/0", "/11"))
    monkeypatch.setattr("shared.broker.bell.DOWN_SECONDS", 0.0)
    bell = Bell(make_app())
    assert bell.check().result(20) and not bell.away and bell.turns == 0
    with redis.Redis(port=redis_server.port) as operator:
        operator.config_set("maxmemory", "1")
        try:
            assert bell.depth("openai.realtime").result(20) == 0, "it answers"
            assert bell.check().result(20) is False and bell.away
            assert bell.ring("openai.realtime", ["job_1"]).result(20) is False
            assert bell.depth("openai.realtime").result(20) == 0 and bell.away, "a look is no proof"
        finally:
            operator.config_set("maxmemory", "0")
        assert bell.check().result(20) and not bell.away and bell.turns == 2
    bell.close()


def test_a_broker_that_is_no_redis_is_asked_for_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_app(monkeypatch) as app:
        bell = Bell(app)
        assert bell.check().result(10) is True
        bell.close()
