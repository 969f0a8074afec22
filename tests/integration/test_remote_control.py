"""What a worker does for whoever can write to the broker: it tells how it is, and nothing else."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.worker.control import Panel

from shared import processes
from shared.broker.app import make_app
from shared.broker.bell import Bell
from shared.environment import inherited
from shared.queues import OFFER
from shared.submissions.catalogue import SANDBOX
from tests import starting
from tests.conditions import await_condition
from tests.servers import RedisServer, migrated_sqlite
from workers.process import remote_control

#: Orders of Celery's, with what they need.
ORDERS = {
    "shutdown": {},
    "pool_shrink": {"n": 2},
    "pool_restart": {},
    "autoscale": {"max": 1, "min": 0},
    "cancel_consumer": {"queue": "maintenance"},
    "add_consumer": {"queue": "another"},
    "rate_limit": {"task_name": "offer", "rate_limit": "1/h"},
    "revoke": {"task_id": "any"},
    "objgraph": {},
    "memdump": {},
}


@pytest.fixture
def process(tmp_path: Path, redis_server: RedisServer) -> Iterator[starting.Process]:
    """A real worker."""
    url = migrated_sqlite(tmp_path / "worker.sqlite3")
    env = inherited() | {"FUSIONAI_DATABASE_URL": url, "FUSIONAI_STATE_DIRECTORY": str(tmp_path)}
    env |= {"FUSIONAI_BROKER_URL": broker(redis_server), "FUSIONAI_REDIS_URL": redis_server.url}
    env |= {"FUSIONAI_DRAIN_SECONDS": "0"}
    started = starting.start("workers.app", env)
    yield started
    processes.kill(started)
    started.wait()


def broker(server: RedisServer) -> str:
    return server.url.replace("/0", "/9")


@pytest.fixture
def celery(redis_server: RedisServer) -> Celery:
    """Somebody who can write to its broker."""
    made = make_app()
    made.conf.broker_url = broker(redis_server)
    return made


def test_it_takes_no_orders(process: starting.Process, celery: Celery) -> None:
    await_condition(lambda: celery.control.inspect(timeout=0.5).ping(), seconds=60, what="the worker")
    for order, given in ORDERS.items():
        celery.control.broadcast(order, arguments=given)
    served = await_condition(lambda: celery.control.inspect(timeout=1).active_queues(), what="its answer")
    assert process.poll() is None
    assert {"maintenance", "webhooks"} < {one["name"] for queues in served.values() for one in queues}
    stats = await_condition(lambda: celery.control.inspect(timeout=1).stats(), what="its answer")
    assert all(one["pool"]["max-concurrency"] == 2 for one in stats.values())


def test_its_event_loop_takes_what_realtime_queues_hold(
    process: starting.Process, celery: Celery, redis_server: RedisServer
) -> None:
    """And Celery counts none of it, though it says that the queue is served."""
    await_condition(lambda: celery.control.inspect(timeout=0.5).ping(), seconds=60, what="the worker")
    client, bell, queue = redis.from_url(broker(redis_server)), Bell(celery), f"{SANDBOX}.realtime"

    def counted() -> Any:
        stats = await_condition(lambda: celery.control.inspect(timeout=1).stats(), what="its answer")
        return [one["total"].get(OFFER, 0) for one in stats.values()]

    def taken_on_the_loop() -> bool:
        before = counted()
        assert bell.ring(queue, ["job_none"]).result()
        await_condition(lambda: not client.llen(queue), what="the message to be taken")
        return bool(counted() == before)

    await_condition(taken_on_the_loop, seconds=30, what="its event loop to take from the queue")
    served = await_condition(lambda: celery.control.inspect(timeout=1).active_queues(), what="its answer")
    assert {queue, "webhooks"} < {one["name"] for queues in served.values() for one in queues}


#: Of messages that are none of ours.
BODIES = ("", "[]", "[1,2]", "null", "[[],{},{}]", '[["webhooks"],{},{}]', '[["webhooks",7],{"x":[]},{}]', "\ud800")


def envelope(server: RedisServer) -> dict[str, Any]:
    """A message as we send it, to a worker that is not there."""
    elsewhere = make_app()
    elsewhere.conf.broker_url = server.url.replace("/0", "/8")
    assert Bell(elsewhere).ring("webhooks", ["dlv_none"]).result()
    found: Any = redis.from_url(elsewhere.conf.broker_url).rpop("webhooks")
    message: dict[str, Any] = json.loads(found)
    return message


def test_it_lives_on_whatever_message_comes(
    process: starting.Process, celery: Celery, redis_server: RedisServer
) -> None:
    """What is none of ours is dropped, by the thread that takes all messages; the next one is taken."""
    await_condition(lambda: celery.control.inspect(timeout=0.5).ping(), seconds=60, what="the worker")
    client, good = redis.from_url(broker(redis_server)), envelope(redis_server)
    for body in (
        "",
        "[]",
        "[1,2]",
        "null",
        "[[],{},{}]",
        '[["webhooks"],{},{}]',
        '[["webhooks",7],{"x":[]},{}]',
        "\ud800",
    ):
        encoded = base64.b64encode(body.encode("utf-8", "surrogatepass")).decode()
        client.lpush("webhooks", json.dumps({**good, "body": encoded}))
    client.lpush("webhooks", json.dumps({**good, "headers": {}}))
    client.lpush("webhooks", json.dumps(good))
    await_condition(lambda: not client.llen("webhooks"), what="all of them to be taken")
    assert celery.control.inspect(timeout=5).ping() and process.poll() is None


def test_every_order_that_celery_knows_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Panel, "data", dict(Panel.data))
    assert ORDERS.keys() <= Panel.data.keys()
    remote_control.restrict(set)
    kinds = {name: Panel.meta[name].type for name in Panel.data}
    assert {name for name, kind in kinds.items() if kind == "control"} == remote_control.HEARD
    assert Panel.data.keys() == remote_control.ASKED | remote_control.HEARD
