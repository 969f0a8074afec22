"""Collected by `make test-cluster` alone: what these tests need is not what `make test` may ask for."""

import os
from collections.abc import Iterator
from pathlib import Path

import amqp
import pytest

from tests.cluster.cluster import Cluster, cluster
from tests.harness import Stack

collect_ignore_glob = [] if os.environ.get("CLUSTER_CHECK") else ["test_*.py"]

#: Two or three of each process.
NAMES = ("web", "web2", "worker", "worker2", "worker3", "batches", "batches2", "sweeper", "sweeper2")
#: Queues that are there before the system, with other properties than it would give them: a classic one, and one with
#: another delivery limit.
FOREIGN = {"anthropic.realtime": {}, "webhooks": {"x-queue-type": "quorum", "x-delivery-limit": 5}}


@pytest.fixture(scope="session")
def servers() -> Iterator[Cluster]:
    """The servers, for the whole session."""
    with cluster() as made:
        yield made


@pytest.fixture(scope="session")
def stack(servers: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The processes of one system on them, for the whole session."""
    declare(servers, FOREIGN)
    with on(servers, tmp_path_factory.mktemp("stack")) as running:
        yield running


def declare(servers: Cluster, queues: dict[str, dict[str, object]]) -> None:
    """Make queues as somebody else would."""
    with servers.rabbit.connect() as connection:
        channel: amqp.Channel = connection.channel()
        for name, arguments in queues.items():
            channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)


def on(servers: Cluster, directory: Path, names: tuple[str, ...] = NAMES, **settings: str) -> Stack:
    """A system of these processes on the servers, with a database of its own."""
    url = str(servers.postgres.migrated())
    return Stack(directory, url, servers.redis, names=names, latency=0.3, environment=servers.environment(), **settings)  # type: ignore[arg-type]
