"""Flower on the cluster's broker: it sees every worker, whichever node each is connected to, and shows no password."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from producer.stack import procfile
from shared import processes
from shared.environment import inherited
from tests.cluster.cluster import Cluster
from tests.cluster.test_nodes import consumed
from tests.harness import Stack
from tests.servers import free_port

pytestmark = pytest.mark.timeout(600)

USER = ("admin", "a-password")


def test_flower_sees_every_worker(servers: Cluster, stack: Stack, tmp_path: Path) -> None:
    consumed(servers, stack)
    port = free_port()
    env = {**inherited(), **servers.environment(), "FUSIONAI_STATE_DIRECTORY": str(tmp_path)}
    env |= {"FUSIONAI_FLOWER_PORT": str(port), "FLOWER_BASIC_AUTH": ":".join(USER)}
    line = procfile.parse(procfile.find().read_text())["flower"]
    with (tmp_path / "log").open("wb") as output:
        flower = processes.start(procfile.expand(line, env), env, output)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=USER, timeout=60, trust_env=False) as client:
        try:
            found = stack.until(lambda: workers(client), seconds=120, what="every worker in Flower")
            assert all(name.startswith("worker-") for name in found)
            page = client.get("/broker").text
        finally:
            processes.kill(flower)
            flower.wait()
    assert servers.rabbit.password not in page and "amqps://fusionai:**@127.0.0.1" in page
    assert servers.rabbit.password not in (tmp_path / "log").read_text()


def workers(client: httpx.Client) -> dict[str, Any] | None:
    """The three workers that Flower has heard of their queues; None: not all."""
    try:
        shown = client.get("/api/workers?refresh=1").json()
        found = {name: one for name, one in shown.items() if "active_queues" in one}
    except (httpx.HTTPError, ValueError):
        return None
    return found if len(found) == 3 else None
