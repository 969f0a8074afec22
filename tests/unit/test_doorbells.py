"""The messages that ring for jobs: those that Celery itself would send, and what takes them."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.worker import strategy
from kombu import message
from kombu.connection import Connection
from kombu.entity import Exchange, Queue

from shared.broker import doorbells
from shared.broker.app import make_app
from shared.queues import OFFER
from workers.process import doorbells as taking

QUEUE, IDS = "openai.realtime", ["job_1", "job_2"]
#: What differs between any two messages; and what Celery adds for tasks whose results are asked for.
_OWN = {"id", "root_id"}


@pytest.fixture
def app() -> Celery:
    return make_app()


@pytest.mark.parametrize("ids", [IDS, [f"job_{number:032}" for number in range(100)]])
def test_a_doorbell_is_the_message_that_celery_would_send(app: Celery, ids: list[str]) -> None:
    with Connection("memory://") as connection:
        queue = Queue(QUEUE, Exchange("", type="direct"), routing_key=QUEUE)(connection.default_channel)
        queue.declare()
        producer = connection.Producer()
        app.send_task(OFFER, args=(QUEUE, ids), queue=queue, producer=producer, ignore_result=True, retry=False)
        doorbells.publish(app, producer, OFFER, QUEUE, ids)
        doorbells.publish(app, producer, OFFER, QUEUE, ids)
        usual, ours, another = (queue.get() for _ in range(3))
    assert ours.payload == usual.payload and list(ours.payload[0]) == [QUEUE, ids]
    differing = {name for name in {*ours.headers, *usual.headers} if ours.headers.get(name) != usual.headers.get(name)}
    assert differing == _OWN and set(ours.headers) == set(usual.headers)
    assert ours.headers["id"] == ours.headers["root_id"] == ours.properties["correlation_id"] != another.headers["id"]
    for name in ("delivery_mode", "priority"):
        assert ours.properties[name] == usual.properties[name]
    assert (ours.content_type, ours.content_encoding) == (usual.content_type, usual.content_encoding)


class Message(message.Message):  # type: ignore[misc]
    """As kombu gives one."""

    def __init__(self, payload: Any, **headers: Any) -> None:
        form = {"content_type": "application/json", "content_encoding": "utf-8", "accept": {"application/json"}}
        super().__init__(json.dumps(payload), delivery_info={}, headers=headers, **form)


@pytest.fixture
def usual(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The messages that were left to Celery's own strategy."""
    left: list[Any] = []
    monkeypatch.setattr(strategy, "default", lambda *_, **__: lambda message, *_, **__: left.append(message))
    return left


def taken(events: Any = None) -> tuple[Callable[[Message], Any], list[Any], list[str]]:
    """What takes messages; what was run; what happened, in its order."""
    run: list[Any] = []
    order: list[str] = []

    def task_run(queue: str, ids: Any, *_: Any, first: bool = False) -> None:
        order.append("begin" if first else "run")
        run.append((queue, ids))

    task = SimpleNamespace(name=OFFER, run=task_run)
    consumer = SimpleNamespace(event_dispatcher=events, connection_errors=())
    take = taking.at_once(task, None, consumer)
    return (
        lambda message: take(message, None, lambda *_: order.append("acknowledged"), order.append, ()),
        run,
        order,
    )


def test_it_is_acknowledged_and_run_by_the_thread_that_reads_it(usual: list[Any]) -> None:
    take, run, order = taken()
    take(Message(((QUEUE, IDS), {}, {})))
    take(Message(((QUEUE, IDS, {"of": "a later version"}), {}, {}, "more")))
    assert run == [(QUEUE, IDS)] * 2 and order == ["acknowledged", "run"] * 2 and not usual


def test_a_first_lease_that_is_delivered_again_is_none(usual: list[Any]) -> None:
    """Whoever had the message before may have begun its jobs (RabbitMQ sends it again)."""
    take, _, order = taken()
    for redelivered in (False, True):
        message = Message(((QUEUE, IDS), {"first": True}, {}))
        message.delivery_info["redelivered"] = redelivered
        take(message)
    assert order == ["acknowledged", "begin", "acknowledged", "run"]


@pytest.mark.parametrize("payload", [None, [], "text", [[], {}, {}], [[QUEUE], {}, {}], [[QUEUE, IDS], {"x": 1}, {}]])
def test_what_is_no_message_of_ours_is_dropped(
    usual: list[Any], payload: Any, caplog: pytest.LogCaptureFixture
) -> None:
    take, run, order = taken()
    take(Message(payload))
    assert not run and order == ["acknowledged"] and not usual
    assert "a message of task offer could not be taken" in caplog.text


@pytest.mark.parametrize("headers", [{"eta": "2030-01-01T00:00:00"}, {"expires": "2030-01-01T00:00:00"}])
def test_one_that_is_to_wait_or_expire_is_left_to_celery(usual: list[Any], headers: dict[str, Any]) -> None:
    take, run, _ = taken()
    take(Message(((QUEUE, IDS), {}, {}), **headers))
    assert len(usual) == 1 and not run


@pytest.mark.parametrize(
    ("groups", "enabled", "told"),
    [(["worker"], True, 0), (None, True, 1), (["worker", "task"], True, 1), (None, False, 0)],
)
def test_where_events_of_each_task_are_wanted_celery_sends_them(
    usual: list[Any], groups: Any, enabled: bool, told: int
) -> None:
    take, run, _ = taken(SimpleNamespace(enabled=enabled, groups=groups))
    take(Message(((QUEUE, IDS), {}, {})))
    assert (len(usual), len(run)) == (told, 1 - told)


@pytest.mark.parametrize(
    ("body", "type"),
    [('[["a queue", ["job_1"]], {}, {}]', "application/x-python-serialize"), ("no JSON", "application/json")],
)
def test_what_is_not_plain_json_is_kombus_to_refuse(usual: list[Any], body: str, type: str) -> None:
    take, run, order = taken()
    other = Message(None)
    other.body, other.content_type = body, type
    with pytest.raises(Exception, match=r"Refusing|JSON|Expecting|decod"):
        take(other)
    assert not run and not order
