"""Doorbells taken on a worker's event loop, at a real Redis: what it leaves to Celery, and that it loses none."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from shared.broker import doorbells
from shared.broker.app import make_app
from shared.broker.bell import Bell
from shared.queues import OFFER
from shared.settings import settings
from shared.submissions.catalogue import job_queues
from tests.in_a_loop import in_a_loop
from tests.servers import RedisServer
from workers.process import loop_consumer
from workers.process.consumer import Consumer
from workers.process.loop_consumer import LoopConsumer

QUEUES = [queue for queue in job_queues() if queue.endswith(".realtime")][:3]
QUEUE = QUEUES[0]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """One that a test may break."""
    server = RedisServer().start()
    monkeypatch.setattr(settings(), "broker_url", server.url)
    monkeypatch.setattr(loop_consumer, "AGAIN_SECONDS", 0.05)
    yield server
    server.send(signal.SIGCONT)
    server.stop()


class Celery:
    """Celery's consumer: the queues that it takes from, and whether it is to send events of tasks."""

    connection_errors, channel_errors = (OSError,), (KeyError,)

    def __init__(self) -> None:
        self.taken = set(QUEUES)
        self.task_consumer = SimpleNamespace(consuming_from=self.taken.__contains__)
        self.event_dispatcher = SimpleNamespace(enabled=False, groups=())
        self.add_task_queue, self.cancel_task_queue = self.taken.add, self.taken.discard

    def call_soon(self, call: Callable[..., None], *given: Any) -> None:
        call(*given)


class Worker:
    """What takes from the queues, on the event loop and at Celery; `offered` is what came to the event loop."""

    def __init__(self, server: RedisServer) -> None:
        self.celery, self.consumer = Celery(), Consumer()
        self.consumer.ready(self.celery)
        self.offered: list[tuple[str, list[str], bool]] = []
        self.loop = LoopConsumer(self.consumer, QUEUES, self._offer)
        self.app = make_app()
        self.bell = Bell(self.app)
        self.client = redis.from_url(server.url)

    def _offer(self, queue: str, ids: Sequence[str], first: bool) -> None:
        self.offered.append((queue, list(ids), first))

    def put(self, queue: str, *ids: str, first: bool = False) -> None:
        self.client.lpush(queue, doorbells.enveloped(self.app, OFFER, queue, ids, first=first))


@asynccontextmanager
async def working(server: RedisServer) -> AsyncIterator[Worker]:
    """One that takes, once it does."""
    made = Worker(server)
    running = asyncio.create_task(made.loop.run())
    await until(lambda: not made.celery.taken)
    yield made
    made.loop.stop()
    async with asyncio.timeout(10):
        await running
    assert made.celery.taken >= set(QUEUES) - made.loop._off


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@in_a_loop
async def test_it_takes_what_producers_put_on_its_queues_and_celery_takes_nothing_from_them(
    server: RedisServer,
) -> None:
    async with working(server) as one:
        assert one.bell.ring(QUEUE, ["job_1", "job_2"]).result()
        await until(lambda: one.offered)
        one.put(QUEUES[1], "job_3", first=True)
        await until(lambda: len(one.offered) == 2)
        assert one.offered == [(QUEUE, ["job_1", "job_2"], False), (QUEUES[1], ["job_3"], True)]
        assert one.consumer.on_loop() == set(QUEUES)


@in_a_loop
async def test_a_queue_that_is_turned_off_is_taken_from_again_when_it_is_on(server: RedisServer) -> None:
    async with working(server) as one:
        one.loop.switch(QUEUE, False)
        one.put(QUEUES[1], "job_1")  # ends the wait that began before
        await until(lambda: one.offered)
        one.put(QUEUE, "job_2")
        one.put(QUEUES[1], "job_3")
        await until(lambda: len(one.offered) == 2)
        assert one.offered[1][1] == ["job_3"] and one.consumer.on_loop() == set(QUEUES[1:])
        one.loop.switch(QUEUE, True)
        await until(lambda: len(one.offered) == 3)
        assert one.offered[2][1] == ["job_2"] and not one.celery.taken


@in_a_loop
async def test_with_all_queues_off_it_waits_for_one_to_be_on(server: RedisServer) -> None:
    async with working(server) as one:
        for queue in QUEUES:
            one.loop.switch(queue, False)
        one.put(QUEUES[1], "job_1")  # Redis hands it out to the wait that began before
        await until(lambda: _waits_of(one) == 0 and one.client.llen(QUEUES[1]))
        assert not one.offered
        one.loop.switch(QUEUES[1], True)
        await until(lambda: one.offered)


def _waits_of(one: Worker) -> int:
    """How many wait for a message at Redis."""
    return int(one.client.info("clients")["blocked_clients"])


@in_a_loop
async def test_a_worker_without_room_keeps_no_message_from_one_that_has_room(server: RedisServer) -> None:
    async with working(server) as full, working(server) as free:
        await until(lambda: _waits_of(full) == 2)
        full.loop.switch(QUEUE, False)
        for number in range(4):
            full.put(QUEUE, f"job_{number}")
        await until(lambda: len(free.offered) == 4)
        assert not full.offered


@in_a_loop
async def test_before_celery_is_there_nothing_is_taken(server: RedisServer) -> None:
    made = Worker(server)
    made.consumer._celery = None
    made.put(QUEUE, "job_1")
    running = asyncio.create_task(made.loop.run())
    await asyncio.sleep(3 * loop_consumer.BRIEF_SECONDS)
    assert not made.offered and made.client.llen(QUEUE) == 1
    made.consumer.ready(made.celery)
    await until(lambda: made.offered)
    made.loop.stop()
    await running


@in_a_loop
async def test_what_cannot_be_offered_is_said_and_the_next_one_taken(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(server) as one:
        good, one.loop._offer = one.loop._offer, lambda *_: one.offered[9]  # an IndexError
        one.put(QUEUE, "job_1")
        await until(lambda: "could not be taken" in caplog.text)
        one.loop._offer = good
        one.put(QUEUE, "job_2")
        await until(lambda: one.offered)
        assert not one.celery.taken


@in_a_loop
async def test_no_queue_waits_for_a_busier_one(server: RedisServer) -> None:
    made = Worker(server)
    for number in range(40):
        made.put(QUEUE, f"job_{number}")
    for queue in QUEUES[1:]:
        made.put(queue, "job_late")
    running = asyncio.create_task(made.loop.run())
    await until(lambda: len(made.offered) == 42)
    assert {queue for queue, *_ in made.offered[:3]} == set(QUEUES)
    assert [ids[0] for queue, ids, _ in made.offered if queue == QUEUE] == [f"job_{number}" for number in range(40)]
    made.loop.stop()
    await running


@in_a_loop
async def test_what_is_no_doorbell_is_dropped_and_the_next_one_taken(server: RedisServer) -> None:
    async with working(server) as one:
        good = doorbells.enveloped(one.app, OFFER, QUEUE, ["job_1"])
        other = doorbells.enveloped(one.app, "deliver", QUEUE, ["dlv_1"])
        for bad in (b"", b"[]", b"{", b"\xff", b'{"headers":{}}', b"null", b"7" * 5000, b"[" * 50_000, other):
            one.client.lpush(QUEUE, bad)
        for body in ("", "bm90", "W10=", "WzEsMiwzXQ==", "W1siYSIsN10se30se31d"):
            one.client.lpush(QUEUE, good.replace(good.split(b'"body":"')[1].split(b'"')[0], body.encode()))
        one.client.lpush(QUEUE, good)
        await until(lambda: one.offered)
        assert one.offered == [(QUEUE, ["job_1"], False)]


@in_a_loop
async def test_celery_takes_while_redis_does_not_answer_and_not_longer(server: RedisServer) -> None:
    async with working(server) as one:
        await asyncio.to_thread(server.kill)
        await until(lambda: one.celery.taken == set(QUEUES))
        await asyncio.to_thread(server.start)
        await until(lambda: not one.celery.taken)
        one.put(QUEUE, "job_1")
        await until(lambda: one.offered)


@in_a_loop
async def test_celery_takes_while_a_key_of_a_queue_is_none(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with working(server) as one:
        caplog.set_level("INFO")
        one.client.set(QUEUE, "somebody else's")
        await until(lambda: one.celery.taken == set(QUEUES))
        await asyncio.sleep(5 * loop_consumer.AGAIN_SECONDS)  # several tries
        assert one.celery.taken == set(QUEUES) and caplog.text.count("for now") == 1
        one.client.delete(QUEUE)
        await until(lambda: not one.celery.taken)


@in_a_loop
async def test_celery_takes_while_somebody_wants_events_of_each_task(server: RedisServer) -> None:
    async with working(server) as one:
        one.celery.event_dispatcher.enabled = True
        await until(lambda: one.celery.taken == set(QUEUES))
        one.put(QUEUE, "job_1")
        await asyncio.sleep(2 * loop_consumer.WAIT_SECONDS)
        assert not one.offered
        one.celery.event_dispatcher.groups = ("worker",)
        await until(lambda: one.offered)
        assert not one.celery.taken


@in_a_loop
async def test_what_redis_hands_out_while_it_stops_is_not_lost(server: RedisServer) -> None:
    made = Worker(server)
    running = asyncio.create_task(made.loop.run())
    await until(lambda: not made.celery.taken)
    made.loop.stop()
    made.put(QUEUE, "job_1")
    async with asyncio.timeout(10):
        await running
    assert made.client.llen(QUEUE) == 1 and not made.offered
    assert made.celery.taken == set(QUEUES)


def test_a_message_that_had_another_taker_is_no_first_lease() -> None:
    app = make_app()
    envelope = doorbells.enveloped(app, OFFER, QUEUE, ["job_1"], first=True)
    read = doorbells.read(envelope)
    assert read is not None and read.first
    for again in (
        envelope.replace(b'"routing_key"', b'"redelivered":true,"routing_key"'),
        envelope.replace(b'"task"', b'"redelivered":true,"task"'),
    ):
        read = doorbells.read(again)
        assert read is not None and read.ids == ["job_1"] and not read.first


@pytest.mark.parametrize(
    ("url", "possible"),
    [("redis://h/0", True), ("rediss://h/0", True), ("amqp://h//", False), ("memory://", False)],
)
def test_at_another_broker_celery_takes_all(monkeypatch: pytest.MonkeyPatch, url: str, possible: bool) -> None:
    monkeypatch.setattr(settings(), "broker_url", url)
    assert loop_consumer.is_possible() is possible
