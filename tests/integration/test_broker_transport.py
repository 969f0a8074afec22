"""Messages on a real Redis are fetched without an account of what is unacknowledged."""

import contextlib
from typing import Any

import pytest
import redis
from kombu import Connection, Queue
from kombu.asynchronous import Hub
from kombu.entity import Exchange

from shared.broker.app import make_app
from shared.broker.bell import Bell
from shared.broker.transport import ASIDE, RedisTransport
from shared.settings import settings
from shared.submissions.catalogue import job_queues
from tests.conditions import await_condition
from tests.servers import RedisServer


def test_celery_uses_it_where_the_broker_is_redis() -> None:
    app = make_app()
    with app.connection_for_read() as connection:
        assert isinstance(connection.transport, RedisTransport)
        assert connection.as_uri().startswith("redis://")
    with app.connection_for_write() as connection:
        assert isinstance(connection.transport, RedisTransport)


def test_nothing_is_kept_of_what_was_fetched_and_all_of_it_comes_once(redis_server: RedisServer) -> None:
    client, taken = redis.from_url(redis_server.url), []
    client.flushall()
    queue = Queue("some.realtime", Exchange("", type="direct"), routing_key="some.realtime")
    with Connection(redis_server.url, transport=RedisTransport, transport_options={"sep": ":"}) as connection:
        producer = connection.Producer()
        for number in range(20):
            producer.publish(number, routing_key="some.realtime", declare=[queue])
        with connection.Consumer(
            [queue], callbacks=[lambda body, message: (taken.append(body), message.ack())]
        ) as reader:
            reader.qos(prefetch_count=1)
            while len(taken) < 20:
                connection.drain_events(timeout=5)
                assert not client.keys("unacked*")
            qos = connection.default_channel.qos
            assert not qos._delivered and not qos._dirty, "what is noted of each message is never removed"
    assert taken == list(range(20)) and not client.exists("some.realtime")


def test_a_message_that_nobody_knows_the_task_of_is_dropped(redis_server: RedisServer) -> None:
    client = redis.from_url(redis_server.url)
    client.flushall()
    queue = Queue("some.realtime", Exchange("", type="direct"), routing_key="some.realtime")
    with Connection(redis_server.url, transport=RedisTransport) as connection:
        connection.Producer().publish("?", routing_key="some.realtime", declare=[queue])
        with connection.Consumer([queue], callbacks=[lambda _, message: message.reject()]):
            connection.drain_events(timeout=5)
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=0.1)
    assert not client.exists("some.realtime") and not client.keys("unacked*")


def test_a_message_that_comes_after_its_queue_was_turned_off_stays_the_next_one(redis_server: RedisServer) -> None:
    """Celery's event loop has asked Redis for the next message when a queue is turned off; the answer comes later."""
    client, taken, marked = redis.from_url(redis_server.url), [], []

    def take(body: object, message: Any) -> None:
        taken.append(body)
        marked.append(message.delivery_info.get("redelivered"))

    client.flushall()
    exchange = Exchange("", type="direct")
    queue, other = (Queue(name, exchange, routing_key=name) for name in ("some.batch", "some.realtime"))
    with Connection(redis_server.url, transport=RedisTransport) as connection, connection.clone() as another:
        producer, hub = another.Producer(), Hub()
        connection.register_with_event_loop(hub)
        turns = hub.create_loop()
        consumer = connection.Consumer([queue, other], callbacks=[take])
        consumer.consume()
        for begin in list(hub.on_tick):
            begin()  # Redis is asked
        consumer.cancel_by_queue(queue.name)
        for body in ("the first", "the second"):
            producer.publish(body, routing_key=queue.name)
        await_condition(lambda: next(turns) or client.llen(queue.name) == 2, what="both messages in the queue")
        consumer.add_queue(queue)
        consumer.consume()
        await_condition(lambda: next(turns) or len(taken) == 2, what="both messages")
        hub.close()
    assert taken == ["the first", "the second"] and not client.keys("unacked*")
    assert not any(marked), "nobody has had it before"


def test_what_stands_in_the_place_of_a_queue_is_set_aside_and_not_lost(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings(), "broker_url", redis_server.url)
    client, bell = redis.from_url(redis_server.url), Bell(make_app())
    client.flushall()
    queue, other = job_queues()[:2]
    assert bell.ring(other, ["job_1"]).result() and bell.set_aside().result() == []
    foreign = [queue, "webhooks", "_kombu.binding.celery.pidbox", "_kombu.binding_permanent.maintenance"]
    for key in foreign:
        client.delete(key)
        client.set(key, "somebody's")
    assert not bell.ring(queue, ["job_2"]).result()
    assert sorted(bell.set_aside().result()) == sorted(foreign)
    assert client.get(queue + ASIDE) == b"somebody's" and client.llen(other) == 1
    bell._down_until = 0.0
    assert bell.ring(queue, ["job_2"]).result() and client.llen(queue) == 1
    bell.close()


def test_a_queue_that_is_not_known_here_is_no_fault_of_the_broker(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of a later version may turn to a provider that this version's catalogue lacks."""
    monkeypatch.setattr(settings(), "broker_url", redis_server.url)
    client, bell = redis.from_url(redis_server.url), Bell(make_app())
    client.flushall()
    assert not bell.ring("later.batch", ["job_1"]).result() and not bell.away
    assert bell.ring(job_queues()[0], ["job_2"]).result() and client.keys("*.batch") == []
    bell.close()
