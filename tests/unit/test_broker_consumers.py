"""A worker's consumer of RabbitMQ's queues: what ends it is not passed over, what RabbitMQ lost is made anew."""

from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import ConsumerCancelled, NotFound
from kombu.entity import Exchange

from shared import clock
from shared.broker import rabbitmq
from shared.broker.rabbitmq import QuorumQueue
from shared.settings import settings
from workers.process.consumer import AGAIN_SECONDS, RENEW_SECONDS, Consumer

QUEUES = ("openai.realtime", "openai.batch", "webhooks")


class TaskConsumer:
    """kombu's consumer: `done` says what was asked of it; `broken` is raised by the next call."""

    def __init__(self) -> None:
        self.active = set(QUEUES)
        self.done: list[str] = []
        self.broken: Exception | None = None

    def consuming_from(self, queue: str) -> bool:
        return queue in self.active

    def cancel_by_queue(self, queue: str) -> None:
        self.active.discard(queue)
        if self.broken is not None:
            raise self.broken

    def add_queue(self, queue: str) -> None:
        self.active.add(queue)
        self.done.append(queue)

    def consume(self) -> None:
        assert self.done


class Celery:
    """Celery's consumer, which does at once what it is to do soon."""

    connection_errors, channel_errors = (ConsumerCancelled, OSError), (NotFound,)

    def __init__(self) -> None:
        self.task_consumer = TaskConsumer()
        queues = dict.fromkeys(QUEUES, "")
        self.app = SimpleNamespace(amqp=SimpleNamespace(queues=Names(queues)))

    def cancel_task_queue(self, queue: str) -> None:
        self.task_consumer.cancel_by_queue(queue)

    def add_task_queue(self, queue: str) -> None:
        self.task_consumer.add_queue(queue)

    def call_soon(self, call: Any, *given: Any) -> None:
        call(*given)


class Names(dict[str, str]):
    """All queues, each as its name."""

    @property
    def consume_from(self) -> "Names":
        return self

    def __getitem__(self, name: str) -> str:
        return name


@pytest.fixture
def celery(monkeypatch: pytest.MonkeyPatch) -> Celery:
    monkeypatch.setattr(settings(), "broker_url", "amqp://nobody@127.0.0.1:1//")
    monkeypatch.setattr(rabbitmq, "unavailable", set())
    return Celery()


@pytest.fixture
def consumer(celery: Celery) -> Consumer:
    made = Consumer()
    made.ready(celery)
    return made


def later(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """So much time passes for whoever asks for it."""
    then = clock.monotonic() + seconds
    monkeypatch.setattr(clock, "monotonic", lambda: then)


def test_each_queue_is_consumed_anew_in_turn(
    consumer: Consumer, celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if some are turned off and on again, and so come last in Celery's order."""
    for round in (1, 2, 3):
        for _ in QUEUES:
            later(RENEW_SECONDS + 0.1, monkeypatch)
            consumer.reconcile()
            consumer.reconcile()  # within the same time
            celery.app.amqp.queues = Names(reversed(celery.app.amqp.queues.items()))
        assert sorted(celery.task_consumer.done) == sorted(round * QUEUES)


def test_a_queue_that_was_taken_away_is_consumed_again(
    consumer: Consumer, celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer.reconcile()
    celery.task_consumer.done.clear()
    rabbitmq.unavailable |= {"webhooks", "a queue of others"}
    later(AGAIN_SECONDS + 0.1, monkeypatch)
    monkeypatch.setattr(consumer, "_renew_at", clock.monotonic())
    consumer.reconcile()
    assert celery.task_consumer.done == ["webhooks"]


@pytest.mark.parametrize("failure", [ConsumerCancelled("another queue's"), NotFound(), ConnectionResetError()])
@pytest.mark.parametrize("url", ["amqp://nobody@127.0.0.1:1//", "redis://127.0.0.1:1/0"])
def test_a_failure_of_the_broker_is_celerys_to_see(
    celery: Celery, failure: Exception, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes with whatever is asked next, and may mean every other queue: Celery connects again."""
    monkeypatch.setattr(settings(), "broker_url", url)
    consumer = Consumer()
    consumer.ready(celery)
    celery.task_consumer.broken = failure
    with pytest.raises(type(failure)):
        consumer("webhooks", False)


def test_a_failure_while_consuming_anew_is_celerys_to_see_as_well(
    consumer: Consumer, celery: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    celery.task_consumer.broken = NotFound()
    rabbitmq.unavailable.add("webhooks")
    with pytest.raises(NotFound):
        consumer.reconcile()


def test_another_failure_is_logged(consumer: Consumer, celery: Celery, caplog: pytest.LogCaptureFixture) -> None:
    celery.task_consumer.broken = KeyError("x")
    rabbitmq.unavailable.add("webhooks")
    consumer.reconcile()
    assert "could not consume queue" in caplog.text and "KeyError" in caplog.text


def test_of_redis_nothing_is_made_anew(celery: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "broker_url", "redis://127.0.0.1:1/0")
    consumer = Consumer()
    consumer.ready(celery)
    consumer.reconcile()
    assert celery.task_consumer.done == []


@pytest.mark.usefixtures("celery")
def test_the_end_of_a_consumer_is_noted_and_a_refusal_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Celery passes over what comes while it reads for the first time: it would consume nothing, and never know."""
    asked: dict[str, Any] = {}
    queue = QuorumQueue("openai.batch", Exchange(""), routing_key="openai.batch")
    queue._channel = SimpleNamespace(basic_consume=lambda **given: asked.update(given))
    queue.consume("tag", callback=print, no_ack=False, nowait=True)
    assert asked["nowait"] is False and asked["consumer_tag"] == "tag" and asked["callback"] is print
    asked["on_cancel"]("tag")
    asked["on_cancel"]("tag")
    assert rabbitmq.unavailable == {"openai.batch"}
    assert caplog.text.count("queue openai.batch was deleted") == 1
    assert queue.consume("tag", callback=print) is None
