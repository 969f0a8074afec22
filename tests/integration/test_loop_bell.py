"""Doorbells that the event loop rings itself, at a real Redis: it never waits, and nothing that it sent is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest
import redis

from shared import clock
from shared.broker import loop_bell
from shared.broker.app import make_app
from shared.broker.bell import CHUNK, Bell
from shared.broker.loop_bell import LoopBell
from shared.settings import settings
from shared.submissions.catalogue import job_queues
from tests.in_a_loop import in_a_loop
from tests.servers import RedisServer

QUEUE = job_queues()[0]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """One that a test may break."""
    server = RedisServer().start()
    monkeypatch.setattr(settings(), "broker_url", server.url)
    yield server
    server.send(signal.SIGCONT)
    server.stop()


class Rung:
    """A bell, the one of the loop, and what the latter has left to the former's thread."""

    def __init__(self, server: RedisServer) -> None:
        self.bell = Bell(make_app())
        self.left: list[tuple[str, list[str]]] = []
        #: Of these, whether they are rung as first leases.
        self.left_first: list[bool] = []
        self.loop = LoopBell(self.bell, self._leave)
        self.client = redis.from_url(server.url)

    def _leave(self, queue: str, ids: Sequence[str], first: bool) -> None:
        self.left.append((queue, list(ids)))
        self.left_first.append(first)

    async def connected(self) -> None:
        """Until it rings by itself: while the connection is made, the thread does."""
        until, pipe = clock.monotonic() + 10, self.loop._pipe
        assert pipe is not None
        while not self.loop._is_connected(pipe):
            assert clock.monotonic() < until
            await asyncio.sleep(0.01)

    async def await_left(self, count: int) -> None:
        until = clock.monotonic() + 10
        while len(self.left) < count:
            assert clock.monotonic() < until, self.left
            await asyncio.sleep(0.01)


@asynccontextmanager
async def rung(server: RedisServer, *, connected: bool = True) -> AsyncIterator[Rung]:
    made = Rung(server)
    if connected:
        await made.connected()
    yield made
    await made.loop.close()
    made.bell.close()


@in_a_loop
async def test_it_puts_the_message_that_the_bells_thread_would(server: RedisServer) -> None:
    async with rung(server) as one:
        assert one.loop.ring(QUEUE, ["job_1", "job_2"], first=True)
        assert one.loop.ring(QUEUE, ["job_3"])
        assert one.bell.ring(QUEUE, ["job_3"]).result()
        await one.loop.close()
        first, loops, threads = map(orjson.loads, reversed(one.client.lrange(QUEUE, 0, -1)))
        assert not one.left
    for message in (loops, threads):
        del message["properties"]["correlation_id"], message["properties"]["delivery_tag"]
        del message["headers"]["id"], message["headers"]["root_id"]
    assert loops == threads
    assert first["properties"]["delivery_info"] == {"exchange": "", "routing_key": QUEUE}


@in_a_loop
async def test_the_answers_say_how_long_a_queue_is(server: RedisServer) -> None:
    """By which producers leave waking to the feeder, as those of the bell's thread do."""
    async with rung(server) as one:
        one.client.lpush(QUEUE, *range(40))
        assert one.bell.has_room(QUEUE) and one.loop.ring(QUEUE, ["job_1"])
        await one.loop.close()
        assert not one.bell.has_room(QUEUE)


@in_a_loop
async def test_what_it_cannot_do_is_left_to_the_thread(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rung(server) as one:
        assert not one.loop.ring(QUEUE, [f"job_{n}" for n in range(CHUNK + 1)])
        assert not one.loop.ring("later.batch", ["job_1"])
        one.bell.paused = {QUEUE.partition(".")[0]}
        assert not one.loop.ring(QUEUE, ["job_1"])
        assert one.client.llen(QUEUE) == 0 and not one.left
    monkeypatch.setattr(settings(), "broker_url", "amqp://127.0.0.1:1//")
    assert not LoopBell(one.bell, lambda *_: None).ring(QUEUE, ["job_1"])


@pytest.mark.parametrize("url", ["{}?visibility_timeout=5", "redis://127.0.0.1:1/0", "rediss://127.0.0.1:1/0"])
@in_a_loop
async def test_where_there_is_no_connection_all_is_left_to_the_thread(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """A URL that kombu alone understands, and servers that are not there."""
    async with rung(server) as one:
        monkeypatch.setattr(settings(), "broker_url", url.format(server.url))
        monkeypatch.setattr(loop_bell, "CONNECT_AGAIN_SECONDS", 0.0)
        other = LoopBell(one.bell, lambda *_: None)
        for _ in range(3):
            assert not other.ring(QUEUE, ["job_1"])
            assert other._connecting is not None
            await asyncio.wait([other._connecting])
        await other.close()


@in_a_loop
async def test_before_it_is_connected_the_thread_rings(server: RedisServer) -> None:
    async with rung(server, connected=False) as one:
        assert not one.loop.ring(QUEUE, ["job_1"])
        await one.connected()
        assert one.loop.ring(QUEUE, ["job_1"])


@in_a_loop
async def test_a_redis_that_hangs_is_not_waited_for(server: RedisServer) -> None:
    async with rung(server) as one:
        server.send(signal.SIGSTOP)
        began, many = clock.monotonic(), [f"job_{n:0>30}" for n in range(CHUNK)]
        for _ in range(200):  # more than a socket takes
            assert one.loop.ring(QUEUE, many)
        assert clock.monotonic() - began < loop_bell.ANSWER_SECONDS
        await one.await_left(200)
        assert one.left == [(QUEUE, many)] * 200
        server.send(signal.SIGCONT)


@pytest.mark.parametrize("sent", [False, True])
@in_a_loop
async def test_a_redis_that_ends_and_comes_back(
    server: RedisServer, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sent`: it had been sent something, of which nobody knows whether it was heard."""
    monkeypatch.setattr(loop_bell, "CONNECT_AGAIN_SECONDS", 0.0)
    async with rung(server) as one:
        if sent:
            server.send(signal.SIGSTOP)
            assert one.loop.ring(QUEUE, ["job_1"], first=True)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await one.await_left(int(sent))
        assert not one.loop.ring(QUEUE, ["job_2"])
        assert one.left == ([(QUEUE, ["job_1"])] if sent else []) and not any(one.left_first)
        await one.connected()
        assert one.loop.ring(QUEUE, ["job_3"])
        await one.loop.close()
        assert one.client.llen(QUEUE) == 1 and len(one.left) == sent


@in_a_loop
async def test_what_redis_refuses_is_left_to_the_thread_as_it_is(server: RedisServer) -> None:
    """The others are rung, over the same connection."""
    async with rung(server) as one:
        one.client.set("webhooks", "somebody's")
        assert one.loop.ring(QUEUE, ["job_1"], first=True)
        assert one.loop.ring("webhooks", ["job_2"], first=True)
        assert one.loop.ring(QUEUE, ["job_3"], first=True)
        await one.await_left(1)
        assert one.left == [("webhooks", ["job_2"])] and one.left_first == [True]
        assert one.loop.ring(QUEUE, ["job_4"])
        await one.loop.close()
        assert one.client.llen(QUEUE) == 3 and len(one.left) == 1


@in_a_loop
async def test_a_connection_that_was_idle_for_long_is_not_trusted(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rung(server) as one:
        assert one.loop.ring(QUEUE, ["job_1"])
        async with asyncio.timeout(10):
            while one.loop._unanswered:
                await asyncio.sleep(0.005)
        monkeypatch.setattr(loop_bell, "IDLE_SECONDS", -1.0)
        assert not one.loop.ring(QUEUE, ["job_2"]) and not one.left


@in_a_loop
async def test_at_its_end_what_is_not_answered_is_left_to_the_thread(server: RedisServer) -> None:
    async with rung(server) as one:
        server.send(signal.SIGSTOP)
        assert one.loop.ring(QUEUE, ["job_1"], first=True)
        await one.loop.close()
        assert one.left == [(QUEUE, ["job_1"])] and one.left_first == [False]
        assert not one.loop.ring(QUEUE, ["job_2"])
        server.send(signal.SIGCONT)
