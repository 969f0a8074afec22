"""All that the system stands on in a cluster, on this machine's loopback, for a test to use."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.certificates import Authority
from tests.cluster.rabbitmq import RabbitCluster
from tests.cluster.redis import SecureRedis
from tests.servers import PostgresServer


class Cluster:
    """Three nodes of RabbitMQ and a Redis, both with TLS by an authority of its own, and a durable PostgreSQL."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        self.rabbit = RabbitCluster(directory / "rabbitmq", authority=self.authority)
        self.redis = SecureRedis(directory / "redis", self.authority)

    def start(self) -> "Cluster":
        """Start all of it."""
        with ThreadPoolExecutor(1) as starting:  # PostgreSQL while the nodes, which must be ours to start, come up
            postgres = starting.submit(PostgresServer, durable=True)
            self.redis.start()
            self.rabbit.start()
            self.postgres = postgres.result()
        return self

    def environment(self) -> Mapping[str, str]:
        """The settings of processes that use it, but for the database."""
        return {
            "FUSIONAI_BROKER_URL": self.rabbit.url(),
            "FUSIONAI_REDIS_URL": self.redis.url,
            "FUSIONAI_CA_FILE": str(self.authority.ca),
        }

    def close(self) -> None:
        """End all of it."""
        self.rabbit.close()
        self.redis.stop()
        if hasattr(self, "postgres"):
            self.postgres.stop()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """One that runs as long as the block."""
    # On a disk: what RabbitMQ and PostgreSQL promise is what is tried.
    directory = Path(tempfile.mkdtemp(prefix="fusionai-cluster-", dir="/tmp"))
    made = Cluster(directory)
    try:
        yield made.start()
    finally:
        made.close()
        shutil.rmtree(directory, ignore_errors=True)
