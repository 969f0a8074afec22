"""Flower as the Procfile starts it, with a real Redis and worker: behind its password, on loopback, seeing both."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from producer.stack import procfile
from shared import processes
from shared.broker.app import make_app
from shared.broker.bell import Bell
from shared.environment import inherited
from shared.queues import MAINTENANCE, WEBHOOKS
from shared.submissions.catalogue import job_queues
from tests import starting
from tests.conditions import await_condition
from tests.servers import RedisServer, free_port, migrated_sqlite

USER = ("admin", "a-password")
#: What the worker of this test serves; nobody consumes the other queues.
SERVED = ("openai.realtime", "openai.batch", "webhooks", "maintenance")


class Site:
    """The processes of a test, and a client of its Flower."""

    def __init__(self, directory: Path, redis: RedisServer, **given: str) -> None:
        url = migrated_sqlite(directory / "flower.sqlite3")
        self.port = free_port()
        self.log = directory / "flower.log"
        self._env = {**inherited(), "FUSIONAI_DATABASE_URL": url, "FUSIONAI_STATE_DIRECTORY": str(directory)}
        self._env |= {"FUSIONAI_BROKER_URL": redis.url, "FUSIONAI_REDIS_URL": redis.url}
        self._env |= {"FUSIONAI_QUEUES": ",".join(SERVED), "FUSIONAI_DRAIN_SECONDS": "0"}
        self._env |= {"FUSIONAI_FLOWER_PORT": str(self.port), "FLOWER_BASIC_AUTH": ":".join(USER), **given}
        self._processes: list[starting.Process] = []

    def start(self, module: str, *arguments: str) -> None:
        with self.log.open("ab") as output:
            self._processes.append(starting.start(module, self._env, output, *arguments))

    def start_worker(self) -> None:
        self.start("workers.app")

    def start_by_procfile(self) -> starting.Process:
        """By the Procfile's own line."""
        line = procfile.parse(procfile.find().read_text())["flower"]
        python, option, *words = procfile.expand(line, self._env)
        assert (python, option) == (sys.executable, "-m")
        self.start(*words)
        return self._processes[-1]

    def start_flower(self) -> None:
        """The same; until it answers."""
        self.start_by_procfile()
        await_condition(self._answers, seconds=60, what="Flower")

    def _answers(self) -> bool:
        try:
            return self.get("/healthcheck").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, auth: tuple[str, str] | None = USER) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", auth=auth, timeout=30, trust_env=False)

    def workers(self) -> dict[str, Any]:
        """The workers that Flower finds when it looks anew."""
        return dict(self.get("/api/workers?refresh=1").json())

    def lengths(self) -> dict[str, int]:
        """Messages in each queue that Flower lists."""
        return {row["name"]: row["messages"] for row in self.get("/api/queues/length").json()["active_queues"]}

    def stop(self) -> None:
        for process in self._processes:
            processes.kill(process)
            process.wait()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """A broker of this module's own."""
    server = RedisServer().start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Site]:
    """Flower, without any worker yet."""
    made = Site(tmp_path_factory.mktemp("flower"), redis)
    try:
        made.start_flower()
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("path", ["/", "/broker", "/tasks", "/api/workers", "/api/queues/length", "/api/tasks"])
def test_nothing_is_shown_without_the_password(site: Site, path: str) -> None:
    for auth in (None, ("admin", "another"), ("another", USER[1])):
        assert site.get(path, auth).status_code == 401, auth
    assert site.get(path).status_code == 200


def test_nothing_is_done_without_the_password(site: Site) -> None:
    answer = httpx.post(f"http://127.0.0.1:{site.port}/api/worker/shutdown/any", trust_env=False)
    assert answer.status_code == 401


def test_it_listens_on_one_loopback_address_alone(site: Site) -> None:
    socket.create_connection(("127.0.0.1", site.port), 5).close()
    for family, host in ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as caller, pytest.raises(OSError):
            caller.connect((host, site.port))  # what listens on every address answers here too


def test_it_sees_what_waits_and_who_works(site: Site, redis: RedisServer) -> None:
    celery = make_app()
    celery.conf.broker_url = redis.url
    bell = Bell(celery)
    assert set(site.lengths()) == {*job_queues(), WEBHOOKS, MAINTENANCE}
    for name, times in (("google.batch", 2), ("openai.batch", 1)):
        assert all(bell.ring(name, ["job_of_nobody"]).result() for _ in range(times))
    waiting = site.lengths()
    assert {name: count for name, count in waiting.items() if count} == {"google.batch": 2, "openai.batch": 1}
    site.start_worker()

    def seen() -> dict[str, Any]:
        return {name: found for name, found in site.workers().items() if "active_queues" in found}

    ((name, worker),) = await_condition(seen, seconds=60, what="a worker in Flower").items()
    assert name.startswith("worker-") and {each["name"] for each in worker["active_queues"]} == set(SERVED)
    await_condition(lambda: site.lengths() == dict.fromkeys(SERVED, 0), what="the worker's queues, emptied")
    assert bell.depth("google.batch").result() == 2, "which nobody consumes, and Flower lists no more"
    bell.close()


@pytest.mark.parametrize("users", ["", "admin:", "admin: ", "admin", "one:good,two:"])
def test_it_is_not_started_without_a_password(tmp_path: Path, redis: RedisServer, users: str) -> None:
    site = Site(tmp_path, redis, FLOWER_BASIC_AUTH=users, FUSIONAI_FLOWER_PASSWORD="")
    try:
        assert site.start_by_procfile().wait(60) != 0
        assert "Flower requires a password: set FUSIONAI_FLOWER_PASSWORD" in site.log.read_text()
    finally:
        site.stop()


def test_the_settings_password_is_enough(tmp_path: Path, redis: RedisServer) -> None:
    site = Site(tmp_path, redis, FLOWER_BASIC_AUTH="", FUSIONAI_FLOWER_PASSWORD="of-the-settings")
    try:
        site.start_flower()
        assert site.get("/", None).status_code == site.get("/").status_code == 401
        assert site.get("/", ("admin", "of-the-settings")).status_code == 200
    finally:
        site.stop()
