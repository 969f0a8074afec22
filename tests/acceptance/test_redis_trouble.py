"""Redis full, slow, cut off, emptied, killed, while a stack is at work: slower perhaps, but nothing stops or lies."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.acceptance.stack import Account, Stack, chat, own_stack
from tests.conditions import await_condition as await_often
from tests.servers import RedisServer

#: Lists of hundreds of jobs and whole pages of metrics are looked at, which is more work than what is waited for.
await_condition = partial(await_often, pause_seconds=0.2)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis that this module's tests stop, fill and wipe."""
    started = RedisServer().start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, server: RedisServer) -> Iterator[Stack]:
    """A stack of this module's own."""
    with own_stack(tmp_path_factory.mktemp("stack"), server) as running:
        yield running


@pytest.fixture
def operator(server: RedisServer) -> Iterator["redis.Redis"]:
    with redis.Redis(port=server.port) as client:
        yield client


@contextmanager
def full(operator: "redis.Redis", _: RedisServer) -> Iterator[None]:
    operator.config_set("maxmemory", "1")
    try:
        yield
    finally:
        operator.config_set("maxmemory", "0")


@contextmanager
def slow(operator: "redis.Redis", _: RedisServer) -> Iterator[None]:
    operator.client_pause(20_000)  # nothing, an order to end it neither, is heard before that is over
    yield
    operator.ping()


@contextmanager
def stopped(operator: "redis.Redis", server: RedisServer) -> Iterator[None]:
    pid = int(operator.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def gone(_: "redis.Redis", server: RedisServer) -> Iterator[None]:
    server.kill()
    try:
        yield
    finally:
        server.start()


def completion(account: Account, text: str) -> httpx.Response:
    body = {key: value for key, value in chat(text).items() if key != "type"}
    return account.live.post("/chat/completions", json=body)


def stream(account: Account, text: str) -> httpx.Response:
    """A stream, read to its end."""
    body = {key: value for key, value in chat(text, stream=True).items() if key != "type"}
    return account.live.post("/chat/completions", json=body)


def batch(account: Account, text: str) -> httpx.Response:
    body = {key: value for key, value in chat(text).items() if key != "type"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return account.live.post("/batches", json={"requests": [line], "completion_window": "24h"})


def job(account: Account, text: str) -> httpx.Response:
    return account.live.post("/jobs", json=chat(text))


POSTS: tuple[Callable[[Account, str], httpx.Response], ...] = (job, completion, stream, batch)


def check_answers(answers: list[httpx.Response]) -> None:
    """Taken, or refused for the true reason and a little while; a stream that was begun ends with an answer."""
    for answer in answers:
        assert answer.status_code in (200, 202, 503), answer.text
        if answer.status_code == 503:
            assert "queue is unavailable" in answer.text and int(answer.headers["retry-after"]) <= 5, answer.text
        elif answer.headers["content-type"].startswith("text/event-stream"):
            assert "[DONE]" in answer.text and '"error"' not in answer.text, answer.text


def over(account: Account) -> bool:
    """Whether everything of the account has ended, and well."""
    jobs = account.live.get("/jobs", params={"limit": 100}).json()["data"]
    batches = account.live.get("/batches").json()["data"]
    assert not [one for one in jobs if one["status"] in ("failed", "expired", "cancelled")]
    return all(one["status"] == "succeeded" for one in jobs) and all(one["status"] == "completed" for one in batches)


@pytest.mark.parametrize("trouble", [full, slow, stopped, gone])
def test_while_redis_is_in_trouble_all_is_answered_and_done(
    stack: Stack, account: Account, operator: "redis.Redis", server: RedisServer, trouble: Any
) -> None:
    name = trouble.__name__
    with ThreadPoolExecutor(8) as threads:
        with trouble(operator, server):
            asked = [threads.submit(post, account, f"{name} {n}") for n in range(2) for post in POSTS]
            check_answers([one.result() for one in asked])
            await_condition(lambda: over(account), seconds=60, what="the end of all, Redis or not")
            await_condition(lambda: "fusionai_redis_up 0.0" in metrics(stack), what="the gauge")
        after = [threads.submit(post, account, f"after {name} {n}") for n in range(2) for post in POSTS]
        answers = [one.result() for one in after]
        assert {answer.status_code for answer in answers} <= {200, 202}, [answer.text for answer in answers]
        check_answers(answers)
    await_condition(lambda: over(account), seconds=30, what="the end of what came after")
    await_condition(lambda: "fusionai_redis_up 1.0" in metrics(stack), what="the gauge")
    assert stack.violations() == []


def metrics(stack: Stack) -> str:
    answer = httpx.get(stack.url + "/metrics", timeout=30)
    return answer.text if answer.status_code == 200 else ""


def test_connections_cut_again_and_again(stack: Stack, account: Account, operator: "redis.Redis") -> None:
    with ThreadPoolExecutor(8) as threads:
        asked = []
        for n in range(10):
            for kind in ("normal", "pubsub"):
                operator.client_kill_filter(_type=kind, skipme=True)
            asked += [threads.submit(post, account, f"cut {n}") for post in POSTS]
        check_answers([one.result() for one in asked])
    await_condition(lambda: over(account), seconds=30, what="the end of all")
    assert stack.violations() == []


def test_emptied_while_jobs_wait(stack: Stack, account: Account, operator: "redis.Redis") -> None:
    ids = []
    for n in range(6):
        answer = account.live.post("/jobs", json={"jobs": [chat(f"emptied {n} {i}") for i in range(50)]})
        ids += [one["id"] for one in answer.json()["data"]]
        operator.flushall()
    await_condition(lambda: over(account), seconds=60, what="the end of all")
    assert len(set(ids)) == 300
    assert stack.violations() == []


def test_a_restarted_one_is_used_again(stack: Stack, account: Account, server: RedisServer, tmp_path: Path) -> None:
    for n in range(3):
        server.kill()
        server.start()
        check_answers([post(account, f"restart {n}") for post in POSTS])
    await_condition(lambda: over(account), seconds=30, what="the end of all")
    assert stack.violations() == []
